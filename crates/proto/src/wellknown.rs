//! Conversions into Google's wrapper messages, which this crate generates itself.

use std::time::Duration;

use crate::google::protobuf as pb;

impl From<Duration> for pb::Duration {
    /// Lengths beyond what the message can hold are cut at its maximum.
    fn from(value: Duration) -> Self {
        Self {
            seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(value.subsec_nanos()).unwrap_or(0),
        }
    }
}

macro_rules! wrapper {
    ($($wrapper:ident: $inner:ty),* $(,)?) => {$(
        impl From<$inner> for pb::$wrapper {
            fn from(value: $inner) -> Self {
                Self { value }
            }
        }
    )*};
}

wrapper! {
    BoolValue: bool,
    UInt32Value: u32,
    UInt64Value: u64,
    Int32Value: i32,
    Int64Value: i64,
    DoubleValue: f64,
    FloatValue: f32,
    StringValue: String,
}

macro_rules! kind {
    ($($variant:ident: $inner:ty),* $(,)?) => {$(
        impl From<$inner> for pb::Value {
            fn from(value: $inner) -> Self {
                Self { kind: Some(pb::value::Kind::$variant(value.into())) }
            }
        }
    )*};
}

kind! {
    BoolValue: bool,
    NumberValue: f64,
    StringValue: String,
    StringValue: &str,
    StructValue: pb::Struct,
    ListValue: pb::ListValue,
}

impl From<Vec<pb::Value>> for pb::Value {
    fn from(values: Vec<pb::Value>) -> Self {
        pb::ListValue { values }.into()
    }
}

impl<K: Into<String>, V: Into<pb::Value>> FromIterator<(K, V)> for pb::Struct {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let fields = entries
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        Self { fields }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_keeps_its_parts() {
        let converted = pb::Duration::from(Duration::new(5, 250_000_000));
        assert_eq!((converted.seconds, converted.nanos), (5, 250_000_000));
    }

    #[test]
    fn a_struct_is_collected_from_pairs() {
        let collected: pb::Struct = [("port", pb::Value::from(80.0)), ("name", "a".into())]
            .into_iter()
            .collect();
        assert_eq!(
            collected.fields.keys().collect::<Vec<_>>(),
            ["name", "port"]
        );
    }
}
