//! Whom workloads believe reaches proxies beside the mesh: it goes to every one at once, and nothing is
//! translated for it.

use super::{Plane, State};
use crate::clients::Round;
use meltemi_api::Resource;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_proto::resource::{Encoded, TypeSet};
use meltemi_registry::Published;
use meltemi_types::{Diagnostic, TrustDomain};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

/// What of the mesh decides whom workloads believe.
#[derive(Clone, Debug)]
pub(crate) struct Trusting {
    /// Its configuration.
    pub(crate) config: Arc<MeshConfig>,
    /// Its trust domain.
    pub(crate) domain: TrustDomain,
    /// The configuration as it was written, if it was.
    pub(crate) written: Option<Arc<Resource<MeshConfig>>>,
}

impl Trusting {
    /// Puts what was published in place of what was known, and says whether it is something else.
    pub(super) fn of(published: &Published) -> impl FnOnce(&mut Option<Self>) -> bool {
        let mesh = &published.snapshot.mesh;
        let next = Self {
            config: mesh.config.clone(),
            domain: mesh.trust_domain.clone(),
            written: published.mesh.clone(),
        };
        |known| {
            let same = known.as_ref().is_some_and(|known| {
                Arc::ptr_eq(&known.config, &next.config)
                    && known.domain == next.domain
                    && known.written.as_ref().map(Arc::as_ptr)
                        == next.written.as_ref().map(Arc::as_ptr)
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

    /// Tells every workload whom to believe, if that is something else than before, and says what is
    /// wrong with what the mesh says of it.
    pub(crate) fn believe(&self, told: Encoded, faults: BTreeSet<Diagnostic>) {
        let mut state = self.state();
        if state.distrust != faults {
            state.distrust = faults;
            state.moved();
        }
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
