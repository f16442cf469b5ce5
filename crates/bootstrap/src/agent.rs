//! The bootstrap of an Envoy beside an agent: the agent's clusters, the two doors of the pod
//! (readiness on 15021, statistics on 15090), Istio's tags and inclusion of statistics.
//!
//! Follows Istio's `envoy_bootstrap.json`. The surprise: what is not in the inclusion list is never
//! created, which keeps an Envoy small; what the drain counts must therefore be in it.

mod clusters;
mod doors;
mod secure;
mod selection;

pub use doors::Doors;
pub use selection::Selection;

use crate::{AdminAddress, NodeFacts, XdsProtocol, XdsServer, runtime};
use clusters::named;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// How Envoy's own log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLines {
    /// As Istio's proxies write them.
    #[default]
    Text,
    /// A JSON object a line, with the keys of Istio's.
    Json,
}

/// Everything that an Envoy beside an agent must know before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentBootstrap {
    /// Who the proxy is.
    pub node: NodeFacts,
    /// Where ADS goes: the agent's socket, or the control plane itself.
    pub xds: XdsServer,
    /// Which of the two ADS protocols to speak.
    pub protocol: XdsProtocol,
    /// Where the admin interface listens.
    pub admin: AdminAddress,
    /// What Envoy serves for the kubelet and for Prometheus.
    pub doors: Doors,
    /// The Unix socket of the workload's certificates.
    pub sds: String,
    /// The Unix socket of certificates from files, when another agent owns the workload's.
    pub sds_files: Option<String>,
    /// Which statistics are kept, and how their names fall into tags.
    pub stats: Selection,
    /// How log lines look.
    pub log: LogLines,
    /// Runtime settings on top of ours; an empty text removes one.
    pub runtime: BTreeMap<String, String>,
    /// The most connections of clients at once; `None` is no limit.
    pub connections: Option<u32>,
    /// Where statistics also go, as statsd over UDP.
    pub statsd: Option<SocketAddr>,
}

impl AgentBootstrap {
    /// The bootstrap as JSON. Equal facts give equal bytes.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut whole = Map::new();
        whole.insert("admin".into(), self.admin.to_json());
        whole.insert("application_log_config".into(), self.log.to_json());
        whole.insert("bootstrap_extensions".into(), runtime::extensions());
        let deferred = json!({"enable_deferred_creation_stats": true});
        whole.insert("deferred_stat_options".into(), deferred);
        whole.insert("dynamic_resources".into(), self.protocol.dynamic(&self.xds));
        whole.insert(
            "layered_runtime".into(),
            runtime::layers_with(&self.runtime),
        );
        whole.insert("node".into(), self.node.to_json());
        whole.insert("overload_manager".into(), self.overload());
        let statics = json!({"clusters": self.clusters(), "listeners": self.doors.listeners()});
        whole.insert("static_resources".into(), statics);
        whole.insert("stats_config".into(), self.stats.to_json());
        if let Some(address) = self.statsd {
            whole.insert("stats_sinks".into(), json!([statsd(address)]));
        }
        Value::Object(whole)
    }

    fn clusters(&self) -> Vec<Value> {
        let mut all = vec![
            clusters::tcp("prometheus_stats", &self.admin.address, self.admin.port),
            clusters::tcp("agent", &self.doors.agent.address, self.doors.agent.port),
            clusters::pipe(crate::SDS_CLUSTER, &self.sds),
        ];
        let files = self.sds_files.as_deref();
        all.extend(files.map(|path| clusters::pipe("sds-files-grpc", path)));
        all.extend(self.xds.cluster().map(named));
        all
    }

    fn overload(&self) -> Value {
        let url = "type.googleapis.com/envoy.extensions.resource_monitors.\
                   downstream_connections.v3.DownstreamConnectionsConfig";
        let most = self.connections.unwrap_or(i32::MAX.unsigned_abs());
        json!({"resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {"@type": url, "max_active_downstream_connections": most},
        }]})
    }
}

fn statsd(address: SocketAddr) -> Value {
    let (ip, port) = (address.ip().to_string(), address.port());
    json!({
        "name": "envoy.stat_sinks.statsd",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.metrics.v3.StatsdSink",
            "address": {"socket_address": {"protocol": "UDP", "address": ip, "port_value": port}},
        },
    })
}

impl LogLines {
    fn to_json(self) -> Value {
        match self {
            Self::Text => {
                let line = "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t";
                json!({"log_format": {"text_format": line}})
            }
            Self::Json => json!({"log_format": {"json_format": {
                "level": "%l",
                "msg": "%j",
                "scope": "envoy %n",
                "caller": "%g:%#",
                "thread": "%t",
                "time": "%Y-%m-%dT%T.%fZ",
            }}}),
        }
    }
}

#[cfg(test)]
mod tests;
