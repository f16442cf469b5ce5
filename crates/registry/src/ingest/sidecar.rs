//! Sidecar resources, oldest first.

use super::{age, namespace};
use crate::world::World;
use meltemi_model::{SidecarIndex, SidecarRule};
use meltemi_types::Selector;
use std::sync::Arc;

/// All Sidecars.
pub(crate) fn index(world: &World) -> SidecarIndex {
    let mut rules: Vec<Arc<SidecarRule>> = world
        .sidecars
        .values()
        .map(|object| {
            let selector = object.spec.workload_selector.as_ref().map(|selector| {
                let labels = selector.labels.iter();
                Selector::new(labels.map(|(k, v)| (k.as_str(), v.as_str())).collect())
            });
            Arc::new(SidecarRule {
                origin: object.origin(),
                age: age(&object.meta),
                namespace: namespace(&object.meta),
                selector: selector.filter(|s| !s.is_empty()),
                spec: Arc::new(object.spec.clone()),
            })
        })
        .collect();
    rules.sort_by(|a, b| a.age.cmp(&b.age));
    SidecarIndex { rules }
}
