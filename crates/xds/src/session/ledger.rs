//! The books of one type on one stream: what the client holds, what is on its way, what is owed.
//!
//! `have` is what the client confirmed (or reported on reconnect). A response on its way lies over
//! it until it is answered; a refusal takes it off again. `todo` and `removals` are exact at all
//! times: they are the difference between what is wanted and what the client will hold, so
//! any number of updates collapses into one response.

mod verdict;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use meltemi_proto::resource::Encoded;

use super::held::Held;
use super::holdings::Holdings;
use super::quarantine::Quarantine;
use super::subscription::Subscription;
use crate::assignment::{Difference, Layer, difference, find};
use crate::types::{Missing, Removal, XdsType};

/// Responses that a client left unanswered beyond this many are taken as accepted.
const MAX_UNANSWERED: usize = 16;

/// Why a name has to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It differs from what the client will hold.
    Changed,
    /// The client waits for it, whatever it holds.
    Owed,
}

/// What a client should hold under one name.
enum Target {
    /// This resource.
    Send(Arc<Encoded>),
    /// The wanted version was refused: what it holds now.
    Keep,
    /// Nothing.
    Gone,
}

/// Which part of what is to be sent may go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Only what the client waits for.
    Answers,
    /// What the client waits for and what changed.
    Changes,
    /// What is no more.
    Removals,
}

/// What one response changes: a resource, or nothing under that name.
pub(crate) type Batch = BTreeMap<Arc<str>, Option<Arc<Encoded>>>;

/// A response that was not answered yet.
#[derive(Debug)]
struct Flight {
    nonce: Arc<str>,
    items: Batch,
    overdue: bool,
}

/// The books of one type on one stream.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) row: &'static XdsType,
    pub(crate) subscription: Subscription,
    /// Something has to be said even when there is nothing to send.
    pub(crate) must_answer: bool,
    pub(crate) last_nonce: Option<Arc<str>>,
    pub(crate) acked_nonce: Option<Arc<str>>,
    pub(crate) last_error: Option<Arc<str>>,
    /// Something of it has changed since it was last said to be at rest.
    pub(crate) unrest: bool,
    layers: Vec<Layer>,
    have: Holdings,
    todo: BTreeMap<Arc<str>, Why>,
    removals: BTreeSet<Arc<str>>,
    flights: VecDeque<Flight>,
    quarantine: Quarantine,
}

impl Ledger {
    pub(crate) fn new(row: &'static XdsType, layers: &[Layer]) -> Self {
        Self {
            row,
            subscription: Subscription::default(),
            must_answer: false,
            last_nonce: None,
            acked_nonce: None,
            last_error: None,
            unrest: true,
            layers: layers.to_vec(),
            have: Holdings::default(),
            todo: BTreeMap::new(),
            removals: BTreeSet::new(),
            flights: VecDeque::new(),
            quarantine: Quarantine::default(),
        }
    }

    /// The shared text of a name, when a resource has it.
    pub(crate) fn intern(&self, name: &str) -> Arc<str> {
        find(&self.layers, name).map_or_else(|| name.into(), |resource| resource.name.clone())
    }

    /// Another state is wanted.
    pub(crate) fn set_layers(&mut self, layers: &[Layer]) {
        let difference = difference(&self.layers, layers);
        if difference == Difference::None {
            return;
        }
        self.layers = layers.to_vec();
        self.unrest = true;
        match difference {
            Difference::Names(names) => names.iter().for_each(|name| self.recheck(name)),
            Difference::Unknown | Difference::None => self.recheck_all(),
        }
    }

    /// The client says that it holds this version.
    pub(crate) fn report(&mut self, name: &Arc<str>, version: &str) {
        let held = match find(&self.layers, name) {
            Some(resource) if *resource.version == *version => Held::Sent(resource.clone()),
            None if self.row.missing == Missing::EmptyResource
                && *empty(self.row, name).version == *version =>
            {
                Held::Absent
            }
            Some(_) | None => Held::Reported(version.into()),
        };
        self.have.insert(name.clone(), held);
        self.recheck(name);
    }

    /// The client holds exactly what is wanted.
    pub(crate) fn adopt(&mut self) {
        for name in self.known_names() {
            if let Target::Send(resource) = self.target(&name) {
                self.have.insert(name, Held::Sent(resource));
            }
        }
        self.recheck_all();
    }

