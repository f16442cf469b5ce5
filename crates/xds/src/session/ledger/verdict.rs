//! What an answer does to the books: an acceptance is written in, a refusal looks for who is to
//! blame, keeps that one at what it was, and brings the others again where it must.

use std::sync::Arc;

use super::{Batch, Flight, Ledger};
use crate::session::held::Held;
use crate::session::quarantine::named_in;
use crate::source::Culprit;
use crate::types::Isolate;

impl Ledger {
    /// The client holds what the batch says.
    pub(crate) fn commit(&mut self, items: Batch) {
        let subscription = &self.subscription;
        self.have.commit(items, |name, brought| match brought {
            Some(_) => subscription.covers(name),
            None => subscription.explicit(name),
        });
    }

    /// Takes the answered response off its way; those before it count as accepted.
    fn land(&mut self, nonce: &str) -> Option<Flight> {
        let place = self
            .flights
            .iter()
            .position(|flight| *flight.nonce == *nonce)?;
        for _ in 0..place {
            let earlier = self.flights.pop_front()?;
            self.commit(earlier.items);
        }
        self.flights.pop_front()
    }

    /// The client accepted a response. False when the nonce is none of those on their way.
    pub(crate) fn accept(&mut self, nonce: &str) -> bool {
        let Some(flight) = self.land(nonce) else {
            return false;
        };
        self.commit(flight.items);
        self.acked_nonce = Some(flight.nonce);
        if self.quarantine.len() == 0 {
            self.last_error = None;
        }
        true
    }

    /// The client refused a response: isolates the culprits, or finds out who they are.
    pub(crate) fn reject(&mut self, nonce: &str, message: &str) -> Vec<Culprit> {
        self.last_error = Some(message.into());
        self.unrest = true;
        let Some(flight) = self.land(nonce) else {
            return Vec::new();
        };
        let mut items = flight.items;
        let touched: Vec<_> = items.keys().cloned().collect();
        let suspects = suspects(&items);
        let named = self.named(&suspects, message);
        let blamed = match &suspects[..] {
            [alone] => std::slice::from_ref(alone),
            _ => &named,
        };
        let culprits = self.condemn(blamed, &mut items);
        if suspects.is_empty() || !named.is_empty() {
            // Envoy names culprits after it has applied all else.
            self.commit(items);
        } else if self.row.isolate == Isolate::Singly {
            // Which of the others it applied is unknown, so what it holds is, too.
            self.quarantine.singly();
            for name in items.keys() {
                self.doubt(name);
                self.owe(name);
            }
        } else if suspects.len() > 1 {
            self.quarantine.halve(&suspects);
        }
        touched.iter().for_each(|name| self.recheck(name));
        culprits
    }

    /// It may hold something else under that name than was certain until now.
    fn doubt(&mut self, name: &Arc<str>) {
        let held = self.have.get(name);
        let last = held.map_or(Held::Absent, |held| held.certain().clone());
        self.have.insert(name.clone(), Held::Unsure(Box::new(last)));
    }

    /// Takes the blamed out of the batch and into quarantine.
    fn condemn(&mut self, blamed: &[Arc<str>], items: &mut Batch) -> Vec<Culprit> {
        let mut culprits = Vec::new();
        for name in blamed {
            let Some(refused) = items.remove(name).flatten() else {
                continue;
            };
            self.quarantine.put(name.clone(), refused.version.clone());
            let good = self.have.get(name);
            let last_good = good.as_ref().and_then(|held| held.certain().version());
            let last_good = last_good.cloned();
            culprits.push(Culprit { refused, last_good });
        }
        culprits
    }

    /// The suspects that the refusal names.
    fn named(&self, suspects: &[Arc<str>], message: &str) -> Vec<Arc<str>> {
        match self.row.isolate {
            Isolate::Singly => Vec::new(),
            Isolate::Named => {
                let named = named_in(message, suspects.iter().map(AsRef::as_ref));
                named.into_iter().map(Arc::from).collect()
            }
        }
    }
}

/// The names that a batch brings a resource for.
fn suspects(items: &Batch) -> Vec<Arc<str>> {
    let brought = items.iter().filter(|(_, brought)| brought.is_some());
    brought.map(|(name, _)| name.clone()).collect()
}
