//! Waits that grow and are never the same on two replicas.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The wait after so many failures in a row: doubles from `first`, at most `longest`, give or
/// take a third.
pub(crate) fn wait(failures: u32, first: Duration, longest: Duration) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    spread(doubled.min(longest))
}

/// Two thirds to four thirds of a time.
pub(crate) fn spread(time: Duration) -> Duration {
    let third = time / 3;
    time - third + part(third * 2)
}

/// A random part of a time.
pub(crate) fn part(time: Duration) -> Duration {
    // Each RandomState has keys of its own: good enough to keep replicas apart.
    let random = RandomState::new().build_hasher().finish();
    let share = u32::try_from(random % 1024).unwrap_or(0);
    time / 1024 * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_millis(200), Duration::from_secs(10));
        for (failures, low, high) in [
            (1, 133, 267),
            (2, 266, 534),
            (4, 1066, 2134),
            (40, 6666, 13334),
        ] {
            let millis = wait(failures, first, longest).as_millis();
            assert!((low..=high).contains(&millis), "{failures}: {millis}");
        }
    }

    #[test]
    fn two_replicas_do_not_wait_the_same_time() {
        let waits: std::collections::BTreeSet<_> =
            (0..20).map(|_| spread(Duration::from_secs(60))).collect();
        assert!(waits.len() > 10, "{waits:?}");
    }
}
