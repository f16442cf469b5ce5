//! What the tool asks a running mesh: the API server for pods, control planes for their pages,
//! Envoys for their admin interface. All I/O of those commands is here; what they show is made
//! elsewhere, from the answers alone.

pub(crate) mod door;
pub(crate) mod http;
pub(crate) mod planes;
pub(crate) mod proxy;

use crate::args::live::Cluster;
use crate::failure::{DENIED, Failure, INTERNAL, NEGATIVE, UNREACHABLE};
use meltemi_kube::{Access, AskError, ConnectError, Pods};
use std::error::Error;

/// What to do when the API server is away.
const ELSEWHERE: &str = "is the cluster up, and is it the right --kubeconfig and --context?";

/// Runs questions to their end.
pub(crate) fn ask<T>(questions: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(INTERNAL, format!("cannot start: {error}")))?;
    let answer = runtime.block_on(questions);
    // Connections that nobody reads any more are not waited for.
    runtime.shutdown_background();
    answer
}

/// The API server of a cluster. Nothing is asked yet.
///
/// # Errors
/// There is no usable kubeconfig.
pub(crate) async fn connect(cluster: &Cluster) -> Result<Pods, ConnectError> {
    let access = Access::Person {
        kubeconfig: cluster.kubeconfig.clone(),
        context: cluster.context.clone(),
    };
    Ok(Pods::new(meltemi_kube::connect(&access).await?))
}

/// A way to the API server that cannot be found, as a person should read it.
pub(crate) fn unconnected(error: &ConnectError, instead: &str) -> Failure {
    let message = match error {
        ConnectError::Nowhere => format!(
            "no cluster: neither --kubeconfig nor KUBECONFIG nor ~/.kube/config names one; name \
             one, or give {instead}"
        ),
        ConnectError::Found(_)
        | ConnectError::Kubeconfig { .. }
        | ConnectError::Pod(_)
        | ConnectError::Credentials(_) => format!(
            "{error}: {}; look at --kubeconfig, --context and KUBECONFIG",
            causes(error)
        ),
    };
    Failure::new(UNREACHABLE, message)
}

fn causes(error: &dyn Error) -> String {
    let mut said = Vec::new();
    let mut next = error.source();
    while let Some(error) = next {
        said.push(error.to_string());
        next = error.source();
    }
    // A cause that its effect already quotes is said once.
    let last = said.len().saturating_sub(1);
    let fresh = |(at, text): (usize, &String)| {
        let quoted = said.iter().take(at).any(|before| before.contains(text));
        (at == last && !quoted || at == 0).then(|| text.clone())
    };
    let kept: Vec<String> = said.iter().enumerate().filter_map(fresh).collect();
    kept.join(": ")
}

/// A question that the API server did not answer as hoped.
pub(crate) fn unanswered(error: &AskError) -> Failure {
    match error {
        AskError::Away { .. } => Failure::new(UNREACHABLE, format!("{error}; {ELSEWHERE}")),
        AskError::Denied { .. } => Failure::new(
            DENIED,
            format!(
                "{error}\n  ask for a role with get and list of pods, and get and create of \
                 pods/portforward, in that namespace"
            ),
        ),
        AskError::NotFound { .. } | AskError::Failed { .. } => {
            Failure::new(NEGATIVE, error.to_string())
        }
    }
}
