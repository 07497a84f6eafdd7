//! Virtual time and chance by seed.

use std::sync::Mutex;
use std::time::Duration;

use crossdock::ports::Clock;
use jiff::Timestamp;

/// Chance by seed.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Neighbouring seeds have nothing in common.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Sixty-four bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to but not `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A clock that moves when it is told to.
#[derive(Debug)]
pub struct SimClock {
    state: Mutex<(Timestamp, Dice)>,
}

impl SimClock {
    /// Starts on a fixed day, with chance by `seed`.
    pub fn new(seed: u64) -> Self {
        let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        Self { state: Mutex::new((start, Dice::new(seed))) }
    }

    /// Lets `time` pass.
    pub fn pass(&self, time: Duration) {
        let mut state = self.state.lock().unwrap();
        state.0 += time;
    }

    /// Moves to `at`, unless that is past.
    pub fn reach(&self, at: Timestamp) {
        let mut state = self.state.lock().unwrap();
        state.0 = state.0.max(at);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap().0
    }

    fn random(&self) -> u64 {
        self.state.lock().unwrap().1.next()
    }
}
