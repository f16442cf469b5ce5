//! Envoy's `/config_dump`, and what a control plane says a proxy should have, opened: resources by
//! section with their state and version.
//!
//! Names of fields are read in both spellings: Envoy writes `version_info`, a dump that went
//! through other tools `versionInfo`. Resources are brought into one form by way of their
//! descriptors, so that equal ones are equal texts; those that hold what we have no descriptor for
//! stay as they came. Texts that are secret never leave: Envoy writes `[redacted]` in their place,
//! and so does this, for dumps that others wrote.

use meltemi_proto::pool;
use serde_json::{Map, Value};

/// A part of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    Cluster,
    Listener,
    Route,
    Endpoint,
    Secret,
    Extension,
}

/// One resource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) name: String,
    /// `STATIC`, `ACTIVE`, `WARMING`, `DRAINING`.
    pub(crate) state: &'static str,
    pub(crate) version: String,
    pub(crate) body: Value,
}

/// A list of a section: its field, its state, and where in an entry the resource is.
type List = (&'static str, &'static str, &'static [&'static str]);

impl Section {
    /// What people call it, one and many.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Cluster => ("cluster", "Clusters"),
            Self::Listener => ("listener", "Listeners"),
            Self::Route => ("route", "Routes"),
            Self::Endpoint => ("endpoint", "Endpoints"),
            Self::Secret => ("secret", "Secrets"),
            Self::Extension => ("extension", "Extensions"),
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Cluster => "envoy.config.cluster.v3.Cluster",
            Self::Listener => "envoy.config.listener.v3.Listener",
            Self::Route => "envoy.config.route.v3.RouteConfiguration",
            Self::Endpoint => "envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Extension => "envoy.config.core.v3.TypedExtensionConfig",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Cluster => "ClustersConfigDump",
            Self::Listener => "ListenersConfigDump",
            Self::Route => "RoutesConfigDump",
            Self::Endpoint => "EndpointsConfigDump",
            Self::Secret => "SecretsConfigDump",
            Self::Extension => "EcdsConfigDump",
        }
    }

    fn lists(self) -> &'static [List] {
        match self {
            Self::Cluster => &[
                ("static_clusters", "STATIC", &["cluster"]),
                ("dynamic_active_clusters", "ACTIVE", &["cluster"]),
                ("dynamic_warming_clusters", "WARMING", &["cluster"]),
            ],
            Self::Listener => &[
                ("static_listeners", "STATIC", &["listener"]),
                ("dynamic_listeners", "ACTIVE", &["active_state", "listener"]),
                (
                    "dynamic_listeners",
                    "WARMING",
                    &["warming_state", "listener"],
                ),
                (
                    "dynamic_listeners",
                    "DRAINING",
                    &["draining_state", "listener"],
                ),
            ],
            Self::Route => &[
                ("static_route_configs", "STATIC", &["route_config"]),
                ("dynamic_route_configs", "ACTIVE", &["route_config"]),
            ],
            Self::Endpoint => &[
                ("static_endpoint_configs", "STATIC", &["endpoint_config"]),
                ("dynamic_endpoint_configs", "ACTIVE", &["endpoint_config"]),
            ],
            Self::Secret => &[
                ("static_secrets", "STATIC", &["secret"]),
                ("dynamic_active_secrets", "ACTIVE", &["secret"]),
                ("dynamic_warming_secrets", "WARMING", &["secret"]),
            ],
            Self::Extension => &[("ecds_filters", "ACTIVE", &["ecds_filter"])],
        }
    }
}

/// An opened dump.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dump(Value);

impl Dump {
    /// Opens a dump of Envoy's, or a control plane's word on what a proxy should have.
    pub(crate) fn open(mut document: Value) -> Result<Self, String> {
        let known = document.get("configs").is_some_and(Value::is_array)
            || document.get("resources").is_some_and(Value::is_object);
        redact(&mut document);
        match known {
            true => Ok(Self(document)),
            false => Err(
                "it has neither \"configs\" nor \"resources\"; save Envoy's \
                 /config_dump?include_eds"
                    .to_owned(),
            ),
        }
    }

    /// All of it.
    pub(crate) fn whole(&self) -> &Value {
        &self.0
    }

    /// What the process was started with.
    pub(crate) fn bootstrap(&self) -> Option<&Value> {
        field(self.config("BootstrapConfigDump")?, "bootstrap")
    }

    /// The resources of a section, by name.
    pub(crate) fn section(&self, section: Section) -> Vec<Found> {
        let mut found: Vec<Found> = match self.config(section.config()) {
            Some(config) => section
                .lists()
                .iter()
                .flat_map(|list| listed(config, section, list))
                .collect(),
            None => self.wanted(section),
        };
        // Those without a name come in any order.
        found.sort_by_cached_key(|one| (one.name.clone(), one.state, one.body.to_string()));
        found
    }

    fn config(&self, name: &str) -> Option<&Value> {
        let configs = self.0.get("configs")?.as_array()?;
        let is = |config: &&Value| {
            let kind = text(config, "@type");
            kind.rsplit('.').next() == Some(name)
        };
        configs.iter().find(is)
    }

