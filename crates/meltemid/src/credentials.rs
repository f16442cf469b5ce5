//! Which certificates each connected proxy gets: what it asks for, if configuration names it, if it lies
//! in the proxy's own namespace, and if its account may read Secrets there. Decided on every serve.
//!
//! Follows xds.md 6.4 and reliability.md T06 to T08. The surprise: while a right is not known, a proxy
//! keeps what it has and gets nothing new; only a refusal takes something out, and Envoy goes on with
//! what it was given before.

mod clerk;
mod rights;
mod trouble;
mod vault;

pub(crate) use clerk::{Clerk, Readers};

use meltemi_api::Change;
use meltemi_kube::Needed;
use meltemi_model::{CredentialName, GatewayIndex, PolicyIndex, Snapshot};
use meltemi_proto::resource::{Encoded, TypeSet};
use meltemi_translate::credential::{Named, named};
use meltemi_types::{ClusterId, Namespace};
use meltemi_xds::{Account, ClientId, Identity};
use rights::{Right, Rights};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use vault::Vault;

/// So long something may be on its way before it is said to be missing.
const PATIENCE: Duration = Duration::from_secs(3);

/// As whom a proxy asks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// Nothing is proved: it gets nothing.
    Nobody,
    /// A proved account.
    Account(Account),
}

/// A connected proxy.
#[derive(Debug)]
struct Asker {
    who: Who,
    namespace: Namespace,
    /// What it asks for, and since when; `None` where the name means nothing.
    wants: BTreeMap<Arc<str>, (Option<CredentialName>, Instant)>,
    /// What it should have.
    set: Arc<TypeSet>,
    /// Something that it asks for is not there, or not decided.
    open: bool,
    /// What it may not have, as last said.
    refused: BTreeSet<Arc<str>>,
}

type Basis = (Arc<GatewayIndex>, Arc<PolicyIndex>);

/// What becomes of one name.
enum Answer {
    Given(Arc<Encoded>),
    /// What it had before, if anything.
    Kept,
    Missing,
    Refused,
}

/// Certificates, rights and who asks. Behind the plane's lock; never waits.
#[derive(Debug)]
pub(crate) struct Supply {
    cluster: ClusterId,
    vault: Vault,
    rights: Rights,
    named: Named,
    /// What that was made from.
    basis: Option<Basis>,
    askers: BTreeMap<ClientId, Asker>,
    needed: watch::Sender<BTreeSet<Needed>>,
}

impl Default for Supply {
    fn default() -> Self {
        Self::new(ClusterId::default()).0
    }
}

/// The other ends of a supply.
pub(crate) struct Ends {
    /// The accounts whose rights are not known.
    pub(crate) questions: mpsc::UnboundedReceiver<Account>,
    /// What has to be read.
    pub(crate) needed: watch::Receiver<BTreeSet<Needed>>,
}

impl Supply {
    /// One for the objects of a cluster.
    pub(crate) fn new(cluster: ClusterId) -> (Self, Ends) {
        let (needed, needs) = watch::channel(BTreeSet::new());
        let (rights, questions) = Rights::new();
        let supply = Self {
            cluster,
            vault: Vault::default(),
            rights,
            named: Named::new(),
            basis: None,
            askers: BTreeMap::new(),
            needed,
        };
        let ends = Ends {
            questions,
            needed: needs,
        };
        (supply, ends)
    }

    /// Takes a change of a Secret or ConfigMap, and says who asks for it.
    pub(crate) fn take(&mut self, change: &Change) -> Vec<ClientId> {
        let Some(touched) = self.vault.take(change, &self.cluster) else {
            return Vec::new();
        };
        let asks = |asker: &Asker| asker.needs().any(|needed| needed == touched);
        let askers = self.askers.iter().filter(|(_, asker)| asks(asker));
        askers.map(|(id, _)| *id).collect()
    }

    /// Takes what the next snapshot names; true when it names something else than the last.
    pub(crate) fn publish(&mut self, snapshot: &Snapshot) -> bool {
        let basis = (snapshot.gateways.clone(), snapshot.policies.clone());
        let same = |(gateways, policies): &Basis| {
            Arc::ptr_eq(gateways, &basis.0) && Arc::ptr_eq(policies, &basis.1)
        };
        if self.basis.as_ref().is_some_and(same) {
            return false;
        }
        self.basis = Some(basis);
        let named = named(snapshot);
        let differs = named != self.named;
        self.named = named;
        differs
    }

    /// A proxy has connected, which says to be of that namespace.
    pub(crate) fn enter(&mut self, id: ClientId, identity: &Identity, namespace: &Namespace) {
        let who = match identity {
            Identity::Proxy { account, pod: _ } => Who::Account(account.clone()),
            Identity::Unasked | Identity::DebugOnly { .. } => Who::Nobody,
        };
        // The namespace of who is known is the proved one, whatever a node may say.
        let namespace = match &who {
            Who::Account(account) => account.namespace.clone(),
            Who::Nobody => namespace.clone(),
        };
        let asker = Asker {
            who,
            namespace,
            wants: BTreeMap::new(),
            set: Arc::default(),
            open: false,
            refused: BTreeSet::new(),
        };
        self.askers.insert(id, asker);
    }

