//! Readiness: named conditions that must all hold, and no drain. `/ready` asks here.

use std::collections::BTreeMap;
use tokio::sync::watch;

/// All conditions of a process. Clones see the same ones.
#[derive(Clone, Debug)]
pub struct Readiness(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    gates: BTreeMap<&'static str, bool>,
    draining: bool,
}

impl State {
    fn is_ready(&self) -> bool {
        !self.draining && self.gates.values().all(|open| *open)
    }
}

/// One condition. It does not hold until it is opened; dropping it changes nothing.
#[derive(Clone, Debug)]
pub struct Gate {
    name: &'static str,
    state: watch::Sender<State>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self(watch::Sender::new(State::default()))
    }
}

impl Readiness {
    /// A readiness without conditions: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition that does not hold yet.
    #[must_use]
    pub fn gate(&self, name: &'static str) -> Gate {
        self.0.send_modify(|state| {
            state.gates.insert(name, false);
        });
        Gate {
            name,
            state: self.0.clone(),
        }
    }

    /// Never ready again.
    pub fn drain(&self) {
        self.0.send_modify(|state| state.draining = true);
    }

    /// True when all conditions hold and nothing drains.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_ready()
    }

    /// What is missing, sorted: the conditions that do not hold, and `draining`.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let state = self.0.borrow();
        let closed = state.gates.iter().filter(|(_, open)| !**open);
        let draining = state.draining.then_some("draining");
        closed.map(|(name, _)| *name).chain(draining).collect()
    }

    /// Ends when all conditions hold.
    pub async fn ready(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(State::is_ready).await;
    }
}

impl Gate {
    /// The condition holds.
    pub fn open(&self) {
        self.set(true);
    }

    /// The condition does not hold any more.
    pub fn close(&self) {
        self.set(false);
    }

    fn set(&self, open: bool) {
        self.state
            .send_if_modified(|state| state.gates.insert(self.name, open) != Some(open));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_when_all_gates_are_open() {
        let readiness = Readiness::new();
        let (source, server) = (readiness.gate("source"), readiness.gate("server"));
        assert_eq!(readiness.missing(), ["server", "source"]);
        let waits = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        source.open();
        assert!(!readiness.is_ready());
        server.open();
        waits.await.unwrap();
        assert!(readiness.is_ready());
        source.close();
        assert_eq!(readiness.missing(), ["source"]);
    }

    #[test]
    fn draining_is_never_ready() {
        let readiness = Readiness::new();
        let gate = readiness.gate("a");
        gate.open();
        readiness.drain();
        gate.open();
        assert!(!readiness.is_ready());
        assert_eq!(readiness.missing(), ["draining"]);
    }
}
