//! Which stats Envoy keeps and how their names fall into tags.
//!
//! Resource names hold dots, so by Istio's convention a name that ends a segment is closed by `;`
//! and the regexes cut there; Envoy's default tags would cut at the first dot.

use serde_json::{Value, json};

/// Which stats Envoy keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatsScope {
    /// All of them: tests, the demo, debugging.
    #[default]
    All,
    /// Istio's inclusion list: what dashboards read, and little memory per proxy.
    Istio,
}

/// Tag name and the regex whose first group is cut out and whose second is the value.
const TAGS: [(&str, &str); 6] = [
    ("cluster_name", r"^cluster\.((.+?);\.)"),
    ("tcp_prefix", r"^tcp\.((.*?);\.)\w+?$"),
    ("http_conn_manager_prefix", r"^http\.((.+?);\.)"),
    ("listener_address", r"^listener\.((.+?);\.)"),
    ("response_code", r"_rq(_(\d{3}))$"),
    ("response_code_class", r"_rq(_(\dxx))$"),
];

const PREFIXES: [&str; 8] = [
    "reporter=",
    "cluster_manager",
    "listener_manager",
    "server",
    "cluster.xds-grpc",
    "wasm",
    "component",
    "istio",
];

const SUFFIXES: [&str; 4] = [
    "rbac.allowed",
    "rbac.denied",
    "shadow_allowed",
    "shadow_denied",
];

impl StatsScope {
    pub(crate) fn to_json(self) -> Value {
        let tags = tags();
        match self {
            Self::All => json!({"use_all_default_tags": false, "stats_tags": tags}),
            Self::Istio => json!({
                "use_all_default_tags": false,
                "stats_tags": tags,
                "stats_matcher": {"inclusion_list": {"patterns": patterns()}},
            }),
        }
    }
}

/// The tags of every Envoy of ours.
pub(crate) fn tags() -> Vec<Value> {
    let tags = TAGS.map(|(name, regex)| json!({"tag_name": name, "regex": regex}));
    tags.into()
}

/// Istio's list of inclusion.
pub(crate) fn patterns() -> Vec<Value> {
    let prefixes = PREFIXES.iter().map(|prefix| json!({"prefix": prefix}));
    let suffixes = SUFFIXES.iter().map(|suffix| json!({"suffix": suffix}));
    let regex = json!({"safe_regex": {"regex": r"vhost\..*\.route\..*"}});
    prefixes.chain(suffixes).chain([regex]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_scope_suppresses_nothing() {
        assert!(StatsScope::All.to_json().get("stats_matcher").is_none());
    }

    #[test]
    fn istios_scope_keeps_what_health_checks_read() {
        let list = StatsScope::Istio.to_json()["stats_matcher"]["inclusion_list"].clone();
        let text = list.to_string();
        assert!(
            text.contains("listener_manager") && text.contains("cluster_manager"),
            "{text}"
        );
    }
}
