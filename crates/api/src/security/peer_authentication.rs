//! PeerAuthentication: whether a workload accepts plain text, mutual TLS, or both.

use crate::message::{choice, message};
use crate::selector::WorkloadSelector;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

message! {
    /// Whether workloads accept plain text, mutual TLS, or both.
    pub struct PeerAuthentication {
        /// The workloads meant. Default: the namespace, or the mesh in the root namespace.
        pub selector: Option<WorkloadSelector>,
        /// The mode. Default: inherited.
        pub mtls: Option<MutualTls>,
        /// The mode by workload port; needs a selector. Keys are port numbers, 1 to 65535.
        pub port_level_mtls: Option<BTreeMap<PortKey, MutualTls>>,
    }
}

message! {
    /// Mutual TLS.
    pub struct MutualTls {
        /// What is accepted. Default: inherited, in the end `PERMISSIVE`.
        pub mode: Option<MutualTlsMode>,
    }
}

impl Copy for MutualTls {}

choice! {
    /// What a workload accepts.
    pub enum MutualTlsMode {
        /// As the next wider policy says.
        Unset,
        /// Plain text alone.
        Disable,
        /// Plain text and mutual TLS.
        Permissive,
        /// Mutual TLS alone.
        Strict,
    }
}

/// A workload port as a key of a map: YAML writes it as a number or as a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey(pub i64);

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for PortKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct NumberOrText;

impl de::Visitor<'_> for NumberOrText {
    type Value = PortKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port number")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<PortKey, E> {
        Ok(PortKey(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<PortKey, E> {
        i64::try_from(value)
            .map(PortKey)
            .map_err(|_| E::custom(format!("{value} is not a port number")))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<PortKey, E> {
        value
            .parse()
            .map(PortKey)
            .map_err(|_| E::custom(format!("{value:?} is not a port number")))
    }
}

impl<'de> Deserialize<'de> for PortKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText)
    }
}

impl JsonSchema for PortKey {
    fn schema_name() -> Cow<'static, str> {
        "PortKey".into()
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

    #[test]
    fn ports_are_numbers_or_texts() {
        let read = |yaml| {
            serde_yaml::from_str::<PeerAuthentication>(yaml).map(|p| p.port_level_mtls.unwrap())
        };
        let strict = MutualTls {
            mode: Some(MutualTlsMode::Strict),
        };
        let expected: BTreeMap<_, _> = [(PortKey(80), strict)].into();
        assert_eq!(
            read("portLevelMtls: {80: {mode: STRICT}}").unwrap(),
            expected
        );
        assert_eq!(
            read("portLevelMtls: {\"80\": {mode: STRICT}}").unwrap(),
            expected
        );
        assert!(read("portLevelMtls: {http: {mode: STRICT}}").is_err());
    }
}
