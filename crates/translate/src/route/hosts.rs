//! Which route table serves which host at a port.
//!
//! Follows Istio: a service goes to the table with the most specific host, of equal ones to the
//! first in the order of visibility and age; a table's hosts without a service are served on port
//! 80, and elsewhere when another of its hosts has a service there.

use super::resolve::{self, Destinations};
use super::{HostInput, HostRoutes, TablePlan};
use crate::by_id::ById;
use crate::view::View;
use meltemi_model::{Egress, ExportTo, Resolution, RouteTable, Service};
use meltemi_types::{Code, Diagnostic, HostPattern, Origin, Port, Protocol};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The hosts of one port, the ones with a route table first.
#[derive(Default)]
pub(super) struct PortPlan {
    pub(super) hosts: Vec<HostInput>,
    /// Of the route tables, then of the services.
    pub(super) origins: Vec<Origin>,
}

/// How specific a host is: the smallest is the most specific.
type Rank = (bool, Reverse<usize>);

/// Who may serve something: the candidate of the best rank, by its position.
struct Claim {
    rank: Rank,
    table: usize,
}

impl PortPlan {
    pub(super) fn new(
        view: &View<'_>,
        egress: &Egress,
        port: Port,
        found: &mut Vec<Diagnostic>,
    ) -> Self {
        let services: Services<'_> = egress
            .services
            .iter()
            .filter(|s| s.port(port).is_some_and(|p| serves(p.protocol)))
            .map(|s| (&s.key.host, s))
            .collect();
        let mut destinations = Destinations::new(view, port);
        let mut claims = Claims::new(&services);
        for table in egress.routes.iter().filter(|t| !t.http.is_empty()) {
            let relevant = |h: &HostPattern| match h.is_exact() && services.contains_key(h) {
                true => true,
                false => services.keys().any(|host| host.overlaps(h)),
            };
            if port.number() != 80 && !table.hosts.iter().any(relevant) {
                continue;
            }
            if let Some(plan) = resolve::table(&mut destinations, table) {
                claims.add(plan, found);
            }
        }
        found.append(&mut destinations.found);
        let mut plan = Self::default();
        claims.hand_out(port, &mut plan);
        let rest = egress.services.iter().filter(|s| {
            services.contains_key(&s.key.host)
                && !claims.services.contains_key(&s.key.host)
                && !matches!(s.resolution, Resolution::Alias(_))
        });
        for service in rest {
            let hash = destinations.hash_of(service, port);
            plan.push(HostInput::of(service, port, HostRoutes::Default(hash)));
            plan.origins.push(service.origin.clone());
        }
        let aliases = aliases(egress);
        for host in &mut plan.hosts {
            host.aliases = aliases.get(&host.host).cloned().unwrap_or_default();
        }
        plan
    }

    fn push(&mut self, host: HostInput) {
        self.hosts.push(host);
    }

    /// Where one of the hosts came from: its route table, then its service.
    pub(super) fn origins_of(&self, host: &HostInput, service: &Service) -> Vec<Origin> {
        match &host.routes {
            HostRoutes::Default(_) => vec![service.origin.clone()],
            HostRoutes::Table(plan) => vec![plan.table.origin.clone(), service.origin.clone()],
        }
    }
}

impl HostInput {
    fn of(service: &Arc<Service>, port: Port, routes: HostRoutes) -> Self {
        Self {
            host: service.key.host.clone(),
            port,
            service: Some(ById::from(service)),
            aliases: Vec::new(),
            routes,
        }
    }
}

fn serves(protocol: Protocol) -> bool {
    protocol.is_http() || protocol == Protocol::Auto
}

/// The services that a host of a route table covers.
fn hits<'s>(
    services: &'s Services<'s>,
    host: &HostPattern,
) -> impl Iterator<Item = &'s Arc<Service>> {
    let exact = host.is_exact().then(|| services.get(host)).flatten();
    let host = host.clone();
    let covered = services
        .iter()
        .filter(move |(h, _)| !host.is_exact() && host.covers(h));
    exact.into_iter().chain(covered.map(|(_, s)| s)).copied()
}

/// The services of a port by host.
type Services<'s> = BTreeMap<&'s HostPattern, &'s Arc<Service>>;

/// Which table serves which service, and which host that is no service.
struct Claims<'s> {
    known: &'s Services<'s>,
    tables: Vec<Arc<TablePlan>>,
    services: BTreeMap<HostPattern, Claim>,
    lonely: BTreeMap<HostPattern, usize>,
}