    /// A proxy is gone.
    pub(crate) fn leave(&mut self, id: ClientId) {
        if let Some(gone) = self.askers.remove(&id)
            && !gone.wants.is_empty()
        {
            self.tell_needed();
        }
    }

    /// A proxy asks for these names, and for no others any more.
    pub(crate) fn want(&mut self, id: ClientId, names: BTreeSet<Arc<str>>, now: Instant) {
        if let Some(asker) = self.askers.get_mut(&id) {
            let mut before = std::mem::take(&mut asker.wants);
            let want = |text: Arc<str>| {
                let known = before.remove(&text);
                let want = known.unwrap_or_else(|| (CredentialName::read(&text), now));
                (text, want)
            };
            asker.wants = names.into_iter().map(want).collect();
            self.tell_needed();
        }
    }

    /// Says what has to be read, when that is something else than before.
    pub(crate) fn tell_needed(&self) {
        let askers = self.askers.values().filter(|a| a.who != Who::Nobody);
        let needed: BTreeSet<Needed> = askers
            .flat_map(|asker| asker.needs_of(|text| self.named.contains_key(text)))
            .collect();
        self.needed.send_if_modified(|before| {
            let differs = *before != needed;
            *before = needed;
            differs
        });
    }

    /// What a proxy should have now; `None` when that is what it should have had before.
    pub(crate) fn serve(&mut self, id: ClientId, now: Instant) -> Option<Arc<TypeSet>> {
        let asker = self.askers.get_mut(&id)?;
        let mut resources = BTreeMap::new();
        let mut refused = BTreeSet::new();
        let mut open = false;
        for (text, (name, _)) in &asker.wants {
            let is_named = self.named.contains_key(&**text);
            let answer = match name.as_ref().filter(|name| is_named && asker.owns(name)) {
                Some(name) => match right(&asker.who, name, (&mut self.rights, now)) {
                    Right::Granted => {
                        let found = self.vault.resource((text, name), &asker.namespace);
                        found.map_or(Answer::Missing, Answer::Given)
                    }
                    Right::Unknown => Answer::Kept,
                    Right::Refused => Answer::Refused,
                },
                None => Answer::Refused,
            };
            open |= !matches!(answer, Answer::Given(_));
            match answer {
                Answer::Given(resource) => {
                    resources.insert(text.clone(), resource);
                }
                Answer::Kept => {
                    let had = asker.set.resources.get(text);
                    resources.extend(had.map(|had| (text.clone(), had.clone())));
                }
                Answer::Refused => {
                    refused.insert(text.clone());
                }
                Answer::Missing => {}
            }
        }
        asker.open = open;
        if !refused.is_empty() && refused != asker.refused {
            tracing::warn!(client = id.0, namespace = %asker.namespace, names = ?refused, "a proxy asks for certificates that it does not get");
        }
        asker.refused = refused;
        let next = TypeSet::next(Some(&asker.set), resources);
        let same = Arc::ptr_eq(&next, &asker.set);
        asker.set = next.clone();
        (!same).then_some(next)
    }

    /// Whether an account may read Secrets was told; `None` when the API server does not say.
    pub(crate) fn decided(
        &mut self,
        account: &Account,
        (may, now): (Option<bool>, Instant),
    ) -> Vec<ClientId> {
        self.rights.decided(account, (may, now));
        let who = Who::Account(account.clone());
        let askers = self.askers.iter().filter(|(_, asker)| asker.who == who);
        askers.map(|(id, _)| *id).collect()
    }

    /// The proxies that wait for something.
    pub(crate) fn waiting(&mut self, now: Instant) -> Vec<ClientId> {
        self.rights.forget(now);
        let open = self.askers.iter().filter(|(_, asker)| asker.open);
        open.map(|(id, _)| *id).collect()
    }

    /// All proxies that ask for something.
    pub(crate) fn asking(&self) -> Vec<ClientId> {
        let asking = self.askers.iter().filter(|(_, a)| !a.wants.is_empty());
        asking.map(|(id, _)| *id).collect()
    }
}

impl Asker {
    /// Certificates are for proxies of their own namespace only.
    fn owns(&self, name: &CredentialName) -> bool {
        let namespace = name.namespace.as_ref();
        namespace.is_none_or(|namespace| *namespace == self.namespace)
    }

    fn needs(&self) -> impl Iterator<Item = Needed> + '_ {
        self.needs_of(|_| true)
    }

    /// The objects that may hold what it may ask for, of the names that `named` takes.
    fn needs_of(&self, named: impl Fn(&str) -> bool) -> impl Iterator<Item = Needed> {
        let names = self.wants.iter().filter(move |(text, _)| named(text));
        let names = names.filter_map(|(_, (name, _))| name.as_ref());
        let names = names.filter(|name| self.owns(name));
        names.flat_map(|name| vault::objects(name, &self.namespace))
    }
}

/// Whether a proxy may have what it names, of its own namespace. Authorities are no secret.
fn right(who: &Who, name: &CredentialName, (rights, now): (&mut Rights, Instant)) -> Right {
    match who {
        Who::Nobody => Right::Refused,
        Who::Account(_) if name.is_authorities() => Right::Granted,
        Who::Account(account) => rights.of(account, now),
    }
}

#[cfg(test)]
mod tests;
