//! Supervised tasks. A critical one that ends before the drain ends the process, with its name;
//! a best-effort one that fails is logged.

use crate::drain::Drain;
use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use tokio::task::{Id, JoinError, JoinSet};

/// The tasks of a process. Dropping it aborts them.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<Result<(), Cause>>,
    known: HashMap<Id, (&'static str, Rank)>,
}

/// Why a task ended.
pub type Cause = Box<dyn Error + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rank {
    Critical,
    BestEffort,
}

/// A critical task ended although nothing drained.
#[derive(Debug, thiserror::Error)]
pub enum TaskEnded {
    /// With an error.
    #[error("task {name} failed")]
    Failed {
        /// The task.
        name: &'static str,
        /// Its error.
        #[source]
        cause: Cause,
    },
    /// Without one.
    #[error("task {name} ended by itself")]
    Silently {
        /// The task.
        name: &'static str,
    },
    /// It panicked: a bug.
    #[error("task {name} panicked; this is a bug, please report it")]
    Panicked {
        /// The task.
        name: &'static str,
    },
}

impl Tasks {
    /// No tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that the process cannot do without.
    pub fn critical<F, E>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Cause>,
    {
        self.start(name, Rank::Critical, task);
    }

    /// Starts a task that may fail.
    pub fn best_effort<F, E>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Cause>,
    {
        self.start(name, Rank::BestEffort, task);
    }

    fn start<F, E>(&mut self, name: &'static str, rank: Rank, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Cause>,
    {
        let handle = self
            .set
            .spawn(async move { task.await.map_err(Into::into) });
        self.known.insert(handle.id(), (name, rank));
    }

    /// Watches over the tasks until the drain has started and every critical task has ended. How
    /// long that may take is the caller's to bound.
    ///
    /// # Errors
    /// A critical task failed, or ended before the drain.
    pub async fn run(&mut self, mut drain: Drain) -> Result<(), TaskEnded> {
        loop {
            if drain.is_started() && !self.any_critical() {
                return Ok(());
            }
            let joined = tokio::select! {
                joined = self.set.join_next_with_id(), if !self.set.is_empty() => joined,
                () = drain.started(), if !drain.is_started() => continue,
            };
            if let Some(joined) = joined {
                self.ended(joined, drain.is_started())?;
            }
        }
    }

    fn any_critical(&self) -> bool {
        self.known.values().any(|(_, rank)| *rank == Rank::Critical)
    }

    fn ended(
        &mut self,
        joined: Result<(Id, Result<(), Cause>), JoinError>,
        draining: bool,
    ) -> Result<(), TaskEnded> {
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some((name, rank)) = self.known.remove(&id) else {
            return Ok(());
        };
        let ended = match joined {
            Err(_) => TaskEnded::Panicked { name },
            Ok((_, Err(cause))) => TaskEnded::Failed { name, cause },
            Ok((_, Ok(()))) if rank == Rank::BestEffort || draining => return Ok(()),
            Ok((_, Ok(()))) => TaskEnded::Silently { name },
        };
        if rank == Rank::Critical {
            return Err(ended);
        }
        let cause = ended.source().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(task = name, error = %ended, cause, "task ended");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain;
    use std::io;

    #[tokio::test]
    async fn a_critical_task_that_ends_is_named() {
        let (_drainer, drain) = drain::channel();
        let mut tasks = Tasks::new();
        tasks.critical("pump", async { Err::<(), _>(io::Error::other("no more")) });
        let ended = tasks.run(drain.clone()).await.unwrap_err();
        assert_eq!(ended.to_string(), "task pump failed");
        assert_eq!(ended.source().unwrap().to_string(), "no more");
        tasks.critical("server", async { Ok::<(), io::Error>(()) });
        let ended = tasks.run(drain).await.unwrap_err();
        assert_eq!(ended.to_string(), "task server ended by itself");
    }

    #[tokio::test]
    async fn best_effort_tasks_may_fail_and_drains_end_it() {
        let (drainer, drain) = drain::channel();
        let mut tasks = Tasks::new();
        tasks.best_effort("try", async { Err::<(), _>(io::Error::other("no")) });
        let mut inner = drain.clone();
        tasks.critical("server", async move {
            inner.started().await;
            Ok::<(), io::Error>(())
        });
        tasks.critical("starter", async move {
            drainer.start();
            Ok::<(), io::Error>(())
        });
        tasks.run(drain).await.unwrap();
        assert!(!tasks.any_critical());
    }

    #[tokio::test]
    async fn a_panic_is_a_bug_with_a_name() {
        let (_drainer, drain) = drain::channel();
        let mut tasks = Tasks::new();
        tasks.critical("pump", async {
            if tokio::task::try_id().is_some() {
                panic!("on purpose");
            }
            Ok::<(), io::Error>(())
        });
        let ended = tasks.run(drain).await.unwrap_err();
        assert!(ended.to_string().starts_with("task pump panicked"));
    }
}
