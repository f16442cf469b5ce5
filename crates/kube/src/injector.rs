//! What injection depends on beside the mesh: the ConfigMap that the charts write for the injector
//! (platform.md 1.12), and the oldest kubelet, which decides whether proxies are native sidecars.
//!
//! A ConfigMap that is taken away while we run changes nothing; who starts without one says so to
//! each pod.

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::watch;

/// What is known of the ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// It has not been read yet.
    #[default]
    Unread,
    /// There was none.
    Absent,
    /// What it says, by key: `config` and `values`.
    Says(Arc<BTreeMap<String, String>>),
}

/// Follows both.
pub struct InjectorSource {
    /// The API server.
    pub client: Client,
    /// Where the ConfigMap is.
    pub namespace: String,
    /// What it is called.
    pub name: String,
    /// What is known of it.
    pub told: watch::Sender<Told>,
    /// The minor version of the oldest kubelet; `None` until one is known.
    pub kubelet: watch::Sender<Option<u32>>,
    /// Changes whenever the API server's store went back in time ([`crate::Source::restores`]).
    pub restores: watch::Receiver<u64>,
}

impl InjectorSource {
    /// Runs for ever.
    pub async fn run(mut self) {
        loop {
            self.follow().await;
        }
    }

    /// Until what was seen cannot be believed any more.
    async fn follow(&mut self) {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let nodes: Api<Node> = Api::all(self.client.clone());
        let named = format!("metadata.name={}", self.name);
        let named = watcher::Config::default().fields(&named);
        let every = watcher::Config::default();
        let maps = watcher::watcher(maps, named).default_backoff();
        let nodes = watcher::watcher(nodes, every).default_backoff();
        let (mut maps, mut nodes) = (pin!(maps), pin!(nodes));
        let mut kubelets = Kubelets::default();
        let mut watched = true;
        loop {
            tokio::select! {
                Some(event) = maps.next() => match event {
                    Ok(event) => hear(&self.told, event),
                    Err(error) => tracing::warn!(%error, "cannot read ConfigMap {}", self.name),
                },
                Some(event) = nodes.next() => match event {
                    Ok(event) => {
                        if let Some(oldest) = kubelets.hear(event) {
                            self.kubelet.send_if_modified(|known| {
                                known.replace(oldest) != Some(oldest)
                            });
                        }
                    }
                    Err(error) => tracing::debug!(%error, "watching nodes"),
                },
                changed = self.restores.changed(), if watched => match changed {
                    Ok(()) => return,
                    Err(_) => watched = false,
                },
            }
        }
    }
}

/// Tells what an event says of the ConfigMap.
fn hear(told: &watch::Sender<Told>, event: Event<ConfigMap>) {
    let now = match event {
        Event::InitApply(map) | Event::Apply(map) => {
            Told::Says(Arc::new(map.data.unwrap_or_default()))
        }
        Event::InitDone if *told.borrow() == Told::Unread => Told::Absent,
        Event::Delete(_) => {
            tracing::warn!("the injector's ConfigMap was deleted; what it said stays in force");
            return;
        }
        Event::Init | Event::InitDone => return,
    };
    told.send_if_modified(|known| {
        let differs = *known != now;
        *known = now;
        differs
    });
}

/// The minor versions of the kubelets by node.
#[derive(Debug, Default)]
struct Kubelets {
    minors: BTreeMap<String, u32>,
    whole: bool,
}

impl Kubelets {
    /// The oldest, once all nodes are known.
    fn hear(&mut self, event: Event<Node>) -> Option<u32> {
        match event {
            Event::Init => *self = Self::default(),
            Event::InitApply(node) | Event::Apply(node) => {
                let name = node.name_any();
                let info = node.status.and_then(|status| status.node_info);
                let minor = info.and_then(|info| minor(&info.kubelet_version));
                match minor {
                    Some(minor) => self.minors.insert(name, minor),
                    None => self.minors.remove(&name),
                };
            }
            Event::Delete(node) => {
                self.minors.remove(&node.name_any());
            }
            Event::InitDone => self.whole = true,
        }
        let oldest = self.minors.values().min().copied();
        oldest.filter(|_| self.whole)
    }
}

/// The minor version of `v1.33.4-eks-1`.
fn minor(version: &str) -> Option<u32> {
    let (_, rest) = version.trim_start_matches('v').split_once('.')?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, version: &str) -> Node {
        let info = json!({
            "architecture": "", "bootID": "", "containerRuntimeVersion": "", "kernelVersion": "",
            "kubeProxyVersion": "", "kubeletVersion": version, "machineID": "",
            "operatingSystem": "", "osImage": "", "systemUUID": "",
        });
        let node = json!({"metadata": {"name": name}, "status": {"nodeInfo": info}});
        serde_json::from_value(node).unwrap()
    }

    #[test]
    fn the_oldest_kubelet_counts_once_all_are_known() {
        let mut kubelets = Kubelets::default();
        assert_eq!(kubelets.hear(Event::Init), None);
        assert_eq!(kubelets.hear(Event::InitApply(node("a", "v1.35.1"))), None);
        assert_eq!(
            kubelets.hear(Event::InitApply(node("b", "v1.28.3+k3s1"))),
            None
        );
        assert_eq!(kubelets.hear(Event::InitDone), Some(28));
        assert_eq!(
            kubelets.hear(Event::Apply(node("c", "v1.27.0-gke"))),
            Some(27)
        );
        assert_eq!(kubelets.hear(Event::Delete(node("c", ""))), Some(28));
        assert_eq!(kubelets.hear(Event::Apply(node("b", "v1.33.0"))), Some(33));
        assert_eq!(kubelets.hear(Event::Apply(node("b", "unknown"))), Some(35));
    }

    #[test]
    fn a_config_map_that_is_taken_away_stays_in_force() {
        let (told, known) = watch::channel(Told::Unread);
        hear(&told, Event::Init);
        assert_eq!(*known.borrow(), Told::Unread);
        hear(&told, Event::InitDone);
        assert_eq!(*known.borrow(), Told::Absent);
        let map: ConfigMap =
            serde_json::from_value(json!({"metadata": {}, "data": {"values": "{}"}})).unwrap();
        hear(&told, Event::Apply(map.clone()));
        let says = Told::Says(Arc::new([("values".to_owned(), "{}".to_owned())].into()));
        assert_eq!(*known.borrow(), says);
        hear(&told, Event::Delete(map));
        assert_eq!(*known.borrow(), says);
    }
}
