//! From a VirtualService to the one route table: full names, attachments, backends, origins.

use crate::ingest::{age, namespace};
use crate::link::full_host;
use meltemi_api::Resource;
use meltemi_api::networking::virtual_service as api;
use meltemi_api::networking::virtual_service::VirtualService;
use meltemi_model::route::{
    Attachment, Backend, BackendTarget, HttpAction, HttpMatch, HttpRule, L4Match, L4Rule, Mirror,
    RouteTable,
};
use meltemi_model::{ExportTo, Mesh};
use meltemi_types::{FieldPath, HostPattern, Labels, Namespace, Port};
use std::sync::Arc;

/// One VirtualService on its way into the route table.
pub(crate) struct Lowering<'a> {
    pub(crate) object: &'a Resource<VirtualService>,
    pub(crate) namespace: Namespace,
    pub(crate) mesh: &'a Mesh,
}

impl<'a> Lowering<'a> {
    /// Starts with an object.
    pub(crate) fn new(object: &'a Resource<VirtualService>, mesh: &'a Mesh) -> Self {
        Self {
            object,
            namespace: namespace(&object.meta),
            mesh,
        }
    }

    /// The route table. `delegate` answers the rules that replace a rule which delegates.
    pub(crate) fn table(
        &self,
        delegate: impl Fn(&api::HttpRoute, HttpRule) -> Vec<HttpRule>,
    ) -> RouteTable {
        let VirtualService {
            hosts,
            gateways,
            http,
            tls,
            tcp,
            export_to: _,
        } = &self.object.spec;
        let spec = FieldPath::spec();
        let hosts = hosts
            .iter()
            .filter_map(|h| full_host(h, &self.namespace, self.mesh));
        let hosts: Vec<HostPattern> = hosts.collect();
        let mut rules = Vec::new();
        for (i, route) in http.iter().enumerate() {
            let rule = self.http_rule(route, &spec.field("http").index(i));
            match route.delegate {
                Some(_) => rules.extend(delegate(route, rule)),
                None => rules.push(rule),
            }
        }
        let tls = tls
            .iter()
            .enumerate()
            .map(|(i, r)| self.tls_rule(r, &spec.field("tls").index(i)));
        let tcp = tcp
            .iter()
            .enumerate()
            .map(|(i, r)| self.tcp_rule(r, &spec.field("tcp").index(i)));
        RouteTable {
            origin: self.object.origin(),
            age: age(&self.object.meta),
            namespace: self.namespace.clone(),
            name: self.object.meta.object.name.clone(),
            hosts,
            attach: match gateways.is_empty() {
                true => vec![Attachment::Mesh],
                false => self.attachments(gateways),
            },
            export_to: self.export_to(),
            http: rules,
            tls: tls.collect(),
            tcp: tcp.collect(),
        }
    }

    /// Who may see the object.
    pub(crate) fn export_to(&self) -> ExportTo {
        let own = &self.namespace;
        let default = &self.mesh.config.default_virtual_service_export_to;
        let default = ExportTo::read(default.iter().map(String::as_str), own, &ExportTo::Public);
        ExportTo::read(
            self.object.spec.export_to.iter().map(String::as_str),
            own,
            &default,
        )
    }

    /// `gw`, `./gw`, `ns/gw` or the old `gw.ns.svc...`; `mesh` is every sidecar.
    fn attachments(&self, gateways: &[String]) -> Vec<Attachment> {
        let own = || Some(self.namespace.clone());
        let read = |text: &str| {
            if text == "mesh" {
                return Some(Attachment::Mesh);
            }
            let (namespace, name) = match text.split_once('/') {
                Some((".", name)) => (own()?, name),
                Some((namespace, name)) => (namespace.parse().ok()?, name),
                None => match text.split('.').collect::<Vec<_>>()[..] {
                    [name, namespace, "svc", ..] => (namespace.parse().ok()?, name),
                    _ => (own()?, text),
                },
            };
            Some(Attachment::Gateway(namespace, name.parse().ok()?))
        };
        gateways.iter().filter_map(|text| read(text)).collect()
    }

    /// One HTTP rule, its matches and backends with full names.
    pub(crate) fn http_rule(&self, route: &api::HttpRoute, path: &FieldPath) -> HttpRule {
        let matches = route
            .matches
            .iter()
            .enumerate()
            .map(|(i, request)| HttpMatch {
                origin: self.object.origin_at(&path.field("match").index(i)),
                request: Arc::new(request.clone()),
                attach: self.attachments(&request.gateways),
            });
        let action = match (&route.redirect, &route.direct_response) {
            (Some(redirect), _) => HttpAction::Redirect(redirect.clone()),
            (None, Some(direct)) => HttpAction::Direct(direct.clone()),
            (None, None) => HttpAction::Forward(self.http_backends(&route.route, path)),
        };
        HttpRule {
            origin: self.object.origin_at(path),
            name: route.name.as_deref().map(Arc::from),
            matches: matches.collect(),
            action,
            mirrors: self.mirrors(route),
            body: Arc::new(route.clone()),
        }
    }

