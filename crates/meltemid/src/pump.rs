//! The pump: receives changes, folds them into the registry, publishes. It owns the registry.
//!
//! The first change after a quiet time goes at once; under load publications are spaced by what
//! the last one cost, at most 100 ms of quiet and 1 s of waiting in all.

use crate::alike::Alike;
use crate::clock;
use crate::events::Events;
use crate::plane::Plane;
use crate::report::Report;
use meltemi_api::{Change, Kind};
use meltemi_registry::Registry;
use meltemi_runtime::drain::Drain;
use meltemi_runtime::ready::Gate;
use meltemi_types::{Diagnostic, ObjectRef};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long to wait for more changes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Debounce {
    /// Not at all after a quiet time; under load in proportion to the work.
    Adaptive,
    /// This quiet time, and at most that long.
    Fixed(Duration, Duration),
}

const QUIET: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);

/// The pump and all it owns.
pub(crate) struct Pump {
    pub(crate) registry: Registry,
    pub(crate) plane: Plane,
    pub(crate) changes: mpsc::Receiver<Vec<Change>>,
    pub(crate) debounce: Debounce,
    /// Sources that have not been read whole yet.
    pub(crate) waiting: BTreeSet<Arc<str>>,
    pub(crate) events: Events,
    pub(crate) synced: Gate,
}

impl Pump {
    /// Runs until drained.
    pub(crate) async fn run(self, mut drain: Drain) -> Result<(), String> {
        tokio::select! {
            ended = self.pump() => ended,
            () = drain.started() => Ok(()),
        }
    }

    async fn pump(mut self) -> Result<(), String> {
        let (mut report, mut alike) = (Report::default(), Alike::default());
        let mut last = Last {
            at: None,
            cost: Duration::ZERO,
        };
        let mut first: Option<Instant> = None;
        loop {
            let wait = first.map(|first| {
                self.due(first, &last)
                    .saturating_duration_since(clock::now())
            });
            let batch = match wait {
                None => tokio::select! {
                    batch = self.changes.recv() => batch,
                    () = self.plane.has_moved(), if last.at.is_some() => {
                        self.say(&mut report);
                        continue;
                    }
                },
                Some(wait) => match tokio::time::timeout(wait, self.changes.recv()).await {
                    Ok(batch) => batch,
                    Err(_elapsed) => {
                        last = self.publish(first.take().unwrap_or_else(clock::now), &mut report);
                        alike.tell(&self.plane.snapshot().mesh.config);
                        continue;
                    }
                },
            };
            let Some(batch) = batch else {
                return Err("every source has ended".into());
            };
            batch.into_iter().for_each(|change| self.apply(change));
            while let Ok(batch) = self.changes.try_recv() {
                batch.into_iter().for_each(|change| self.apply(change));
            }
            if self.waiting.is_empty() && (self.registry.is_dirty() || last.at.is_none()) {
                first.get_or_insert_with(clock::now);
            }
        }
    }

    fn apply(&mut self, change: Change) {
        if let Change::Synced { source } = &change {
            self.waiting.remove(source);
        }
        self.events.note(&change);
        self.registry.apply(self.aside(change));
    }

    /// Certificates go to who asks for them, at once and beside the mesh. The registry keeps what is
    /// wrong with them, so it hears only that an object is not broken.
    fn aside(&self, change: Change) -> Change {
        let key = match &change {
            Change::Upsert(object) if object.kind().is_credential() => object.key().clone(),
            Change::Delete(key) if is_credential(key) => key.clone(),
            Change::Upsert(_)
            | Change::Delete(_)
            | Change::Broken(_)
            | Change::Findings { .. }
            | Change::Synced { .. } => return change,
        };
        self.plane.credential(&change);
        Change::Delete(key)
    }

    /// Says what is wrong now.
    fn say(&self, report: &mut Report) {
        let diagnostics = self.plane.diagnostics();
        count(&diagnostics);
        report.update(diagnostics);
    }

    /// When what was first seen at `first` is to be published.
    fn due(&self, first: Instant, last: &Last) -> Instant {
        match (self.debounce, last.at) {
            (_, None) => first,
            (Debounce::Fixed(after, max), Some(_)) => first + after.min(max),
            (Debounce::Adaptive, Some(at)) => {
                let spaced = at + (last.cost * 2).min(QUIET);
                first.max(spaced).min(first + LONGEST)
            }
        }
    }

    fn publish(&mut self, seen: Instant, report: &mut Report) -> Last {
        let start = clock::now();
        let waited = start.saturating_duration_since(seen);
        let published = self.registry.publish();
        self.events.published(&published.snapshot);
        self.plane.publish(published, seen);
        self.say(report);
        self.synced.open();
        let end = clock::now();
        let cost = end.saturating_duration_since(start);
        metrics::histogram!("pilot_debounce_time").record(waited.as_secs_f64());
        metrics::histogram!("pilot_pushcontext_init_seconds").record(cost.as_secs_f64());
        Last {
            at: Some(end),
            cost,
        }
    }
}

fn is_credential(key: &ObjectRef) -> bool {
    let kinds = [Kind::Secret, Kind::ConfigMap];
    kinds.into_iter().any(|kind| kind.name() == &*key.kind)
}

/// Counts what is wrong, by severity.
fn count(diagnostics: &BTreeSet<Diagnostic>) {
    let errors = diagnostics.iter().filter(|d| d.is_error()).count();
    for (severity, number) in [("error", errors), ("warning", diagnostics.len() - errors)] {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        metrics::gauge!("meltemi_diagnostics", "severity" => severity).set(f64::from(number));
    }
}

/// The last publication: when it ended and how long it took.
struct Last {
    at: Option<Instant>,
    cost: Duration,
}
