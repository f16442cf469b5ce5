//! What the tests of the Kubernetes source share: a double of the API server with some objects,
//! and a source that follows it.

pub mod five;

use anyhow::{Context, Result, bail};
use meltemi_api::{Change, Object};
use meltemi_kube::{Access, Options, Seen, Source, Tuning, connect};
use meltemi_testkit::api_server::{ApiServer, Resource};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A tuning for tests: nothing is waited for that a test does not look at.
#[must_use]
pub fn impatient() -> Tuning {
    Tuning {
        watch: Duration::from_secs(1),
        grace: Duration::from_millis(500),
        initial: Duration::from_secs(2),
        answer: Duration::from_secs(5),
        retry: Duration::from_millis(20),
        retry_longest: Duration::from_millis(200),
        absent: Duration::from_millis(100),
        confirm: Duration::from_millis(200),
        compare: Duration::from_secs(3600),
        probe: Duration::from_secs(3600),
        page: 2,
    }
}

/// A source on a double, and what it has said so far.
pub struct Followed {
    /// The objects that are in force, by kind, namespace and name.
    pub held: BTreeMap<String, Object>,
    /// Why objects are broken, by the same.
    pub broken: BTreeMap<String, String>,
    /// What was said about units, by unit.
    pub findings: BTreeMap<String, String>,
    /// Whether the source is in sync.
    pub synced: bool,
    /// Every change of an object, in order: `+`, `-` or `!`, and which.
    pub told: Vec<String>,
    changes: mpsc::Receiver<Vec<Change>>,
    seen: Seen,
    task: JoinHandle<()>,
}

impl Followed {
    /// Follows the double.
    ///
    /// # Errors
    /// There is no way to the double.
    pub async fn start(server: &ApiServer, tuning: Tuning) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let client = connect(&Access::Kubeconfig(server.kubeconfig(dir.path())?)).await?;
        let options = Options {
            tuning,
            ..Options::default()
        };
        let (sender, changes) = mpsc::channel(64);
        let source = Source::new(client, options);
        let seen = source.seen();
        let task = tokio::spawn(async move {
            if let Err(error) = source.run(sender).await {
                eprintln!("the source ended: {error}");
            }
        });
        Ok(Self {
            held: BTreeMap::new(),
            broken: BTreeMap::new(),
            findings: BTreeMap::new(),
            synced: false,
            told: Vec::new(),
            changes,
            seen,
            task,
        })
    }

    /// What it has seen of objects that may get a status.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// The same, in sync.
    ///
    /// # Errors
    /// It does not come in sync.
    pub async fn synced(server: &ApiServer, tuning: Tuning) -> Result<Self> {
        let mut followed = Self::start(server, tuning).await?;
        followed.until("sync", |f| f.synced).await?;
        followed.told.clear();
        Ok(followed)
    }

    /// Takes what comes until something is so.
    ///
    /// # Errors
    /// It is not so in time, or the source ended.
    pub async fn until(&mut self, what: &str, mut is: impl FnMut(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        while !is(self) {
            let batch = match timeout_at(deadline, self.changes.recv()).await {
                Ok(batch) => batch.context("the source ended")?,
                Err(_elapsed) => bail!(
                    "waited in vain for {what}; told {:?}, findings {:?}",
                    self.told,
                    self.findings
                ),
            };
            batch.into_iter().for_each(|change| self.take(change));
        }
        Ok(())
    }

    /// Takes everything the source says in this time.
    ///
    /// # Errors
    /// The source ended.
    pub async fn during(&mut self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        while let Ok(batch) = timeout_at(deadline, self.changes.recv()).await {
            let batch = batch.context("the source ended")?;
            batch.into_iter().for_each(|change| self.take(change));
        }
        Ok(())
    }

    /// All changes until the source is in sync, as they came.
    ///
    /// # Errors
    /// It does not come in sync.
    pub async fn first(mut self) -> Result<Vec<Change>> {
        let deadline = Instant::now() + DEADLINE;
        let mut all = Vec::new();
        loop {
            let batch = timeout_at(deadline, self.changes.recv()).await?;
            for change in batch.context("the source ended")? {
                let last = matches!(change, Change::Synced { .. });
                all.push(change);
                if last {
                    return Ok(all);
                }
            }
        }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Upsert(object) => {
                let key = object.key().to_string();
                self.told.push(format!("+{key}"));
                self.broken.remove(&key);
                self.held.insert(key, object);
            }
            Change::Delete(key) => {
                let key = key.to_string();
                self.told.push(format!("-{key}"));
                self.broken.remove(&key);
                self.held.remove(&key);
            }
            Change::Broken(broken) => {
                let key = broken.object.to_string();
                self.told.push(format!("!{key}"));
                let why = broken.diagnostics.iter().map(ToString::to_string);
                self.broken.insert(key, why.collect::<Vec<_>>().join("\n"));
            }
            Change::Findings { unit, diagnostics } => {
                let text: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
                match text.is_empty() {
                    true => self.findings.remove(&*unit),
                    false => self.findings.insert(unit.to_string(), text.join("\n")),
                };
            }
            Change::Synced { .. } => self.synced = true,
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A Service of namespace `shop`.
#[must_use]
pub fn service(name: &str, ip: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterIP": ip, "ports": [{"port": 80, "name": "http"}]},
    })
}

/// A DestinationRule of namespace `shop`.
#[must_use]
pub fn rule(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    })
}

/// An AuthorizationPolicy of namespace `shop` that denies everything.
#[must_use]
pub fn policy(name: &str) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {},
    })
}

/// The ConfigMap of the mesh configuration.
#[must_use]
pub fn mesh(text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": text},
    })
}

/// Services as the API server names them.
#[must_use]
pub fn services() -> Resource {
    Resource::new("", "services")
}

/// DestinationRules as the API server names them.
#[must_use]
pub fn rules() -> Resource {
    Resource::new("networking.istio.io", "destinationrules")
}

/// AuthorizationPolicies as the API server names them.
#[must_use]
pub fn policies() -> Resource {
    Resource::new("security.istio.io", "authorizationpolicies")
}

/// Events as the API server names them.
#[must_use]
pub fn events() -> Resource {
    Resource::new("events.k8s.io", "events")
}

/// ConfigMaps as the API server names them.
#[must_use]
pub fn config_maps() -> Resource {
    Resource::new("", "configmaps")
}
