//! A real Envoy that is configured through a relay's socket, and the services that it hears of.

use anyhow::Result;
use meltemi_bootstrap::{AdminAddress, Bootstrap, NodeFacts, StatsScope, XdsProtocol, XdsServer};
use meltemi_testkit::envoy::{self, Envoy};
use meltemi_testkit::wait;
use serde_json::{Map, Value};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

/// How long a start or a change may take, on a machine that is busy with other tests.
pub const LONG: Duration = Duration::from_secs(60);

/// Who the Envoy is.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its pod in namespace `shop`.
    pub pod: &'static str,
    /// Its account.
    pub account: &'static str,
    /// Its address, where its admin interface listens too.
    pub address: Ipv4Addr,
    /// Its metadata.
    pub metadata: Map<String, Value>,
}

/// Starts the Envoy behind the relay's `socket` and waits until it serves; its files go into `dir`.
///
/// # Errors
/// It does not start, or does not serve in time.
pub fn envoy(proxy: &Proxy, protocol: XdsProtocol, (socket, dir): (&Path, &Path)) -> Result<Envoy> {
    let Proxy {
        pod,
        account,
        address,
        metadata,
    } = proxy;
    let id = format!("sidecar~{address}~{pod}.shop~shop.svc.cluster.local");
    let mut node = NodeFacts::new(id, format!("{account}.shop"));
    node.metadata.clone_from(metadata);
    let bootstrap = Bootstrap {
        node,
        xds: XdsServer::Uds(socket.display().to_string()),
        protocol,
        admin: AdminAddress {
            address: address.to_string(),
            port: 0,
        },
        stats: StatsScope::All,
        static_resources: None,
    };
    let options = envoy::Options {
        name: format!("{pod}-envoy"),
        concurrency: 1,
        dir: dir.to_path_buf(),
    };
    let envoy = Envoy::start(&envoy::find()?, &bootstrap.to_json(), &options)?;
    envoy.admin().wait_live(LONG)?;
    Ok(envoy)
}

/// Writes a Service of namespace `shop` into the directory `config`, whole or not at all, and waits
/// until Envoy has its cluster.
///
/// # Errors
/// It does not get it in time.
pub fn add_service(config: &Path, name: &str, envoy: &Envoy) -> Result<()> {
    put(config, name, &service(name))?;
    let cluster = format!("{name}.shop.svc.cluster.local");
    wait::until(&format!("the cluster of {name}"), LONG, || {
        let clusters = envoy.admin().get("/clusters")?;
        Ok(clusters.contains(&cluster).then_some(()))
    })
}

/// Writes a file of the directory `config`, by a rename of what no reader of YAML looks at.
///
/// # Errors
/// It cannot be written.
pub fn put(config: &Path, name: &str, text: &str) -> Result<()> {
    std::fs::create_dir_all(config)?;
    let partial = config.join(format!(".{name}.partial"));
    std::fs::write(&partial, text)?;
    Ok(std::fs::rename(
        partial,
        config.join(format!("{name}.yaml")),
    )?)
}

/// A Service of namespace `shop` with an address of its own.
#[must_use]
pub fn service(name: &str) -> String {
    let number = name.len();
    format!(
        "apiVersion: v1
kind: Service
metadata:
  name: {name}
  namespace: shop
spec:
  clusterIP: 240.9.0.{number}
  selector:
    app: shop
  ports:
  - name: http
    port: 9080
"
    )
}
