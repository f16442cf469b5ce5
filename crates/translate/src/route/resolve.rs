//! What a route table means at one port: which rules are in force for the class, and which
//! clusters their destinations are.
//!
//! Conditions on the caller (`sourceLabels`, `sourceNamespace`, `gateways`) and on the listener's
//! port are decided here. Istio's quirk: where `gateways` is set the caller is not looked at.

use super::hash;
use super::{RulePlan, TablePlan, Target};
use crate::by_id::ById;
use crate::name;
use crate::view::View;
use meltemi_api::networking::destination_rule::ConsistentHashLb;
use meltemi_model::route::{HttpAction, HttpMatch, HttpRule};
use meltemi_model::{Attachment, BackendTarget, Resolution, RouteTable, Service};
use meltemi_types::{Code, Diagnostic, HostPattern, Origin, Port};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many ExternalName services may stand for each other before we stop following.
pub(super) const LONGEST_CHAIN: usize = 8;

/// A destination as written: host, subset, port.
type Written = (HostPattern, Option<Arc<str>>, Option<Port>);

/// Resolves the destinations of one listener port.
pub(super) struct Destinations<'a, 'v> {
    view: &'v View<'a>,
    port: Port,
    /// Where the tables are in force.
    at: Attachment,
    known: BTreeMap<Written, Target>,
    /// Findings.
    pub(super) found: Vec<Diagnostic>,
}

/// The rules of a table that are in force; `None` when there is none.
pub(super) fn table(to: &mut Destinations<'_, '_>, table: &Arc<RouteTable>) -> Option<TablePlan> {
    let rules = table.http.iter().enumerate();
    let rules: Vec<RulePlan> = rules.filter_map(|(i, r)| rule(to, table, i, r)).collect();
    (!rules.is_empty()).then(|| TablePlan {
        table: ById::from(table),
        port: to.port,
        rules,
    })
}

fn rule(
    to: &mut Destinations<'_, '_>,
    table: &RouteTable,
    index: usize,
    rule: &HttpRule,
) -> Option<RulePlan> {
    let HttpRule {
        origin,
        name: _,
        matches,
        action,
        mirrors,
        body: _,
    } = rule;
    let conditions = match matches.as_slice() {
        [] => None,
        all => {
            let all = all.iter().enumerate();
            let some: Vec<usize> = all
                .filter(|(_, m)| applies(to, m))
                .map(|(i, _)| i)
                .collect();
            Some(some).filter(|some| !some.is_empty()).map(Some)?
        }
    };
    let backends = match action {
        HttpAction::Forward(backends) => backends
            .iter()
            .map(|b| to.target(&b.target, &b.origin, table))
            .collect(),
        HttpAction::Redirect(_) | HttpAction::Direct(_) => Vec::new(),
    };
    let mirrors = mirrors.iter().map(|m| to.target(&m.target, origin, table));
    let mirrors = mirrors.collect();
    Some(RulePlan {
        rule: index,
        conditions,
        backends,
        mirrors,
    })
}

/// True when nothing that is known beforehand speaks against a condition.
fn applies(to: &Destinations<'_, '_>, condition: &HttpMatch) -> bool {
    let request = &condition.request;
    if request.port.is_some_and(|port| port != to.port.number()) {
        return false;
    }
    if !condition.attach.is_empty() {
        return condition.attach.contains(&to.at);
    }
    let key = to.view.key;
    let mut labels = request.source_labels.iter();
    let namespace = request
        .source_namespace
        .as_deref()
        .filter(|n| !n.is_empty());
    labels.all(|(k, v)| key.labels.value(k) == Some(v))
        && namespace.is_none_or(|n| n == key.namespace.as_str())
}

impl<'a, 'v> Destinations<'a, 'v> {
    pub(super) fn new(view: &'v View<'a>, port: Port) -> Self {
        Self::at(view, port, Attachment::Mesh)
    }

