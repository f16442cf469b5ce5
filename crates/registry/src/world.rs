//! The raw objects by kind, each with its last good version and what is wrong with its newest.
//!
//! The one policy for objects that do not parse: the last good version stays in force; the
//! security kinds fail closed when there is none.

use crate::Subjects;
use crate::dirty::Dirty;
use crate::ingest::{age, entry, namespace};
use k8s_openapi::api::{core::v1 as core, networking::v1 as networking};
use meltemi_api::change::Broken;
use meltemi_api::kinds::Kind;
use meltemi_api::kubernetes::{EndpointSlice, Pod};
use meltemi_api::mesh_config::MeshConfig;
use meltemi_api::networking::destination_rule::DestinationRule;
use meltemi_api::networking::gateway::Gateway;
use meltemi_api::networking::proxy_config::ProxyConfig;
use meltemi_api::networking::service_entry::ServiceEntry;
use meltemi_api::networking::sidecar::Sidecar;
use meltemi_api::networking::virtual_service::VirtualService;
use meltemi_api::networking::workload_entry::WorkloadEntry;
use meltemi_api::networking::workload_group::WorkloadGroup;
use meltemi_api::security::{AuthorizationPolicy, PeerAuthentication, RequestAuthentication};
use meltemi_api::{Change, Object, Resource};
use meltemi_model::ServiceKey;
use meltemi_types::{ClusterId, Diagnostic, Namespace, ObjectRef};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Objects of one kind.
pub(crate) type Table<T> = BTreeMap<Arc<ObjectRef>, Arc<Resource<T>>>;

/// All objects that are in force.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) services: Table<core::ServiceSpec>,
    pub(crate) slices: Table<EndpointSlice>,
    pub(crate) endpoints: Table<core::Endpoints>,
    pub(crate) pods: Table<Pod>,
    pub(crate) namespaces: Table<core::Namespace>,
    pub(crate) nodes: Table<core::Node>,
    pub(crate) virtual_services: Table<VirtualService>,
    pub(crate) destination_rules: Table<DestinationRule>,
    pub(crate) sidecars: Table<Sidecar>,
    pub(crate) service_entries: Table<ServiceEntry>,
    pub(crate) workload_entries: Table<WorkloadEntry>,
    pub(crate) workload_groups: Table<WorkloadGroup>,
    pub(crate) gateways: Table<Gateway>,
    pub(crate) ingresses: Table<networking::IngressSpec>,
    pub(crate) ingress_classes: Table<networking::IngressClassSpec>,
    pub(crate) peer_authentications: Table<PeerAuthentication>,
    pub(crate) authorization_policies: Table<AuthorizationPolicy>,
    pub(crate) request_authentications: Table<RequestAuthentication>,
    pub(crate) mesh_configs: Table<MeshConfig>,
    pub(crate) proxy_configs: Table<ProxyConfig>,
    /// Objects whose newest text cannot be used, whether or not there is a good version.
    pub(crate) broken: BTreeMap<Arc<ObjectRef>, Arc<Broken>>,
    findings: BTreeMap<Arc<str>, Arc<[Diagnostic]>>,
    /// What somebody may want to be told of, see [`Subjects`].
    pub(crate) subjects: Arc<Subjects>,
    /// EndpointSlices by the Service they belong to.
    pub(crate) slices_of: BTreeMap<Arc<ObjectRef>, BTreeMap<Arc<ObjectRef>, ()>>,
    /// ServiceEntries by what they declare.
    entries_of: BTreeMap<ServiceKey, BTreeSet<Arc<ObjectRef>>>,
    /// ServiceEntries that select workloads, by namespace.
    selecting: BTreeMap<Namespace, BTreeSet<Arc<ObjectRef>>>,
}

/// An object before and after a change.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) object: Option<Arc<ObjectRef>>,
    pub(crate) old: Option<Object>,
    pub(crate) new: Option<Object>,
}

