//! When a certificate counts, and when it is time for the next one. Data: the clock is an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;

/// The span in which a certificate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: SystemTime,
    /// The last moment.
    pub until: SystemTime,
}

impl Validity {
    /// How far clocks of two machines may differ: certificates count from so long ago.
    pub const SKEW: Duration = Duration::from_secs(120);

    /// A span that begins a little before `now`, and ends `lifetime` after it.
    #[must_use]
    pub fn starting(now: SystemTime, lifetime: Duration) -> Self {
        Self {
            from: now.checked_sub(Self::SKEW).unwrap_or(UNIX_EPOCH),
            until: now.checked_add(lifetime).unwrap_or(now),
        }
    }

    /// The same, but not longer than `other`.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            until: self.until.min(other.until),
        }
    }

    /// True when the certificate counts at `now`.
    #[must_use]
    pub fn holds(&self, now: SystemTime) -> bool {
        self.from <= now && now <= self.until
    }

    /// True when less than `percent` of the lifetime is left: time for another one.
    #[must_use]
    pub fn is_due(&self, now: SystemTime, percent: u32) -> bool {
        let lifetime = self.until.duration_since(self.from).unwrap_or_default();
        let left = self.until.duration_since(now).unwrap_or_default();
        left <= lifetime * percent / 100
    }

    /// What a certificate says.
    pub(crate) fn of(certificate: &X509Certificate<'_>) -> Self {
        let moment = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.max(0).unsigned_abs());
        let validity = certificate.validity();
        Self {
            from: moment(validity.not_before.timestamp()),
            until: moment(validity.not_after.timestamp()),
        }
    }
}

/// Whole seconds since 1970.
pub(crate) fn unix(moment: SystemTime) -> u64 {
    moment
        .duration_since(UNIX_EPOCH)
        .map_or(0, |span| span.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_certificate_is_renewed_before_it_ends() {
        let now = UNIX_EPOCH + 1000 * HOUR;
        let validity = Validity::starting(now, 100 * HOUR);
        assert!(validity.holds(now) && !validity.is_due(now, 50));
        assert!(validity.is_due(now + 51 * HOUR, 50));
        assert!(!validity.is_due(now + 79 * HOUR, 20));
        assert!(validity.is_due(now + 81 * HOUR, 20));
        assert!(!validity.holds(now + 101 * HOUR));
        assert!(validity.is_due(now + 101 * HOUR, 20), "an ended one is due");
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let now = UNIX_EPOCH + 1000 * HOUR;
        let validity = Validity::starting(now, HOUR);
        assert!(validity.holds(now - Duration::from_secs(119)));
        assert!(!validity.holds(now - Duration::from_secs(121)));
    }

    #[test]
    fn nothing_outlives_what_signed_it() {
        let now = UNIX_EPOCH + 1000 * HOUR;
        let signer = Validity::starting(now - 2 * HOUR, 3 * HOUR);
        let leaf = Validity::starting(now, 100 * HOUR).within(signer);
        assert_eq!(leaf.until, signer.until);
    }
}
