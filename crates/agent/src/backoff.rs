//! How long to wait before the next attempt: exponential, without a rhythm that a fleet could share
//! (decorrelated jitter), bounded, and never the end of trying.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Bits that nobody can foretell, others each time.
pub(crate) fn bits() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// A number from 0 to below 1, another one each time.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
pub(crate) fn draw() -> f64 {
    let bits = bits() >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// The waits between attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    last: Duration,
}

impl Backoff {
    /// Waits of `first` and more, of `most` at most.
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        let last = first;
        Self { first, most, last }
    }

    /// The next wait; `draw` is from 0 to below 1.
    pub(crate) fn next(&mut self, draw: f64) -> Duration {
        let span = (self.last * 3).saturating_sub(self.first);
        self.last = (self.first + span.mul_f64(draw)).min(self.most);
        self.last
    }

    /// The next attempt is the first again.
    pub(crate) fn reset(&mut self) {
        self.last = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_never_below_the_first() {
        let (first, most) = (Duration::from_millis(500), Duration::from_secs(30));
        let mut backoff = Backoff::new(first, most);
        let waits: Vec<_> = (0..12).map(|_| backoff.next(0.99)).collect();
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
        assert_eq!(waits.last(), Some(&most));
        assert_eq!(backoff.next(0.0), first);
        backoff.next(0.99);
        backoff.reset();
        assert!(backoff.next(0.99) <= first * 3);
    }

    #[test]
    fn draws_differ_and_stay_in_their_range() {
        let draws: Vec<_> = (0..100).map(|_| draw()).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        assert!(draws.iter().any(|draw| *draw < 0.5) && draws.iter().any(|draw| *draw >= 0.5));
    }
}
