//! Where snapshots become what each connected proxy should have: the translator and the clients
//! behind one lock that is never held across an await.

mod supply;
mod trust;

use crate::callers::View;
use crate::clients::{Client, Round, Secrets};
use crate::credentials::Supply;
use crate::status::{Book, Handed, Tally};
use crate::{clock, node};
use meltemi_model::{Proxy, Snapshot};
use meltemi_proto::resource::TypeSet;
use meltemi_registry::Published;
use meltemi_translate::compose::{Extent, Outbound};
use meltemi_translate::{Assigned, Translator, document};
use meltemi_types::xds::SECRET;
use meltemi_types::{Code, Diagnostic, Severity, TrustDomain, TypeUrl};
use meltemi_xds::{Attachment, ClientId, ClientInfo, Confirmed, Culprit, Event, Refusal};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, watch};
pub(crate) use trust::Trusting;

/// How many publications are remembered for measuring propagation.
const REMEMBERED: usize = 256;

/// The running control plane's state.
#[derive(Default)]
struct State {
    translator: Translator,
    ready: bool,
    generation: u64,
    seen: VecDeque<(u64, Instant)>,
    clients: BTreeMap<ClientId, Client>,
    rejected: BTreeMap<ClientId, BTreeMap<(TypeUrl, Arc<str>), Diagnostic>>,
    /// Who runs what, where somebody wants to know.
    book: Option<Book>,
    /// Who gets which certificates.
    supply: Supply,
    /// Whom workloads believe; empty until it is known.
    trust: Arc<TypeSet>,
    /// What is wrong with what the mesh says of it.
    distrust: BTreeSet<Diagnostic>,
    /// What of the mesh decides that.
    trusting: watch::Sender<Option<Trusting>>,
    /// The addresses that objects were given.
    handed: watch::Sender<Handed>,
    /// Tells when something may be wrong that was not, outside of a publication.
    moved: Arc<Notify>,
}

/// Shared handle to the state.
#[derive(Clone, Default)]
pub(crate) struct Plane(Arc<Mutex<State>>);

/// A number for a shared part, unique while the part lives.
pub(crate) fn class_of<T>(part: &Arc<T>) -> u64 {
    Arc::as_ptr(part) as u64
}

