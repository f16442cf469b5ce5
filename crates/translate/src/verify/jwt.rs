//! JWT authentication: keys that stand in the configuration must be usable, and rules must name
//! providers that exist.

use super::report::Report;
use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::extensions::filters::http::jwt_authn::v3::jwt_provider::JwksSourceSpecifier;
use meltemi_proto::envoy::extensions::filters::http::jwt_authn::v3::jwt_requirement::RequiresType;
use meltemi_proto::envoy::extensions::filters::http::jwt_authn::v3::requirement_rule::RequirementType;
use meltemi_proto::envoy::extensions::filters::http::jwt_authn::v3::{
    JwtAuthentication, JwtRequirement, RequirementRule,
};
use serde_json::Value;

/// Looks at the filter.
pub(super) fn check(filter: &JwtAuthentication, report: &mut Report) {
    for (name, provider) in &filter.providers {
        if let Some(JwksSourceSpecifier::LocalJwks(source)) = &provider.jwks_source_specifier
            && let Some(Specifier::InlineString(keys)) = &source.specifier
        {
            report.at(
                &format!("providers[{name:?}].local_jwks.inline_string"),
                |report| {
                    report.add_some(unusable(keys));
                },
            );
        }
    }
    report.each("rules", &filter.rules, |report, each| {
        rule(filter, each, report)
    });
    for (name, requires) in &filter.requirement_map {
        report.at(&format!("requirement_map[{name:?}]"), |report| {
            requirement(filter, requires, report);
        });
    }
}

fn rule(filter: &JwtAuthentication, rule: &RequirementRule, report: &mut Report) {
    match &rule.requirement_type {
        Some(RequirementType::Requires(requires)) => report.at("requires", |report| {
            requirement(filter, requires, report);
        }),
        Some(RequirementType::RequirementName(name))
            if !filter.requirement_map.contains_key(name) =>
        {
            report.at("requirement_name", |report| {
                report.add(format!("must be in requirement_map, not {name:?}"));
            });
        }
        Some(RequirementType::RequirementName(_)) | None => {}
    }
}

fn requirement(filter: &JwtAuthentication, requires: &JwtRequirement, report: &mut Report) {
    let mut provider = |name: &str| {
        if !filter.providers.contains_key(name) {
            report.at("provider_name", |report| {
                report.add(format!("must be one of the providers, not {name:?}"));
            });
        }
    };
    match &requires.requires_type {
        Some(RequiresType::ProviderName(name)) => provider(name),
        Some(RequiresType::ProviderAndAudiences(with)) => provider(&with.provider_name),
        Some(RequiresType::RequiresAny(list)) => report.at("requires_any", |report| {
            report.each("requirements", &list.requirements, |report, each| {
                requirement(filter, each, report);
            });
        }),
        Some(RequiresType::RequiresAll(list)) => report.at("requires_all", |report| {
            report.each("requirements", &list.requirements, |report, each| {
                requirement(filter, each, report);
            });
        }),
        Some(
            RequiresType::AllowMissingOrFailed(_)
            | RequiresType::AllowMissing(_)
            | RequiresType::ExtractOnlyWithoutValidation(_),
        )
        | None => {}
    }
}

/// Why none of the keys can be used. Envoy takes a set in which one key is good; whether the
/// numbers make a key is left to it. No text at all means no keys, which is accepted.
fn unusable(keys: &str) -> Option<String> {
    if keys.is_empty() {
        return None;
    }
    let Ok(set) = serde_json::from_str::<Value>(keys) else {
        return Some("must be a JSON Web Key Set: it is not JSON".to_owned());
    };
    let Some(list) = set.get("keys").and_then(Value::as_array) else {
        return Some("must be a JSON Web Key Set: it has no list \"keys\"".to_owned());
    };
    let usable = list.iter().any(is_usable);
    (!usable).then(|| {
        "must have a usable key: an RSA, EC, OKP or oct key with its parts in base64url".to_owned()
    })
}

fn is_usable(key: &Value) -> bool {
    let text = |field: &str| key.get(field).and_then(Value::as_str);
    let algorithm = text("alg").unwrap_or_default();
    let (parts, algorithms): (&[&str], &[&str]) = match text("kty") {
        Some("RSA") => (&["n", "e"], &["RS", "PS"]),
        Some("EC") => (&["x", "y"], &["ES"]),
        Some("OKP") => (&["x"], &["EdDSA"]),
        Some("oct") => (&["k"], &["HS"]),
        Some(_) | None => return false,
    };
    parts
        .iter()
        .all(|part| text(part).is_some_and(is_base64url))
        && (algorithm.is_empty() || algorithms.iter().any(|one| algorithm.starts_with(one)))
}

fn is_base64url(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.len() % 4 != 1 && text.chars().all(is_part)
}
