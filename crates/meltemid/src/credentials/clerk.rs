//! Asks the API server which accounts may read Secrets, off the tasks of streams, and looks now and then
//! at what proxies wait for: a no is asked again, and what is missing is said.

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

/// Who asks.
pub(crate) struct Clerk {
    plane: Plane,
    questions: mpsc::UnboundedReceiver<Account>,
    reviewer: Option<AccessReviewer>,
}

impl Clerk {
    /// One that asks `reviewer` the questions of `plane`. Without an API server nobody is known, and
    /// nothing is asked.
    pub(crate) fn new(
        plane: Plane,
        questions: mpsc::UnboundedReceiver<Account>,
        reviewer: Option<AccessReviewer>,
    ) -> Self {
        Self {
            plane,
            questions,
            reviewer,
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
                    let reviewer = self.reviewer.clone();
                    open.spawn(async move {
                        let may = ask(reviewer, &account).await;
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

async fn ask(reviewer: Option<AccessReviewer>, account: &Account) -> Option<bool> {
    let reviewer = reviewer?;
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
