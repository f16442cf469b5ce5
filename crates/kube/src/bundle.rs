//! The roots in the injection webhooks of this revision (platform.md 5.3): put where they are missing
//! or differ, by one replica only, so that replicas which learn of a new root at different times do not
//! fight (reliability.md T63).
//!
//! Configurations are found by the label `istio.io/rev`, so those of revision tags are among them.
//! The surprise: no roots are never written, because an API server that believes nobody creates no
//! pods.

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How names of the entries end that are ours to keep.
const ENTRY: &str = "sidecar-injector.istio.io";
/// Who owns the fields that are written.
const MANAGER: &str = "meltemi-ca-bundle";
/// After a write, so that somebody who disagrees costs little.
const PAUSE: Duration = Duration::from_millis(500);
/// After a write that failed: soon at first, because mostly somebody else was faster.
const SOON: Duration = Duration::from_millis(100);
/// After more than [`TRIES`] that failed.
const LATER: Duration = Duration::from_secs(10);
const TRIES: u32 = 5;

/// Keeps the roots in the webhooks of a revision.
pub struct BundlePatcher {
    /// The API server.
    pub client: Client,
    /// The revision; `default` for the one without a name.
    pub revision: String,
    /// The roots in PEM; empty while there are none.
    pub roots: watch::Receiver<Arc<str>>,
    /// True while this replica is the one that writes.
    pub leads: watch::Receiver<bool>,
    /// Changes whenever the API server's store went back in time ([`crate::Source::restores`]).
    pub restores: watch::Receiver<u64>,
}

/// Why following ended.
enum Ended {
    /// What was seen cannot be believed any more.
    Restored,
    /// Nobody says any more what the roots are.
    Withdrawn,
}

/// The configurations of the revision; `whole` once they were listed.
#[derive(Debug, Default)]
struct Seen {
    all: BTreeMap<String, MutatingWebhookConfiguration>,
    whole: bool,
}

impl Seen {
    fn hear(&mut self, event: Event<MutatingWebhookConfiguration>) {
        match event {
            Event::Init => *self = Self::default(),
            Event::InitApply(one) | Event::Apply(one) => {
                self.all.insert(one.name_any(), one);
            }
            Event::Delete(one) => {
                self.all.remove(&one.name_any());
            }
            Event::InitDone => self.whole = true,
        }
    }

    /// What is to be written, by name; nothing before everything is known, or without roots.
    fn wrong(&self, roots: &str) -> Vec<(String, Value)> {
        if !self.whole || roots.is_empty() {
            return Vec::new();
        }
        let patches = self
            .all
            .iter()
            .map(|(name, one)| (name, patch(one, roots.as_bytes())));
        patches
            .filter_map(|(name, patch)| Some((name.clone(), patch?)))
            .collect()
    }
}

/// What makes a configuration right; `None` when it is. It is refused when the configuration was
/// changed meanwhile.
fn patch(one: &MutatingWebhookConfiguration, roots: &[u8]) -> Option<Value> {
    let entries = one.webhooks.as_deref().unwrap_or_default();
    let ours = entries.iter().filter(|entry| entry.name.ends_with(ENTRY));
    let wrong = ours.filter(|entry| {
        let bundle = entry.client_config.ca_bundle.as_ref();
        bundle.is_none_or(|ByteString(bundle)| bundle != roots)
    });
    let bundle = ByteString(roots.to_vec());
    let changes: Vec<Value> = wrong
        .map(|entry| json!({"name": entry.name, "clientConfig": {"caBundle": bundle}}))
        .collect();
    (!changes.is_empty()).then(|| {
        json!({
            "metadata": {"resourceVersion": one.metadata.resource_version},
            "webhooks": changes,
        })
    })
}

impl BundlePatcher {
    /// Runs until nobody says any more what the roots are.
    pub async fn run(mut self) {
        while matches!(self.follow().await, Ended::Restored) {}
    }

