//! Asks the API server which accounts may read Secrets, off the tasks of streams, and looks now and then
//! at what proxies wait for: a no is asked again, and what is missing is said.
//!
//! Without an API server the directory's owner has decided: who has a token for an account of a namespace
//! has it from them, and may have what is named there (decision 0005).

use crate::plane::Plane;
use meltemi_kube::AccessReviewer;
use meltemi_runtime::drain::Drain;
use meltemi_xds::Account;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Questions that are open at once.
const OPEN: usize = 16;
/// How often it is looked at what proxies wait for.
const AGAIN: Duration = Duration::from_secs(5);

/// Which accounts may read the Secrets of their namespace.
#[derive(Clone)]
pub(crate) enum Readers {
    /// None: nobody can be known.
    Nobody,
    /// All: whoever owns the directory has given them their tokens.
    Known,
    /// Those that the API server says.
    Told(AccessReviewer),
}

/// Who asks.
pub(crate) struct Clerk {
    plane: Plane,
    questions: mpsc::UnboundedReceiver<Account>,
    readers: Readers,
}

impl Clerk {
    /// One that answers the questions of `plane`.
    pub(crate) fn new(
        plane: Plane,
        questions: mpsc::UnboundedReceiver<Account>,
        readers: Readers,
    ) -> Self {
        Self {
            plane,
            questions,
            readers,
        }
    }

    /// Runs until drained.
    pub(crate) async fn run(mut self, mut drain: Drain) -> Result<(), Infallible> {
        let mut open: JoinSet<(Account, Option<bool>)> = JoinSet::new();
        let mut next = Instant::now() + AGAIN;
        loop {
            tokio::select! {
                () = drain.started() => return Ok(()),
                Some(account) = self.questions.recv(), if open.len() < OPEN => {
                    let readers = self.readers.clone();
                    open.spawn(async move {
                        let may = ask(readers, &account).await;
                        (account, may)
                    });
                }
                Some(Ok((account, may))) = open.join_next() => self.plane.decided(&account, may),
                () = sleep_until(next) => {
                    next = Instant::now() + AGAIN;
                    self.plane.look_again();
                }
            }
        }
    }
}

async fn ask(readers: Readers, account: &Account) -> Option<bool> {
    let reviewer = match readers {
        Readers::Nobody => return Some(false),
        Readers::Known => return Some(true),
        Readers::Told(reviewer) => reviewer,
    };
    let asked = reviewer.may_read_secrets(&account.namespace, &account.name);
    match asked.await {
        Ok(may) => Some(may),
        Err(error) => {
            let cause = crate::wire::chain(&error);
            tracing::warn!(%cause, namespace = %account.namespace, account = %account.name, "SubjectAccessReview failed; what proxies have stays");
            None
        }
    }
}
