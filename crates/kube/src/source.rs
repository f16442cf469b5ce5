//! A cluster as a source: one task for each kind, one that asks whether time goes forward.

use crate::credentials::{self, Needed};
use crate::follow::Follower;
use crate::probe;
use crate::remote;
use crate::shared::{Parts, Shared, Stopped};
use crate::status::Seen;
use crate::target::Target;
use crate::tuning::Tuning;
use kube::Client;
use meltemi_api::Change;
use meltemi_types::{ClusterId, Namespace};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How the objects of a cluster are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The cluster that the objects belong to. Default `Kubernetes`.
    pub cluster: ClusterId,
    /// The namespace of the control plane. Default `istio-system`.
    pub root_namespace: Namespace,
    /// The ConfigMap of that namespace whose key `mesh` is the mesh configuration; `None` when
    /// it comes from elsewhere. Default `istio`.
    pub mesh_config: Option<String>,
    /// How patient to be.
    pub tuning: Tuning,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cluster: ClusterId::default(),
            root_namespace: Namespace::istio_system(),
            mesh_config: Some("istio".into()),
            tuning: Tuning::default(),
        }
    }
}

/// A cluster's API server.
pub struct Source {
    client: Client,
    options: Options,
    seen: Seen,
    restores: watch::Sender<u64>,
    needed: watch::Receiver<BTreeSet<Needed>>,
}

/// A cluster cannot be followed any more.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A task panicked: a bug.
    #[error("a task that follows the API server panicked; this is a bug, please report it")]
    Panicked,
}

impl Source {
    /// A cluster, before anything of it is read.
    #[must_use]
    pub fn new(client: Client, options: Options) -> Self {
        Self {
            client,
            options,
            seen: Seen::default(),
            restores: watch::Sender::new(0),
            needed: watch::channel(BTreeSet::new()).1,
        }
    }

    /// Reads these Secrets and ConfigMaps too, and no others: they come and go.
    #[must_use]
    pub fn with_credentials(self, needed: watch::Receiver<BTreeSet<Needed>>) -> Self {
        Self { needed, ..self }
    }

    /// What the source sees of objects that may get a status, for who writes it.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Changes whenever the API server's store went back in time: what else watches it must list
    /// again, because watches from the future that it has forgotten are silent.
    #[must_use]
    pub fn restores(&self) -> watch::Receiver<u64> {
        self.restores.subscribe()
    }

    /// The name under which [`Source::run`] says that it is in sync.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        format!("cluster {}", self.options.cluster).into()
    }

    /// Reads everything, says so with [`Change::Synced`], and follows the cluster until the
    /// receiver is dropped. What belongs together (a list, the events of one moment) comes in
    /// one batch.
    ///
    /// An API server that is away, from the start or later, is no error: it is asked again, and
    /// what was read stays.
    ///
    /// # Errors
    /// A task panicked.
    pub async fn run(self, out: mpsc::Sender<Vec<Change>>) -> Result<(), SourceError> {
        let source = self.name();
        let Options {
            cluster,
            root_namespace,
            mesh_config,
            tuning,
        } = self.options;
        let own = root_namespace.clone();
        let mut targets = Target::kinds();
        targets.extend(mesh_config.map(|name| Target::mesh_config(root_namespace, name)));
        let shared = Arc::new(Shared::new(Parts {
            client: self.client,
            cluster,
            tuning,
            seen: self.seen,
            source,
            out,
            epoch: self.restores,
            targets: targets.len(),
        }));
        let mut tasks = JoinSet::new();
        for target in targets {
            tasks.spawn(Follower::new(target, shared.clone()).run());
        }
        tasks.spawn(credentials::follow(shared.clone(), self.needed));
        tasks.spawn(remote::follow(shared.clone(), own));
        let probed = shared.clone();
        tasks.spawn(async move { probe::run(&probed).await });
        tokio::select! {
            () = shared.closed() => Ok(()),
            ended = tasks.join_next() => match ended {
                Some(Err(_panicked)) => Err(SourceError::Panicked),
                Some(Ok(Stopped)) | None => Ok(()),
            },
        }
    }
}