impl<'s> Claims<'s> {
    fn new(known: &'s Services<'s>) -> Self {
        Self {
            known,
            tables: Vec::new(),
            services: BTreeMap::new(),
            lonely: BTreeMap::new(),
        }
    }

    /// Adds a table after the others.
    fn add(&mut self, plan: TablePlan, found: &mut Vec<Diagnostic>) {
        let table = self.tables.len();
        for host in &plan.table.hosts {
            let winner = self.claim(host, table);
            let winner = winner
                .filter(|w| *w != table)
                .and_then(|w| self.tables.get(w));
            found.extend(winner.and_then(|winner| conflict(&plan.table, &winner.table, host)));
        }
        self.tables.push(Arc::new(plan));
    }

    /// Claims what a host covers; the table that had claimed the very same host, if there is one.
    fn claim(&mut self, host: &HostPattern, table: usize) -> Option<usize> {
        let rank = (!host.is_exact(), Reverse(host.as_str().len()));
        let mut winner = None;
        let mut any = false;
        for service in hits(self.known, host) {
            any = true;
            match self.services.get(&service.key.host) {
                Some(claim) if claim.rank <= rank => {
                    winner = winner.or((claim.rank == rank).then_some(claim.table));
                }
                _ => {
                    let claim = Claim { rank, table };
                    self.services.insert(service.key.host.clone(), claim);
                }
            }
        }
        match any {
            true => winner,
            false => Some(*self.lonely.entry(host.clone()).or_insert(table)),
        }
    }

    /// Makes the virtual hosts, table by table.
    fn hand_out(&self, port: Port, plan: &mut PortPlan) {
        let mut by_table: BTreeMap<usize, Vec<HostInput>> = BTreeMap::new();
        for (host, table) in &self.lonely {
            if let Some(routes) = self.tables.get(*table) {
                by_table.entry(*table).or_default().push(HostInput {
                    host: host.clone(),
                    port,
                    service: None,
                    aliases: Vec::new(),
                    routes: HostRoutes::Table(routes.clone()),
                });
            }
        }
        let mut origins = Vec::new();
        for (host, claim) in &self.services {
            if let (Some(service), Some(routes)) =
                (self.known.get(host), self.tables.get(claim.table))
            {
                let routes = HostRoutes::Table(routes.clone());
                let host = HostInput::of(service, port, routes);
                by_table.entry(claim.table).or_default().push(host);
                origins.push(service.origin.clone());
            }
        }
        for (table, hosts) in by_table {
            plan.hosts.extend(hosts);
            plan.origins
                .extend(self.tables.get(table).map(|t| t.table.origin.clone()));
        }
        plan.origins.extend(origins);
    }
}

/// A finding that `loser` has no effect on `host`. A table that a namespace keeps to itself may
/// stand before a shared one: that is how clients override.
fn conflict(loser: &RouteTable, winner: &RouteTable, host: &HostPattern) -> Option<Diagnostic> {
    let private = |t: &RouteTable| match &t.export_to {
        ExportTo::Namespaces(names) => names.len() == 1 && names.contains(&t.namespace),
        ExportTo::Public | ExportTo::Nobody => false,
    };
    if private(winner) && !private(loser) {
        return None;
    }
    Some(Diagnostic::warning(
        Code::ConflictingVirtualService,
        loser.origin.clone(),
        format!(
            "{host} is already routed by {} and this object has no effect on it",
            winner.origin.object
        ),
        "merge the rules into one VirtualService, or give them different hosts",
    ))
}

/// The other names of services: ExternalName services by what they stand for in the end.
pub(crate) fn aliases(egress: &Egress) -> BTreeMap<HostPattern, Vec<HostPattern>> {
    let targets: BTreeMap<&HostPattern, &HostPattern> = egress
        .services
        .iter()
        .filter_map(|s| match &s.resolution {
            Resolution::Alias(target) => Some((&s.key.host, target)),
            Resolution::Endpoints
            | Resolution::Dns
            | Resolution::DnsRoundRobin
            | Resolution::Passthrough
            | Resolution::DynamicDns => None,
        })
        .collect();
    let mut names: BTreeMap<HostPattern, Vec<HostPattern>> = BTreeMap::new();
    for (alias, first) in &targets {
        let mut target = *first;
        for _ in 0..resolve::LONGEST_CHAIN {
            target = targets.get(target).copied().unwrap_or(target);
        }
        names
            .entry(target.clone())
            .or_default()
            .push((*alias).clone());
    }
    names
}
