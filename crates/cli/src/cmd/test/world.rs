//! The mesh of a scenario, through the code of the control plane, and what its proxies hold.

use crate::failure::{Failure, INTERNAL};
use crate::node::Node;
use crate::scenario::Scenario;
use meltemi_registry::{Registry, Settings};
use meltemi_simulate::Config;
use meltemi_translate::Translator;
use meltemi_types::{Code, Diagnostic, Location};
use std::collections::BTreeSet;

/// The mesh of a scenario.
pub(super) struct World {
    translator: Translator,
    /// What was found wrong so far.
    pub(super) diagnostics: BTreeSet<Diagnostic>,
    file: std::sync::Arc<str>,
}

impl World {
    /// Reads the objects of a scenario.
    pub(super) fn of(scenario: &Scenario) -> Result<Self, Failure> {
        let mut registry = Registry::new(Settings::default());
        for change in scenario.changes()? {
            registry.apply(change);
        }
        let snapshot = registry.publish().snapshot;
        Ok(Self {
            diagnostics: snapshot.diagnostics.iter().cloned().collect(),
            translator: Translator::new(snapshot),
            file: scenario.file.clone(),
        })
    }

    /// What the proxy is given, decoded again; `None` when proxies of its kind are not served.
    pub(super) fn held(&mut self, node: &Node) -> Result<Option<Config>, Failure> {
        let proxy = node.proxy()?;
        if !self.translator.snapshot().serves(proxy.kind()) {
            let location = Location {
                file: self.file.clone(),
                line: 0,
                column: 0,
            };
            let kind = proxy.kind().name();
            self.diagnostics.insert(Diagnostic {
                severity: meltemi_types::Severity::Warning,
                ..Diagnostic::in_text(
                    Code::NotSupportedYet,
                    location,
                    format!("proxies of type {kind} are not served yet"),
                    "use sidecar or router",
                )
            });
            return Ok(None);
        }
        let assigned = self.translator.assign(&proxy, None);
        self.diagnostics.extend(assigned.diagnostics());
        let (outbound, inbound) = (&assigned.outbound, &assigned.inbound);
        let sets = [
            &outbound.clusters,
            &inbound.clusters,
            &outbound.endpoints,
            &outbound.listeners,
            &inbound.listeners,
            &outbound.routes,
        ];
        let resources = sets.into_iter().flat_map(|set| set.resources.values());
        let config = Config::decode(resources.map(|resource| &**resource))
            .map_err(|error| Failure::new(INTERNAL, error.to_string()))?;
        Ok(Some(config))
    }
}
