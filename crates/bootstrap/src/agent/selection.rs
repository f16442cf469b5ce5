//! Which statistics an Envoy beside an agent keeps, and how their names fall into tags.
//!
//! The list of inclusion is Istio's, which its users extend by ProxyConfig and by annotations;
//! everything else is refused at creation.

use crate::stats;
use serde_json::{Value, json};

/// Tags beside those of every Envoy of ours: regexes whose first group is cut out and whose second
/// is the value.
const TAGS: [(&str, &str); 4] = [
    ("thread_name", r"^server(\.(.+))\.watchdog"),
    ("authz_enforce_result", r"rbac(\.(allowed|denied))"),
    ("authz_dry_run_action", r"(\.istio_dry_run_(allow|deny)_)"),
    ("authz_dry_run_result", r"(\.shadow_(allowed|denied))"),
];

/// What is kept besides Istio's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names that start with one of these.
    pub prefixes: Vec<String>,
    /// Names that end with one of these.
    pub suffixes: Vec<String>,
    /// Names that one of these expressions matches.
    pub regexes: Vec<String>,
    /// Further tags, as `TAG=.=VALUE;.` in a name.
    pub tags: Vec<String>,
}

impl Selection {
    pub(super) fn to_json(&self) -> Value {
        let Self {
            prefixes,
            suffixes,
            regexes,
            tags,
        } = self;
        let mut patterns = stats::patterns();
        patterns.extend(prefixes.iter().map(|text| json!({"prefix": text})));
        patterns.extend(suffixes.iter().map(|text| json!({"suffix": text})));
        let regex = |text: &String| json!({"safe_regex": {"regex": text}});
        patterns.extend(regexes.iter().map(regex));
        let mut all = stats::tags();
        all.extend(TAGS.map(|(name, regex)| json!({"tag_name": name, "regex": regex})));
        all.extend(tags.iter().map(
            |tag| json!({"tag_name": tag, "regex": format!(r"({}=\.=(.*?);\.)", escaped(tag))}),
        ));
        json!({
            "use_all_default_tags": false,
            "stats_tags": all,
            "stats_matcher": {"inclusion_list": {"patterns": patterns}},
        })
    }
}

/// The name as an expression that matches nothing else.
fn escaped(name: &str) -> String {
    let special = |c: char| !(c.is_alphanumeric() || c == '_');
    let mut text = String::new();
    for letter in name.chars() {
        if special(letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}
