//! Counts what changes, under Istio's names for it: the dashboards show events of the API server,
//! what triggered a push, and how many services there are.
//!
//! Kinds, not objects, are labels, so there are no more series than kinds.

use meltemi_api::kinds::KINDS;
use meltemi_api::{Change, Kind, Object};
use meltemi_model::Snapshot;
use meltemi_types::ObjectRef;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What has changed so far.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Objects that are there: what comes again is an update.
    known: HashSet<Arc<ObjectRef>>,
    /// Changes that have not been published yet, by trigger.
    pending: BTreeMap<&'static str, u64>,
}

/// What of the mesh a kind is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Services, endpoints and what is behind them; with Istio's name for the registry's event.
    Registry(&'static str),
    /// Everything else that is written by people.
    Config,
}

fn role(kind: &str) -> Role {
    match kind {
        "Service" => Role::Registry("Services"),
        "EndpointSlice" | "Endpoints" => Role::Registry("EndpointSlice"),
        "Pod" => Role::Registry("Pods"),
        "Node" => Role::Registry("Nodes"),
        "Namespace" => Role::Registry("Namespaces"),
        _ => Role::Config,
    }
}

/// Istio's word for what makes a push necessary.
fn trigger(kind: &str) -> &'static str {
    match kind {
        "Service" | "ServiceEntry" => "service",
        "EndpointSlice" | "Endpoints" | "Pod" | "WorkloadEntry" => "endpoint",
        "Namespace" => "namespace",
        "Node" => "proxy",
        "MeshConfig" => "global",
        "Secret" => "secret",
        _ => "config",
    }
}

/// Istio's word for what came in.
fn update(kind: &str, event: &str) -> &'static str {
    match (trigger(kind), event) {
        ("endpoint", _) => "eds",
        ("service", "delete") => "svcdelete",
        ("service", _) => "svc",
        _ => "config",
    }
}

impl Events {
    /// Something was said.
    pub(crate) fn note(&mut self, change: &Change) {
        match change {
            Change::Upsert(object) => self.upsert(object),
            Change::Delete(object) => {
                self.known.remove(object);
                self.count(&object.kind, "delete");
            }
            Change::Broken(_) | Change::Findings { .. } | Change::Synced { .. } => {}
        }
    }

    fn upsert(&mut self, object: &Object) {
        let new = self.known.insert(object.key().clone());
        self.count(object.kind().name(), if new { "add" } else { "update" });
    }

    fn count(&mut self, kind: &str, event: &'static str) {
        // Only kinds that are watched, so that labels are bounded.
        let Some(kind) = KINDS.iter().find(|info| info.name == kind) else {
            self.pend(kind);
            return;
        };
        let (name, label) = match role(kind.name) {
            Role::Registry(label) => ("pilot_k8s_reg_events", label),
            Role::Config => ("pilot_k8s_cfg_events", kind.name),
        };
        metrics::counter!(name, "type" => label, "event" => event).increment(1);
        metrics::counter!("pilot_inbound_updates", "type" => update(kind.name, event)).increment(1);
        self.pend(kind.name);
    }

    fn pend(&mut self, kind: &str) {
        *self.pending.entry(trigger(kind)).or_default() += 1;
    }

    /// All that was said so far is in `snapshot`.
    pub(crate) fn published(&mut self, snapshot: &Snapshot) {
        for (trigger, count) in std::mem::take(&mut self.pending) {
            metrics::counter!("pilot_push_triggers", "type" => trigger).increment(count);
        }
        let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        metrics::gauge!("pilot_services").set(number(snapshot.services.len()));
        let tables = snapshot.routes.tables.iter();
        let written = tables.filter(|t| *t.origin.object.kind == *Kind::VirtualService.name());
        metrics::gauge!("pilot_virt_services").set(number(written.count()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_words_of_istios() {
        let triggers = [
            "endpoint",
            "config",
            "service",
            "proxy",
            "global",
            "secret",
            "namespace",
        ];
        for info in KINDS {
            assert!(triggers.contains(&trigger(info.name)), "{}", info.name);
        }
        assert_eq!(update("Service", "delete"), "svcdelete");
        assert_eq!(update("EndpointSlice", "add"), "eds");
        assert_eq!(update("VirtualService", "delete"), "config");
        assert_eq!(role("Pod"), Role::Registry("Pods"));
    }
}
