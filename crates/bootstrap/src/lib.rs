//! How an Envoy starts: node facts in, bootstrap out, as the JSON that Envoy is fed.
//!
//! Follows Istio's `envoy_bootstrap.json` where users can see it: LDS and CDS over one ADS stream
//! with no fetch timeout, the RE2 limit, stats whose names end at `;`. The surprise: Envoy reads
//! YAML 1.1, where `y` is a boolean, so nothing but JSON is ever handed to it.
//! Pure: no files, no environment; who calls writes the value where Envoy finds it.
#![deny(missing_docs)]

mod agent;
mod node;
mod runtime;
mod server;
mod static_form;
mod stats;

pub use agent::{AgentBootstrap, Doors, LogLines, Selection};
pub use node::NodeFacts;
pub use server::{AdminAddress, SecureServer, XdsProtocol, XdsServer};
pub use static_form::{Resources, static_form};
pub use stats::StatsScope;

use serde_json::{Map, Value};

/// The name of the cluster that Envoy reaches the control plane through.
pub const XDS_CLUSTER: &str = "xds-grpc";

/// The name of the cluster that Envoy reaches the secret discovery service beside it through.
pub const SDS_CLUSTER: &str = "sds-grpc";

/// Everything an Envoy that speaks to a control plane must know before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// Who the proxy is; the control plane decides by it.
    pub node: NodeFacts,
    /// Where the control plane listens.
    pub xds: XdsServer,
    /// Which of the two ADS protocols to speak.
    pub protocol: XdsProtocol,
    /// Where the admin interface listens.
    pub admin: AdminAddress,
    /// Which stats Envoy keeps.
    pub stats: StatsScope,
    /// Listeners, clusters and secrets beside those that arrive over ADS: an object with any of
    /// `listeners`, `clusters`, `secrets`.
    pub static_resources: Option<Value>,
}

impl Bootstrap {
    /// The bootstrap as JSON. Equal facts give equal bytes.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut whole = common(&self.node, &self.admin, self.stats);
        whole.insert("dynamic_resources".into(), self.protocol.dynamic(&self.xds));
        whole.insert("static_resources".into(), self.statics());
        Value::Object(whole)
    }

    /// The caller's static resources and the cluster of the control plane, which comes first.
    fn statics(&self) -> Value {
        let mut statics = match &self.static_resources {
            Some(Value::Object(given)) => given.clone(),
            Some(_) | None => Map::new(),
        };
        let mut clusters: Vec<Value> = self.xds.cluster().into_iter().collect();
        if let Some(Value::Array(given)) = statics.remove("clusters") {
            clusters.extend(given);
        }
        statics.insert("clusters".into(), Value::Array(clusters));
        Value::Object(statics)
    }
}

