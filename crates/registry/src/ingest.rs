//! From raw objects to parts of the model, one file per concern.

pub(crate) mod allocate;
pub(crate) mod entry;
pub(crate) mod gateway;
pub(crate) mod mesh;
pub(crate) mod network;
pub(crate) mod policy;
pub(crate) mod security;
pub(crate) mod service;
pub(crate) mod sidecar;
pub(crate) mod workload;

use meltemi_api::Meta;
use meltemi_model::Age;
use meltemi_types::Namespace;

/// Sort key of an object: who came first.
pub(crate) fn age(meta: &Meta) -> Age {
    Age {
        created: meta.created,
        name: meta.object.name.clone(),
        namespace: meta.object.namespace.clone(),
    }
}

/// The namespace of a namespaced object; sources always set one.
pub(crate) fn namespace(meta: &Meta) -> Namespace {
    meta.object
        .namespace
        .clone()
        .unwrap_or_else(Namespace::default_namespace)
}