    fn http_backends(&self, route: &[api::HttpRouteDestination], path: &FieldPath) -> Vec<Backend> {
        let single = route.len() == 1;
        let backends = route.iter().enumerate().map(|(i, destination)| {
            let api::HttpRouteDestination {
                destination,
                weight,
                headers,
            } = destination;
            Backend {
                origin: self.object.origin_at(&path.field("route").index(i)),
                target: self.target(destination),
                weight: weigh(*weight, single),
                headers: headers.clone(),
            }
        });
        backends.collect()
    }

    fn l4_backends(&self, route: &[api::RouteDestination], path: &FieldPath) -> Vec<Backend> {
        let single = route.len() == 1;
        let backends = route.iter().enumerate().map(|(i, destination)| {
            let api::RouteDestination {
                destination,
                weight,
            } = destination;
            Backend {
                origin: self.object.origin_at(&path.field("route").index(i)),
                target: self.target(destination),
                weight: weigh(*weight, single),
                headers: None,
            }
        });
        backends.collect()
    }

    fn target(&self, destination: &api::Destination) -> BackendTarget {
        let api::Destination { host, subset, port } = destination;
        match full_host(host, &self.namespace, self.mesh) {
            Some(host) => BackendTarget::Service {
                host,
                subset: subset.as_deref().filter(|s| !s.is_empty()).map(Arc::from),
                port: port.as_ref().and_then(|p| Port::new(p.number)),
            },
            None => BackendTarget::Invalid,
        }
    }

    /// `mirror` with its share comes before `mirrors`; a share of nothing is left out.
    fn mirrors(&self, route: &api::HttpRoute) -> Vec<Mirror> {
        const ALL: u32 = 1_000_000;
        let share = |percent: &meltemi_api::percent::Percent| {
            // Percent is in millionths of one percent: 100 % is 100 000 000.
            u32::try_from(percent.value.millionths() / 100).unwrap_or(0)
        };
        let old = route.mirror.as_ref().map(|destination| Mirror {
            target: self.target(destination),
            share: match (&route.mirror_percentage, route.mirror_percent) {
                (Some(percent), _) => share(percent),
                (None, Some(whole)) => whole.saturating_mul(ALL / 100),
                (None, None) => ALL,
            },
        });
        let new = route.mirrors.iter().map(|policy| Mirror {
            target: self.target(&policy.destination),
            share: policy.percentage.as_ref().map_or(ALL, share),
        });
        old.into_iter().chain(new).filter(|m| m.share > 0).collect()
    }

    fn tls_rule(&self, route: &api::TlsRoute, path: &FieldPath) -> L4Rule {
        let matches = route.matches.iter().map(|condition| {
            let api::TlsMatchAttributes {
                sni_hosts,
                destination_subnets,
                port,
                source_labels,
                gateways,
                source_namespace,
            } = condition;
            L4Match {
                sni_hosts: sni_hosts.iter().filter_map(|h| h.parse().ok()).collect(),
                destination_subnets: destination_subnets
                    .iter()
                    .map(|s| s.as_str().into())
                    .collect(),
                port: port.and_then(Port::new),
                source_labels: pairs(source_labels),
                source_namespace: source_namespace.as_deref().and_then(|n| n.parse().ok()),
                attach: self.attachments(gateways),
            }
        });
        L4Rule {
            origin: self.object.origin_at(path),
            matches: matches.collect(),
            backends: self.l4_backends(&route.route, path),
        }
    }

    fn tcp_rule(&self, route: &api::TcpRoute, path: &FieldPath) -> L4Rule {
        let matches = route.matches.iter().map(|condition| {
            let api::L4MatchAttributes {
                destination_subnets,
                port,
                source_subnet: _, // Envoy cannot match it here; reported by the checks.
                source_labels,
                gateways,
                source_namespace,
            } = condition;
            L4Match {
                sni_hosts: Vec::new(),
                destination_subnets: destination_subnets
                    .iter()
                    .map(|s| s.as_str().into())
                    .collect(),
                port: port.and_then(Port::new),
                source_labels: pairs(source_labels),
                source_namespace: source_namespace.as_deref().and_then(|n| n.parse().ok()),
                attach: self.attachments(gateways),
            }
        });
        L4Rule {
            origin: self.object.origin_at(path),
            matches: matches.collect(),
            backends: self.l4_backends(&route.route, path),
        }
    }
}

fn pairs(labels: &std::collections::BTreeMap<String, String>) -> Labels {
    labels
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect()
}

/// The weight as written; a single destination without one gets everything.
fn weigh(weight: Option<i64>, single: bool) -> u32 {
    match weight {
        Some(weight) => u32::try_from(weight).unwrap_or(0),
        None => u32::from(single),
    }
}
