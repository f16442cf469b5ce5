//! What a person's tool asks the API server: pods by name, by label, by the workload that owns
//! them, and a connection to a port of one. Each question is asked once, with a deadline.

use crate::forward;
use http::Request;
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::client::UpgradeConnectionError;
use kube::core::Selector;
use kube::{Api, Client};
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the API server gave no answer of use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nobody answers, or not in time.
    #[error("{asked}: the API server cannot be reached: {why}")]
    Away {
        /// What was asked.
        asked: String,
        /// What went wrong.
        why: String,
    },
    /// The API server does not know the caller, or does not let it.
    #[error("{asked}: {why}")]
    Denied {
        /// What was asked.
        asked: String,
        /// The API server's words; they name user, verb and resource.
        why: String,
    },
    /// There is no such object.
    #[error("{asked}: {why}")]
    NotFound {
        /// What was asked.
        asked: String,
        /// The API server's words.
        why: String,
    },
    /// Anything else.
    #[error("{asked}: {why}")]
    Failed {
        /// What was asked.
        asked: String,
        /// What went wrong.
        why: String,
    },
}

impl AskError {
    pub(crate) fn silent(asked: &str) -> Self {
        Self::Away {
            asked: asked.to_owned(),
            why: "no answer in 10 s".to_owned(),
        }
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "of the errors of the client few mean something to a person"
    )]
    pub(crate) fn of(asked: &str, error: kube::Error) -> Self {
        let asked = asked.to_owned();
        if let kube::Error::Api(status) = &error {
            return Self::status(asked, status.code, status.message.clone());
        }
        if let kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) = &error
        {
            let why = format!("the connection was refused with {code}");
            return Self::status(asked, code.as_u16(), why);
        }
        let why = root(&error);
        let away = matches!(error, kube::Error::Service(_) | kube::Error::HyperError(_));
        match away {
            true => Self::Away { asked, why },
            false => Self::Failed { asked, why },
        }
    }

    fn status(asked: String, code: u16, why: String) -> Self {
        match code {
            401 | 403 => Self::Denied { asked, why },
            404 => Self::NotFound { asked, why },
            _ => Self::Failed { asked, why },
        }
    }
}

/// The last words of a chain of errors: those before only say where it was.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// A kind of object that owns or selects pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// `deploy`.
    Deployment,
    /// `ds`.
    DaemonSet,
    /// `job`.
    Job,
    /// `rs`.
    ReplicaSet,
    /// `sts`.
    StatefulSet,
    /// `svc`.
    Service,
}

impl Workload {
    /// The kind that kubectl means by this word; `None` for kinds that select no pods.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "deploy" | "deployment" | "deployments" | "deployments.apps" => Some(Self::Deployment),
            "ds" | "daemonset" | "daemonsets" | "daemonsets.apps" => Some(Self::DaemonSet),
            "job" | "jobs" | "jobs.batch" => Some(Self::Job),
            "rs" | "replicaset" | "replicasets" | "replicasets.apps" => Some(Self::ReplicaSet),
            "sts" | "statefulset" | "statefulsets" | "statefulsets.apps" => Some(Self::StatefulSet),
            "svc" | "service" | "services" => Some(Self::Service),
            _ => None,
        }
    }

    /// Where the API server has them.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Deployment => ("/apis/apps/v1", "deployments"),
            Self::DaemonSet => ("/apis/apps/v1", "daemonsets"),
            Self::Job => ("/apis/batch/v1", "jobs"),
            Self::ReplicaSet => ("/apis/apps/v1", "replicasets"),
            Self::StatefulSet => ("/apis/apps/v1", "statefulsets"),
            Self::Service => ("/api/v1", "services"),
        }
    }
}

/// What of a pod matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// True when it runs and is not being deleted.
    pub running: bool,
}

impl From<core::Pod> for Pod {
    fn from(pod: core::Pod) -> Self {
        let phase = pod.status.and_then(|status| status.phase);
        Self {
            running: phase.as_deref() == Some("Running")
                && pod.metadata.deletion_timestamp.is_none(),
            name: pod.metadata.name.unwrap_or_default(),
            namespace: pod.metadata.namespace.unwrap_or_default(),
            labels: pod.metadata.labels.unwrap_or_default(),
            annotations: pod.metadata.annotations.unwrap_or_default(),
        }
    }
}

/// Asks about pods.
#[derive(Clone)]
pub struct Pods(Client);

