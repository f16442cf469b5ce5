//! What the testkit and the bootstrap promise, tried on the real Envoy.

use anyhow::{Context, Result};
use meltemi_bootstrap::{
    AdminAddress, Bootstrap, NodeFacts, SecureServer, StatsScope, XdsProtocol, XdsServer,
    static_form,
};
use meltemi_testkit::envoy::{self, Envoy, Options};
use meltemi_testkit::http::{Client, Request};
use meltemi_testkit::lease::Lease;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::process::{Process, Spec};
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

fn node() -> NodeFacts {
    NodeFacts::new(
        "sidecar~127.0.1.1~a.b~b.svc.cluster.local".into(),
        "a.b".into(),
    )
}

fn admin(address: &str) -> AdminAddress {
    AdminAddress {
        address: address.into(),
        port: 0,
    }
}

#[test]
fn envoy_accepts_every_form_of_the_bootstrap() -> Result<()> {
    let envoy = envoy::find()?;
    let scratch = Scratch::new("bootstrap")?;
    let roots = scratch.path().join("roots.pem");
    std::fs::write(&roots, meltemi_testkit::secrets::AUTHORITY)?;
    let servers = [
        XdsServer::Tcp {
            address: "127.0.0.1".into(),
            port: 15010,
        },
        XdsServer::Uds("/run/xds".into()),
        XdsServer::Secure(SecureServer {
            target: "127.0.0.1:15012".into(),
            name: "istiod.istio-system.svc".into(),
            roots: roots.display().to_string(),
            token: "/run/token".into(),
        }),
    ];
    for xds in servers {
        for (protocol, stats) in [
            (XdsProtocol::Delta, StatsScope::All),
            (XdsProtocol::Sotw, StatsScope::Istio),
        ] {
            let admin = admin("127.0.0.1");
            let xds = xds.clone();
            let statics = Some(json!({"clusters": [static_cluster("127.0.0.1:1".parse()?)]}));
            let bootstrap = Bootstrap {
                node: node(),
                xds,
                protocol,
                admin,
                stats,
                static_resources: statics,
            };
            envoy::validate(&envoy, &bootstrap.to_json(), scratch.path())?;
        }
    }
    Ok(())
}

#[test]
fn envoy_says_what_it_refuses() -> Result<()> {
    let scratch = Scratch::new("refused")?;
    let listeners = vec![json!({"name": "l", "nonsense": 1})];
    let bootstrap = static_form(&node(), &admin("127.0.0.1"), listeners, vec![]);
    let error = envoy::validate(&envoy::find()?, &bootstrap, scratch.path()).unwrap_err();
    assert!(format!("{error:#}").contains("nonsense"), "{error:#}");
    Ok(())
}

#[test]
fn a_request_goes_through_a_static_envoy_to_the_echo() -> Result<()> {
    let scratch = Scratch::new("static")?;
    let lease = Lease::take(&[15001])?;
    let mut app = start_echo(&scratch, &lease)?;
    let address = SocketAddr::from((lease.address(), 15001));
    let listener = static_listener(address);
    let clusters = vec![static_cluster(app.1)];
    let bootstrap = static_form(
        &node(),
        &admin(&lease.address().to_string()),
        vec![listener],
        clusters,
    );
    let options = Options {
        name: "envoy".into(),
        concurrency: 1,
        dir: scratch.path().to_path_buf(),
    };
    let mut envoy = Envoy::start(&envoy::find()?, &bootstrap, &options)?;
    envoy.admin().wait_live(DEADLINE)?;
    let client = Client::new(DEADLINE);
    let answer = client.send(&Request::get(address, "some.host", "/path?status=418"))?;
    let body: Value = serde_json::from_str(&answer.text())?;
    assert_eq!((answer.status, &body["host"]), (418, &json!("some.host")));
    assert_eq!(body["path"], "/path?status=418");
    let stats = envoy.admin().stats()?;
    assert_eq!(stats.get("cluster.app.upstream_rq_418"), 1);
    envoy.quit()?;
    app.0.stop(DEADLINE)?;
    Ok(())
}

fn start_echo(scratch: &Scratch, lease: &Lease) -> Result<(Process, SocketAddr)> {
    let ports = scratch.path().join("ports");
    let spec = Spec::new("app", &paths::binary("meltemi-echo")?, scratch.path())
        .option("--address", lease.address().to_string())
        .option("--port-file", &ports);
    let app = Process::start(&spec)?;
    let text = wait::until("the echo", DEADLINE, || {
        Ok(std::fs::read_to_string(&ports).ok())
    })?;
    let ports: Value = serde_json::from_str(&text)?;
    Ok((
        app,
        ports
            .pointer("/http/0")
            .and_then(Value::as_str)
            .context("no port")?
            .parse()?,
    ))
}

fn static_cluster(to: SocketAddr) -> Value {
    let socket = json!({"address": to.ip().to_string(), "port_value": to.port()});
    let endpoint = json!({"endpoint": {"address": {"socket_address": socket}}});
    json!({
        "name": "app", "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [endpoint]}]},
    })
}

fn static_listener(at: SocketAddr) -> Value {
    let url = "type.googleapis.com/envoy.extensions.filters";
    let manager = json!({
        "@type": format!("{url}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "in",
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": format!("{url}.http.router.v3.Router")},
        }],
        "route_config": {"name": "all", "virtual_hosts": [{
            "name": "all", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}],
        }]},
    });
    let name = "envoy.filters.network.http_connection_manager";
    let socket = json!({"address": at.ip().to_string(), "port_value": at.port()});
    json!({
        "name": "in",
        "address": {"socket_address": socket},
        "filter_chains": [{"filters": [{"name": name, "typed_config": manager}]}],
    })
}
