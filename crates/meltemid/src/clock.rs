//! The only place of the control plane that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Now, for measuring spans.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Now, for the validity of certificates.
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Seconds since 1970 of a moment.
pub(crate) fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
