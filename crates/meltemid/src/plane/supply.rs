//! Certificates reach proxies beside the mesh: a changed Secret goes to those who asked for it, at once,
//! and nothing is translated for it.

use super::{Plane, State};
use crate::clients::{Client, Round};
use crate::clock;
use meltemi_api::Change;
use meltemi_types::{Diagnostic, ObjectRef};
use meltemi_xds::{Account, ClientId};
use std::collections::BTreeSet;
use std::sync::Arc;

impl State {
    /// Puts what a proxy should have now into its cell, if that is something else than before.
    pub(super) fn supply(&mut self, id: ClientId) {
        let Some(set) = self.supply.serve(id, clock::now()) else {
            return;
        };
        if let Some(client) = self.clients.get_mut(&id) {
            client.secrets.set = set;
            let made = (&client.assigned, &client.secrets);
            let assignment = Round::new(&self.trust).assignment(self.generation, made);
            client.cell.send_replace(assignment);
        }
    }

    /// The same for every proxy that asks for something.
    pub(super) fn supply_all(&mut self) {
        for id in self.supply.asking() {
            self.supply(id);
        }
    }

    /// What is wrong with certificates, said of those who name them and have such a proxy.
    pub(super) fn credentials(&self) -> BTreeSet<Diagnostic> {
        let mut all = self.supply.flaws();
        for trouble in self.supply.troubles(clock::now()) {
            let Some(client) = self.clients.get(&trouble.client) else {
                continue;
            };
            let made_of = objects(client);
            for origin in &trouble.named {
                if made_of.contains(&origin.object) {
                    all.insert(trouble.of(origin.clone()));
                }
            }
        }
        all
    }

    /// Something may be wrong that was not, or the other way round.
    pub(super) fn moved(&self) {
        self.note(|_| {});
        self.moved.notify_one();
    }
}

/// What a proxy's listeners and clusters are made of.
fn objects(client: &Client) -> BTreeSet<Arc<ObjectRef>> {
    let (outbound, inbound) = (&client.assigned.outbound, &client.assigned.inbound);
    let sets = [
        &outbound.listeners,
        &outbound.clusters,
        &inbound.listeners,
        &inbound.clusters,
    ];
    let resources = sets.into_iter().flat_map(|set| set.resources.values());
    let origins = resources.flat_map(|resource| resource.origins.iter());
    origins.map(|origin| origin.object.clone()).collect()
}

impl Plane {
    /// Takes a change of what holds certificates.
    pub(crate) fn credential(&self, change: &Change) {
        let mut state = self.state();
        let askers = state.supply.take(change);
        for id in &askers {
            state.supply(*id);
        }
        if !askers.is_empty() {
            state.moved();
        }
    }

    /// Whether an account may read Secrets was told; `None` when the API server does not say.
    pub(crate) fn decided(&self, account: &Account, may: Option<bool>) {
        let mut state = self.state();
        for id in state.supply.decided(account, (may, clock::now())) {
            state.supply(id);
        }
        state.moved();
    }

    /// Looks again at what proxies wait for.
    pub(crate) fn look_again(&self) {
        let mut state = self.state();
        let waiting = state.supply.waiting(clock::now());
        for id in &waiting {
            state.supply(*id);
        }
        if !waiting.is_empty() {
            state.moved();
        }
    }

    /// Ends when something may be wrong that was not, outside of a publication.
    pub(crate) async fn has_moved(&self) {
        let moved = self.state().moved.clone();
        moved.notified().await;
    }
}
