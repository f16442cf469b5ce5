//! One stream as a state machine: requests and updates in, responses out one at a time. No I/O,
//! no clock.
//!
//! The rules are those of Envoy's xDS protocol page and of what stock Envoy was measured to do:
//! at most one unanswered response per type; clusters, endpoints, listeners, routes, then what is
//! no more; nothing that the client already holds, unless it asks again. The surprise: an answer
//! may never come (Envoy withholds it while a cluster warms), so waiting for one has an end, which
//! the owner of the clock announces by [`Session::overdue`].

mod delta;
mod held;
mod holdings;
mod ledger;
mod nonce;
mod quarantine;
mod sotw;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use meltemi_proto::resource::Encoded;
use meltemi_types::ProxyKind;

use crate::Assignment;
use crate::debug::TypeStatus;
use crate::error::Unacceptable;
use crate::source::{Confirmed, Event};
use crate::types::{Removal, TABLE, XdsType};
use ledger::{Batch, Ledger, Turn};
use nonce::Nonces;
pub(crate) use sotw::set_version;

/// How many names of one type a stream may hold.
pub const MAX_NAMES: usize = 65_536;
/// How many types a stream may ask for in vain before the rest is not even noted.
const MAX_REFUSED: usize = 16;

/// Which of the two protocols a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// State of the world.
    Sotw,
    /// Incremental.
    Delta,
}

/// One response.
#[derive(Clone, Debug)]
pub struct Push {
    /// The type.
    pub row: &'static XdsType,
    /// The response's own name.
    pub nonce: Arc<str>,
    /// What it brings.
    pub resources: Vec<Arc<Encoded>>,
    /// What is no more (delta).
    pub removed: Vec<Arc<str>>,
    /// Who answers, where the client is to know.
    pub control_plane: Option<Arc<str>>,
}

/// One stream.
#[derive(Debug)]
pub struct Session {
    flavor: Flavor,
    kind: ProxyKind,
    assignment: Arc<Assignment>,
    ledgers: BTreeMap<usize, Ledger>,
    refused: BTreeSet<Arc<str>>,
    /// What was sent before the type was asked for that it makes warm.
    cold: BTreeSet<Arc<str>>,
    nonces: Nonces,
    events: Vec<Event>,
    /// Waiting took too long: types no longer wait for each other until all is sent.
    impatient: bool,
    synced: Option<u64>,
}

impl Session {
    /// A stream that has asked for nothing yet. `stream` must differ from that of any other
    /// stream, also of an earlier process.
    #[must_use]
    pub fn new(flavor: Flavor, kind: ProxyKind, stream: u64, assignment: Arc<Assignment>) -> Self {
        Self {
            flavor,
            kind,
            assignment,
            ledgers: BTreeMap::new(),
            refused: BTreeSet::new(),
            cold: BTreeSet::new(),
            nonces: Nonces::new(stream),
            events: Vec::new(),
            impatient: false,
            synced: None,
        }
    }

    /// A `SotW` request came in.
    ///
    /// # Errors
    /// When the stream has to end.
    pub fn sotw(&mut self, request: &DiscoveryRequest) -> Result<(), Unacceptable> {
        let Some((order, first)) = self.open(&request.type_url)? else {
            return Ok(());
        };
        let Some(ledger) = self.ledgers.get_mut(&order) else {
            return Ok(());
        };
        if sotw::stale(ledger, request) {
            return Ok(());
        }
        let refusal = request.error_detail.as_ref().map(|e| e.message.as_str());
        answered(ledger, &request.response_nonce, refusal, &mut self.events);
        let held = (first && !request.version_info.is_empty()).then_some(&*request.version_info);
        let before = on_demand(ledger);
        sotw::subscribe(ledger, request, held)?;
        tell_names(ledger, before, &mut self.events);
        if first {
            self.distrust(order);
        }
        self.note_synced();
        self.note_confirmed();
        Ok(())
    }

    /// A delta request came in.
    ///
    /// # Errors
    /// When the stream has to end.
    pub fn delta(&mut self, request: &DeltaDiscoveryRequest) -> Result<(), Unacceptable> {
        let Some((order, first)) = self.open(&request.type_url)? else {
            return Ok(());
        };
        let Some(ledger) = self.ledgers.get_mut(&order) else {
            return Ok(());
        };
        let refusal = request.error_detail.as_ref().map(|e| e.message.as_str());
        answered(ledger, &request.response_nonce, refusal, &mut self.events);
        let before = on_demand(ledger);
        delta::subscribe(ledger, request, first)?;
        tell_names(ledger, before, &mut self.events);
        if first {
            self.distrust(order);
        }
        self.note_synced();
        self.note_confirmed();
        Ok(())
    }

    /// Another state is wanted; states that were never sent are skipped.
    pub fn update(&mut self, assignment: Arc<Assignment>) {
        for ledger in self.ledgers.values_mut() {
            ledger.set_layers(assignment.layers(ledger.row.url));
        }
        self.assignment = assignment;
        self.note_confirmed();
    }

