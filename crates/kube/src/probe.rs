//! Asks whether the API server is there and how far its store is: from time to time, and at once
//! when somebody lost a connection, until it answers; then everybody who waits is told.
//!
//! A store that was restored from an older copy accepts watches from a future that it has
//! forgotten, and is silent on them for hours. Its version tells, until it has caught up; what it
//! says of the newest object that is known tells after that, too.

use crate::backoff;
use crate::course::Fault;
use crate::request;
use crate::shared::{Shared, Stopped, Witness, Witnesses};
use crate::wire::{self, Status};
use meltemi_api::Change;
use meltemi_types::{Code, Diagnostic, Location};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A list of one, from the store itself.
const QUERY: &str = "/api/v1/namespaces?limit=1";

/// The longest wait while it is away: one small request, so that it is noticed when it is back.
const LONGEST: Duration = Duration::from_secs(1);

/// What has been missed so far.
#[derive(Debug, Default)]
struct Missing {
    answers: u32,
    since: Option<Instant>,
    said: bool,
}

/// Whether the store knows what it knew.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    Whole,
    Lost,
    /// It could not be asked.
    Unclear,
}

/// Asks until nobody listens any more.
pub(crate) async fn run(shared: &Shared) -> Stopped {
    let (mut missing, mut unclear) = (Missing::default(), 0);
    loop {
        wait(shared, (missing.answers, unclear)).await;
        // Before the answer: what watches say meanwhile is newer than it.
        let (highest, doubted) = (shared.highest(), shared.take_doubted());
        let memory = match request::whole(&shared.client, QUERY, shared.tuning.answer).await {
            Ok(body) => {
                let version = wire::page(&body).map_or(0, |page| wire::number(&page.version));
                match version > 0 && version < highest {
                    true => Some(Memory::Lost),
                    false => Some(memory(shared, doubted.as_ref()).await),
                }
            }
            Err(Fault::Status(Status { code, .. })) if !matches!(code, 429 | 503) => {
                Some(Memory::Unclear)
            }
            Err(_) => None,
        };
        if !matches!(memory, Some(Memory::Whole | Memory::Lost))
            && let Some(doubted) = doubted
        {
            shared.give_back(doubted);
        }
        if memory == Some(Memory::Lost) {
            shared.went_back();
        }
        unclear = match memory {
            Some(Memory::Unclear) => unclear.saturating_add(1),
            Some(Memory::Whole | Memory::Lost) | None => 0,
        };
        let said = match memory {
            Some(_) => answered(shared, &mut missing).await,
            None => missed(shared, &mut missing).await,
        };
        if said.is_err() {
            return Stopped;
        }
    }
}

/// Waits for the next question, after so many without an answer, or without a clear one.
async fn wait(shared: &Shared, (missing, unclear): (u32, u32)) {
    let tuning = shared.tuning;
    if missing > 0 {
        sleep(backoff::wait(missing, tuning.retry, LONGEST)).await;
        return;
    }
    let pause = match unclear {
        0 => backoff::spread(tuning.probe),
        _ => backoff::wait(unclear, tuning.retry, tuning.probe),
    };
    tokio::select! {
        () = sleep(pause) => {}
        () = shared.doubted() => {}
    }
}

/// Whether the store knows what happened last to each kind.
///
/// An object that was deleted while nobody watched looks as if it had been forgotten; it counts
/// for the newest of all only, and lists that find nothing new are the price. One that was written
/// again since the store went back has a new version, but its spec was changed fewer times.
///
/// The surprise: a server that has just started answers for some kinds, and not yet for those of
/// definitions; that is no answer.
async fn memory(shared: &Shared, doubted: Option<&Witnesses>) -> Memory {
    let Some(doubted) = doubted else {
        return Memory::Whole;
    };
    let newest = doubted.values().map(|witness| witness.version).max();
    let mut memory = Memory::Whole;
    for witness in doubted.values() {
        match request::whole(&shared.client, &witness.path, shared.tuning.answer).await {
            Ok(body) if is_older(&wire::who(&body).unwrap_or_default(), witness) => {
                return Memory::Lost;
            }
            Err(Fault::Status(status))
                if status.code == 404 && !witness.gone && Some(witness.version) == newest =>
            {
                return Memory::Lost;
            }
            Err(Fault::Status(status)) if status.code == 429 || status.code >= 500 => {
                memory = Memory::Unclear;
            }
            Ok(_) | Err(Fault::Status(_)) => {}
            Err(_) => return Memory::Unclear,
        }
    }
    memory
}

/// True when the object is what it was before the witness saw it.
fn is_older(who: &wire::Who, witness: &Witness) -> bool {
    let version = wire::number(&who.metadata.resource_version);
    let older = version > 0 && version < witness.version;
    let undone = match (who.metadata.generation, witness.generation) {
        (Some(now), Some(then)) => now < then,
        (Some(_) | None, _) => false,
    };
    older || undone
}

async fn missed(shared: &Shared, missing: &mut Missing) -> Result<(), Stopped> {
    missing.answers = missing.answers.saturating_add(1);
    let since = missing.since.get_or_insert_with(Instant::now);
    match !missing.said && since.elapsed() >= shared.tuning.grace {
        true => {
            missing.said = true;
            say(shared, Some(away(shared))).await
        }
        false => Ok(()),
    }
}

async fn answered(shared: &Shared, missing: &mut Missing) -> Result<(), Stopped> {
    let Missing { answers, said, .. } = std::mem::take(missing);
    if answers > 0 {
        shared.came_back();
    }
    match said {
        true => say(shared, None).await,
        false => Ok(()),
    }
}

fn unit(shared: &Shared) -> String {
    format!("API server of {}", shared.cluster)
}

fn away(shared: &Shared) -> Diagnostic {
    let location = Location {
        file: unit(shared).into(),
        line: 0,
        column: 0,
    };
    Diagnostic::in_text(
        Code::SourceAway,
        location,
        "does not answer; what was read last stays in force",
        "look after the API server and the way to it",
    )
}

async fn say(shared: &Shared, diagnostic: Option<Diagnostic>) -> Result<(), Stopped> {
    match &diagnostic {
        Some(diagnostic) => tracing::warn!(%diagnostic, "the API server is away"),
        None => tracing::info!("the API server is back"),
    }
    let findings = Change::Findings {
        unit: unit(shared).into(),
        diagnostics: diagnostic.into_iter().collect(),
    };
    shared.send(vec![findings]).await
}
