//! A signed length of time in the grammar of Go's `time.ParseDuration`, as Istio reads it.
//!
//! Whole nanoseconds, so that values can be compared, hashed and be cache keys. Go rejects a
//! number without a unit (except `0`), accepts `1.5h`, `.5s`, a sign, and both spellings of micro.

use meltemi_types::Invalid;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A length of time: `1h3m2.5s`, `100ms`, `-1s`. Nanoseconds inside; at most about 292 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// This many nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// This many milliseconds (saturating).
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(MILLISECOND))
    }

    /// This many seconds (saturating).
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(SECOND))
    }

    /// All of it, in nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds, rounded towards zero.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0 / MILLISECOND
    }

    /// Whole seconds, rounded towards zero.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0 / SECOND
    }

    /// The nanoseconds beyond the whole seconds, with the sign of the duration: together with
    /// [`Duration::seconds`] what `google.protobuf.Duration` wants.
    #[must_use]
    pub const fn subsec_nanos(self) -> i32 {
        // The remainder by 10^9 fits an i32.
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the remainder is below 10^9"
        )]
        let rest = (self.0 % SECOND) as i32;
        rest
    }

    /// True below zero.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// True for no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The unsigned duration of the standard library; `None` below zero.
    #[must_use]
    pub fn to_std(self) -> Option<std::time::Duration> {
        u64::try_from(self.0)
            .ok()
            .map(std::time::Duration::from_nanos)
    }
}

fn unit(text: &str) -> Option<i64> {
    Some(match text {
        "ns" => 1,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

/// One `number unit` off the front of `text`: its nanoseconds and what follows.
fn term(text: &str) -> Option<(u128, &str)> {
    let number = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(number)?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let end = rest
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .unwrap_or(rest.len());
    let (name, rest) = rest.split_at_checked(end)?;
    let unit = u128::from(unit(name)?.unsigned_abs());
    let whole: u128 = match whole {
        "" => 0,
        whole => u64::from_str(whole).ok()?.into(),
    };
    // More than 18 digits of a fraction are below a nanosecond of any unit.
    let fraction: String = fraction.chars().take(18).collect();
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = match fraction.as_str() {
        "" => 0,
        part => u128::from(u64::from_str(part).ok()?) * unit / scale,
    };
    Some((whole.checked_mul(unit)?.checked_add(part)?, rest))
}

fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum: u128 = 0;
    while !rest.is_empty() {
        let (nanos, after) = term(rest)?;
        sum = sum.checked_add(nanos)?;
        rest = after;
    }
    if negative && sum == u128::from(i64::MIN.unsigned_abs()) {
        return Some(i64::MIN);
    }
    let sum = i64::try_from(sum).ok()?;
    Some(if negative { -sum } else { sum })
}

impl FromStr for Duration {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        parse(text).map(Self).ok_or_else(|| {
            Invalid::new(
                "duration",
                text,
                "use numbers with the units h, m, s, ms, us or ns, as in 1h3m2.5s",
            )
        })
    }
}

/// `1.5` from 1500 thousandths: `nanos` in `unit`, without trailing zeros.
fn decimal(nanos: u64, unit: u64) -> String {
    let (whole, rest) = (nanos / unit, nanos % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let text = format!("{whole}.{rest:0width$}");
    text.trim_end_matches('0').to_owned()
}

impl fmt::Display for Duration {
    /// Go's canonical form: `1h0m1.5s`, `100ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let [us, ms, s, m, h] =
            [MICROSECOND, MILLISECOND, SECOND, MINUTE, HOUR].map(i64::unsigned_abs);
        let text = match nanos {
            0 => "0s".to_owned(),
            n if n < us => format!("{n}ns"),
            n if n < ms => format!("{}µs", decimal(n, us)),
            n if n < s => format!("{}ms", decimal(n, ms)),
            n if n < m => format!("{}s", decimal(n, s)),
            n if n < h => format!("{}m{}s", n / m, decimal(n % m, s)),
            n => format!("{}h{}m{}s", n / h, n % h / m, decimal(n % m, s)),
        };
        f.pad(&format!("{sign}{text}"))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_go_reads() {
        let cases: &[(&str, Option<i64>)] = &[
            ("0", Some(0)),
            ("0s", Some(0)),
            ("-0", Some(0)),
            ("5s", Some(5 * SECOND)),
            ("30s", Some(30 * SECOND)),
            ("1478s", Some(1478 * SECOND)),
            ("-5s", Some(-5 * SECOND)),
            ("+5s", Some(5 * SECOND)),
            ("5.0s", Some(5 * SECOND)),
            ("5.", None),
            ("5.s", Some(5 * SECOND)),
            (".5s", Some(SECOND / 2)),
            ("1.", None),
            (".s", None),
            ("10ns", Some(10)),
            ("11us", Some(11 * MICROSECOND)),
            ("12µs", Some(12 * MICROSECOND)),
            ("12μs", Some(12 * MICROSECOND)),
            ("13ms", Some(13 * MILLISECOND)),
            ("3h30m", Some(3 * HOUR + 30 * MINUTE)),
            ("10.5s4m", Some(4 * MINUTE + 10 * SECOND + SECOND / 2)),
            (
                "-2m3.4s",
                Some(-(2 * MINUTE + 3 * SECOND + 400 * MILLISECOND)),
            ),
            (
                "1h2m3s4ms5us6ns",
                Some(HOUR + 2 * MINUTE + 3 * SECOND + 4_005_006),
            ),
            (
                "39h9m14.425s",
                Some(39 * HOUR + 9 * MINUTE + 14_425 * MILLISECOND),
            ),
            ("9223372036854775807ns", Some(i64::MAX)),
            ("-9223372036854775808ns", Some(i64::MIN)),
            ("9223372036854775808ns", None),
            ("0.3333333333333333333h", Some(20 * MINUTE - 1)),
            ("", None),
            ("3", None),
            ("-", None),
            ("s", None),
            (".", None),
            ("-.", None),
            ("1d", None),
            ("1 s", None),
            ("1s ", None),
            ("1..5s", None),
            ("1e3s", None),
        ];
        for (text, nanos) in cases {
            let parsed = text.parse::<Duration>().ok().map(Duration::as_nanos);
            if *text == "0.3333333333333333333h" {
                // Beyond a nanosecond both truncate; one unit in the last place is allowed.
                assert!((parsed.unwrap() - 20 * MINUTE).abs() <= 1, "{parsed:?}");
                continue;
            }
            assert_eq!(parsed, *nanos, "{text}");
        }
    }

    #[test]
    fn prints_as_go_prints() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (4 * MINUTE + 5 * SECOND, "4m5s"),
            (4 * MINUTE + 5_001 * MILLISECOND, "4m5.001s"),
            (HOUR, "1h0m0s"),
            (-90 * SECOND, "-1m30s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(Duration::from_nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn splits_as_protobuf_wants() {
        let text: Duration = "-1.5s".parse().unwrap();
        assert_eq!((text.seconds(), text.subsec_nanos()), (-1, -500_000_000));
        assert_eq!(text.to_std(), None);
        assert_eq!(Duration::from_millis(1500).as_millis(), 1500);
    }

    proptest! {
        #[test]
        fn printed_reads_back(nanos in any::<i64>()) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(duration.to_string().parse::<Duration>().unwrap(), duration);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+]?[0-9.hmnuµs ]{0,12}") {
            let _ = text.parse::<Duration>();
        }
    }
}