    /// The next response, to be called when the client can be written to. `None` when there is
    /// nothing to say before something comes in.
    #[allow(clippy::should_implement_trait, reason = "more can follow a None")]
    pub fn next(&mut self) -> Option<Push> {
        for order in 0..TABLE.len() {
            let Some(ledger) = self.ledgers.get(&order) else {
                continue;
            };
            let free = self.impatient || self.all(ledger.row.after, Ledger::changes_settled);
            let turn = if free { Turn::Changes } else { Turn::Answers };
            if let Some(push) = self.push(order, turn) {
                return Some(push);
            }
        }
        for order in 0..TABLE.len() {
            let Some(ledger) = self.ledgers.get(&order) else {
                continue;
            };
            let Removal::After(types) = ledger.row.removal else {
                continue;
            };
            if (self.impatient || self.all(types, Ledger::settled))
                && let Some(push) = self.push(order, Turn::Removals)
            {
                return Some(push);
            }
        }
        self.impatient &= self.waiting();
        self.note_confirmed();
        None
    }

    fn all(&self, types: &[&str], settled: fn(&Ledger) -> bool) -> bool {
        let mut ledgers = types
            .iter()
            .filter_map(|url| self.ledgers.get(&XdsType::find(url)?.order()));
        ledgers.all(settled)
    }

    fn push(&mut self, order: usize, turn: Turn) -> Option<Push> {
        let ledger = self.ledgers.get_mut(&order)?;
        let row = ledger.row;
        let batch = ledger.batch(turn)?;
        let (resources, removed) = match self.flavor {
            Flavor::Delta => delta::contents(ledger, &batch),
            Flavor::Sotw => match sotw::resources(ledger, &batch) {
                Some(resources) => (resources, Vec::new()),
                None => {
                    ledger.commit(batch);
                    return None;
                }
            },
        };
        let nonce = self.nonces.next();
        let names: Batch = if row.warms.is_some() {
            batch.clone()
        } else {
            Batch::new()
        };
        ledger.launch(nonce.clone(), batch);
        self.tell_warmed(row, &names);
        Some(Push {
            row,
            nonce,
            resources,
            removed,
            control_plane: None,
        })
    }

    /// A cluster that was sent warms until its endpoints are sent (again), also when they are the
    /// same; of a cluster that is taken away Envoy drops the endpoints itself.
    fn tell_warmed(&mut self, row: &XdsType, names: &Batch) {
        let Some(warmed) = row.warms.and_then(XdsType::find) else {
            return;
        };
        let Some(ledger) = self.ledgers.get_mut(&warmed.order()) else {
            self.cold.extend(names.keys().cloned());
            return;
        };
        for (name, brought) in names {
            match brought {
                Some(_) => ledger.owe_again(name),
                None => ledger.abandon(name),
            }
        }
    }

    /// The type that makes this one warm, when there is one.
    fn warmer(order: usize) -> Option<usize> {
        let row = TABLE.get(order)?;
        TABLE.iter().position(|other| other.warms == Some(row.url))
    }

    /// A warming cluster has not seen the endpoints that Envoy got before and reports after a
    /// reconnect; it waits for ever unless they are sent again (measured; envoy#13009). That goes
    /// for clusters sent on this stream before endpoints were asked for; and while a cluster warms
    /// Envoy does not ask for clusters, so without that question nothing is believed.
    fn distrust(&mut self, order: usize) {
        let Some(warmer) = Self::warmer(order) else {
            return;
        };
        let asked = self.ledgers.contains_key(&warmer);
        let cold = std::mem::take(&mut self.cold);
        let Some(ledger) = self.ledgers.get_mut(&order) else {
            return;
        };
        let names: Vec<_> = match asked {
            true => ledger
                .subscription
                .names
                .intersection(&cold)
                .cloned()
                .collect(),
            false => ledger.subscription.names.iter().cloned().collect(),
        };
        names.iter().for_each(|name| ledger.owe(name));
    }

    /// True when there is more to send once the client answers or [`Session::overdue`] is called.
    #[must_use]
    pub fn waiting(&self) -> bool {
        self.ledgers.values().any(Ledger::unsent)
    }

    /// The client took too long to answer what holds other responses back.
    pub fn overdue(&mut self) {
        self.ledgers.values_mut().for_each(Ledger::expire);
        self.impatient = true;
    }

    /// True when a client asked for endpoints but never for clusters. An Envoy with a warming
    /// cluster does so until it is warm; one was seen to go on so for ever (envoy#34334), and then
    /// only a new stream helps.
    #[must_use]
    pub fn lacks_clusters(&self) -> bool {
        let mut ledgers = self.ledgers.keys();
        ledgers.any(|order| Self::warmer(*order).is_some_and(|w| !self.ledgers.contains_key(&w)))
    }

    /// True when [`Session::take_events`] has something to say.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The state of every type that was asked for.
    #[must_use]
    pub fn status(&self) -> Vec<TypeStatus> {
        self.ledgers.values().map(status).collect()
    }

