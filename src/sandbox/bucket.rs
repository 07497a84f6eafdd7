//! A bucket of points that refills.

use jiff::Timestamp;

/// A bucket of points that refills.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    size: f64,
    refill: f64,
    level: f64,
    at: Timestamp,
}

impl Bucket {
    /// A full one.
    pub fn new(size: f64, refill: f64) -> Self {
        Self { size, refill, level: size, at: Timestamp::MIN }
    }
    /// Size.
    pub fn size(&self) -> f64 {
        self.size
    }
    /// Points a second.
    pub fn refill(&self) -> f64 {
        self.refill
    }
    /// What is in it.
    pub fn level(&mut self, now: Timestamp) -> f64 {
        if now > self.at {
            if self.at != Timestamp::MIN {
                let gone = now.duration_since(self.at).as_secs_f64();
                self.level = (self.level + gone * self.refill).min(self.size);
            }
            self.at = now;
        }
        self.level
    }
    /// Takes `points`, or says how many seconds are missing.
    pub fn take(&mut self, points: f64, now: Timestamp) -> Result<(), f64> {
        let level = self.level(now);
        if level >= points {
            self.level -= points;
            return Ok(());
        }
        Err((points - level) / self.refill)
    }
    /// Gives points back.
    pub fn give(&mut self, points: f64) {
        self.level = (self.level + points).min(self.size);
    }
    /// Empties it.
    pub fn drain(&mut self, now: Timestamp) {
        self.level(now);
        self.level = 0.0;
    }
}