macro_rules! tables {
    ($($kind:ident => $field:ident,)*) => {
        impl World {
            fn insert(&mut self, object: Object) -> Option<Object> {
                match object {
                    $(Object::$kind(object) => self
                        .$field
                        .insert(object.meta.object.clone(), object)
                        .map(Object::$kind),)*
                    // Read and checked, but nothing is made of them yet.
                    Object::EnvoyFilter(_)
                    | Object::Telemetry(_)
                    | Object::WasmPlugin(_)
                    | Object::TrafficExtension(_) => None,
                    // Proxies get them beside the mesh.
                    Object::Secret(_) | Object::ConfigMap(_) => None,
                }
            }

            /// Every object that is in force.
            pub(crate) fn objects(&self) -> Vec<Object> {
                let mut all = Vec::new();
                $(all.extend(self.$field.values().cloned().map(Object::$kind));)*
                all
            }

            fn remove(&mut self, object: &ObjectRef) -> Option<Object> {
                $(if &*object.kind == stringify!($kind) {
                    return self.$field.remove(object).map(Object::$kind);
                })*
                None
            }
        }
    };
}

tables! {
    Service => services,
    EndpointSlice => slices,
    Endpoints => endpoints,
    Pod => pods,
    Namespace => namespaces,
    Node => nodes,
    VirtualService => virtual_services,
    DestinationRule => destination_rules,
    Sidecar => sidecars,
    ServiceEntry => service_entries,
    WorkloadEntry => workload_entries,
    WorkloadGroup => workload_groups,
    Gateway => gateways,
    Ingress => ingresses,
    IngressClass => ingress_classes,
    PeerAuthentication => peer_authentications,
    AuthorizationPolicy => authorization_policies,
    RequestAuthentication => request_authentications,
    MeshConfig => mesh_configs,
    ProxyConfig => proxy_configs,
}

impl World {
    /// Takes a change and says which object it was about.
    pub(crate) fn apply(&mut self, change: Change, dirty: &mut Dirty) -> Touched {
        let nothing = Touched {
            object: None,
            old: None,
            new: None,
        };
        dirty.diagnostics |= self.note_subject(&change);
        match change {
            Change::Upsert(object) => {
                let key = object.key().clone();
                let was_broken = self.broken.remove(&key).is_some();
                dirty.diagnostics |= was_broken;
                dirty.security |= was_broken;
                let old = self.insert(object.clone());
                let touched = Touched {
                    object: Some(key),
                    old,
                    new: Some(object),
                };
                self.index_slice(&touched);
                self.index_entry(&touched);
                touched
            }
            Change::Delete(key) => {
                let was_broken = self.broken.remove(&key).is_some();
                dirty.diagnostics |= was_broken;
                dirty.security |= was_broken;
                let old = self.remove(&key);
                let touched = Touched {
                    object: Some(key),
                    old,
                    new: None,
                };
                self.index_slice(&touched);
                self.index_entry(&touched);
                touched
            }
            Change::Broken(broken) => {
                dirty.diagnostics = true;
                dirty.security = true;
                self.broken.insert(broken.object.clone(), broken);
                nothing
            }
            Change::Findings { unit, diagnostics } => {
                dirty.diagnostics = true;
                if diagnostics.is_empty() {
                    self.findings.remove(&unit);
                } else {
                    self.findings.insert(unit, diagnostics);
                }
                nothing
            }
            Change::Synced { .. } => nothing,
        }
    }

    /// Keeps the generations of mesh kinds; true when one differs.
    fn note_subject(&mut self, change: &Change) -> bool {
        let (key, generation) = match change {
            Change::Upsert(object) => {
                let info = object.kind().info();
                let told = info.group.ends_with("istio.io") && info.kind != Kind::MeshConfig;
                let generation = object.meta().generation.filter(|_| told);
                (object.key(), generation)
            }
            Change::Broken(broken) => (&broken.object, broken.generation),
            Change::Delete(key) => (key, None),
            Change::Findings { .. } | Change::Synced { .. } => return false,
        };
        if self.subjects.get(key).copied() == generation {
            return false;
        }
        let subjects = Arc::make_mut(&mut self.subjects);
        match generation {
            Some(generation) => subjects.insert(key.clone(), generation),
            None => subjects.remove(key),
        };
        true
    }

