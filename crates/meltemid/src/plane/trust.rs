//! Whom workloads believe reaches proxies beside the mesh: it goes to every one at once, and nothing is
//! translated for it.

use super::{Plane, State};
use crate::clients::Round;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_model::Snapshot;
use meltemi_proto::resource::{Encoded, TypeSet};
use meltemi_types::TrustDomain;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// What of the mesh decides whom workloads believe.
#[derive(Clone, Debug)]
pub(crate) struct Trusting {
    /// Its configuration.
    pub(crate) config: Arc<MeshConfig>,
    /// Its trust domain.
    pub(crate) domain: TrustDomain,
}

impl Trusting {
    /// Puts that of a snapshot in place of what was known, and says whether it is something else.
    pub(super) fn of(snapshot: &Snapshot) -> impl FnOnce(&mut Option<Self>) -> bool {
        let next = Self {
            config: snapshot.mesh.config.clone(),
            domain: snapshot.mesh.trust_domain.clone(),
        };
        |known| {
            let same = known.as_ref().is_some_and(|known| {
                Arc::ptr_eq(&known.config, &next.config) && known.domain == next.domain
            });
            if !same {
                *known = Some(next);
            }
            !same
        }
    }
}

impl Plane {
    /// What of the mesh decides whom workloads believe; `None` until configuration was read.
    pub(crate) fn trusting(&self) -> watch::Receiver<Option<Trusting>> {
        self.state().trusting.subscribe()
    }

    /// Tells every workload whom to believe, if that is something else than before.
    pub(crate) fn believe(&self, told: Encoded) {
        let mut state = self.state();
        let one = BTreeMap::from([(told.name.clone(), Arc::new(told))]);
        let next = TypeSet::next(Some(&state.trust), one);
        if Arc::ptr_eq(&next, &state.trust) {
            return;
        }
        state.trust = next;
        state.retell();
    }
}

impl State {
    fn retell(&mut self) {
        let mut round = Round::new(&self.trust);
        for client in self.clients.values_mut() {
            let made = (&client.assigned, &client.secrets);
            let assignment = round.assignment(self.generation, made);
            client.cell.send_replace(assignment);
        }
    }
}
