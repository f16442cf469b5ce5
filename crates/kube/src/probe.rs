//! Asks from time to time how far the API server's store is. A store that was restored from an
//! older copy accepts watches from a future that it has forgotten, and is silent on them for
//! hours: its version is the only thing that tells.

use crate::backoff;
use crate::course::Fault;
use crate::request;
use crate::shared::{Shared, Stopped};
use crate::wire;
use meltemi_api::Change;
use meltemi_types::{Code, Diagnostic, Location};
use tokio::time::sleep;

/// A list of one, from the store itself.
const QUERY: &str = "/api/v1/namespaces?limit=1";

/// How many answers must be missing before it is said.
const AWAY: u32 = 2;

/// Asks until nobody listens any more.
pub(crate) async fn run(shared: &Shared) -> Stopped {
    let mut missing = 0;
    loop {
        sleep(backoff::spread(shared.tuning.probe)).await;
        // Before the answer: what watches say meanwhile is newer than it.
        let highest = shared.highest();
        let said = match request::whole(&shared.client, QUERY, shared.tuning.answer).await {
            Ok(body) => {
                let version = wire::page(&body).map_or(0, |page| wire::number(&page.version));
                if version > 0 && version < highest {
                    shared.went_back();
                }
                answered(shared, &mut missing).await
            }
            Err(Fault::Status(_)) => answered(shared, &mut missing).await,
            Err(_) => {
                missing += 1;
                match missing == AWAY {
                    true => say(shared, Some(away(shared))).await,
                    false => Ok(()),
                }
            }
        };
        if said.is_err() {
            return Stopped;
        }
    }
}

async fn answered(shared: &Shared, missing: &mut u32) -> Result<(), Stopped> {
    match std::mem::take(missing) >= AWAY {
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
