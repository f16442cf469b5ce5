//! Secrets that name remote clusters, which are not supported yet: they are found by their label and
//! said, nothing more (reliability.md T21).
//!
//! Only the metadata of such Secrets is read, never a kubeconfig, so nobody connects to a server in
//! one. Who may not list Secrets is told nothing, which is so unless the chart is asked for it.

use crate::shared::{Shared, Stopped};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use meltemi_api::Change;
use meltemi_api::kinds::Kind;
use meltemi_api::kubernetes::{REMOTE, REMOTE_MESSAGE, REMOTE_REMEDY};
use meltemi_types::{Code, Diagnostic, FieldPath, Namespace, ObjectRef, Origin};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(60);

/// Says which there are in the control plane's namespace, until nobody listens any more.
pub(crate) async fn follow(shared: Arc<Shared>, namespace: Namespace) -> Stopped {
    let mut said: Arc<[Diagnostic]> = [].into();
    loop {
        if let Some(found) = look(&shared, &namespace).await
            && found != said
        {
            said = found;
            let findings = Change::Findings {
                unit: format!("{} remote clusters", shared.cluster).into(),
                diagnostics: said.clone(),
            };
            if shared.send(vec![findings]).await.is_err() {
                return Stopped;
            }
        }
        tokio::select! {
            () = shared.closed() => return Stopped,
            () = sleep(EVERY) => {}
        }
    }
}

/// What there is to say; `None` when it cannot be told now.
async fn look(shared: &Shared, namespace: &Namespace) -> Option<Arc<[Diagnostic]>> {
    let secrets: Api<Secret> = Api::namespaced(shared.client.clone(), namespace.as_str());
    let params = ListParams::default().labels(&format!("{REMOTE}=true"));
    let found = secrets.list_metadata(&params).await;
    let found = found.inspect_err(|error| tracing::debug!(%error, "looking for remote clusters"));
    let mut names: Vec<String> = found
        .ok()?
        .iter()
        .filter(|one| {
            one.labels()
                .get(REMOTE)
                .is_some_and(|value| value == "true")
        })
        .map(ResourceExt::name_any)
        .collect();
    names.sort();
    let said = names.iter().filter_map(|name| {
        let object = ObjectRef {
            cluster: shared.cluster.clone(),
            kind: Kind::Secret.name().into(),
            namespace: Some(namespace.clone()),
            name: name.parse().ok()?,
        };
        let origin = Origin::object(Arc::new(object), None);
        let origin = origin.at(FieldPath::new("metadata.labels"));
        let code = Code::RemoteCluster;
        let said = Diagnostic::warning(code, origin, REMOTE_MESSAGE, REMOTE_REMEDY);
        Some(said)
    });
    Some(said.collect())
}