/// What every bootstrap has, with or without a control plane.
fn common(node: &NodeFacts, admin: &AdminAddress, stats: StatsScope) -> Map<String, Value> {
    let mut whole = Map::new();
    whole.insert("admin".into(), admin.to_json());
    whole.insert("bootstrap_extensions".into(), runtime::extensions());
    whole.insert("layered_runtime".into(), runtime::layers());
    whole.insert("node".into(), node.to_json());
    whole.insert("stats_config".into(), stats.to_json());
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node() -> NodeFacts {
        let mut node = NodeFacts::new(
            "sidecar~127.0.1.11~a.shop~shop.svc.cluster.local".into(),
            "a".into(),
        );
        node.metadata
            .insert("INTERCEPTION_MODE".into(), "NONE".into());
        node
    }

    fn bootstrap() -> Bootstrap {
        Bootstrap {
            node: node(),
            xds: XdsServer::Tcp {
                address: "127.0.0.1".into(),
                port: 15010,
            },
            protocol: XdsProtocol::Delta,
            admin: AdminAddress {
                address: "127.0.1.11".into(),
                port: 0,
            },
            stats: StatsScope::All,
            static_resources: None,
        }
    }

    #[test]
    fn both_subscriptions_wait_for_the_first_answer_however_long_it_takes() {
        let json = bootstrap().to_json();
        for kind in ["lds_config", "cds_config"] {
            let config = &json["dynamic_resources"][kind];
            assert_eq!(config["initial_fetch_timeout"], "0s", "{kind}");
            assert_eq!(config["ads"], json!({}), "{kind}");
        }
        let ads = &json["dynamic_resources"]["ads_config"];
        assert_eq!(ads["api_type"], "DELTA_GRPC");
        assert_eq!(ads["set_node_on_first_message_only"], true);
    }

    #[test]
    fn sotw_is_one_word_away() {
        let json = Bootstrap {
            protocol: XdsProtocol::Sotw,
            ..bootstrap()
        }
        .to_json();
        assert_eq!(json["dynamic_resources"]["ads_config"]["api_type"], "GRPC");
    }

    #[test]
    fn the_control_plane_cluster_comes_before_the_callers() {
        let statics = json!({"clusters": [{"name": "mine"}], "listeners": [{"name": "l"}]});
        let json = Bootstrap {
            static_resources: Some(statics),
            ..bootstrap()
        }
        .to_json();
        assert_eq!(json["static_resources"]["clusters"][0]["name"], XDS_CLUSTER);
        assert_eq!(json["static_resources"]["clusters"][1]["name"], "mine");
        assert_eq!(json["static_resources"]["listeners"][0]["name"], "l");
    }

    #[test]
    fn a_socket_path_becomes_a_pipe_without_tcp_options() {
        let xds = XdsServer::Uds("/run/xds".into());
        let json = Bootstrap { xds, ..bootstrap() }.to_json();
        let cluster = &json["static_resources"]["clusters"][0];
        let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
        assert_eq!(endpoint["address"]["pipe"]["path"], "/run/xds");
        assert!(cluster.get("upstream_connection_options").is_none());
    }

    #[test]
    fn over_tls_the_token_comes_from_a_file() {
        let xds = XdsServer::Secure(SecureServer {
            target: "127.0.0.1:15012".into(),
            name: "istiod.istio-system.svc".into(),
            roots: "/run/root-cert.pem".into(),
            token: "/run/istio-token".into(),
        });
        let json = Bootstrap { xds, ..bootstrap() }.to_json();
        assert_eq!(json["static_resources"]["clusters"], json!([]));
        let service = &json["dynamic_resources"]["ads_config"]["grpc_services"][0];
        let service = &service["google_grpc"];
        let plugin = &service["call_credentials"][0]["from_plugin"];
        assert_eq!(plugin["name"], service["credentials_factory_name"]);
        let config = &plugin["typed_config"];
        assert_eq!(config["secret_data"]["filename"], "/run/istio-token");
        assert_eq!(config["header_prefix"], "Bearer ");
        let roots = &service["channel_credentials"]["ssl_credentials"]["root_certs"];
        assert_eq!(roots["filename"], "/run/root-cert.pem");
        let args = &service["channel_args"]["args"];
        let name = &args["grpc.ssl_target_name_override"]["string_value"];
        assert_eq!(name, "istiod.istio-system.svc");
        assert_eq!(args["grpc.max_receive_message_length"]["int_value"], -1);
    }

    #[test]
    fn long_regexes_of_users_are_accepted() {
        let json = bootstrap().to_json();
        let layer = &json["layered_runtime"]["layers"][0]["static_layer"];
        assert_eq!(layer["re2.max_program_size.error_level"], "32768");
        // A text would leave Envoy at its default, which refuses paths with fragments.
        let fragments = "envoy.reloadable_features.http_reject_path_with_fragment";
        assert_eq!(layer[fragments], false);
    }

    #[test]
    fn the_static_form_has_no_control_plane() {
        let admin = AdminAddress {
            address: "127.0.0.1".into(),
            port: 0,
        };
        let json = static_form(&node(), &admin, vec![json!({"name": "l"})], vec![]);
        assert!(json.get("dynamic_resources").is_none());
        assert_eq!(json["static_resources"]["listeners"][0]["name"], "l");
    }

    #[test]
    fn equal_facts_give_equal_bytes() {
        assert_eq!(
            bootstrap().to_json().to_string(),
            bootstrap().to_json().to_string()
        );
    }
}