    /// The client waits for that name.
    pub(crate) fn owe(&mut self, name: &Arc<str>) {
        self.todo.insert(name.clone(), Why::Owed);
        self.removals.remove(name);
    }

    /// The client waits for that name again, when it is one it asked for.
    pub(crate) fn owe_again(&mut self, name: &Arc<str>) {
        if self.subscription.explicit(name) {
            self.owe(name);
        }
    }

    /// The client has lost interest in that name by itself.
    pub(crate) fn abandon(&mut self, name: &Arc<str>) {
        if self.subscription.explicit(name) && self.removals.remove(name) {
            self.have.insert(name.clone(), Held::Absent);
        }
    }

    /// True when the client will hold something under that name.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.expected(name).is_some()
    }

    /// Compares one name anew.
    pub(crate) fn recheck(&mut self, name: &Arc<str>) {
        if !self.subscription.covers(name) {
            self.have.remove(name);
            self.todo.remove(name);
            self.removals.remove(name);
            self.quarantine.lift(name);
            return;
        }
        let target = self.target(name);
        let (send, remove) = match (&target, self.expected(name)) {
            (Target::Keep, _) | (Target::Gone, Some(Held::Absent)) => (false, false),
            (Target::Send(wanted), held) => {
                let held = held.as_ref().and_then(Held::version);
                (held != Some(&wanted.version), false)
            }
            (Target::Gone, Some(Held::Sent(_) | Held::Reported(_) | Held::Unsure(_))) => {
                (false, true)
            }
            (Target::Gone, None) => (self.subscription.explicit(name), false),
        };
        if !matches!(target, Target::Keep) {
            self.quarantine.lift(name);
        }
        let owed = self.todo.get(name) == Some(&Why::Owed);
        if remove && !owed {
            self.removals.insert(name.clone());
        } else {
            self.removals.remove(name);
        }
        if send && !owed {
            let answer = matches!(target, Target::Gone);
            let why = if answer { Why::Owed } else { Why::Changed };
            self.todo.insert(name.clone(), why);
        } else if !owed {
            self.todo.remove(name);
        }
    }

    /// Compares everything anew.
    pub(crate) fn recheck_all(&mut self) {
        for name in self.known_names() {
            self.recheck(&name);
        }
    }

    fn known_names(&self) -> BTreeSet<Arc<str>> {
        let mut names = self.subscription.names.clone();
        if self.subscription.wildcard {
            let resources = self.layers.iter().flat_map(|layer| &layer.set.resources);
            names.extend(resources.map(|(name, _)| name.clone()));
        }
        let flying = self.flights.iter().flat_map(|flight| flight.items.keys());
        names.extend(
            self.have
                .names()
                .chain(self.todo.keys())
                .chain(flying)
                .cloned(),
        );
        names
    }

    fn target(&self, name: &str) -> Target {
        match find(&self.layers, name) {
            None => Target::Gone,
            Some(wanted) if self.quarantine.holds(name, &wanted.version) => Target::Keep,
            Some(wanted) => Target::Send(wanted.clone()),
        }
    }

    /// What the client holds once everything on its way is accepted.
    fn expected(&self, name: &str) -> Option<Held> {
        let flights = self.flights.iter().rev();
        flights
            .filter_map(|flight| flight.items.get(name))
            .next()
            .map(|brought| Held::from(brought.clone()))
            .or_else(|| self.have.get(name))
    }

    /// True when nothing may be sent before the client answers.
    fn blocked(&self) -> bool {
        self.flights.iter().any(|flight| !flight.overdue)
    }

    /// True when all changes were sent and answered.
    pub(crate) fn changes_settled(&self) -> bool {
        self.todo.is_empty() && !self.blocked() && {
            self.row.removal != Removal::WithChanges || self.removals.is_empty()
        }
    }

    /// True when everything was sent and answered.
    pub(crate) fn settled(&self) -> bool {
        self.todo.is_empty() && self.removals.is_empty() && !self.must_answer && !self.blocked()
    }

    /// The names that are held back, when everything was sent and answered, which is said once.
    pub(crate) fn confirm(&mut self) -> Option<Vec<Arc<str>>> {
        if !self.unrest || !self.settled() || !self.flights.is_empty() {
            return None;
        }
        self.unrest = false;
        Some(self.quarantine.names().cloned().collect())
    }

    /// True when there is something left to send.
    pub(crate) fn unsent(&self) -> bool {
        !self.todo.is_empty() || !self.removals.is_empty() || self.must_answer
    }

    /// The client took too long: go on without its answer.
    pub(crate) fn expire(&mut self) {
        for flight in &mut self.flights {
            flight.overdue = true;
        }
    }

    /// Takes what may be sent now. `None` when there is nothing, or the client has to answer
    /// first.
    pub(crate) fn batch(&mut self, turn: Turn) -> Option<Batch> {
        if self.blocked() {
            return None;
        }
        let turn = match turn {
            Turn::Answers if self.must_answer => Turn::Changes,
            Turn::Answers | Turn::Changes | Turn::Removals => turn,
        };
        let mut batch = Batch::new();
        if turn != Turn::Removals {
            for name in self.ready(turn) {
                self.todo.remove(&name);
                self.answer(name, &mut batch);
            }
        }
        let removing = match self.row.removal {
            Removal::WithChanges => turn == Turn::Changes,
            Removal::After(_) => turn == Turn::Removals,
        };
        if removing {
            let removals = std::mem::take(&mut self.removals);
            batch.extend(removals.into_iter().map(|name| (name, None)));
        }
        let speak = self.must_answer && turn != Turn::Removals;
        (speak || !batch.is_empty()).then_some(batch)
    }

    fn ready(&mut self, turn: Turn) -> Vec<Arc<str>> {
        let todo = &self.todo;
        let ready = todo
            .iter()
            .filter(|(_, why)| turn == Turn::Changes || **why == Why::Owed)
            .map(|(name, _)| name.clone())
            .collect();
        self.quarantine.admit(ready, |name| todo.contains_key(name))
    }

    /// Puts in what a client is answered that waits for a name: nothing when all that is known is
    /// which version it holds.
    fn answer(&self, name: Arc<str>, batch: &mut Batch) {
        let held = self.expected(&name);
        let answer = match (self.target(&name), held.as_ref().map(Held::certain)) {
            (Target::Send(wanted), _) => Some(wanted),
            (Target::Keep, Some(Held::Sent(good))) => Some(good.clone()),
            (Target::Keep, Some(Held::Reported(_))) => return,
            (Target::Keep, None | Some(Held::Absent | Held::Unsure(_))) | (Target::Gone, _) => None,
        };
        batch.insert(name, answer);
    }

    /// The batch is on its way.
    pub(crate) fn launch(&mut self, nonce: Arc<str>, items: Batch) {
        self.must_answer = false;
        self.last_nonce = Some(nonce.clone());
        self.flights.push_back(Flight {
            nonce,
            items,
            overdue: false,
        });
        if self.flights.len() > MAX_UNANSWERED
            && let Some(oldest) = self.flights.pop_front()
        {
            self.commit(oldest.items);
        }
    }

    /// Every resource the client holds once `batch` is accepted. Meant for full-state types.
    pub(crate) fn whole(&self, batch: &Batch) -> BTreeMap<Arc<str>, Arc<Encoded>> {
        let flights = self.flights.iter().map(|flight| &flight.items);
        let mut whole: BTreeMap<_, _> = self.have.sent().collect();
        for (name, brought) in flights.chain([batch]).flatten() {
            match brought {
                Some(resource) => whole.insert(name.clone(), resource.clone()),
                None => whole.remove(name),
            };
        }
        whole
    }

    /// Every resource that is wanted.
    pub(crate) fn wanted(&self) -> BTreeMap<Arc<str>, Arc<Encoded>> {
        let layers = self
            .layers
            .iter()
            .rev()
            .flat_map(|layer| &layer.set.resources);
        layers
            .filter(|(name, _)| self.subscription.covers(name))
            .map(|(name, resource)| (name.clone(), resource.clone()))
            .collect()
    }

    /// How many resources the client holds, and which of the wanted are in quarantine.
    pub(crate) fn tally(&self) -> (usize, Vec<Arc<str>>) {
        (self.have.len(), self.quarantine.names().cloned().collect())
    }

    /// How many resources are in quarantine.
    pub(crate) fn quarantined(&self) -> usize {
        self.quarantine.len()
    }
}

/// A message with nothing but its name, which is field 1 in every type that needs it.
pub(crate) fn empty(row: &XdsType, name: &Arc<str>) -> Arc<Encoded> {
    let mut body = Vec::with_capacity(name.len() + 4);
    prost::encoding::string::encode(1, &name.to_string(), &mut body);
    Arc::new(Encoded::new(name.clone(), row.url, body))
}