    async fn follow(&mut self) -> Ended {
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let of_revision = format!("istio.io/rev={}", self.revision);
        let labelled = watcher::Config::default().labels(&of_revision);
        let events = watcher::watcher(api.clone(), labelled).default_backoff();
        let mut events = pin!(events);
        let mut seen = Seen::default();
        let (mut failures, mut wait) = (0, None);
        loop {
            tokio::select! {
                Some(event) = events.next() => match event {
                    Ok(event) => seen.hear(event),
                    Err(error) => tracing::warn!(%error, "cannot look at webhooks"),
                },
                changed = self.roots.changed() => if changed.is_err() { return Ended::Withdrawn },
                Ok(()) = self.restores.changed() => return Ended::Restored,
                Ok(()) = self.leads.changed() => {}
                () = pause(wait) => wait = None,
            }
            if wait.is_some() || !*self.leads.borrow() {
                continue;
            }
            let roots = self.roots.borrow().clone();
            let wrong = seen.wrong(&roots);
            if wrong.is_empty() {
                continue;
            }
            match write(&api, &mut seen, wrong).await {
                true => (failures, wait) = (0, Some(PAUSE)),
                false => {
                    failures += 1;
                    wait = Some(if failures > TRIES { LATER } else { SOON });
                }
            }
        }
    }
}

/// Ends after that long; without one, never.
async fn pause(long: Option<Duration>) {
    match long {
        Some(long) => tokio::time::sleep(long).await,
        None => std::future::pending().await,
    }
}

/// True when all was written.
async fn write(
    api: &Api<MutatingWebhookConfiguration>,
    seen: &mut Seen,
    wrong: Vec<(String, Value)>,
) -> bool {
    let mut fine = true;
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    for (name, patch) in wrong {
        metrics::counter!("webhook_patch_attempts_total", "name" => name.clone()).increment(1);
        match api.patch(&name, &params, &Patch::Strategic(patch)).await {
            Ok(one) => {
                tracing::info!(webhook = %name, "the API server was told our roots");
                seen.all.insert(name, one);
            }
            Err(error) => {
                fine = false;
                complain(&name, &error);
            }
        }
    }
    fine
}

fn complain(name: &str, error: &kube::Error) {
    if let kube::Error::Api(status) = error
        && matches!(status.code, 404 | 409)
    {
        let name = name.to_owned();
        metrics::counter!("webhook_patch_retries_total", "name" => name).increment(1);
        return;
    }
    tracing::warn!(webhook = %name, %error, "the API server cannot be told our roots");
    let reason = "webhook_update_failure";
    metrics::counter!("webhook_patch_failures_total", "name" => name.to_owned(), "reason" => reason)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(name: &str, bundles: &[(&str, &str)]) -> MutatingWebhookConfiguration {
        let entries = bundles.iter().map(|(entry, bundle)| {
            let bundle = match *bundle {
                "" => Value::Null,
                text => json!(ByteString(text.into())),
            };
            json!({
                "name": entry, "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": {"caBundle": bundle, "service": {"name": "istiod", "namespace": "istio-system"}},
            })
        });
        let value = json!({
            "metadata": {"name": name, "resourceVersion": "7"},
            "webhooks": entries.collect::<Vec<_>>(),
        });
        serde_json::from_value(value).unwrap()
    }

    const OURS: &str = "rev.namespace.sidecar-injector.istio.io";
    const TOO: &str = "namespace.sidecar-injector.istio.io";

    fn seen(one: MutatingWebhookConfiguration) -> Seen {
        let mut seen = Seen::default();
        seen.hear(Event::Init);
        seen.hear(Event::InitApply(one));
        seen.hear(Event::InitDone);
        seen
    }

    #[test]
    fn entries_of_ours_that_differ_are_named_and_no_others() {
        let one = configuration(
            "istio-sidecar-injector",
            &[
                (OURS, ""),
                (TOO, "other"),
                ("object.sidecar-injector.istio.io", "root"),
                ("x.example.com", ""),
            ],
        );
        let wrong = seen(one).wrong("root");
        assert_eq!(wrong.len(), 1);
        let bundle = json!(ByteString(b"root".to_vec()));
        let expected = json!({
            "metadata": {"resourceVersion": "7"},
            "webhooks": [
                {"name": OURS, "clientConfig": {"caBundle": bundle}},
                {"name": TOO, "clientConfig": {"caBundle": bundle}},
            ],
        });
        assert_eq!(wrong[0], ("istio-sidecar-injector".to_owned(), expected));
    }

    #[test]
    fn t63_no_roots_are_never_written_and_half_a_list_is_no_reason() {
        let one = configuration("istio-sidecar-injector", &[(OURS, "root")]);
        assert!(seen(one.clone()).wrong("").is_empty());
        let mut half = Seen::default();
        half.hear(Event::Init);
        half.hear(Event::InitApply(one.clone()));
        assert!(half.wrong("next").is_empty());
        half.hear(Event::InitDone);
        assert_eq!(half.wrong("next").len(), 1);
        half.hear(Event::Delete(one));
        assert!(half.wrong("next").is_empty());
    }
}
