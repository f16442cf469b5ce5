//! The root certificate in the ConfigMap `istio-ca-root-cert` of every namespace, and the list of revoked
//! certificates in `istio-ca-crl` (platform.md 4.7): written where it is missing or differs, and by
//! one replica only.
//!
//! Namespaces and ConfigMaps are watched, so a new namespace has it at once and a change by others
//! is undone. What is there already is not written: a restart writes nothing. The surprise: a list
//! that is withdrawn is written empty where it is, and nowhere else.

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

/// A text that every namespace has in a ConfigMap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The ConfigMap's name.
    name: &'static str,
    key: &'static str,
    /// Who owns the fields that are written.
    manager: &'static str,
}

impl Notice {
    /// The roots.
    pub const ROOTS: Self = Self {
        name: "istio-ca-root-cert",
        key: "root-cert.pem",
        manager: "meltemi-root-cert",
    };
    /// The list of revoked certificates.
    pub const REVOKED: Self = Self {
        name: "istio-ca-crl",
        key: "ca-crl.pem",
        manager: "meltemi-ca-crl",
    };
}

/// Namespaces that have no workloads of anybody.
const LEFT_OUT: [&str; 3] = ["kube-public", "kube-node-lease", "local-path-storage"];
/// Writes at a time.
const AT_ONCE: usize = 8;
/// After a failed write.
const AGAIN: Duration = Duration::from_secs(10);

/// Puts the root certificate, or the list of revoked ones, where workloads find it.
pub struct RootPublisher {
    /// Which of them.
    pub notice: Notice,
    /// The API server.
    pub client: Client,
    /// The roots or the list, in PEM; empty when there is none.
    pub text: watch::Receiver<Arc<str>>,
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

    fn map(&mut self, event: Event<ConfigMap>, notice: Notice) {
        match event {
            Event::Init => {
                self.held.clear();
                self.lists[1] = false;
            }
            Event::InitApply(o) | Event::Apply(o) => {
                let namespace = o.namespace().unwrap_or_default();
                let text = o.data.and_then(|mut data| data.remove(notice.key));
                self.held.insert(namespace, text.unwrap_or_default());
            }
            Event::Delete(o) => {
                self.held.remove(&o.namespace().unwrap_or_default());
            }
            Event::InitDone => self.lists[1] = true,
        }
    }

    /// Namespaces that lack the text; none before everything is known.
    fn lacking(&self, text: &str) -> Vec<String> {
        // Where there is no ConfigMap there is no text.
        let held = |name: &String| self.held.get(name).map_or("", String::as_str);
        let lacks = |name: &&String| held(name) != text;
        match self.lists {
            [true, true] => self.namespaces.iter().filter(lacks).cloned().collect(),
            _ => Vec::new(),
        }
    }
}

impl RootPublisher {
    /// Runs until nobody says any more what the text is.
    pub async fn run(mut self) {
        while matches!(self.follow().await, Ended::Restored) {}
    }

    async fn follow(&mut self) -> Ended {
        let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(self.client.clone());
        let maps: Api<ConfigMap> = Api::all(self.client.clone());
        let notice = self.notice;
        let name = notice.name;
        let named = watcher::Config::default().fields(&format!("metadata.name={name}"));
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
                    Ok(event) => seen.map(event, notice),
                    Err(error) => tracing::debug!(%error, "watching {name}"),
                },
                changed = self.text.changed() => if changed.is_err() { return Ended::Withdrawn },
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
        let text = self.text.borrow().clone();
        let notice = self.notice;
        let lacking = seen.lacking(&text);
        let writes = lacking.into_iter().map(|namespace| {
            let (client, text) = (self.client.clone(), text.clone());
            async move {
                let written = notice.apply(client, &namespace, &text).await;
                (written, namespace)
            }
        });
        let mut writes = pin!(stream::iter(writes).buffer_unordered(AT_ONCE));
        let mut failed = false;
        while let Some((written, namespace)) = writes.next().await {
            match written {
                Ok(()) => {
                    seen.held.insert(namespace, text.to_string());
                }
                Err(error) => {
                    let name = notice.name;
                    tracing::warn!(%namespace, %error, "cannot write ConfigMap {name}");
                    failed = true;
                }
            }
        }
        failed
    }
}

impl Notice {
    async fn apply(self, client: Client, namespace: &str, text: &str) -> Result<(), kube::Error> {
        let Self { name, key, manager } = self;
        let api: Api<ConfigMap> = Api::namespaced(client, namespace);
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"istio.io/config": "true"}},
            "data": {key: text},
        });
        let params = PatchParams::apply(manager).force();
        api.patch(name, &params, &Patch::Apply(map)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::api::ObjectMeta;
    use kube::core::PartialObjectMetaExt;

    const ROOTS: Notice = Notice::ROOTS;

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
                name: Some(ROOTS.name.to_owned()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            data: Some([(ROOTS.key.to_owned(), roots.to_owned())].into()),
            ..ConfigMap::default()
        }
    }

    fn seen() -> Seen {
        let mut seen = Seen::default();
        for name in ["shop", "bank", "kube-public", "kube-system"] {
            seen.namespace(Event::InitApply(namespace(name)));
        }
        seen.map(Event::InitApply(map("shop", "root")), ROOTS);
        seen.map(Event::InitApply(map("bank", "old")), ROOTS);
        seen
    }

    #[test]
    fn it_is_written_where_it_lacks_or_differs() {
        let mut seen = seen();
        assert!(seen.lacking("root").is_empty(), "not all is known yet");
        seen.namespace(Event::InitDone);
        seen.map(Event::InitDone, ROOTS);
        assert_eq!(seen.lacking("root"), ["bank", "kube-system"]);
        seen.map(Event::Delete(map("shop", "root")), ROOTS);
        seen.map(Event::Apply(map("bank", "root")), ROOTS);
        seen.namespace(Event::Delete(namespace("kube-system")));
        assert_eq!(seen.lacking("root"), ["shop"]);
    }

    #[test]
    fn a_namespace_that_ends_is_left_alone() {
        let mut seen = seen();
        seen.namespace(Event::InitDone);
        seen.map(Event::InitDone, ROOTS);
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

    #[test]
    fn what_is_withdrawn_is_written_where_it_is_only() {
        let mut seen = seen();
        seen.namespace(Event::InitDone);
        seen.map(Event::InitDone, ROOTS);
        assert_eq!(seen.lacking(""), ["bank", "shop"]);
        seen.map(Event::Apply(map("shop", "")), ROOTS);
        assert_eq!(seen.lacking(""), ["bank"]);
    }
}