impl Pods {
    /// Asks through this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// The namespace of the kubeconfig's context.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.default_namespace()
    }

    /// One pod.
    ///
    /// # Errors
    /// As [`AskError`] says.
    pub async fn get(&self, namespace: &str, name: &str) -> Result<Pod, AskError> {
        self.whole(namespace, name).await.map(Pod::from)
    }

    /// One pod, with all that it says.
    ///
    /// # Errors
    /// As [`AskError`] says.
    pub async fn whole(&self, namespace: &str, name: &str) -> Result<core::Pod, AskError> {
        let api: Api<core::Pod> = Api::namespaced(self.0.clone(), namespace);
        let asked = format!("get pod {namespace}/{name}");
        ask(&asked, api.get(name)).await
    }

    /// Whether a DaemonSet is there to stay: nobody is deleting it.
    ///
    /// # Errors
    /// As [`AskError`] says; that there is none is no error.
    pub async fn is_kept(&self, namespace: &str, daemon_set: &str) -> Result<bool, AskError> {
        let api: Api<apps::DaemonSet> = Api::namespaced(self.0.clone(), namespace);
        let asked = format!("get daemonsets {namespace}/{daemon_set}");
        match ask(&asked, api.get(daemon_set)).await {
            Ok(found) => Ok(found.metadata.deletion_timestamp.is_none()),
            Err(AskError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The pods of a namespace that carry these labels, by name; "" is all.
    ///
    /// # Errors
    /// As [`AskError`] says.
    pub async fn list(&self, namespace: &str, labels: &str) -> Result<Vec<Pod>, AskError> {
        let api: Api<core::Pod> = Api::namespaced(self.0.clone(), namespace);
        let asked = format!("list pods of {namespace}");
        let found = ask(&asked, api.list(&ListParams::default().labels(labels))).await?;
        let mut pods: Vec<Pod> = found.items.into_iter().map(Pod::from).collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pods)
    }

    /// The pods that an object owns or selects, by name.
    ///
    /// # Errors
    /// As [`AskError`] says; the object selects nothing.
    pub async fn of(
        &self,
        kind: Workload,
        (namespace, name): (&str, &str),
    ) -> Result<Vec<Pod>, AskError> {
        let (group, plural) = kind.place();
        let asked = format!("get {plural} {namespace}/{name}");
        let failed = |why: String| AskError::Failed {
            asked: asked.clone(),
            why,
        };
        let path = format!("{group}/namespaces/{namespace}/{plural}/{name}");
        let request = Request::get(path)
            .body(Vec::new())
            .map_err(|error| failed(error.to_string()))?;
        let object: Value = ask(&asked, self.0.request(request)).await?;
        let labels = selector(kind, &object).map_err(failed)?;
        self.list(namespace, &labels).await
    }

    /// A connection to a port of a pod, which sees it come from its own loopback. Where nothing
    /// listens it ends at once.
    ///
    /// # Errors
    /// As [`AskError`] says.
    pub async fn open(
        &self,
        (namespace, pod): (&str, &str),
        port: u16,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, AskError> {
        forward::open(&self.0, (namespace, pod), port).await
    }
}

async fn ask<T>(
    asked: &str,
    answer: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, AskError> {
    match timeout(PATIENCE, answer).await {
        Err(_elapsed) => Err(AskError::silent(asked)),
        Ok(answer) => answer.map_err(|error| AskError::of(asked, error)),
    }
}

/// The pods that an object means, as the API server wants them named.
fn selector(kind: Workload, object: &Value) -> Result<String, String> {
    let selector = object.pointer("/spec/selector").cloned();
    let selector = selector.unwrap_or(Value::Null);
    let read: LabelSelector = if kind == Workload::Service {
        let labels = serde_json::from_value(selector).map_err(|error| error.to_string())?;
        LabelSelector {
            match_labels: labels,
            match_expressions: None,
        }
    } else {
        serde_json::from_value(selector).map_err(|error| error.to_string())?
    };
    let read = Selector::try_from(read).map_err(|error| error.to_string())?;
    match read.selects_all() {
        true => Err("it selects no pods".to_owned()),
        false => Ok(read.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_service_selects_by_labels_and_a_deployment_by_expressions_too() {
        let service = json!({"spec": {"selector": {"app": "a", "version": "v1"}}});
        assert_eq!(
            selector(Workload::Service, &service).unwrap(),
            "app=a,version=v1"
        );
        let deployment = json!({"spec": {"selector": {
            "matchLabels": {"app": "a"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["x", "y"]}],
        }}});
        assert_eq!(
            selector(Workload::Deployment, &deployment).unwrap(),
            "app=a,tier in (x,y)"
        );
        let headless = json!({"spec": {}});
        assert!(selector(Workload::Service, &headless).is_err());
    }

    #[test]
    fn words_of_kubectl_name_kinds() {
        assert_eq!(Workload::named("deploy"), Some(Workload::Deployment));
        assert_eq!(Workload::named("SVC"), Some(Workload::Service));
        assert_eq!(Workload::named("vs"), None);
    }
}
