//! DestinationRules, merged: those of one namespace for one host and selector are one rule.
//!
//! The oldest comes first; subsets are united with the first definition winning, the first
//! traffic policy wins, and rules with another `exportTo` stay apart.

use super::{age, namespace};
use crate::link::full_host;
use crate::world::World;
use meltemi_api::Resource;
use meltemi_api::networking::destination_rule::DestinationRule;
use meltemi_model::policy::SubsetRule;
use meltemi_model::{ExportTo, Mesh, PolicyIndex, TrafficRule};
use meltemi_types::{FieldPath, Selector};
use std::sync::Arc;

/// All DestinationRules, merged.
pub(crate) fn index(world: &World, mesh: &Mesh) -> PolicyIndex {
    let mut objects: Vec<&Arc<Resource<DestinationRule>>> =
        world.destination_rules.values().collect();
    objects.sort_by_key(|o| age(&o.meta));
    let mut rules: Vec<TrafficRule> = Vec::new();
    for object in objects {
        let Some(rule) = rule(object, mesh) else {
            continue;
        };
        let same = rules.iter_mut().find(|r| {
            r.namespace == rule.namespace
                && r.host == rule.host
                && r.selector == rule.selector
                && r.export_to == rule.export_to
        });
        match same {
            Some(first) => merge(first, rule),
            None => rules.push(rule),
        }
    }
    PolicyIndex::new(rules.into_iter().map(Arc::new).collect())
}

fn rule(object: &Resource<DestinationRule>, mesh: &Mesh) -> Option<TrafficRule> {
    let DestinationRule {
        host,
        traffic_policy,
        subsets,
        export_to,
        workload_selector,
    } = &object.spec;
    let own = namespace(&object.meta);
    let default = ExportTo::read(
        mesh.config
            .default_destination_rule_export_to
            .iter()
            .map(String::as_str),
        &own,
        &ExportTo::Public,
    );
    let subsets = subsets.iter().enumerate().map(|(i, subset)| SubsetRule {
        origin: object.origin_at(&FieldPath::spec().field("subsets").index(i)),
        subset: Arc::new(subset.clone()),
    });
    let selector = workload_selector.as_ref().map(|selector| {
        let labels = selector.match_labels.iter();
        Selector::new(labels.map(|(k, v)| (k.as_str(), v.as_str())).collect())
    });
    Some(TrafficRule {
        origins: vec![object.origin()],
        host: full_host(host, &own, mesh)?,
        export_to: ExportTo::read(export_to.iter().map(String::as_str), &own, &default),
        namespace: own,
        selector: selector.filter(|s| !s.is_empty()),
        policy: traffic_policy.clone().map(Arc::new),
        subsets: subsets.collect(),
    })
}

fn merge(first: &mut TrafficRule, later: TrafficRule) {
    let TrafficRule {
        origins,
        policy,
        subsets,
        namespace: _,
        host: _,
        selector: _,
        export_to: _,
    } = later;
    first.origins.extend(origins);
    if first.policy.is_none() {
        first.policy = policy;
    }
    for subset in subsets {
        if first.subset(&subset.subset.name).is_none() {
            first.subsets.push(subset);
        }
    }
}
