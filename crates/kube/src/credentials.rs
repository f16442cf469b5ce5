//! Following the Secrets and ConfigMaps that proxies ask for, each by its name, and no other.
//!
//! One that nobody asks for any more is followed for a minute longer, since a proxy that connects
//! again asks for the same. How many there are is bounded: what is asked for beyond is not read.

use crate::follow::Follower;
use crate::shared::{Shared, Stopped};
use crate::target::Target;
use meltemi_api::Change;
use meltemi_api::kinds::Kind;
use meltemi_types::{Namespace, ObjectName, ObjectRef};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How many are followed at once; each is a watch.
const MOST: usize = 2048;
/// How long one is followed that nobody asks for.
const LINGER: Duration = Duration::from_secs(60);

/// An object that holds certificates and that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Needed {
    /// `Secret` or `ConfigMap`.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: ObjectName,
}

/// One that is followed.
struct Followed {
    task: AbortHandle,
    /// When it is followed no longer; `None` while it is asked for.
    until: Option<Instant>,
}

/// Follows what is needed until nobody listens any more.
pub(crate) async fn follow(
    shared: Arc<Shared>,
    mut needed: watch::Receiver<BTreeSet<Needed>>,
) -> Stopped {
    let mut all: BTreeMap<Needed, Followed> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let now = Instant::now();
        let wanted = needed.borrow_and_update().clone();
        begin((&mut all, &mut tasks), &shared, &wanted);
        for (one, followed) in &mut all {
            followed.until = match wanted.contains(one) {
                true => None,
                false => Some(followed.until.unwrap_or(now + LINGER)),
            };
        }
        let over = |followed: &Followed| followed.until.is_some_and(|until| until <= now);
        let ended: Vec<Needed> = all
            .iter()
            .filter(|(_, followed)| over(followed))
            .map(|(one, _)| one.clone())
            .collect();
        for one in ended {
            if let Some(followed) = all.remove(&one) {
                followed.task.abort();
            }
            if shared.send(forgotten(&shared, &one)).await.is_err() {
                return Stopped;
            }
        }
        let next = all.values().filter_map(|followed| followed.until).min();
        tokio::select! {
            () = shared.closed() => return Stopped,
            changed = needed.changed() => if changed.is_err() {
                // Nobody will need anything else.
                shared.closed().await;
                return Stopped;
            },
            () = sleep_until(next.unwrap_or(now + LINGER)) => {}
            Some(ended) = tasks.join_next() => match ended {
                Ok(Stopped) => return Stopped,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_aborted) => {}
            },
        }
    }
}

type All<'a> = (&'a mut BTreeMap<Needed, Followed>, &'a mut JoinSet<Stopped>);

/// Starts following what is not followed yet.
fn begin((all, tasks): All<'_>, shared: &Arc<Shared>, wanted: &BTreeSet<Needed>) {
    for one in wanted {
        if all.contains_key(one) {
            continue;
        }
        if all.len() >= MOST {
            tracing::warn!(
                most = MOST,
                "too many Secrets are asked for; the rest is not read"
            );
            return;
        }
        let follower = Follower::new(Target::credential(one), shared.clone()).beside();
        let task = tasks.spawn(follower.run());
        all.insert(one.clone(), Followed { task, until: None });
    }
}

/// What is no longer followed is not known, and nothing is wrong with it.
fn forgotten(shared: &Shared, one: &Needed) -> Vec<Change> {
    let object = ObjectRef {
        cluster: shared.cluster.clone(),
        kind: one.kind.name().into(),
        namespace: Some(one.namespace.clone()),
        name: one.name.clone(),
    };
    let unit = format!("{} {}", shared.cluster, Target::credential(one).unit());
    let findings = Change::Findings {
        unit: unit.into(),
        diagnostics: [].into(),
    };
    vec![Change::Delete(Arc::new(object)), findings]
}
