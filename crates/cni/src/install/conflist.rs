//! Network configurations as values: one with our entry at the end of its chain, and without it.
//! All else in them is kept as it is.

use crate::plugin::VERSIONS;
use serde_json::{Map, Value, json};

/// A configuration that a runtime would use.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conflist(Map<String, Value>);

impl Conflist {
    /// Reads a chain; none when a runtime would not take it.
    pub(super) fn of_list(text: &[u8]) -> Option<Self> {
        let whole: Map<String, Value> = serde_json::from_slice(text).ok()?;
        whole.get("name")?.as_str()?;
        let plugins = whole.get("plugins")?.as_array()?;
        let good = !plugins.is_empty() && plugins.iter().all(|one| kind(one).is_some());
        good.then_some(Self(whole))
    }

    /// Reads a single plugin as a chain of one.
    pub(super) fn of_single(text: &[u8]) -> Option<Self> {
        let single: Value = serde_json::from_slice(text).ok()?;
        kind(&single)?;
        let name = single.get("name")?.as_str()?;
        let mut whole = Map::new();
        if let Some(version) = single.get("cniVersion") {
            whole.insert("cniVersion".to_owned(), version.clone());
        }
        whole.insert("name".to_owned(), json!(name));
        whole.insert("plugins".to_owned(), json!([single]));
        Some(Self(whole))
    }

    /// Whether a plugin of this type is in the chain.
    pub(super) fn has(&self, of_kind: &str) -> bool {
        self.plugins().iter().any(|one| kind(one) == Some(of_kind))
    }

    fn plugins(&self) -> &[Value] {
        let plugins = self.0.get("plugins").and_then(Value::as_array);
        plugins.map_or(&[], Vec::as_slice)
    }

    /// The same without plugins of a type.
    pub(super) fn without(&self, of_kind: &str) -> Self {
        let others = self.plugins().iter();
        let others: Vec<_> = others.filter(|one| kind(one) != Some(of_kind)).collect();
        let mut whole = self.0.clone();
        whole.insert("plugins".to_owned(), json!(others));
        Self(whole)
    }

    /// The same with one entry at its end, in place of others of its type.
    ///
    /// # Errors
    /// The version has no chains, or is one that the plugin does not speak: it would refuse every pod
    /// of the node.
    pub(super) fn with(&self, entry: &Value) -> Result<Self, String> {
        let version = self.0.get("cniVersion").and_then(Value::as_str);
        let version = version.unwrap_or_default();
        if !VERSIONS.contains(&version) {
            return Err(format!(
                "its cniVersion is {version:?}; use one of {}",
                VERSIONS.join(", ")
            ));
        }
        let mut found = self.without(kind(entry).unwrap_or_default());
        if let Some(Value::Array(plugins)) = found.0.get_mut("plugins") {
            plugins.push(entry.clone());
        }
        Ok(found)
    }

    /// For the file.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(&self.0).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

fn kind(plugin: &Value) -> Option<&str> {
    plugin.get("type").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = br#"{"cniVersion": "0.4.0", "name": "n", "disableCheck": true,
        "plugins": [{"type": "bridge", "ipam": {"x": [1, {}]}}, {"type": "portmap"}]}"#;

    #[test]
    fn the_entry_comes_last_and_once_and_goes_again() {
        let before = Conflist::of_list(LIST).unwrap();
        let entry = json!({"type": "ours", "a": 1});
        let once = before.with(&entry).unwrap();
        let other = json!({"type": "ours", "a": 2});
        let twice = once.with(&other).unwrap();
        assert!(!before.has("ours") && once.has("ours"));
        assert_eq!(twice.plugins().len(), 3);
        assert_eq!(twice.plugins()[2], other);
        assert_eq!(twice.without("ours"), before);
        assert_eq!(Conflist::of_list(&once.text()), Some(once));
    }

    #[test]
    fn a_single_plugin_becomes_a_chain() {
        let single = br#"{"cniVersion": "0.3.1", "name": "n", "type": "bridge", "mtu": 1}"#;
        let chain = Conflist::of_single(single).unwrap();
        assert_eq!(chain.0["plugins"][0]["mtu"], 1);
        assert_eq!(chain.0["cniVersion"], "0.3.1");
        assert!(Conflist::of_list(&chain.text()).is_some());
    }

    #[test]
    fn what_a_runtime_would_not_take_is_none() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"name": "n", "plugins": []}"#,
            r#"{"plugins": [{"type": "a"}]}"#,
            r#"{"name": "n", "plugins": [{}]}"#,
        ] {
            assert_eq!(Conflist::of_list(text.as_bytes()), None, "{text}");
            assert_eq!(Conflist::of_single(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn versions_without_chains_are_refused() {
        for version in ["0.2.0", "9.0.0", ""] {
            let text = json!({"cniVersion": version, "name": "n", "plugins": [{"type": "a"}]});
            let list = Conflist::of_list(text.to_string().as_bytes()).unwrap();
            assert!(list.with(&json!({"type": "ours"})).is_err(), "{version}");
        }
    }
}
