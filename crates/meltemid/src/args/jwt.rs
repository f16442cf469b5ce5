//! `JWT_RULE`: an issuer whose tokens count besides the API server's, as istiod takes it: a JSON
//! object of `security.istio.io` JWTRule. Its keys are in it or at an address; discovery by the
//! issuer's name is not done.

use crate::callers::{Fetch, JwtRule, Source};
use meltemi_ca::jwt::{Expected, KeySet};
use serde::Deserialize;

/// What of the rule counts.
#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Text {
    issuer: String,
    audiences: Vec<String>,
    #[serde(alias = "jwksUri")]
    jwks_uri: String,
    jwks: String,
}

/// Reads the rule; `None` when there is none.
pub(super) fn read(text: &str, bundle: Option<&str>) -> Result<Option<JwtRule>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let rule = serde_json::from_str(text);
    let Text {
        issuer,
        audiences,
        jwks_uri,
        jwks,
    } = rule.map_err(|why| format!("JWT_RULE is no JSON of a JWTRule: {why}"))?;
    if issuer.is_empty() {
        return Err("JWT_RULE: issuer is empty; name who makes the tokens".to_owned());
    }
    if audiences.is_empty() || audiences.iter().any(String::is_empty) {
        return Err(
            "JWT_RULE: audiences are empty; a token for anybody would count, so name one"
                .to_owned(),
        );
    }
    let source = match (jwks.is_empty(), jwks_uri.is_empty()) {
        (false, _) => {
            let keys = KeySet::read(&jwks);
            Source::Given(keys.map_err(|why| format!("JWT_RULE: jwks: {why}"))?)
        }
        (true, false) => {
            let fetch = Fetch::new(&jwks_uri, bundle);
            Source::Remote(fetch.map_err(|why| format!("JWT_RULE: jwks_uri: {why}"))?)
        }
        (true, true) => {
            return Err("JWT_RULE: there are no keys; give jwks_uri or jwks".to_owned());
        }
    };
    Ok(Some(JwtRule {
        expected: Expected { issuer, audiences },
        source,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_an_issuer_an_audience_and_keys() {
        assert!(read("", None).unwrap().is_none());
        let rule = r#"{"issuer": "i", "audiences": ["a"], "jwksUri": "https://i/keys"}"#;
        let read_one = |text: &str| read(text, None);
        let good = read_one(rule).unwrap().unwrap();
        assert_eq!(good.expected.issuer, "i");
        assert!(matches!(good.source, Source::Remote(_)));
        assert!(read_one(&rule.replace("jwksUri", "jwks_uri")).is_ok());
        for (text, words) in [
            ("{", "JSON"),
            (r#"{"audiences": ["a"], "jwks_uri": "https://i"}"#, "issuer"),
            (r#"{"issuer": "i", "jwks_uri": "https://i"}"#, "audiences"),
            (r#"{"issuer": "i", "audiences": ["a"]}"#, "jwks_uri"),
            (
                r#"{"issuer": "i", "audiences": ["a"], "jwks_uri": "http://i"}"#,
                "https",
            ),
            (
                r#"{"issuer": "i", "audiences": ["a"], "jwks": "{}"}"#,
                "jwks",
            ),
        ] {
            let why = read_one(text).unwrap_err();
            assert!(why.starts_with("JWT_RULE") && why.contains(words), "{why}");
        }
    }
}
