//! The clock of the machine.

use jiff::Timestamp;

use crate::ports::Clock;

/// The machine's time and its random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock of the edges")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_chance_differs() {
        let clock = SystemClock;
        let before = clock.now();
        assert!(clock.now() >= before);
        assert_ne!(clock.random(), clock.random());
    }
}
