//! A real Envoy behind the agent's relay, with a real control plane that comes and goes.

use anyhow::{Context, Result, ensure};
use meltemi_agent::ads::{Course, Relay, Seen, Settings};
use meltemi_agent::trust;
use meltemi_agent_tests::relayed::{self, LONG as SOON, Proxy};
use meltemi_bootstrap::XdsProtocol;
use meltemi_runtime::drain::{self, Drainer};
use meltemi_testkit::envoy::Envoy;
use meltemi_testkit::lease::{Door, Lease};
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{self, Plane};
use meltemi_testkit::wait;
use serde_json::{Map, json};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

const SENT: &str = "meltemi_resources_sent_total";

struct Scene {
    envoy: Option<Envoy>,
    plane: Option<Plane>,
    seen: Seen,
    protocol: XdsProtocol,
    grpc: Door,
    sockets: TempDir,
    scratch: Scratch,
    lease: Lease,
    _drainer: Drainer,
    _runtime: Runtime,
}

impl Scene {
    fn start(name: &str, protocol: XdsProtocol) -> Result<Self> {
        let grpc = Door::take()?;
        // The path of a socket has 108 bytes.
        let sockets = tempfile::tempdir()?;
        let settings = Settings {
            socket: sockets.path().join("XDS"),
            upstream: grpc.address().to_string(),
            san: None,
            roots: None,
            token: None,
            headers: Vec::new(),
            name_table: true,
            trust: false,
        };
        let runtime = Runtime::new()?;
        let (drainer, draining) = drain::channel();
        let entered = runtime.enter();
        let (relay, seen) = Relay::listen(settings, (watch::channel(None).1, trust::channel().0))?;
        runtime.spawn(relay.run(draining));
        drop(entered);
        let mut scene = Self {
            envoy: None,
            plane: None,
            seen,
            protocol,
            grpc,
            sockets,
            scratch: Scratch::new(name)?,
            lease: Lease::take(&[])?,
            _drainer: drainer,
            _runtime: runtime,
        };
        let objects = objects(scene.lease.address());
        relayed::put(&scene.config(), "shop", &objects)?;
        scene.serve()?;
        scene.join()?;
        Ok(scene)
    }

    fn config(&self) -> PathBuf {
        self.scratch.path().join("config")
    }

    /// Starts a control plane and waits until the relay has it.
    fn serve(&mut self) -> Result<()> {
        let (config, logs) = (self.config().display().to_string(), self.scratch.path());
        let mut options = plane::Options::new(paths::binary("meltemid")?, config, logs.into());
        options.grpc = self.grpc.address();
        self.plane = Some(Plane::start(&options)?);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let mut plane = self.plane.take().context("no control plane runs")?;
        plane.stop()?;
        self.wait_course("the relay to lose its control plane", |course| {
            !course.connected
        })
    }

    fn wait_course(&self, what: &str, is: impl Fn(Course) -> bool) -> Result<()> {
        wait::until(what, SOON, || {
            Ok(is(*self.seen.course.borrow()).then_some(()))
        })
    }

    /// Starts an Envoy and waits until it serves.
    fn join(&mut self) -> Result<()> {
        let address = self.lease.address();
        let proxy = Proxy {
            pod: "shop-1",
            account: "shop",
            address,
            metadata: Map::from_iter([
                ("DNS_CAPTURE".to_owned(), json!("true")),
                ("INSTANCE_IPS".to_owned(), json!(address.to_string())),
                ("INTERCEPTION_MODE".to_owned(), json!("NONE")),
                ("LABELS".to_owned(), json!({"app": "shop"})),
                ("NAME".to_owned(), json!("shop-1")),
                ("NAMESPACE".to_owned(), json!("shop")),
            ]),
        };
        let socket = self.sockets.path().join("XDS");
        let places = (socket.as_path(), self.scratch.path());
        self.envoy = Some(relayed::envoy(&proxy, self.protocol, places)?);
        Ok(())
    }

    fn envoy(&self) -> Result<&Envoy> {
        self.envoy.as_ref().context("no Envoy runs")
    }

    fn stat(&self, name: &str) -> Result<u64> {
        Ok(self.envoy()?.admin().stats()?.get(name))
    }

    /// How many resources of a type the control plane that runs now has sent.
    fn sent(&self, short: &str) -> Result<f64> {
        let plane = self.plane.as_ref().context("no control plane runs")?;
        Ok(plane.metrics()?.with(SENT, &format!("type=\"{short}\"")))
    }

