//! The route configurations of gateways: one per plaintext HTTP port, one per HTTPS server.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/gateway/>: a virtual host for
//! each host that a server and a route table attached to it share, the narrower of both. Several
//! tables of one host are served in order, what takes everything last. A port without any host
//! answers 404.

use super::catch_all::Rest;
use super::matching::is_everything;
use super::resolve::{self, Destinations};
use super::{EdgeHost, Naming, RouteInput, Settings, TablePlan, table};
use crate::gateway::{Merged, Placed, Sharing};
use crate::name;
use crate::plan::Planned;
use crate::view::View;
use meltemi_model::RouteTable;
use meltemi_model::gateway::GatewayServer;
use meltemi_proto::envoy::config::route::v3 as envoy;
use meltemi_proto::envoy::config::route::v3::virtual_host::TlsRequirementType;
use meltemi_types::{Diagnostic, HostPattern, ObjectRef, Origin, Port};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Lists them. What is wrong with the gateways themselves is said with the listeners.
pub(super) fn plan(view: &View<'_>) -> Planned<RouteInput> {
    let merged = Merged::of(view);
    let mut planner = Planner {
        view,
        settings: Arc::new(Settings::of(view)),
        known: BTreeMap::new(),
        planned: Planned::default(),
    };
    for entry in merged.entries.values() {
        match entry.sharing {
            Sharing::Http => planner.route(entry.http_route(), entry.servers()),
            Sharing::Tls => {
                for placed in entry.servers().filter(|p| p.server.is_http()) {
                    planner.route(placed.https_route(), std::iter::once(placed));
                }
            }
            Sharing::Tcp => {}
        }
    }
    planner.planned
}

/// A route table at a port of a gateway.
type Known<'a> = (&'a ObjectRef, Arc<ObjectRef>, String, Port);

struct Planner<'v, 'a> {
    view: &'v View<'a>,
    settings: Arc<Settings>,
    known: BTreeMap<Known<'a>, Option<Arc<TablePlan>>>,
    planned: Planned<RouteInput>,
}

impl<'a> Planner<'_, 'a> {
    fn route(&mut self, name: Arc<str>, servers: impl Iterator<Item = Placed<'a>>) {
        let mut nowhere = None;
        let mut fields: Vec<Origin> = Vec::new();
        let mut hosts: BTreeMap<HostPattern, EdgeHost> = BTreeMap::new();
        let mut origins: Vec<Origin> = Vec::new();
        for placed in servers {
            nowhere.get_or_insert_with(|| black_hole(placed.server));
            fields.push(placed.server.origin.clone());
            for table in self.view.gateway_tables(&placed.attachment()) {
                let shared = shared_hosts(placed.server, &table);
                if shared.is_empty() {
                    continue;
                }
                let Some(plan) = self.table(placed, &table) else {
                    continue;
                };
                origins.push(table.origin.clone());
                for host in shared {
                    let host = entry(&mut hosts, host, placed.server);
                    host.add(&plan);
                    // Of a narrower host than the server's, too: nothing passes in clear.
                    host.redirect |= placed.server.redirects();
                }
            }
            if placed.server.redirects() {
                for host in placed.server.names() {
                    entry(&mut hosts, host, placed.server).redirect = true;
                }
            }
        }
        let edge = match hosts.is_empty() {
            true => nowhere.into_iter().collect(),
            false => collapse(hosts),
        };
        origins.extend(fields);
        let input = RouteInput {
            name: name.clone(),
            naming: Naming::Everything,
            settings: self.settings.clone(),
            hosts: Vec::new(),
            edge,
            rest: Rest::Nothing,
            patches: meltemi_model::patch::none(),
        };
        self.planned.push(name, input, origins);
    }

    /// The rules of a table that are in force at a server.
    fn table(&mut self, placed: Placed<'a>, table: &Arc<RouteTable>) -> Option<Arc<TablePlan>> {
        let port = placed.server.port;
        let key = (
            &*placed.gateway.origin.object,
            table.origin.object.clone(),
            table.name.to_string(),
            port,
        );
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let mut destinations = Destinations::at(self.view, port, placed.attachment());
        let plan = resolve::table(&mut destinations, table).map(Arc::new);
        self.planned.diagnostics.append(&mut destinations.found);
        self.known.insert(key, plan.clone());
        plan
    }
}

fn entry<'h>(
    hosts: &'h mut BTreeMap<HostPattern, EdgeHost>,
    host: HostPattern,
    server: &GatewayServer,
) -> &'h mut EdgeHost {
    hosts.entry(host.clone()).or_insert_with(|| EdgeHost {
        name: name::virtual_host(&host, server.port),
        domains: vec![host.as_str().into()],
        tables: Vec::new(),
        redirect: false,
    })
}

impl EdgeHost {
    fn add(&mut self, plan: &Arc<TablePlan>) {
        if !self.tables.contains(plan) {
            self.tables.push(plan.clone());
        }
    }
}

/// A port where nothing is served.
fn black_hole(server: &GatewayServer) -> EdgeHost {
    EdgeHost {
        name: name::virtual_host(name::NO_HOST, server.port),
        domains: vec!["*".into()],
        tables: Vec::new(),
        redirect: false,
    }
}

/// The hosts of a server that a table serves there: the narrower of each pair that overlaps.
fn shared_hosts(server: &GatewayServer, table: &RouteTable) -> Vec<HostPattern> {
    let mut shared: Vec<HostPattern> = Vec::new();
    let own = server.hosts.iter().filter(|h| h.takes(&table.namespace));
    for own in own {
        for host in &table.hosts {
            let narrower = match (own.host.covers(host), host.covers(&own.host)) {
                (true, _) => host,
                (false, true) => &own.host,
                (false, false) => continue,
            };
            if !shared.contains(narrower) {
                shared.push(narrower.clone());
            }
        }
    }
    shared
}

/// Hosts with the same routes become one virtual host, named by the most specific one.
fn collapse(hosts: BTreeMap<HostPattern, EdgeHost>) -> Vec<EdgeHost> {
    let mut sorted: Vec<(HostPattern, EdgeHost)> = hosts.into_iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.specificity().cmp(&b.specificity()));
    let mut result: Vec<EdgeHost> = Vec::new();
    for (_, host) in sorted {
        let same = result
            .iter_mut()
            .find(|r| r.tables == host.tables && r.redirect == host.redirect);
        match same {
            Some(same) => same.domains.extend(host.domains),
            None => result.push(host),
        }
    }
    result
}

/// The virtual hosts.
pub(super) fn virtual_hosts(
    edge: &[EdgeHost],
    settings: &Settings,
    found: &mut Vec<Diagnostic>,
) -> Vec<envoy::VirtualHost> {
    edge.iter()
        .map(|host| {
            let EdgeHost {
                name,
                domains,
                tables,
                redirect,
            } = host;
            let mut routes: Vec<envoy::Route> = Vec::new();
            for plan in tables {
                routes.extend(table::routes(plan, settings, found));
            }
            routes.sort_by_key(|route| route.r#match.as_ref().is_some_and(is_everything));
            envoy::VirtualHost {
                name: name.to_string(),
                domains: domains.iter().map(ToString::to_string).collect(),
                routes,
                require_tls: match redirect {
                    true => TlsRequirementType::All.into(),
                    false => TlsRequirementType::None.into(),
                },
                include_request_attempt_count: settings.attempt_count,
                ..envoy::VirtualHost::default()
            }
        })
        .collect()
}