    /// How many resources are in quarantine, by type.
    pub fn quarantined(&self) -> impl Iterator<Item = (&'static XdsType, usize)> + '_ {
        let ledgers = self.ledgers.values();
        ledgers.map(|ledger| (ledger.row, ledger.quarantined()))
    }

    /// The place of the type's ledger, and whether this is the first request for it. `None` when
    /// the type is not served and the stream goes on without it.
    fn open(&mut self, type_url: &str) -> Result<Option<(usize, bool)>, Unacceptable> {
        let row = match XdsType::find(type_url) {
            Some(row) if row.may_ask(self.kind) => row,
            other => return self.refuse(type_url, other).map(|()| None),
        };
        let order = row.order();
        let first = !self.ledgers.contains_key(&order);
        if first {
            let ledger = Ledger::new(row, self.assignment.layers(row.url));
            self.ledgers.insert(order, ledger);
        }
        Ok(Some((order, first)))
    }

    /// A stream that has never asked for anything we have ends with a clear error; one that is
    /// served goes on, since ending it would take away what the client does get.
    fn refuse(&mut self, url: &str, row: Option<&XdsType>) -> Result<(), Unacceptable> {
        if self.ledgers.is_empty() {
            return Err(match row {
                None => Unacceptable::UnknownType(url.to_owned()),
                Some(row) => Unacceptable::NotForClient {
                    type_url: row.url.to_owned(),
                    kind: self.kind.name(),
                },
            });
        }
        if self.refused.len() < MAX_REFUSED && self.refused.insert(url.into()) {
            self.events.push(Event::Refused {
                type_url: url.into(),
                reason: match row {
                    None => "not a type that this control plane serves",
                    Some(_) => "not served to this kind of proxy",
                },
            });
        }
        Ok(())
    }

    fn note_synced(&mut self) {
        let generation = self.assignment.generation;
        let acked = self
            .events
            .iter()
            .rev()
            .find(|event| !matches!(event, Event::Subscribed { .. }));
        let acked = matches!(acked, Some(Event::Acked { .. }));
        if acked && self.synced != Some(generation) && self.ledgers.values().all(Ledger::settled) {
            self.synced = Some(generation);
            self.events.push(Event::Synced { generation });
        }
    }

    /// Says which types have come to rest since they last changed.
    fn note_confirmed(&mut self) {
        let ledgers = self.ledgers.values_mut();
        let rested = ledgers.filter_map(|ledger| {
            let held_back = ledger.confirm()?;
            let type_url = ledger.row.url;
            Some(Confirmed {
                type_url,
                held_back,
            })
        });
        let types: Vec<_> = rested.collect();
        if !types.is_empty() {
            let generation = self.assignment.generation;
            self.events.push(Event::Confirmed { generation, types });
        }
    }
}

/// The names of a type that is made for who asks.
fn on_demand(ledger: &Ledger) -> Option<BTreeSet<Arc<str>>> {
    let names = &ledger.subscription.names;
    ledger.row.on_demand.then(|| names.clone())
}

/// Says which names are wanted, when others are than before.
fn tell_names(ledger: &Ledger, before: Option<BTreeSet<Arc<str>>>, events: &mut Vec<Event>) {
    let names = &ledger.subscription.names;
    if before.is_some_and(|before| before != *names) {
        events.push(Event::Subscribed {
            type_url: ledger.row.url,
            names: names.clone(),
        });
    }
}

/// The client accepted or refused a response.
fn answered(ledger: &mut Ledger, nonce: &str, refusal: Option<&str>, events: &mut Vec<Event>) {
    let type_url = ledger.row.url;
    match refusal {
        Some(message) => {
            let culprits = ledger.reject(nonce, message);
            events.push(Event::Nacked {
                type_url,
                nonce: nonce.into(),
                message: message.into(),
                culprits,
            });
        }
        None if ledger.accept(nonce) => events.push(Event::Acked {
            type_url,
            nonce: nonce.into(),
        }),
        None => {}
    }
}

fn status(ledger: &Ledger) -> TypeStatus {
    let (held, quarantined) = ledger.tally();
    TypeStatus {
        short: ledger.row.short,
        type_url: ledger.row.url,
        wildcard: ledger.subscription.wildcard,
        names: ledger.subscription.names.len(),
        held,
        sent_nonce: ledger.last_nonce.clone(),
        acked_nonce: ledger.acked_nonce.clone(),
        settled: ledger.settled(),
        sent_at: None,
        last_error: ledger.last_error.clone(),
        quarantined,
    }
}

/// Bounds what one stream can make us remember.
fn check_names(row: &XdsType, names: usize) -> Result<(), Unacceptable> {
    if names <= MAX_NAMES {
        return Ok(());
    }
    Err(Unacceptable::TooManyNames {
        type_url: row.url.to_owned(),
        limit: MAX_NAMES,
    })
}
