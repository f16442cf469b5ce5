//! What is done to a pod after the templates are laid over it, in Istio's order.

pub(crate) mod order;
pub(crate) mod overrides;
pub(crate) mod probes;
pub(crate) mod prometheus;
pub(crate) mod status;

use crate::added::Added;
use crate::pod;
use crate::refusal::Refusal;
use crate::settings::Settings;
use meltemi_api::mesh_config::ProxyConfig;
use serde_json::Value;
use std::collections::BTreeMap;

/// A pod that is being made, and what it is made of.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    /// The pod as it came.
    pub(crate) original: &'a Value,
    /// What the templates have added.
    pub(crate) added: &'a Added,
    /// The settings of its proxy.
    pub(crate) proxy: &'a ProxyConfig,
    /// The settings of the injector.
    pub(crate) settings: &'a Settings,
    /// What the webhook's address says.
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// The pod as it is so far.
    pub(crate) pod: Value,
}

impl Work<'_> {
    /// The mesh's own port of the agent.
    fn status_port(&self) -> i64 {
        self.settings.proxy.status_port.unwrap_or(15020)
    }
}

/// Does all of it.
pub(crate) fn finish(mut work: Work<'_>) -> Result<Value, Refusal> {
    overrides::apply(&mut work)?;
    let cluster = cluster_variables(&work);
    if let Some(proxy) = pod::proxy_mut(&mut work.pod) {
        for (name, value) in &cluster {
            pod::set_env(proxy, name, value);
        }
    }
    prometheus::merge(&mut work)?;
    probes::rewrite(&mut work);
    if let Some(network) = cluster.get(NETWORK) {
        let label = "topology.istio.io/network".to_owned();
        pod::labels_mut(&mut work.pod).insert(label, network.as_str().into());
    }
    status::annotate(&mut work);
    order::containers(&mut work);
    Ok(work.pod)
}

const CLUSTER: &str = "ISTIO_META_CLUSTER_ID";
const NETWORK: &str = "ISTIO_META_NETWORK";

/// Cluster and network of the pod, of the values or of its label; and what the webhook's address
/// says, which wins.
fn cluster_variables(work: &Work<'_>) -> BTreeMap<String, String> {
    let values = &work.settings.values;
    let said = pod::label(work.original, "topology.istio.io/network");
    let network = said.map_or_else(|| values.text("global.network"), ToOwned::to_owned);
    let cluster = values.text("global.multiCluster.clusterName");
    let all = [(CLUSTER, cluster), (NETWORK, network)];
    let all = all
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let mut all: BTreeMap<String, String> = all.collect();
    all.extend(work.variables.clone());
    all.retain(|_, value| !value.is_empty());
    all
}
