//! The injector's values: the part of the charts' values that pods depend on, with Istio's
//! defaults, `--set` and what an IstioOperator says.

use serde_json::{Map, Value, json};

/// A tree of values.
#[derive(Clone, Debug, PartialEq)]
pub struct Values(Value);

impl Values {
    /// What holds where nobody says anything.
    #[must_use]
    pub fn defaults() -> Self {
        Self(json!({
            "revision": "",
            "global": {
                "hub": "docker.io/meltemi", "tag": "latest", "variant": "",
                "istioNamespace": "istio-system",
                "pilotCertProvider": "istiod", "caAddress": "", "caName": "",
                "meshID": "", "network": "", "multiCluster": {"clusterName": ""},
                "logging": {"level": "default:info"}, "logAsJson": false,
                "imagePullPolicy": "", "imagePullSecrets": [],
                "mountMtlsCerts": false, "sts": {"servicePort": 0},
                "nativeNftables": false,
                "proxy_init": {"image": "proxyv2", "forceApplyIptables": false},
                "proxy": proxy(),
            },
            "pilot": {"cni": {"enabled": false, "provider": "default"}, "env": {}},
            "sidecarInjectorWebhook": {
                "rewriteAppHTTPProbe": true,
                "neverInjectSelector": [], "alwaysInjectSelector": [],
                "injectedAnnotations": {}, "templates": {}, "aliases": {},
                "defaultTemplates": [],
            },
        }))
    }

    /// The value at a path with dots; `None` when it is not there or null.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Value> {
        let mut here = &self.0;
        for part in path.split('.') {
            here = here.get(part)?;
        }
        (!here.is_null()).then_some(here)
    }

    /// All values.
    #[must_use]
    pub fn whole(&self) -> &Value {
        &self.0
    }

    /// The scalar at a path as text; empty when there is none.
    #[must_use]
    pub fn text(&self, path: &str) -> String {
        self.at(path).map(scalar).unwrap_or_default()
    }

    /// Whether the value at a path is true.
    #[must_use]
    pub fn flag(&self, path: &str) -> bool {
        self.text(path) == "true"
    }

    /// Lays a tree over this one: maps merge, everything else replaces.
    pub fn overlay(&mut self, over: Value) {
        merge(&mut self.0, over);
        self.settle();
    }

    /// Sets one value, as `--set PATH=VALUE` does: `true`, `false`, `null` and integers are what
    /// they look like, `a[0]` is an element of a list, `\.` a dot in a key.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn set(&mut self, assignment: &str) -> Result<(), String> {
        let Some((path, value)) = assignment.split_once('=') else {
            return Err(format!("{assignment:?} is not KEY=VALUE"));
        };
        let path = path.strip_prefix("values.").unwrap_or(path);
        let path = match path.strip_prefix("components.cni.") {
            Some(rest) => format!("pilot.cni.{rest}"),
            None => path.to_owned(),
        };
        let mut tree = typed(value);
        for step in steps(&path)?.into_iter().rev() {
            tree = match step {
                Step::Key(key) => Value::Object(Map::from_iter([(key, tree)])),
                Step::Index(index) => {
                    let mut items = vec![Value::Null; index];
                    items.push(tree);
                    Value::Array(items)
                }
            };
        }
        merge_lists(&mut self.0, tree);
        self.settle();
        Ok(())
    }

    /// Lays what an IstioOperator says over this one: `spec.values`, and what stands beside them.
    pub fn operator(&mut self, operator: &Value) {
        let Some(spec) = operator.get("spec") else {
            return;
        };
        for key in ["hub", "tag"] {
            if let Some(value) = spec.get(key) {
                self.overlay(json!({"global": {key: value}}));
            }
        }
        for key in ["revision", "meshConfig"] {
            if let Some(value) = spec.get(key) {
                self.overlay(json!({key: value}));
            }
        }
        if let Some(enabled) = spec.pointer("/components/cni/enabled") {
            self.overlay(json!({"pilot": {"cni": {"enabled": enabled}}}));
        }
        if let Some(values) = spec.get("values") {
            self.overlay(values.clone());
        }
    }

    /// `cni` at the top is what the charts call `pilot.cni` and `istio_cni`.
    fn settle(&mut self) {
        for other in ["cni", "istio_cni"] {
            if let Some(cni) = self.0.get(other).cloned() {
                merge(&mut self.0, json!({"pilot": {"cni": cni}}));
            }
        }
    }
}

