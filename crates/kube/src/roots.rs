//! The root certificate in the ConfigMap `istio-ca-root-cert` of every namespace (platform.md 4.7):
//! written where it is missing or differs, and by one replica only.
//!
//! Namespaces and ConfigMaps are watched, so a new namespace has it at once and a change by others
//! is undone. What is there already is not written: a restart writes nothing.

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The ConfigMap's name.
const NAME: &str = "istio-ca-root-cert";
const KEY: &str = "root-cert.pem";
/// Who owns the fields that are written.
const MANAGER: &str = "meltemi-root-cert";
/// Namespaces that have no workloads of anybody.
const LEFT_OUT: [&str; 3] = ["kube-public", "kube-node-lease", "local-path-storage"];
/// Writes at a time.
const AT_ONCE: usize = 8;
/// After a failed write.
const AGAIN: Duration = Duration::from_secs(10);

/// Puts the root certificate where workloads find it.
pub struct RootPublisher {
    /// The API server.
    pub client: Client,
    /// The roots, in PEM.
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
    Withdrawn,
}

/// What is there, as far as it is known.
#[derive(Debug, Default)]
struct Seen {
    namespaces: BTreeSet<String>,
    held: BTreeMap<String, String>,
    /// Both lists have been read whole.
    lists: [bool; 2],
}

impl Seen {
    fn namespace(&mut self, event: Event<PartialObjectMeta<Namespace>>) {
        let alive = |o: &PartialObjectMeta<Namespace>| {
            let name = o.name_any();
            o.metadata.deletion_timestamp.is_none() && !LEFT_OUT.contains(&name.as_str())
        };
        match event {
            Event::Init => {
                self.namespaces.clear();
                self.lists[0] = false;
            }
            Event::InitApply(o) | Event::Apply(o) if alive(&o) => {
                self.namespaces.insert(o.name_any());
            }
            Event::InitApply(o) | Event::Apply(o) | Event::Delete(o) => {
                self.namespaces.remove(&o.name_any());
            }
            Event::InitDone => self.lists[0] = true,
        }
    }

    fn map(&mut self, event: Event<ConfigMap>) {
        match event {
            Event::Init => {
                self.held.clear();
                self.lists[1] = false;
            }
            Event::InitApply(o) | Event::Apply(o) => {
                let namespace = o.namespace().unwrap_or_default();
                let text = o.data.and_then(|mut data| data.remove(KEY));
                self.held.insert(namespace, text.unwrap_or_default());
            }
            Event::Delete(o) => {
                self.held.remove(&o.namespace().unwrap_or_default());
            }
            Event::InitDone => self.lists[1] = true,
        }
    }

    /// Namespaces that lack the roots; none before everything is known.
    fn lacking(&self, roots: &str) -> Vec<String> {
        let lacks = |name: &&String| self.held.get(*name).is_none_or(|held| held != roots);
        match self.lists {
            [true, true] => self.namespaces.iter().filter(lacks).cloned().collect(),
            _ => Vec::new(),
        }
    }
}

impl RootPublisher {
    /// Runs until the roots are withdrawn.
    pub async fn run(mut self) {
        while matches!(self.follow().await, Ended::Restored) {}
    }

    async fn follow(&mut self) -> Ended {
        let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        let maps: Api<ConfigMap> = Api::all(self.client.clone());
        let named = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
        let every = watcher::Config::default();
        let namespaces = watcher::watcher(namespaces, every).default_backoff();
        let maps = watcher::watcher(maps, named).default_backoff();
        let (mut namespaces, mut maps) = (pin!(namespaces), pin!(maps));
        let mut seen = Seen::default();
        let mut failed = false;
        loop {
            tokio::select! {
                Some(event) = namespaces.next() => match event {
                    Ok(event) => seen.namespace(event),
                    Err(error) => tracing::debug!(%error, "watching namespaces"),
                },
                Some(event) = maps.next() => match event {
                    Ok(event) => seen.map(event),
                    Err(error) => tracing::debug!(%error, "watching {NAME}"),
                },
                changed = self.roots.changed() => if changed.is_err() { return Ended::Withdrawn },
                Ok(()) = self.restores.changed() => return Ended::Restored,
                Ok(()) = self.leads.changed() => {}
                () = tokio::time::sleep(AGAIN), if failed => {}
            }
            if *self.leads.borrow() {
                failed = self.write(&mut seen).await;
            }
        }
    }

    /// Writes where it is missing. True when a write failed.
    async fn write(&self, seen: &mut Seen) -> bool {
        let roots = self.roots.borrow().clone();
        let lacking = seen.lacking(&roots);
        let writes = lacking.into_iter().map(|namespace| {
            let (client, roots) = (self.client.clone(), roots.clone());
            async move { (apply(client, &namespace, &roots).await, namespace) }
        });
        let mut writes = pin!(stream::iter(writes).buffer_unordered(AT_ONCE));
        let mut failed = false;
        while let Some((written, namespace)) = writes.next().await {
            match written {
                Ok(()) => {
                    seen.held.insert(namespace, roots.to_string());
                }
                Err(error) => {
                    tracing::warn!(%namespace, %error, "cannot write ConfigMap {NAME}");
                    failed = true;
                }
            }
        }
        failed
    }
}

async fn apply(client: Client, namespace: &str, roots: &str) -> Result<(), kube::Error> {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "labels": {"istio.io/config": "true"}},
        "data": {KEY: roots},
    });
    let params = PatchParams::apply(MANAGER).force();
    api.patch(NAME, &params, &Patch::Apply(map)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::api::ObjectMeta;
    use kube::core::PartialObjectMetaExt;

    fn namespace(name: &str) -> PartialObjectMeta<Namespace> {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        };
        metadata.into_response_partial()
    }

    fn map(namespace: &str, roots: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            data: Some([(KEY.to_owned(), roots.to_owned())].into()),
            ..ConfigMap::default()
        }
    }

    fn seen() -> Seen {
        let mut seen = Seen::default();
        for name in ["shop", "bank", "kube-public", "kube-system"] {
            seen.namespace(Event::InitApply(namespace(name)));
        }
        seen.map(Event::InitApply(map("shop", "root")));
        seen.map(Event::InitApply(map("bank", "old")));
        seen
    }

    #[test]
    fn it_is_written_where_it_lacks_or_differs() {
        let mut seen = seen();
        assert!(seen.lacking("root").is_empty(), "not all is known yet");
        seen.namespace(Event::InitDone);
        seen.map(Event::InitDone);
        assert_eq!(seen.lacking("root"), ["bank", "kube-system"]);
        seen.map(Event::Delete(map("shop", "root")));
        seen.map(Event::Apply(map("bank", "root")));
        seen.namespace(Event::Delete(namespace("kube-system")));
        assert_eq!(seen.lacking("root"), ["shop"]);
    }

    #[test]
    fn a_namespace_that_ends_is_left_alone() {
        let mut seen = seen();
        seen.namespace(Event::InitDone);
        seen.map(Event::InitDone);
        let mut ending = namespace("bank");
        ending.metadata.deletion_timestamp = Some(
            serde_json::from_str::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>(
                "\"2026-01-01T00:00:00Z\"",
            )
            .unwrap(),
        );
        seen.namespace(Event::Apply(ending));
        assert_eq!(seen.lacking("root"), ["kube-system"]);
    }
}
