//! AuthorizationPolicies.

use super::super::{Action, AuthorizationPolicy, Condition, Operation, Rule, Source};
use super::{Attachment, no_empty_text};
use crate::check::value::subnets;
use crate::check::{Check, Finding, Findings};
use meltemi_types::{Code, FieldPath};

impl Check for AuthorizationPolicy {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            selector,
            target_ref,
            target_refs,
            rules,
            action,
            provider,
        } = self;
        Attachment {
            selector: selector.as_ref(),
            target_ref: target_ref.as_ref(),
            target_refs,
        }
        .check(at, out);
        let action = action.unwrap_or_default();
        if rules.is_empty() && matches!(action, Action::Deny | Action::Custom) {
            out.required(
                &at.field("rules"),
                "a rule: without one the policy never applies",
            );
        }
        let provider = provider
            .as_ref()
            .map(|provider| provider.name.as_deref().unwrap_or_default());
        match (action, provider) {
            (Action::Custom, None | Some("")) => {
                out.required(&at.field("provider").field("name"), "who decides");
            }
            (Action::Allow | Action::Deny | Action::Audit, Some(_)) => out.conflict(
                &at.field("provider"),
                "a provider without the action CUSTOM",
                "set action to CUSTOM, or remove provider",
            ),
            _ => {}
        }
        rules.check(&at.field("rules"), out);
        if action == Action::Deny {
            deny(rules, &at.field("rules"), out);
        }
        if action == Action::Custom {
            for (index, rule) in rules.iter().enumerate() {
                custom(rule, &at.field("rules").index(index), out);
            }
        }
    }
}

/// Requests have no attributes on ports that carry plain TCP, so that a rule of nothing else
/// matches every connection there.
fn deny(rules: &[Rule], at: &FieldPath, out: &mut Findings) {
    for (index, rule) in rules.iter().enumerate() {
        let mut operations = rule.to.iter().filter_map(|to| to.operation.as_ref());
        let requests = |o: &Operation| {
            let lists = [
                &o.hosts,
                &o.not_hosts,
                &o.methods,
                &o.not_methods,
                &o.paths,
                &o.not_paths,
            ];
            let ports = !o.ports.is_empty() || !o.not_ports.is_empty();
            !ports && lists.into_iter().any(|values| !values.is_empty())
        };
        if rule.from.is_empty() && rule.when.is_empty() && operations.any(requests) {
            out.push(Finding::warning(
                Code::InvalidValue,
                &at.index(index).field("to"),
                "properties of requests alone: on TCP ports the rule denies every connection",
                "name the ports that are meant",
            ));
        }
    }
}

/// The provider is asked before the client's identity is known.
fn custom(rule: &Rule, at: &FieldPath, out: &mut Findings) {
    for (index, from) in rule.from.iter().enumerate() {
        let Some(source) = &from.source else { continue };
        for (field, values) in identities(source) {
            if !values.is_empty() {
                out.invalid(
                    &at.field("from").index(index).field("source").field(field),
                    format!("{field} cannot be used with CUSTOM"),
                    "remove it; let the provider judge the client",
                );
            }
        }
    }
}

/// The fields of a source that need the client's certificate or token.
fn identities(source: &Source) -> [(&'static str, &[String]); 10] {
    [
        ("principals", &source.principals),
        ("notPrincipals", &source.not_principals),
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
        ("serviceAccounts", &source.service_accounts),
        ("notServiceAccounts", &source.not_service_accounts),
        ("trustDomains", &source.trust_domains),
        ("notTrustDomains", &source.not_trust_domains),
    ]
}

impl Check for Rule {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self { from, to, when } = self;
        for (index, from) in from.iter().enumerate() {
            let at = at.field("from").index(index).field("source");
            match &from.source {
                Some(source) if *source != Source::default() => source.check(&at, out),
                _ => out.required(&at, "a property of the client"),
            }
        }
        for (index, to) in to.iter().enumerate() {
            let at = at.field("to").index(index).field("operation");
            match &to.operation {
                Some(operation) if *operation != Operation::default() => operation.check(&at, out),
                _ => out.required(&at, "a property of the request"),
            }
        }
        when.check(&at.field("when"), out);
    }
}

impl Check for Source {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        for (field, values) in identities(self) {
            no_empty_text(&at.field(field), values, out);
        }
        for (field, blocks) in [
            ("ipBlocks", &self.ip_blocks),
            ("notIpBlocks", &self.not_ip_blocks),
            ("remoteIpBlocks", &self.remote_ip_blocks),
            ("notRemoteIpBlocks", &self.not_remote_ip_blocks),
        ] {
            subnets(&at.field(field), blocks, out);
        }
        let accounts = !self.service_accounts.is_empty() || !self.not_service_accounts.is_empty();
        let others = [
            &self.principals,
            &self.not_principals,
            &self.namespaces,
            &self.not_namespaces,
        ];
        if accounts && others.into_iter().any(|values| !values.is_empty()) {
            out.conflict(
                &at.field("serviceAccounts"),
                "serviceAccounts stand beside principals or namespaces",
                "keep one of them",
            );
        }
        for (field, accounts) in [
            ("serviceAccounts", &self.service_accounts),
            ("notServiceAccounts", &self.not_service_accounts),
        ] {
            for (index, account) in accounts.iter().enumerate() {
                if account.contains('*') || account.matches('/').count() > 1 {
                    out.invalid(
                        &at.field(field).index(index),
                        format!("{account:?} is not a service account"),
                        "use NAME or NAMESPACE/NAME, without '*'",
                    );
                }
            }
        }
    }
}

