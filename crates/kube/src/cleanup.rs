//! Before an uninstallation: ends one control plane and takes away what its process made, which no
//! chart knows of: locks and the root certificates in all namespaces.
//!
//! What other control planes of the namespace share stays while there is one. The Secret
//! `istio-ca-secret` always stays: with it goes the trust of every running proxy.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Locks that every control plane of a namespace asks for.
const SHARED: [&str; 4] = [
    "istio-ip-autoallocate",
    "istio-leader",
    "istio-namespace-controller-election",
    "istio-status-leader",
];
/// What every namespace has: the root certificate, and the list of revoked ones.
const EVERYWHERE: [&str; 2] = ["istio-ca-root-cert", "istio-ca-crl"];
/// How long the pods may take to end.
const LONGEST: Duration = Duration::from_secs(90);
/// Between two looks at the pods.
const LOOK: Duration = Duration::from_millis(500);

/// Why not everything was taken away.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The API server refused or could not be asked.
    #[error("{what}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// Pods of the control plane do not end.
    #[error("pods of the control plane have not ended after {} s: {pods}", LONGEST.as_secs())]
    StillRunning {
        /// Their names.
        pods: String,
    },
}

/// The control plane to end.
#[derive(Clone)]
pub struct Cleanup {
    /// The API server.
    pub client: Client,
    /// Where it is installed.
    pub namespace: String,
    /// Its revision; `default` is the one without a name.
    pub revision: String,
}

impl Cleanup {
    /// Does it; what is gone already is fine. Answers what was taken away.
    ///
    /// # Errors
    /// See [`CleanupError`]; running it again goes on.
    pub async fn run(&self) -> Result<Vec<String>, CleanupError> {
        self.stop().await?;
        let mut gone = Vec::new();
        let own = format!("meltemi-leader-{}", self.revision);
        let mut locks = vec![own.as_str()];
        let others = self.others().await?;
        if others.is_empty() {
            locks.extend(SHARED);
        }
        for lock in locks {
            self.delete::<ConfigMap>(lock, &mut gone).await?;
            self.delete::<Lease>(lock, &mut gone).await?;
        }
        if others.is_empty() {
            for name in EVERYWHERE {
                self.everywhere(name, &mut gone).await?;
            }
        } else {
            gone.push(format!("nothing that {} still use", others.join(", ")));
        }
        Ok(gone)
    }

    fn deployment(&self) -> String {
        match self.revision.as_str() {
            "" | "default" => "istiod".into(),
            revision => format!("istiod-{revision}"),
        }
    }

    /// Scales the control plane to nothing and waits for its pods to end.
    async fn stop(&self) -> Result<(), CleanupError> {
        let name = self.deployment();
        let all: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
        let params = PatchParams::default();
        let scaled = all.patch_scale(&name, &params, &none).await.map(drop);
        let what = format!("cannot scale Deployment {name} to 0");
        absent_is_fine(scaled).map_err(refused(what))?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let labels = format!("app=istiod,istio.io/rev={}", self.revision);
        let params = ListParams::default().labels(&labels);
        let begun = Instant::now();
        loop {
            let found = pods.list(&params).await;
            let found = found.map_err(refused(format!("cannot list Pods with {labels}")))?;
            if found.items.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > LONGEST {
                let names: Vec<_> = found.iter().map(ResourceExt::name_any).collect();
                return Err(CleanupError::StillRunning {
                    pods: names.join(", "),
                });
            }
            sleep(LOOK).await;
        }
    }

    /// Other control planes of the namespace that run.
    async fn others(&self) -> Result<Vec<String>, CleanupError> {
        let all: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = ListParams::default().labels("app=istiod");
        let found = all.list(&params).await;
        let found = found.map_err(refused("cannot list Deployments".into()))?;
        let own = self.deployment();
        let runs = |one: &Deployment| {
            let wanted = one.spec.as_ref().and_then(|spec| spec.replicas);
            wanted.unwrap_or(1) > 0
        };
        let others = found
            .iter()
            .filter(|one| one.name_any() != own && runs(one));
        Ok(others.map(ResourceExt::name_any).collect())
    }

    async fn delete<K>(&self, name: &str, gone: &mut Vec<String>) -> Result<(), CleanupError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &self.namespace);
        let kind = K::kind(&());
        let deleted = api.delete(name, &DeleteParams::default()).await.map(drop);
        let what = format!("cannot delete {kind} {}/{name}", self.namespace);
        if absent_is_fine(deleted).map_err(refused(what))? {
            gone.push(format!("{kind} {}/{name}", self.namespace));
        }
        Ok(())
    }

    /// The ConfigMaps of that name in all namespaces.
    async fn everywhere(&self, name: &str, gone: &mut Vec<String>) -> Result<(), CleanupError> {
        let all: Api<ConfigMap> = Api::all(self.client.clone());
        let params = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = all.list(&params).await;
        let found = found.map_err(refused(format!("cannot list ConfigMaps {name}")))?;
        for namespace in found.iter().filter_map(ResourceExt::namespace) {
            let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &namespace);
            let deleted = api.delete(name, &DeleteParams::default()).await.map(drop);
            let what = format!("cannot delete ConfigMap {namespace}/{name}");
            if absent_is_fine(deleted).map_err(refused(what))? {
                gone.push(format!("ConfigMap {namespace}/{name}"));
            }
        }
        Ok(())
    }
}

/// True when it was there.
fn absent_is_fine(result: Result<(), kube::Error>) -> Result<bool, kube::Error> {
    match result {
        Ok(()) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

fn refused(what: String) -> impl FnOnce(kube::Error) -> CleanupError {
    move |source| CleanupError::Refused {
        what,
        source: Box::new(source),
    }
}
