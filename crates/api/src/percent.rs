//! Fractional numbers without floats: inputs are cache keys, so they must be comparable and
//! hashable. Whole millionths, which is also the finest step Envoy's percentages know.

use crate::message::message;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;

const MILLION: i64 = 1_000_000;

/// A number with up to six decimals, in YAML a plain number such as `12.5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal(i64);

impl Decimal {
    /// This many millionths.
    #[must_use]
    pub const fn from_millionths(millionths: i64) -> Self {
        Self(millionths)
    }

    /// This whole number (saturating).
    #[must_use]
    pub const fn from_whole(whole: i64) -> Self {
        Self(whole.saturating_mul(MILLION))
    }

    /// The value in millionths.
    #[must_use]
    pub const fn millionths(self) -> i64 {
        self.0
    }

    /// The nearest float, for Envoy fields that are floats.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        reason = "six decimals are all that is kept"
    )]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / MILLION as f64
    }

    /// True between 0 and 100, both included.
    #[must_use]
    pub fn is_percentage(self) -> bool {
        (0..=100 * MILLION).contains(&self.0)
    }

    /// The nearest number with six decimals; `None` for infinities, NaN and what does not fit.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        let scaled = (value * 1e6).round();
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the bounds are checked on the line below"
        )]
        let millionths = scaled as i64;
        (scaled.abs() < 9e18).then_some(Self(millionths))
    }
}

impl fmt::Display for Decimal {
    /// Without trailing zeros: `12.5`, `100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, sign) = (self.0.unsigned_abs(), if self.0 < 0 { "-" } else { "" });
        let (whole, rest) = (value / 1_000_000, value % 1_000_000);
        let text = if rest == 0 {
            format!("{sign}{whole}")
        } else {
            let text = format!("{sign}{whole}.{rest:06}");
            text.trim_end_matches('0').to_owned()
        };
        f.pad(&text)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % MILLION == 0 {
            serializer.serialize_i64(self.0 / MILLION)
        } else {
            serializer.serialize_f64(self.to_f64())
        }
    }
}

struct Number;

impl de::Visitor<'_> for Number {
    type Value = Decimal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Decimal, E> {
        value
            .checked_mul(MILLION)
            .map(Decimal)
            .ok_or_else(|| E::custom(format!("{value} is too large")))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Decimal, E> {
        i64::try_from(value)
            .map_err(|_| E::custom(format!("{value} is too large")))
            .and_then(|value| self.visit_i64(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Decimal, E> {
        Decimal::from_f64(value).ok_or_else(|| E::custom(format!("{value} is not a finite number")))
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(Number)
    }
}

impl JsonSchema for Decimal {
    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "format": "double" })
    }
}

message! {
    /// A share of all traffic.
    pub struct Percent {
        /// The share in percent, 0 to 100, in steps of a millionth. Default 0.
        pub value: Decimal,
    }
}

impl Percent {
    /// This many percent.
    #[must_use]
    pub const fn whole(percent: i64) -> Self {
        Self {
            value: Decimal::from_whole(percent),
        }
    }

    /// The share in parts per million, 0 to 1,000,000 when it is valid: what Envoy's
    /// `FractionalPercent` with denominator `MILLION` wants. Clamped to that range.
    #[must_use]
    pub fn parts_per_million(self) -> u32 {
        let parts = (self.value.millionths() / 100).clamp(0, MILLION);
        u32::try_from(parts).unwrap_or(0)
    }
}

impl Copy for Percent {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Decimal {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn numbers_of_any_kind_are_read() {
        assert_eq!(read("12.5").millionths(), 12_500_000);
        assert_eq!(read("100"), Decimal::from_whole(100));
        assert_eq!(read("-1").to_string(), "-1");
        assert_eq!(read("0.000001").millionths(), 1);
        assert!(serde_yaml::from_str::<Decimal>(".inf").is_err());
        assert!(serde_yaml::from_str::<Decimal>("a lot").is_err());
    }

    #[test]
    fn numbers_print_and_write_short() {
        assert_eq!(read("0.10").to_string(), "0.1");
        assert_eq!(serde_json::to_string(&read("0.1")).unwrap(), "0.1");
        assert_eq!(serde_json::to_string(&read("50.0")).unwrap(), "50");
    }

    #[test]
    fn percentages_in_parts_per_million() {
        let percent: Percent = serde_yaml::from_str("value: 0.1").unwrap();
        assert_eq!(percent.parts_per_million(), 1_000);
        assert_eq!(Percent::whole(100).parts_per_million(), 1_000_000);
        assert!(!Percent::whole(101).value.is_percentage());
        assert!(
            serde_yaml::from_str::<Percent>("{}")
                .unwrap()
                .value
                .is_percentage()
        );
    }
}
