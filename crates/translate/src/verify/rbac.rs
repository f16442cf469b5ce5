//! RBAC policies. A path template that Envoy cannot parse ends the process, and a network filter
//! knows no headers.

use super::report::Report;
use meltemi_proto::envoy::config::rbac::v3::permission::Rule;
use meltemi_proto::envoy::config::rbac::v3::principal::Identifier;
use meltemi_proto::envoy::config::rbac::v3::{Permission, Principal, Rbac};
use meltemi_proto::envoy::extensions::filters::network::rbac::v3 as network_filter;
use meltemi_proto::envoy::r#type::v3::Int32Range;
use meltemi_proto::urls;

const TEMPLATE: &str = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";
const MAX_PORT: i32 = 65_535;
const HEADER: &str = "must not match a header in a network filter, which sees none";

/// One permission, wherever it stands; nested ones and templates are looked at by the walk.
pub(super) fn permission(permission: &Permission, report: &mut Report) {
    match &permission.rule {
        Some(Rule::UriTemplate(extension)) => {
            let any = extension.typed_config.as_ref();
            let name = any.map_or("", |any| urls::message_name(&any.type_url));
            if name != TEMPLATE {
                report.at("uri_template.typed_config", |report| {
                    report.add(format!("must be a {TEMPLATE}, not {name:?}"));
                });
            }
        }
        Some(Rule::DestinationPortRange(range)) => {
            report.at("destination_port_range", |report| ports(range, report));
        }
        Some(_) | None => {}
    }
}

/// The end is not part of the range.
fn ports(range: &Int32Range, report: &mut Report) {
    let Int32Range { start, end } = *range;
    if start < 0 || end > MAX_PORT + 1 || start >= end {
        report.add(format!(
            "must be a range of ports that is not empty, not {start} up to and without {end}"
        ));
    }
}

/// The rules of a network filter.
pub(super) fn network(filter: &network_filter::Rbac, report: &mut Report) {
    for (field, rules) in [
        ("rules", &filter.rules),
        ("shadow_rules", &filter.shadow_rules),
    ] {
        if let Some(rules) = rules {
            report.at(field, |report| without_headers(rules, report));
        }
    }
}

fn without_headers(rules: &Rbac, report: &mut Report) {
    for (name, policy) in &rules.policies {
        report.at(&format!("policies[{name:?}]"), |report| {
            report.each("permissions", &policy.permissions, no_header_in_permission);
            report.each("principals", &policy.principals, no_header_in_principal);
        });
    }
}

fn no_header_in_permission(report: &mut Report, permission: &Permission) {
    match &permission.rule {
        Some(Rule::Header(_)) => report.at("header", |report| report.add(HEADER)),
        Some(Rule::AndRules(set)) => report.at("and_rules", |report| {
            report.each("rules", &set.rules, no_header_in_permission);
        }),
        Some(Rule::OrRules(set)) => report.at("or_rules", |report| {
            report.each("rules", &set.rules, no_header_in_permission);
        }),
        Some(Rule::NotRule(rule)) => report.at("not_rule", |report| {
            no_header_in_permission(report, rule);
        }),
        Some(_) | None => {}
    }
}

fn no_header_in_principal(report: &mut Report, principal: &Principal) {
    match &principal.identifier {
        Some(Identifier::Header(_)) => report.at("header", |report| report.add(HEADER)),
        Some(Identifier::AndIds(set)) => report.at("and_ids", |report| {
            report.each("ids", &set.ids, no_header_in_principal);
        }),
        Some(Identifier::OrIds(set)) => report.at("or_ids", |report| {
            report.each("ids", &set.ids, no_header_in_principal);
        }),
        Some(Identifier::NotId(id)) => report.at("not_id", |report| {
            no_header_in_principal(report, id);
        }),
        Some(_) | None => {}
    }
}
