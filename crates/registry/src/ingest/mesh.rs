//! Mesh configuration: the ConfigMap `istio` of the root namespace (or a file) over the defaults.

use crate::settings::Settings;
use crate::world::World;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_model::Mesh;

/// The mesh configuration in force: the object of the own namespace wins over any other.
pub(crate) fn mesh(world: &World, settings: &Settings) -> Mesh {
    let own = |key: &meltemi_types::ObjectRef| key.namespace.as_ref() == Some(&settings.namespace);
    let chosen = world
        .mesh_configs
        .iter()
        .find(|(key, _)| own(key))
        .or_else(|| world.mesh_configs.iter().next());
    let defaults = MeshConfig::defaults();
    let config = match chosen {
        Some((_, object)) => defaults.merge(object.spec.clone()),
        None => defaults,
    };
    Mesh::new(config, &settings.domain)
}
