//! The fields of a scenario file.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Domains with the clusters of their routes; `None`: the domain is not there.
pub(crate) type Domains = BTreeMap<String, Option<Vec<String>>>;

/// Texts by cluster; `None` is none.
pub(crate) type ByCluster = BTreeMap<String, Option<Vec<String>>>;

/// A scenario as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Scenario {
    pub(crate) name: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) note: Option<String>,
    pub(crate) features: BTreeMap<String, Value>,
    pub(crate) mesh_config: Option<Value>,
    pub(crate) mesh_networks: Option<Value>,
    pub(crate) proxy: Option<ProxyEntry>,
    pub(crate) registry: Registry,
    pub(crate) config: Option<String>,
    pub(crate) kube_config: Option<String>,
    pub(crate) kube_objects_by_cluster: BTreeMap<String, String>,
    pub(crate) calls: Vec<CallEntry>,
    pub(crate) virtual_hosts: BTreeMap<String, Domains>,
    pub(crate) clusters: Option<ByCluster>,
    pub(crate) cluster_services: Option<ByCluster>,
    pub(crate) proxies: Vec<ProxyExpectation>,
    pub(crate) endpoints: Option<ByCluster>,
    pub(crate) all_endpoints: Option<Value>,
    pub(crate) name_table: Option<Value>,
    pub(crate) checks: Vec<String>,
}

/// What kind of proxy it is.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProxyType {
    #[default]
    Sidecar,
    Router,
    Waypoint,
}

/// The proxy that asks for configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ProxyEntry {
    pub(crate) id: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: ProxyType,
    pub(crate) namespace: Option<String>,
    pub(crate) metadata_namespace: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) metadata: BTreeMap<String, Value>,
    #[serde(rename = "clusterID")]
    pub(crate) cluster_id: Option<String>,
    pub(crate) network: Option<String>,
    pub(crate) interception_mode: Option<String>,
    pub(crate) locality: Option<String>,
}

/// Services without objects.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Registry {
    pub(crate) services: Vec<RegistryService>,
    pub(crate) instances: Vec<RegistryInstance>,
}

/// A service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegistryService {
    pub(crate) hostname: String,
    #[serde(default)]
    pub(crate) address: Option<String>,
    #[serde(default)]
    pub(crate) resolution: Option<String>,
    #[serde(default)]
    pub(crate) ports: Vec<RegistryPort>,
}

/// A port of a service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegistryPort {
    pub(crate) name: String,
    pub(crate) number: u32,
    #[serde(default)]
    pub(crate) protocol: Option<String>,
}

/// Something that answers for a port of a service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RegistryInstance {
    pub(crate) service: String,
    pub(crate) service_port: u32,
    #[serde(default)]
    pub(crate) target_port: Option<u32>,
    pub(crate) addresses: Vec<IpAddr>,
}

/// A call and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    dead_code,
    reason = "some fields are for people only, but are no mistakes"
)]
pub(crate) struct CallEntry {
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) call: CallText,
    #[serde(default)]
    pub(crate) expect: Option<Expect>,
    #[serde(default)]
    pub(crate) note: Option<String>,
    #[serde(default)]
    pub(crate) also_checks: Option<Value>,
}

/// A call as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "routes of scenarios are chosen by path alone")]
pub(crate) struct CallText {
    #[serde(default)]
    pub(crate) mode: Option<Mode>,
    #[serde(default)]
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    #[serde(default)]
    pub(crate) protocol: Option<ProtocolText>,
    #[serde(default)]
    pub(crate) tls: Option<TlsText>,
    #[serde(default)]
    pub(crate) alpn: Option<String>,
    #[serde(default)]
    pub(crate) sni: Option<String>,
    #[serde(default)]
    pub(crate) host: Option<String>,
    #[serde(default)]
    pub(crate) path: Option<String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) mtls_secret_name: Option<String>,
}

/// How the connection gets to the proxy.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Gateway,
    Outbound,
    Inbound,
}

/// What is inside.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProtocolText {
    Http,
    Http2,
    Tcp,
}

/// What is around it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TlsText {
    Plaintext,
    Tls,
    Mtls,
}

/// What is expected of a call. Absent: not asked; with `strict`: empty.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Expect {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) listener: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filter_chain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route_config: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) virtual_host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) strict: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) known_bug: Option<Value>,
}

/// What one of several proxies is expected to have.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProxyExpectation {
    pub(crate) proxy: ProxyEntry,
    #[serde(default)]
    pub(crate) endpoints: Option<ByCluster>,
    #[serde(default)]
    pub(crate) weighted_endpoints: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    pub(crate) exact: bool,
}