fn proxy() -> Value {
    json!({
        "image": "proxyv2", "autoInject": "enabled", "clusterDomain": "cluster.local",
        "logLevel": "warning", "componentLogLevel": "misc:error", "outlierLogPath": "",
        "includeIPRanges": "*", "excludeIPRanges": "",
        "includeInboundPorts": "*", "excludeInboundPorts": "",
        "includeOutboundPorts": "", "excludeOutboundPorts": "",
        "privileged": false, "statusPort": 15020, "tracer": "none",
        "readinessInitialDelaySeconds": 0, "readinessPeriodSeconds": 15,
        "readinessFailureThreshold": 4,
        "startupProbe": {"enabled": true, "failureThreshold": 600},
        "holdApplicationUntilProxyStarts": false, "enableCoreDump": false,
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "2000m", "memory": "1024Mi"},
        },
    })
}

/// A scalar as Go's templates print it.
pub(crate) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// As [`merge`], but elements of lists replace by place: what `--set a[1]=x` means.
fn merge_lists(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge_lists(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(base), Value::Array(over)) => {
            for (index, value) in over.into_iter().enumerate() {
                match base.get_mut(index) {
                    Some(_) if value.is_null() => {}
                    Some(place) => merge_lists(place, value),
                    None => base.push(value),
                }
            }
        }
        (base, over) => *base = over,
    }
}

enum Step {
    Key(String),
    Index(usize),
}

fn steps(path: &str) -> Result<Vec<Step>, String> {
    let mut all = Vec::new();
    for part in path.replace("\\.", "\u{0}").split('.') {
        let part = part.replace('\u{0}', ".");
        let (key, mut rest) = match part.find('[') {
            Some(at) => part.split_at(at),
            None => (part.as_str(), ""),
        };
        if key.is_empty() {
            return Err(format!("{path:?} has an empty key"));
        }
        all.push(Step::Key(key.to_owned()));
        while let Some(inner) = rest.strip_prefix('[') {
            let wrong = || format!("{path:?}: after [ comes an index and ]");
            let (index, after) = inner.split_once(']').ok_or_else(wrong)?;
            let index = index.parse().ok().filter(|i| *i < 1000).ok_or_else(wrong)?;
            all.push(Step::Index(index));
            rest = after;
        }
    }
    Ok(all)
}

fn typed(value: &str) -> Value {
    match value {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        _ => match value.parse::<i64>() {
            // A leading zero is kept: it is no number to a user.
            Ok(number) if number.to_string() == value => Value::from(number),
            Ok(_) | Err(_) => Value::String(value.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_finds_its_place() {
        let mut values = Values::defaults();
        for text in [
            "values.global.proxy.statusPort=123",
            "values.global.proxy.includeIPRanges=10.0.0.0/8,10.1.0.0/16",
            "global.imagePullSecrets[0]=foo",
            "components.cni.enabled=true",
            "values.cni.provider=multus",
            "sidecarInjectorWebhook.injectedAnnotations.a\\.b=c",
        ] {
            values.set(text).unwrap();
        }
        assert_eq!(values.text("global.proxy.statusPort"), "123");
        assert_eq!(
            values.text("global.proxy.includeIPRanges"),
            "10.0.0.0/8,10.1.0.0/16"
        );
        assert_eq!(values.at("global.imagePullSecrets"), Some(&json!(["foo"])));
        assert!(values.flag("pilot.cni.enabled"));
        assert_eq!(values.text("pilot.cni.provider"), "multus");
        let annotations = values.at("sidecarInjectorWebhook.injectedAnnotations");
        assert_eq!(annotations, Some(&json!({"a.b": "c"})));
        assert!(values.set("nothing").is_err() && values.set("a..b=1").is_err());
    }

    #[test]
    fn an_operator_says_values_and_components() {
        let mut values = Values::defaults();
        values.operator(&json!({"spec": {
            "hub": "example.org/mesh", "components": {"cni": {"enabled": true}},
            "values": {"global": {"proxy": {"resources": {"limits": {"cpu": null}}}}},
        }}));
        assert_eq!(values.text("global.hub"), "example.org/mesh");
        assert!(values.flag("pilot.cni.enabled"));
        assert_eq!(values.at("global.proxy.resources.limits.cpu"), None);
        assert_eq!(
            values.text("global.proxy.resources.limits.memory"),
            "1024Mi"
        );
    }
}
