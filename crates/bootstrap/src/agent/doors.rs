//! What Envoy serves by itself: `/healthz/ready`, answered by the agent behind it, and its own
//! statistics, for workloads of the mesh over TLS too. They stay open when Envoy is overloaded, so that
//! it is seen why.

use super::secure;
use crate::AdminAddress;
use serde_json::{Value, json};

/// Where the doors are and what is behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doors {
    /// The addresses that both listen on, the first one first: `0.0.0.0`, and `::` beside it.
    pub addresses: Vec<String>,
    /// The port of `/healthz/ready`; 15021 by convention, 0 is none.
    pub health: u16,
    /// The port of `/stats/prometheus`; 15090 by convention, 0 is none.
    pub stats: u16,
    /// Statistics on loopback only.
    pub stats_addresses: Option<Vec<String>>,
    /// The port of `/stats/prometheus` over TLS, for workloads of the mesh only; 0 is none.
    pub secure_stats: u16,
    /// The same for the metrics of application, agent and Envoy, which the agent merges; 0 is none.
    pub secure_merged: u16,
    /// True when statistics are compressed for who asks for it.
    pub compressed: bool,
    /// Where the agent answers.
    pub agent: AdminAddress,
}

impl Doors {
    pub(super) fn listeners(&self) -> Vec<Value> {
        let own = self.stats_addresses.as_ref().unwrap_or(&self.addresses);
        let stats = Door {
            port: self.stats,
            prefix: "stats",
            path: "/stats/prometheus",
            cluster: "prometheus_stats",
            filters: self.compressors(),
            is_secure: false,
        };
        let health = Door {
            port: self.health,
            prefix: "agent",
            path: "/healthz/ready",
            cluster: "agent",
            filters: Vec::new(),
            is_secure: false,
        };
        let secure = |port, cluster| Door {
            port,
            prefix: "secure_stats",
            path: "/stats/prometheus",
            cluster,
            filters: self.compressors(),
            is_secure: true,
        };
        let secure_stats = secure(self.secure_stats, "prometheus_stats");
        let secure_merged = secure(self.secure_merged, "agent");
        let all = [
            (stats, own),
            (secure_stats, &self.addresses),
            (secure_merged, &self.addresses),
            (health, &self.addresses),
        ];
        let open = all.into_iter().filter(|(door, _)| door.port != 0);
        open.filter_map(|(door, addresses)| door.listener(addresses))
            .collect()
    }

    fn compressors(&self) -> Vec<Value> {
        match self.compressed {
            true => vec![compressor("brotli"), compressor("zstd"), compressor("gzip")],
            false => Vec::new(),
        }
    }
}

struct Door {
    port: u16,
    prefix: &'static str,
    path: &'static str,
    cluster: &'static str,
    filters: Vec<Value>,
    is_secure: bool,
}

impl Door {
    /// None without an address.
    fn listener(self, addresses: &[String]) -> Option<Value> {
        let Self {
            port,
            prefix,
            path,
            cluster,
            mut filters,
            is_secure,
        } = self;
        let (first, others) = addresses.split_first()?;
        let at =
            |address: &str| json!({"socket_address": {"address": address, "port_value": port}});
        filters.push(router());
        let route = json!({"match": {"prefix": path}, "route": {"cluster": cluster}});
        let host = json!({"name": "backend", "domains": ["*"], "routes": [route]});
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.\
                      http_connection_manager.v3.HttpConnectionManager",
            "codec_type": "AUTO",
            "stat_prefix": prefix,
            "http_filters": filters,
            "route_config": {"virtual_hosts": [host]},
        });
        let filter = json!({
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        });
        let mut listener = json!({
            "name": format!("{first}_{port}"),
            "address": at(first),
            "ignore_global_conn_limit": true,
            "bypass_overload_manager": true,
            "filter_chains": [{"filters": [filter]}],
        });
        if is_secure {
            secure::close(&mut listener);
        }
        if !others.is_empty()
            && let Some(listener) = listener.as_object_mut()
        {
            let others: Vec<_> = others.iter().map(|o| json!({"address": at(o)})).collect();
            listener.insert("additional_addresses".into(), others.into());
        }
        Some(listener)
    }
}

fn router() -> Value {
    let url = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    json!({"name": "envoy.filters.http.router", "typed_config": {"@type": url}})
}

/// Compresses statistics, by one of Envoy's libraries.
fn compressor(name: &str) -> Value {
    let library = format!(
        "type.googleapis.com/envoy.extensions.compression.{name}.compressor.v3.{}",
        capitalized(name)
    );
    json!({
        "name": format!("envoy.filters.http.compressor.{name}"),
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor",
            "compressor_library": {
                "name": name,
                "typed_config": {"@type": library},
            },
        },
    })
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
