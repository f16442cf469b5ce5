//! Who the pod is, by the API server. It is asked again until a deadline: what a runtime already
//! makes, a server that was just started may not know yet, and tokens are replaced.

use super::call::Call;
use super::conf::Conf;
use super::failure::Failure;
use k8s_openapi::api::core::v1::Pod;
use meltemi_kube::{Access, Pods, connect};
use std::error::Error;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// The first wait between two questions, which doubles, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// What the kubelet calls a pod that comes from a file of the node.
const STATIC: &str = "kubernetes.io/config.mirror";

/// Reads the pod of a call.
pub(super) fn pod(conf: &Conf, call: &Call) -> Result<Pod, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| Failure::io(format!("cannot start: {e}")))?;
    runtime.block_on(patiently(conf, call))
}

async fn patiently(conf: &Conf, call: &Call) -> Result<Pod, Failure> {
    let until = Instant::now() + conf.patience();
    let (mut pause, longest) = PAUSES;
    let mut last = "the API server did not answer".to_owned();
    loop {
        match timeout_at(until, once(conf, call)).await {
            Ok(Ok(pod)) => return Ok(pod),
            Ok(Err(why)) => {
                tracing::warn!(pod = %call.pod(), why, "the pod cannot be read yet");
                last = why;
            }
            Err(_elapsed) => return Err(Failure::later(&call.pod(), &last)),
        }
        if Instant::now() + pause >= until {
            return Err(Failure::later(&call.pod(), &last));
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Asks once, by the credentials that are there now.
async fn once(conf: &Conf, call: &Call) -> Result<Pod, String> {
    let access = Access::Kubeconfig(conf.kubeconfig());
    let client = connect(&access).await.map_err(|error| {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}; the installer (DaemonSet istio-cni-node) writes it")
    })?;
    let asked = Pods::new(client);
    let asked = asked.whole(&call.pod_namespace, &call.pod_name);
    let pod = asked.await.map_err(|error| error.to_string())?;
    match is_meant(&pod, &call.pod_uid) {
        true => Ok(pod),
        false => Err(format!(
            "the API server still has another pod of this name: the one to be made is {}",
            call.pod_uid
        )),
    }
}

/// Names are used again, by a StatefulSet say; what the runtime does not say may be anything.
fn is_meant(pod: &Pod, uid: &str) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    let of_file = annotations.and_then(|all| all.get(STATIC));
    uid.is_empty()
        || pod.metadata.uid.as_deref() == Some(uid)
        || of_file.is_some_and(|hash| hash == uid)
}

/// Whether a pod could be judged: the installer has done its work.
pub(super) fn ready(conf: &Conf) -> Result<(), Failure> {
    let path = conf.kubeconfig();
    match std::fs::metadata(&path) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::unavailable(format!(
            "{}: {error}; the installer (DaemonSet istio-cni-node) writes it",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_of_the_same_name_is_not_meant() {
        let mut pod = Pod::default();
        pod.metadata.uid = Some("1".to_owned());
        assert!(is_meant(&pod, "1") && is_meant(&pod, "") && !is_meant(&pod, "2"));
        let hash = (STATIC.to_owned(), "2".to_owned());
        pod.metadata.annotations = Some([hash].into());
        assert!(is_meant(&pod, "2"));
    }
}
