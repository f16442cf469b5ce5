//! The only place of the tool that reads a clock, and how moments and spans are written.

use jiff::Timestamp;
use std::time::SystemTime;

/// Now, in seconds since 1970.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_second()
}

/// Now, for the life of a token.
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// A moment as RFC 3339 in UTC; one out of range is its number.
pub(crate) fn rfc3339(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(moment) => moment.to_string(),
        Err(_) => seconds.to_string(),
    }
}

/// The seconds of an RFC 3339 text.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let moment: Timestamp = text.parse().ok()?;
    Some(moment.as_second())
}

/// A span as kubectl writes it: `7s`, `5m`, `3h`, `12d`. What lies ahead is `0s`.
pub(crate) fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..120 => format!("{s}s"),
        s @ 120..7200 => format!("{}m", s / 60),
        s @ 7200..172_800 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_unit() {
        let spans = [-5, 0, 119, 120, 7199, 7200, 172_799, 172_800].map(age);
        let expected = ["0s", "0s", "119s", "2m", "119m", "2h", "47h", "2d"];
        assert_eq!(spans, expected);
    }

    #[test]
    fn moments_are_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(parse("1970-01-02T00:00:00Z"), Some(86_400));
    }
}