    /// For tables that are attached to `at`.
    pub(super) fn at(view: &'v View<'a>, port: Port, at: Attachment) -> Self {
        Self {
            view,
            port,
            at,
            known: BTreeMap::new(),
            found: Vec::new(),
        }
    }

    /// What requests to a port of a service without a route table are spread by.
    pub(super) fn hash_of(&self, service: &Service, port: Port) -> Option<Arc<ConsistentHashLb>> {
        let rule = self.view.rule(service)?;
        hash::of_rule(rule, None, port)
    }

    fn target(&mut self, target: &BackendTarget, origin: &Origin, table: &RouteTable) -> Target {
        let (host, subset, port) = match target {
            BackendTarget::Service { host, subset, port } => (host, subset, port),
            BackendTarget::Invalid => return Target::Invalid,
        };
        let key = (host.clone(), subset.clone(), *port);
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let (host, service) = self.concrete(host);
        let chosen = self.chosen_port(service.as_deref(), *port);
        self.report(origin, (&host, chosen, *port), service.as_deref());
        let rule = match &service {
            Some(service) => self.view.rule(service),
            None => self.view.rule_for(&host, &table.namespace),
        };
        let subset = subset.as_deref().unwrap_or_default();
        let resolved = Target::Cluster {
            name: name::outbound_cluster(chosen, subset, &host),
            hash: rule.and_then(|rule| hash::of_rule(rule, Some(subset), chosen)),
        };
        // What has a finding is resolved again, so that every place that names it is found.
        let right = service.is_some_and(|s| s.port(chosen).is_some());
        if right && self.view.reaches(&host, chosen) {
            self.known.insert(key, resolved.clone());
        }
        resolved
    }

    /// The host and service that a destination means, ExternalName services followed.
    fn concrete(&self, host: &HostPattern) -> (HostPattern, Option<Arc<Service>>) {
        let mut host = host.clone();
        for _ in 0..LONGEST_CHAIN {
            let service = self.view.by_host.get(&host);
            match service.map(|s| &s.resolution) {
                Some(Resolution::Alias(target)) => host = target.clone(),
                _ => return (host, service.cloned()),
            }
        }
        (host, None)
    }

    /// The port as written, else the only one, else the listener's.
    fn chosen_port(&self, service: Option<&Service>, written: Option<Port>) -> Port {
        let only = match service.map(|s| &*s.ports) {
            Some([only]) => Some(only.number),
            _ => None,
        };
        written.or(only).unwrap_or(self.port)
    }

    fn report(
        &mut self,
        origin: &Origin,
        (host, chosen, written): (&HostPattern, Port, Option<Port>),
        service: Option<&Service>,
    ) {
        let finding = match service {
            None => (
                Code::UnknownHost,
                format!("no service {host} is visible here"),
                match self.view.scope.sidecar {
                    None => "correct the host, or add a Service or ServiceEntry for it",
                    Some(_) => {
                        "correct the host, add a Service or ServiceEntry for it, or import it: an \
                         egress listener with a port reaches that port of services only"
                    }
                },
            ),
            Some(service) if service.port(chosen).is_some() => {
                if self.view.reaches(host, chosen) {
                    return;
                }
                (
                    Code::UnknownPort,
                    format!("port {chosen} of {host} is not imported by the Sidecar"),
                    "add an egress listener with that port, or one without a port, for the host",
                )
            }
            Some(_) if written.is_none() => (
                Code::AmbiguousPort,
                format!(
                    "{host} has several ports, none of them {chosen}, and the route names none"
                ),
                "name the destination's port",
            ),
            Some(_) => (
                Code::UnknownPort,
                format!("{host} has no port {chosen}"),
                "use a port that the service declares",
            ),
        };
        let (code, message, remedy) = finding;
        let found = Diagnostic::warning(code, origin.clone(), message, remedy);
        self.found.push(found);
    }
}