impl Plane {
    /// A plane that gives out certificates and keeps a book of who runs what, if there is one.
    pub(crate) fn new(book: Option<Book>, supply: Supply) -> Self {
        Self(Arc::new(Mutex::new(State {
            book,
            supply,
            ..State::default()
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next snapshot, first seen at `seen`, and tells every proxy that it touches.
    pub(crate) fn publish(&self, published: Published, seen: Instant) {
        let mut state = self.state();
        let state = &mut *state;
        state.generation += 1;
        state.ready = true;
        state.seen.push_back((state.generation, seen));
        while state.seen.len() > REMEMBERED {
            state.seen.pop_front();
        }
        state.note(|tally| tally.publish(&published.subjects));
        let named = state.supply.publish(&published.snapshot);
        state.trusting.send_if_modified(Trusting::of(&published));
        state.handed.send_if_modified(Handed::of(&published));
        let extent = state
            .translator
            .publish(published.snapshot, &published.endpoints);
        match extent {
            Extent::Nothing => {}
            Extent::Endpoints => state.refresh(),
            Extent::Everything => state.reassign(),
        }
        if named {
            state.supply.tell_needed();
            state.supply_all();
        }
        state.note(Tally::sweep);
        state.translator.forget_unused();
        state.count();
    }

    /// The snapshot in force.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.state().translator.snapshot().clone()
    }

    /// The addresses that objects were given.
    pub(crate) fn handed(&self) -> watch::Receiver<Handed> {
        self.state().handed.subscribe()
    }

    /// The trust domains of the mesh, its own first.
    pub(crate) fn trust_domains(&self) -> Vec<TrustDomain> {
        let mesh = &self.snapshot().mesh;
        let aliases = mesh.config.trust_domain_aliases.iter();
        let aliases = aliases.filter_map(|alias| alias.parse().ok());
        [mesh.trust_domain.clone()]
            .into_iter()
            .chain(aliases)
            .collect()
    }

    /// Everything that is wrong now: objects, translation, and what proxies rejected.
    pub(crate) fn diagnostics(&self) -> BTreeSet<Diagnostic> {
        let state = self.state();
        let mut all = state.translator.diagnostics();
        all.extend(state.translator.snapshot().diagnostics.iter().cloned());
        all.extend(state.rejected.values().flat_map(|r| r.values().cloned()));
        all.extend(state.credentials());
        all.extend(state.distrust.iter().cloned());
        all
    }

    /// What the proxy of this name (`POD.NAMESPACE`) should have, of those that may be seen; without
    /// one of it, the first that has it in its name, as istiod finds them.
    pub(crate) fn held(&self, name: &str, view: &View) -> Option<Held> {
        let state = self.state();
        let mut seen = state.clients.values().filter(|c| view.shows(&c.key));
        let exact = seen.clone().find(|c| &*c.key == name);
        let client = exact.or_else(|| seen.find(|c| c.key.contains(name)))?;
        let objects = state.translator.snapshot().diagnostics.iter().cloned();
        Some(Held {
            node: client.node.clone(),
            proxy: client.proxy.clone(),
            assigned: client.assigned.clone(),
            trust: state.trust.clone(),
            diagnostics: objects.chain(client.assigned.diagnostics()).collect(),
        })
    }

    /// Every connected proxy.
    pub(crate) fn connected(&self) -> BTreeMap<ClientId, Connected> {
        let state = self.state();
        let all = state.clients.iter();
        all.map(|(id, client)| {
            let (node, proxy) = (client.node.clone(), client.proxy.clone());
            (*id, Connected { node, proxy })
        })
        .collect()
    }
}

/// A connected proxy.
#[derive(Debug)]
pub(crate) struct Connected {
    /// Who it says that it is.
    pub(crate) node: Arc<Value>,
    /// The same, understood.
    pub(crate) proxy: Arc<Proxy>,
}

/// What one proxy should have, and all that is wrong with it.
#[derive(Debug)]
pub(crate) struct Held {
    /// Who the proxy says that it is.
    pub(crate) node: Arc<Value>,
    /// The same, understood.
    pub(crate) proxy: Arc<Proxy>,
    /// Its resources.
    pub(crate) assigned: Assigned,
    /// Whom it is told to believe.
    pub(crate) trust: Arc<TypeSet>,
    /// What is wrong with objects and with what was made of them for it.
    pub(crate) diagnostics: BTreeSet<Diagnostic>,
}

impl State {
    fn note(&self, what: impl FnOnce(&mut Tally)) {
        if let Some(book) = &self.book {
            book.note(what);
        }
    }

    /// After a change of endpoints only: classes stand, so each is looked up once.
    fn refresh(&mut self) {
        let mut round = Round::new(&self.trust);
        let mut fresh: HashMap<u64, Arc<Outbound>> = HashMap::new();
        for (id, client) in &mut self.clients {
            let old = class_of(&client.assigned.outbound);
            let outbound = match fresh.get(&old) {
                Some(outbound) => outbound.clone(),
                None => {
                    let next = self
                        .translator
                        .refresh(&client.proxy, &client.assigned)
                        .outbound;
                    fresh.insert(old, next.clone());
                    next
                }
            };
            let next = Assigned {
                outbound,
                inbound: client.assigned.inbound.clone(),
            };
            let same = same_but_endpoints(&client.assigned.outbound, &next.outbound);
            hand_over(client, next, self.generation, &mut round);
            if let Some(book) = self.book.as_ref().filter(|_| !same) {
                let who = (*id, &client.key);
                book.note(|tally| tally.assign(who, &client.assigned, self.generation));
            }
        }
    }

    /// After any other change: every proxy's class and inbound are decided again.
    fn reassign(&mut self) {
        let mut round = Round::new(&self.trust);
        for (id, client) in &mut self.clients {
            let next = self
                .translator
                .assign(&client.proxy, Some(&client.assigned));
            hand_over(client, next, self.generation, &mut round);
            if let Some(book) = &self.book {
                let who = (*id, &client.key);
                book.note(|tally| tally.assign(who, &client.assigned, self.generation));
            }
        }
    }

    fn count(&self) {
        for (name, counts) in self.translator.counts() {
            metrics::counter!("meltemi_translate_builds_total", "type" => name)
                .absolute(counts.builds);
            metrics::counter!("meltemi_encodes_total", "type" => name).absolute(counts.encodes);
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            metrics::gauge!("meltemi_classes", "type" => name).set(counts.classes as f64);
        }
    }

    fn attach(&mut self, client: &ClientInfo) -> Result<Attachment, Refusal> {
        if !self.ready {
            return Err(Refusal::NotReady(
                "the configuration is still being read".into(),
            ));
        }
        let facts = node::facts(&client.node);
        let proxy = Proxy::understand(&facts).map_err(|e| Refusal::BadNode(e.to_string()))?;
        let kind = proxy.kind();
        if !self.translator.snapshot().serves(kind) {
            return Err(Refusal::BadNode(format!(
                "proxies of type {} are not served yet",
                kind.name()
            )));
        }
        let assigned = self.translator.assign(&proxy, None);
        self.count();
        let secrets = Secrets {
            line: client.id.0,
            set: Arc::default(),
        };
        self.supply
            .enter(client.id, &client.identity, &proxy.namespace);
        let assignment = Round::new(&self.trust).assignment(self.generation, (&assigned, &secrets));
        let (cell, updates) = watch::channel(assignment);
        let key = proxy.node.id.clone();
        let proxy = Arc::new(proxy);
        let who = (client.id, &key);
        self.note(|tally| tally.assign(who, &assigned, self.generation));
        self.clients.insert(
            client.id,
            Client {
                key: key.clone(),
                node: Arc::new(document::node(&facts, &client.node.cluster)),
                proxy,
                assigned,
                secrets,
                cell,
            },
        );
        Ok(Attachment { key, kind, updates })
    }

    fn synced(&self, generation: u64) {
        if let Some((_, seen)) = self.seen.iter().find(|(g, _)| *g == generation) {
            let span = clock::now().saturating_duration_since(*seen);
            metrics::histogram!("meltemi_config_propagation_seconds").record(span.as_secs_f64());
            metrics::histogram!("pilot_proxy_convergence_time").record(span.as_secs_f64());
        }
    }

    fn rejected(
        &mut self,
        client: ClientId,
        (url, message): (TypeUrl, &Arc<str>),
        culprits: Vec<Culprit>,
    ) {
        self.note(|tally| tally.refuse(client, (url, message), &culprits));
        let proxy = self.clients.get(&client).map_or("?", |c| &c.key).to_owned();
        let all = self.rejected.entry(client).or_default();
        for culprit in culprits {
            let refused = culprit.refused;
            let last_good = match culprit.last_good {
                Some(_) => "its last good version stays in force there",
                None => "the proxy goes without it",
            };
            let text = format!(
                "proxy {proxy} rejected {}: {message}; {last_good}",
                refused.name
            );
            let diagnostic = Diagnostic {
                code: Code::Rejected,
                severity: Severity::Error,
                origin: refused.origins.first().cloned(),
                location: None,
                message: text.into(),
                remedy: "correct the object that it was made from".into(),
            };
            all.insert((url, refused.name.clone()), diagnostic);
        }
    }

    /// What a proxy refused is over once it has another version, or is not to have it any more.
    fn confirmed(&mut self, client: ClientId, generation: u64, types: &[Confirmed]) {
        self.note(|tally| tally.confirm(client, generation, types));
        let Some(rejected) = self.rejected.get_mut(&client) else {
            return;
        };
        for one in types {
            rejected.retain(|(url, name), _| *url != one.type_url || one.held_back.contains(name));
        }
    }
}

/// True when no other resources than endpoints can differ.
fn same_but_endpoints(a: &Outbound, b: &Outbound) -> bool {
    Arc::ptr_eq(&a.clusters, &b.clusters)
        && Arc::ptr_eq(&a.listeners, &b.listeners)
        && Arc::ptr_eq(&a.routes, &b.routes)
}

/// Puts what a proxy should have into its cell, unless it is what it already has.
fn hand_over(client: &mut Client, next: Assigned, generation: u64, round: &mut Round) {
    let same = Arc::ptr_eq(&client.assigned.outbound, &next.outbound)
        && Arc::ptr_eq(&client.assigned.inbound, &next.inbound);
    client.assigned = next;
    if !same {
        client
            .cell
            .send_replace(round.assignment(generation, (&client.assigned, &client.secrets)));
    }
}

impl Plane {
    /// A client has sent its first request.
    pub(crate) fn attach(&self, client: &ClientInfo) -> Result<Attachment, Refusal> {
        self.state().attach(client)
    }

    /// Something happened on the stream of an attached client.
    pub(crate) fn report(&self, client: ClientId, event: Event) {
        let mut state = self.state();
        match event {
            Event::Acked {
                type_url: _,
                nonce: _,
            } => {}
            Event::Nacked {
                type_url,
                nonce: _,
                message,
                culprits,
            } => {
                tracing::warn!(client = client.0, type_url, error = %message, "proxy rejected configuration");
                state.rejected(client, (type_url, &message), culprits);
            }
            Event::Synced { generation } => state.synced(generation),
            Event::Confirmed { generation, types } => state.confirmed(client, generation, &types),
            Event::Refused { type_url, reason } => {
                tracing::warn!(client = client.0, %type_url, reason, "proxy asked for a type it does not get");
            }
            Event::Subscribed { type_url, names } => {
                if type_url == SECRET {
                    state.supply.want(client, names, clock::now());
                    state.supply(client);
                }
            }
            Event::Detached => {
                state.supply.leave(client);
                state.clients.remove(&client);
                state.rejected.remove(&client);
                state.note(|tally| tally.remove(client));
            }
        }
    }
}