    /// Adds a Service and waits until Envoy has its cluster.
    fn change(&self, name: &str) -> Result<()> {
        relayed::add_service(&self.config(), name, self.envoy()?)?;
        let cluster = format!("{name}.shop.svc.cluster.local");
        wait::until(&format!("the name of {name}"), SOON, || {
            let names = self.seen.names.borrow().clone();
            Ok(names.filter(|names| names.contains_key(&cluster)).map(drop))
        })
    }

    fn listeners(&self) -> Result<String> {
        let text = self.envoy()?.admin().get("/listeners")?;
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        ensure!(!lines.is_empty(), "Envoy has no listener");
        Ok(lines.join("\n"))
    }
}

/// The control plane is replaced: Envoy's stream stays, and nothing that it has is sent again.
fn replaced(name: &str, protocol: XdsProtocol, whole: &[&str]) -> Result<()> {
    let mut scene = Scene::start(name, protocol)?;
    for short in ["cds", "eds", "lds", "rds"] {
        ensure!(scene.sent(short)? >= 1.0, "no {short} was ever sent");
    }
    let of = |scene: &Scene| -> Result<[u64; 3]> {
        let streams = scene.stat("cluster.xds-grpc.upstream_rq_total")?;
        let clusters = scene.stat("cluster_manager.cds.update_success")?;
        let listeners = scene.stat("listener_manager.lds.update_success")?;
        Ok([streams, clusters, listeners])
    };
    let before = of(&scene)?;
    scene.stop()?;
    ensure!(
        scene.stat("control_plane.connected_state")? == 1,
        "Envoy noticed"
    );
    scene.serve()?;
    scene.wait_course("the relay to be connected again", |course| course.connected)?;
    scene.change("latecomer")?;
    let [streams, clusters, listeners] = before;
    let after = of(&scene)?;
    let expected = [streams, clusters + 1, listeners];
    ensure!(
        after == expected,
        "{before:?} became {after:?}, not {expected:?}"
    );
    for short in whole {
        let again = scene.sent(short)?;
        ensure!(again == 0.0, "{again} resources of {short} were sent again");
    }
    if protocol == XdsProtocol::Delta {
        let clusters = scene.sent("cds")?;
        ensure!(
            clusters == 1.0,
            "{clusters} clusters were sent for a new one"
        );
    }
    Ok(())
}

#[test]
fn a_control_plane_is_replaced_over_delta() -> Result<()> {
    replaced("agent-replaced-delta", XdsProtocol::Delta, &["lds"])
}

#[test]
fn a_control_plane_is_replaced_over_the_state_of_the_world() -> Result<()> {
    replaced("agent-replaced-sotw", XdsProtocol::Sotw, &["lds"])
}

/// An Envoy starts while there is no control plane: it gets what the last one had, and then what
/// is new.
fn alone(name: &str, protocol: XdsProtocol) -> Result<()> {
    let mut scene = Scene::start(name, protocol)?;
    scene.change("early")?;
    let before = scene.listeners()?;
    scene.stop()?;
    drop(scene.envoy.take());
    scene.join()?;
    let after = scene.listeners()?;
    ensure!(before == after, "{before}\nbecame\n{after}");
    let clusters = scene.envoy()?.admin().get("/clusters")?;
    ensure!(clusters.contains("early.shop.svc"), "{clusters}");
    scene.serve()?;
    scene.change("latecomer")?;
    let again = scene.sent("lds")?;
    ensure!(again == 0.0, "{again} listeners were sent again");
    Ok(())
}

#[test]
fn an_envoy_starts_alone_over_delta() -> Result<()> {
    alone("agent-alone-delta", XdsProtocol::Delta)
}

#[test]
fn an_envoy_starts_alone_over_the_state_of_the_world() -> Result<()> {
    alone("agent-alone-sotw", XdsProtocol::Sotw)
}

/// A pod whose Envoy has a listener, routes, clusters and endpoints.
fn objects(address: Ipv4Addr) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: shop-1
  namespace: shop
  labels:
    app: shop
spec:
  serviceAccountName: shop
  containers:
  - name: app
status:
  phase: Running
  podIP: {address}
---
{}---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: shop
  namespace: shop
spec:
  workloadSelector:
    labels:
      app: shop
  egress:
  - port:
      number: 9080
      protocol: HTTP
      name: http
    bind: {address}
    captureMode: NONE
    hosts:
    - ./*
",
        relayed::service("shop")
    )
}
