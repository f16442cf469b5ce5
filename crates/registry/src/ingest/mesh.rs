//! Mesh configuration: the ConfigMap `istio` of the root namespace (or a file) over the defaults.

use crate::settings::Settings;
use crate::world::World;
use meltemi_api::Resource;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_model::Mesh;
use std::sync::Arc;

/// The object of the own namespace wins over any other.
pub(crate) fn chosen<'w>(
    world: &'w World,
    settings: &Settings,
) -> Option<&'w Arc<Resource<MeshConfig>>> {
    let own = |key: &meltemi_types::ObjectRef| key.namespace.as_ref() == Some(&settings.namespace);
    let mut configs = world.mesh_configs.iter();
    let found = configs.clone().find(|(key, _)| own(key));
    found.or_else(|| configs.next()).map(|(_, object)| object)
}

/// The mesh configuration in force.
pub(crate) fn mesh(world: &World, settings: &Settings) -> Mesh {
    let defaults = MeshConfig::defaults();
    let config = match chosen(world, settings) {
        Some(object) => defaults.merge(object.spec.clone()),
        None => defaults,
    };
    Mesh::new(config, &settings.domain)
}
