//! The route index, with a memory: a VirtualService that sends to a subset which nobody defines
//! stays at its last version that did not, so that a slip of the pen costs no traffic.

use crate::link::lower::Lowering;
use crate::link::{delegate, ingress};
use crate::world::World;
use meltemi_api::Resource;
use meltemi_api::networking::virtual_service::{HttpRoute, VirtualService};
use meltemi_model::route::{Backend, HttpAction, HttpRule};
use meltemi_model::{BackendTarget, Mesh, PolicyIndex, RouteIndex, RouteTable};
use meltemi_types::{Code, Diagnostic, ObjectRef};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Lowered tables and the last good version of each object.
#[derive(Debug, Default)]
pub(crate) struct RouteHistory {
    good: BTreeMap<Arc<ObjectRef>, Arc<Resource<VirtualService>>>,
    tables: BTreeMap<Arc<ObjectRef>, Arc<RouteTable>>,
    ingresses: Vec<Arc<RouteTable>>,
    diagnostics: Vec<Diagnostic>,
}

impl RouteHistory {
    /// What was found wrong, in the order of objects.
    pub(crate) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter()
    }

    /// All route tables in force.
    pub(crate) fn index(
        &mut self,
        world: &World,
        mesh: &Mesh,
        policies: &PolicyIndex,
    ) -> RouteIndex {
        let known = &world.virtual_services;
        self.good.retain(|key, _| known.contains_key(key));
        self.tables.retain(|key, _| known.contains_key(key));
        self.diagnostics.clear();
        let subsets = Subsets::of(policies);
        for (key, newest) in known {
            if newest.spec.hosts.is_empty() {
                continue; // Only others delegate to it.
            }
            let look = Look {
                world,
                mesh,
                subsets: &subsets,
            };
            let chosen = self.choose(&look, newest);
            let table = lower(world, mesh, &chosen);
            if self.tables.get(key).is_none_or(|old| **old != table) {
                self.tables.insert(key.clone(), Arc::new(table));
            }
        }
        self.tables
            .retain(|key, _| known.get(key).is_some_and(|o| !o.spec.hosts.is_empty()));
        let ingresses = self.of_ingresses(world, mesh);
        RouteIndex::new(self.tables.values().cloned().chain(ingresses).collect())
    }

    /// The tables of Ingresses; those that did not change are the same.
    fn of_ingresses(&mut self, world: &World, mesh: &Mesh) -> Vec<Arc<RouteTable>> {
        let made = ingress::tables(world, mesh).into_iter();
        self.ingresses = made
            .map(|table| {
                let same = self.ingresses.iter().find(|old| ***old == table);
                same.cloned().unwrap_or_else(|| Arc::new(table))
            })
            .collect();
        self.ingresses.clone()
    }

    /// The newest version, unless it lacks subsets that the last good one does not lack.
    fn choose(
        &mut self,
        look: &Look<'_>,
        newest: &Arc<Resource<VirtualService>>,
    ) -> Arc<Resource<VirtualService>> {
        let missing = |object| look.subsets.missing(&lower(look.world, look.mesh, object));
        let key = &newest.meta.object;
        let lacks = missing(newest);
        if lacks.is_empty() {
            self.good.insert(key.clone(), newest.clone());
            return newest.clone();
        }
        self.diagnostics.extend(lacks);
        match self.good.get(key) {
            Some(good) if missing(good).is_empty() => good.clone(),
            Some(_) | None => newest.clone(),
        }
    }
}

/// Where to look things up while choosing.
struct Look<'a> {
    world: &'a World,
    mesh: &'a Mesh,
    subsets: &'a Subsets,
}

/// The subsets that DestinationRules define, by host pattern.
struct Subsets {
    defined: Vec<(meltemi_types::HostPattern, BTreeSet<String>)>,
}

impl Subsets {
    fn of(policies: &PolicyIndex) -> Self {
        let defined = policies.iter().map(|rule| {
            let names = rule.subsets.iter().map(|s| s.subset.name.clone());
            (rule.host.clone(), names.collect())
        });
        Self {
            defined: defined.collect(),
        }
    }

    fn missing(&self, table: &RouteTable) -> Vec<Diagnostic> {
        let http = table.http.iter().flat_map(|rule| match &rule.action {
            HttpAction::Forward(backends) => backends.as_slice(),
            HttpAction::Redirect(_) | HttpAction::Direct(_) => &[],
        });
        let l4 = table
            .tls
            .iter()
            .chain(&table.tcp)
            .flat_map(|rule| rule.backends.as_slice());
        http.chain(l4)
            .filter_map(|backend| self.check(backend))
            .collect()
    }

    fn check(&self, backend: &Backend) -> Option<Diagnostic> {
        let BackendTarget::Service {
            host,
            subset: Some(subset),
            port: _,
        } = &backend.target
        else {
            return None;
        };
        let of_host = || {
            self.defined
                .iter()
                .filter(|(pattern, _)| pattern.covers(host))
        };
        if of_host().any(|(_, names)| names.contains(&**subset)) {
            return None;
        }
        let known: BTreeSet<&str> = of_host()
            .flat_map(|(_, names)| names.iter().map(String::as_str))
            .collect();
        let remedy = match known.is_empty() {
            true => format!("define it in a DestinationRule for {host}"),
            false => {
                let known: Vec<&str> = known.into_iter().collect();
                format!(
                    "define it in a DestinationRule, or use one of: {}",
                    known.join(", ")
                )
            }
        };
        let path = backend.origin.path.field("destination").field("subset");
        let message = format!("subset {subset:?} of {host} is not defined");
        Some(Diagnostic::error(
            Code::UnknownSubset,
            backend.origin.at(path),
            message,
            remedy,
        ))
    }
}

fn lower(world: &World, mesh: &Mesh, object: &Resource<VirtualService>) -> RouteTable {
    let root = Lowering::new(object, mesh);
    root.table(|route, rule| delegated(world, mesh, &root, route, &rule))
}

/// The rules that stand in place of one that delegates; none when the delegate does not exist, is
/// not visible, or delegates itself.
#[expect(
    clippy::too_many_arguments,
    reason = "the rule, its source, and where to look"
)]
fn delegated(
    world: &World,
    mesh: &Mesh,
    root: &Lowering<'_>,
    route: &HttpRoute,
    rule: &HttpRule,
) -> Vec<HttpRule> {
    let found = || {
        let delegate = route.delegate.as_ref()?;
        let namespace = match delegate.namespace.as_deref() {
            Some(namespace) if !namespace.is_empty() => namespace.parse().ok()?,
            Some(_) | None => root.namespace.clone(),
        };
        let key = ObjectRef {
            namespace: Some(namespace),
            name: delegate.name.as_deref()?.parse().ok()?,
            ..ObjectRef::clone(&root.object.meta.object)
        };
        let object = world.virtual_services.get(&key)?;
        let lowering = Lowering::new(object, mesh);
        let usable = object.spec.hosts.is_empty() && lowering.export_to().allows(&root.namespace);
        usable.then_some(lowering.table(|_, _| Vec::new()).http)
    };
    found()
        .into_iter()
        .flatten()
        .filter_map(|own| delegate::merge(rule, &own))
        .collect()
}
