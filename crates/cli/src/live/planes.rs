//! The control planes: those that the user names, or the running pods labelled `app=istiod`, as
//! istioctl finds them. Where several are asked, one that does not answer is named and left out.

use super::door::Door;
use super::{connect, unanswered, unconnected};
use crate::args::live::{Cluster, Planes};
use crate::failure::{Failure, NEGATIVE, UNREACHABLE};
use meltemi_kube::{ConnectError, Pod, Pods};
use serde_json::Value;

/// Says on which port a control plane has its pages.
const PORT: &str = "prometheus.io/port";
/// The port when nothing says it.
const MONITORING: u16 = 15014;
const INSTEAD: &str = "--address HOST:PORT of a control plane";

/// A control plane.
#[derive(Clone)]
pub(crate) struct Plane {
    /// Its pod, or the address that the user gave.
    pub(crate) name: String,
    /// Its revision, as its pod is labelled.
    pub(crate) revision: String,
    pub(crate) door: Door,
}

/// Why no control plane was found.
pub(crate) enum Missing {
    /// Nothing names a cluster.
    Nowhere,
    /// Anything else.
    Failed(Failure),
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Nowhere => unconnected(&ConnectError::Nowhere, INSTEAD),
            Missing::Failed(failure) => failure,
        }
    }
}

/// The control planes that are meant, at least one, by name.
pub(crate) async fn find(planes: &Planes) -> Result<Vec<Plane>, Missing> {
    if !planes.address.is_empty() {
        let named = planes.address.iter().map(|address| Plane {
            name: address.clone(),
            revision: String::new(),
            door: Door::Address(address.clone()),
        });
        return Ok(named.collect());
    }
    let pods = connect(&planes.cluster)
        .await
        .map_err(|error| match error {
            ConnectError::Nowhere => Missing::Nowhere,
            other @ (ConnectError::Kubeconfig { .. }
            | ConnectError::Found(_)
            | ConnectError::Pod(_)
            | ConnectError::Credentials(_)) => Missing::Failed(unconnected(&other, INSTEAD)),
        })?;
    of_cluster(&pods, &planes.cluster)
        .await
        .map_err(Missing::Failed)
}

async fn of_cluster(pods: &Pods, cluster: &Cluster) -> Result<Vec<Plane>, Failure> {
    let namespace = &cluster.istio_namespace;
    let labels = match &cluster.revision {
        Some(revision) => format!("app=istiod,istio.io/rev={revision}"),
        None => "app=istiod".to_owned(),
    };
    let found = pods.list(namespace, &labels).await;
    let found = found.map_err(|error| unanswered(&error))?;
    let running: Vec<Plane> = found
        .iter()
        .filter(|pod| pod.running)
        .map(|pod| plane(pods, pod))
        .collect();
    match (running.is_empty(), found.is_empty()) {
        (false, _) => Ok(running),
        (true, true) => Err(Failure::new(
            UNREACHABLE,
            format!(
                "no control plane: namespace {namespace} has no pod labelled {labels}; name its \
                 namespace with -i, its revision with --revision, or install one"
            ),
        )),
        (true, false) => Err(Failure::new(
            UNREACHABLE,
            format!(
                "no control plane runs: of {} labelled {labels} in namespace {namespace} none is \
                 Running\n  try: kubectl describe pods -n {namespace} -l {labels}",
                counted(found.len())
            ),
        )),
    }
}

fn counted(pods: usize) -> String {
    match pods {
        1 => "the 1 pod".to_owned(),
        more => format!("the {more} pods"),
    }
}

fn plane(pods: &Pods, pod: &Pod) -> Plane {
    let port = pod
        .annotations
        .get(PORT)
        .and_then(|port| port.parse().ok())
        .unwrap_or(MONITORING);
    Plane {
        name: pod.name.clone(),
        revision: pod.labels.get("istio.io/rev").cloned().unwrap_or_default(),
        door: Door::Pod {
            pods: pods.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            port,
        },
    }
}

/// What each control plane says to a path, beside its name; and a note for each that says nothing.
///
/// # Errors
/// None of them answers; then it is the failure of the first.
pub(crate) async fn each(
    planes: &[Plane],
    path: &str,
) -> Result<(Vec<(Plane, String)>, Vec<String>), Failure> {
    let mut said = Vec::new();
    let mut failed = Vec::new();
    for plane in planes {
        match plane.door.get(path).await {
            Ok(response) => said.push((plane.clone(), response.text())),
            Err(failure) => failed.push(failure),
        }
    }
    let notes = failed.iter().map(|f| format!("note: {}", f.message));
    let notes = notes.collect();
    match (said.is_empty(), failed.into_iter().next()) {
        (true, Some(failure)) => Err(failure),
        _ => Ok((said, notes)),
    }
}

/// What the control plane that knows a proxy says it should have.
///
/// # Errors
/// Nobody knows it, or nobody answers.
pub(crate) async fn wanted(planes: &[Plane], proxy: &str) -> Result<(Plane, Value), Failure> {
    let path = format!("/debug/config_dump?proxyID={proxy}&include_eds=true");
    let mut failure = None;
    for plane in planes {
        let response = match plane.door.send(&::http::Method::GET, &path).await {
            Ok(response) => response,
            Err(away) => {
                failure = Some(away);
                continue;
            }
        };
        match response.status {
            200 => return Ok((plane.clone(), parse(plane, &response.text())?)),
            404 => {}
            _ => failure = Some(plane.door.refused(&path, &response)),
        }
    }
    let asked: Vec<&str> = planes.iter().map(|plane| plane.name.as_str()).collect();
    Err(failure.unwrap_or_else(|| {
        let message = format!(
            "proxy {proxy} is not connected to {}; its last configuration stays in force\n  try: \
             meltemi ps, and look at the log of its container istio-proxy",
            asked.join(", ")
        );
        Failure::new(NEGATIVE, message)
    }))
}

/// What a control plane said, as JSON.
pub(crate) fn parse(plane: &Plane, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!(
            "control plane {} does not answer in JSON: {error}",
            plane.name
        );
        Failure::new(UNREACHABLE, message)
    })
}