    /// The resources in a control plane's own form.
    fn wanted(&self, section: Section) -> Vec<Found> {
        let pointer = format!("/resources/{}", section.words().0);
        let entries = self.0.pointer(&pointer).and_then(Value::as_array);
        let entries = entries.into_iter().flatten();
        entries
            .map(|entry| Found {
                name: text(entry, "name"),
                state: "ACTIVE",
                version: text(entry, "version"),
                body: canonical(section, entry.get("resource").unwrap_or(&Value::Null)),
            })
            .collect()
    }
}

fn listed(config: &Value, section: Section, &(list, state, path): &List) -> Vec<Found> {
    let entries = field(config, list).and_then(Value::as_array);
    let entries = entries.into_iter().flatten();
    entries
        .filter_map(|entry| {
            let (last, before) = path.split_last()?;
            let holder = before.iter().try_fold(entry, |at, key| field(at, key))?;
            let body = canonical(section, field(holder, last)?);
            let named = |key| Some(text(&body, key)).filter(|name| !name.is_empty());
            Some(Found {
                name: named("name")
                    .or_else(|| named("cluster_name"))
                    .unwrap_or_else(|| text(entry, "name")),
                state,
                version: field(holder, "version_info")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                body,
            })
        })
        .collect()
}

/// A resource without its type address, in the one form.
fn canonical(section: Section, body: &Value) -> Value {
    let mut body = body.clone();
    if let Value::Object(fields) = &mut body {
        fields.remove("@type");
    }
    pool::message_from_json(section.message(), &body)
        .and_then(|message| pool::message_to_json(&message))
        .unwrap_or(body)
}

/// A field in either spelling.
pub(crate) fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).or_else(|| value.get(camel(name)))
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// A text field, or "".
pub(crate) fn text(value: &Value, name: &str) -> String {
    let found = field(value, name).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

/// The items of a list field.
pub(crate) fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let list = field(value, name).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// Fields that hold what nobody should read.
const SECRET: [&str; 8] = [
    "private_key",
    "privateKey",
    "password",
    "generic_secret",
    "genericSecret",
    "session_ticket_keys",
    "sessionTicketKeys",
    "pkcs12",
];

/// Takes out what is secret, wherever it is.
fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => redact_fields(fields),
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn redact_fields(fields: &mut Map<String, Value>) {
    for (name, value) in fields {
        match SECRET.contains(&name.as_str()) {
            true => blacken(value),
            false => redact(value),
        }
    }
}

/// Replaces every text; which file it came from may be read.
fn blacken(value: &mut Value) {
    match value {
        Value::String(text) => *text = "[redacted]".to_owned(),
        Value::Array(items) => items.iter_mut().for_each(blacken),
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "filename" | "environment_variable" | "name" => {}
                    // Bytes, so that the message can still be read.
                    "inline_bytes" | "inlineBytes" => *value = "W3JlZGFjdGVkXQ==".into(),
                    _ => blacken(value),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_listener_is_found_in_each_of_its_states_and_in_both_spellings() {
        let listener =
            |name: &str| json!({"listener": {"@type": "t/L", "name": name}, "versionInfo": "7"});
        let dump = json!({"configs": [{
            "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
            "dynamic_listeners": [
                {"name": "b", "active_state": listener("b"), "warming_state": listener("b")},
                {"name": "a", "activeState": listener("a")},
            ],
        }]});
        let found = Dump::open(dump).unwrap().section(Section::Listener);
        let short: Vec<_> = found
            .iter()
            .map(|f| (f.name.as_str(), f.state, f.version.as_str()))
            .collect();
        assert_eq!(
            short,
            [
                ("a", "ACTIVE", "7"),
                ("b", "ACTIVE", "7"),
                ("b", "WARMING", "7")
            ]
        );
        assert_eq!(found.first().unwrap().body, json!({"name": "a"}));
    }

    #[test]
    fn what_a_control_plane_wants_is_read_too() {
        let wanted = json!({"kind": "ProxyResources", "resources": {"cluster": [
            {"name": "a", "version": "1", "resource": {"name": "a", "connect_timeout": "5.0s"}},
        ]}});
        let found = Dump::open(wanted).unwrap().section(Section::Cluster);
        let body = &found.first().unwrap().body;
        assert_eq!(*body, json!({"name": "a", "connect_timeout": "5s"}));
    }

    #[test]
    fn keys_are_taken_out_wherever_they_are() {
        let dump = json!({"configs": [{"x": [{"tls_certificate": {
            "certificate_chain": {"inline_string": "public"},
            "private_key": {"inline_bytes": "aGVsbG8="},
            "password": {"inline_string": "hunter2"},
        }, "privateKey": {"filename": "/k", "inlineString": "hello"}}]}]});
        let text = Dump::open(dump).unwrap().whole().to_string();
        for secret in ["aGVsbG8=", "hunter2", "hello"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("public") && text.contains("/k"), "{text}");
    }

    #[test]
    fn something_else_is_no_dump() {
        assert!(Dump::open(json!({"a": 1})).is_err());
    }
}