    /// What sources reported, in the order of objects, then units.
    pub(crate) fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        let broken = self.broken.values().flat_map(|b| b.diagnostics.iter());
        broken.chain(self.findings.values().flat_map(|d| d.iter()))
    }

    /// The pods of a namespace of a cluster.
    pub(crate) fn pods_in<'a>(
        &'a self,
        cluster: &ClusterId,
        namespace: &Namespace,
    ) -> impl Iterator<Item = (&'a Arc<ObjectRef>, &'a Arc<Resource<Pod>>)> {
        let (cluster, namespace) = (cluster.clone(), namespace.clone());
        // Keys sort by cluster, kind, namespace, name: a namespace's pods are neighbours.
        let from = (cluster.clone(), Some(namespace.clone()));
        let start = self.pods.iter().next().map(|(k, _)| ObjectRef {
            cluster: from.0,
            kind: k.kind.clone(),
            namespace: from.1,
            name: smallest_name(),
        });
        start
            .into_iter()
            .flat_map(|start| self.pods.range::<ObjectRef, _>(&start..))
            .take_while(move |(k, _)| {
                k.cluster == cluster && k.namespace.as_ref() == Some(&namespace)
            })
    }

    /// What ServiceEntries declare, sorted.
    pub(crate) fn entry_keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.entries_of.keys()
    }

    /// The ServiceEntries that declare a service, oldest first.
    pub(crate) fn entries(&self, key: &ServiceKey) -> Vec<&Arc<Resource<ServiceEntry>>> {
        let names = self.entries_of.get(key).into_iter().flatten();
        let mut entries: Vec<_> = names
            .filter_map(|name| self.service_entries.get(name))
            .collect();
        entries.sort_by_cached_key(|entry| age(&entry.meta));
        entries
    }

    /// The ServiceEntries of a namespace that select workloads.
    pub(crate) fn selecting(
        &self,
        namespace: &Namespace,
    ) -> impl Iterator<Item = &Arc<Resource<ServiceEntry>>> {
        let names = self.selecting.get(namespace).into_iter().flatten();
        names.filter_map(|name| self.service_entries.get(name))
    }

    fn index_entry(&mut self, touched: &Touched) {
        let Some(object) = &touched.object else {
            return;
        };
        if let Some(Object::ServiceEntry(entry)) = &touched.old {
            for key in entry::keys(entry) {
                forget(&mut self.entries_of, &key, object);
            }
            forget(&mut self.selecting, &namespace(&entry.meta), object);
        }
        if let Some(Object::ServiceEntry(entry)) = &touched.new {
            for key in entry::keys(entry) {
                let names = self.entries_of.entry(key).or_default();
                names.insert(object.clone());
            }
            if entry.spec.workload_selector.is_some() {
                let names = self.selecting.entry(namespace(&entry.meta)).or_default();
                names.insert(object.clone());
            }
        }
    }

    fn index_slice(&mut self, touched: &Touched) {
        let service = |object: &Option<Object>| match object {
            Some(Object::EndpointSlice(slice)) => slice_service(slice),
            _ => None,
        };
        let Some(key) = &touched.object else { return };
        if let Some(service) = service(&touched.old)
            && let Some(slices) = self.slices_of.get_mut(&service)
        {
            slices.remove(key);
            if slices.is_empty() {
                self.slices_of.remove(&service);
            }
        }
        if let Some(service) = service(&touched.new) {
            self.slices_of
                .entry(service)
                .or_default()
                .insert(key.clone(), ());
        }
    }
}

/// Takes an object out of an index.
fn forget<K: Ord>(
    index: &mut BTreeMap<K, BTreeSet<Arc<ObjectRef>>>,
    key: &K,
    object: &Arc<ObjectRef>,
) {
    if let Some(names) = index.get_mut(key) {
        names.remove(object);
        if names.is_empty() {
            index.remove(key);
        }
    }
}

/// The Service that an EndpointSlice belongs to, by its label.
pub(crate) fn slice_service(slice: &Resource<EndpointSlice>) -> Option<Arc<ObjectRef>> {
    let name = slice.meta.labels.value("kubernetes.io/service-name")?;
    Some(Arc::new(ObjectRef {
        cluster: slice.meta.object.cluster.clone(),
        kind: "Service".into(),
        namespace: slice.meta.object.namespace.clone(),
        name: name.parse().ok()?,
    }))
}

/// No valid object name sorts before `-`.
#[expect(
    clippy::expect_used,
    reason = "a literal that the type accepts; covered by a test"
)]
fn smallest_name() -> meltemi_types::ObjectName {
    "-".parse().expect("a valid literal")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_smallest_name_is_one() {
        assert_eq!(super::smallest_name().as_str(), "-");
    }
}