impl Check for Operation {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        for (field, values) in [
            ("hosts", &self.hosts),
            ("notHosts", &self.not_hosts),
            ("ports", &self.ports),
            ("notPorts", &self.not_ports),
            ("methods", &self.methods),
            ("notMethods", &self.not_methods),
            ("paths", &self.paths),
            ("notPaths", &self.not_paths),
        ] {
            no_empty_text(&at.field(field), values, out);
        }
        for (field, ports) in [("ports", &self.ports), ("notPorts", &self.not_ports)] {
            for (index, port) in ports.iter().enumerate() {
                if !port.is_empty() && port.parse::<u16>().is_err() {
                    out.out_of_range(
                        &at.field(field).index(index),
                        format!("{port:?} is not a port"),
                        "use a number from 1 to 65535",
                    );
                }
            }
        }
    }
}

/// The attributes that conditions may name.
const ATTRIBUTES: &[&str] = &[
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.principal",
    "source.serviceAccount",
    "source.trustDomain",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "destination.ip",
    "destination.port",
    "connection.sni",
];

/// Those that take a key in brackets.
const KEYED: &[&str] = &[
    "request.headers[",
    "request.auth.claims[",
    "experimental.envoy.filters.",
];

impl Check for Condition {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            key,
            values,
            not_values,
        } = self;
        if key.is_empty() {
            out.required(&at.field("key"), "the attribute");
        } else if !ATTRIBUTES.contains(&key.as_str())
            && !KEYED
                .iter()
                .any(|prefix| key.starts_with(prefix) && key.ends_with(']'))
        {
            out.invalid(
                &at.field("key"),
                format!("{key:?} is not an attribute"),
                "use one of Istio's attributes, for example request.headers[NAME]",
            );
        }
        if values.is_empty() && not_values.is_empty() {
            out.required(&at.field("values"), "a value (values or notValues)");
        }
        for (field, values) in [("values", values), ("notValues", not_values)] {
            let at = at.field(field);
            match key.as_str() {
                "source.ip" | "remote.ip" | "destination.ip" => subnets(&at, values, out),
                "destination.port" => {
                    for (index, port) in values.iter().enumerate() {
                        if port.parse::<u16>().is_err() {
                            out.out_of_range(
                                &at.index(index),
                                format!("{port:?} is not a port"),
                                "use a number from 1 to 65535",
                            );
                        }
                    }
                }
                _ => no_empty_text(&at, values, out),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn authorization() {
        table::<AuthorizationPolicy>(&[
            ("{}", ""),
            ("{rules: [{}]}", ""),
            ("{action: DENY}", "Required spec.rules"),
            (
                "{action: CUSTOM, rules: [{to: [{operation: {paths: [/a]}}]}]}",
                "Required spec.provider.name",
            ),
            ("{provider: {name: a}}", "Conflict spec.provider"),
            (
                "{action: CUSTOM, provider: {name: a}, \
                 rules: [{from: [{source: {namespaces: [a]}}]}]}",
                "InvalidValue spec.rules[0].from[0].source.namespaces",
            ),
            (
                "{rules: [{from: [{}, {source: {}}], to: [{operation: {}}], when: [{}]}]}",
                "Required spec.rules[0].from[0].source|Required spec.rules[0].from[1].source|\
                 Required spec.rules[0].to[0].operation|Required spec.rules[0].when[0].key|\
                 Required spec.rules[0].when[0].values",
            ),
            (
                "{rules: [{from: [{source: {ipBlocks: [x], serviceAccounts: ['*'], \
                 principals: ['']}}]}]}",
                "Required spec.rules[0].from[0].source.principals[0]|\
                 InvalidValue spec.rules[0].from[0].source.ipBlocks[0]|\
                 Conflict spec.rules[0].from[0].source.serviceAccounts|\
                 InvalidValue spec.rules[0].from[0].source.serviceAccounts[0]",
            ),
            (
                "{rules: [{to: [{operation: {hosts: [''], ports: ['99999']}}], \
                 when: [{key: a.b, values: [c]}, {key: destination.port, values: [x]}]}]}",
                "Required spec.rules[0].to[0].operation.hosts[0]|\
                 OutOfRange spec.rules[0].to[0].operation.ports[0]|\
                 InvalidValue spec.rules[0].when[0].key|\
                 OutOfRange spec.rules[0].when[1].values[0]",
            ),
            (
                "{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Pod, name: x}]}",
                "Conflict spec.targetRefs|InvalidValue spec.targetRefs[0].kind",
            ),
        ]);
    }
}
