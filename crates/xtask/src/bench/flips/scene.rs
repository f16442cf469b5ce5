//! What `bench flips` measures with: two workloads, a control plane, an Envoy beside a caller.

use super::api::{Api, NAME, NAMESPACE, Told};
use crate::demo::scene::who;
use anyhow::{Context, Result, bail, ensure};
use meltemi_bootstrap::{AdminAddress, Bootstrap, StatsScope, XdsProtocol, XdsServer};
use meltemi_testkit::envoy::{self, Envoy};
use meltemi_testkit::http::{Client, Request};
use meltemi_testkit::lease::Lease;
use meltemi_testkit::mesh::Workload;
use meltemi_testkit::plane::{Options, Plane};
use meltemi_testkit::process::{Process, Spec};
use meltemi_testkit::{paths, wait};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// The port of the Service, which the Envoy of the caller binds.
const PORT: u16 = 9080;
const PATIENCE: Duration = Duration::from_secs(60);
const LATE: Duration = Duration::from_secs(10);

/// A workload and its port.
struct Target {
    name: &'static str,
    port: u16,
    _process: Process,
}

/// All that runs.
pub(super) struct Scene {
    api: Api,
    targets: [Target; 2],
    plane: Plane,
    envoy: Envoy,
    client: Client,
    door: SocketAddr,
    told: Option<Receiver<Told>>,
    rounds: usize,
    _lease: Lease,
}

/// How long a flip took, from before it was sent.
pub(super) struct Flip {
    /// Until an answer of the new endpoint had arrived.
    pub(super) seen: Duration,
    /// Until a watch of the API server told it.
    pub(super) told: Option<Duration>,
}

impl Scene {
    pub(super) fn start(api: Api, dir: &Path) -> Result<Self> {
        let release = paths::target()?.join("release");
        let echo = paths::binary_in(&release, "meltemi-echo")?;
        let lease = Lease::take(&[PORT])?;
        let at = api.address();
        let targets = [
            target(&echo, ("old", at), dir)?,
            target(&echo, ("new", at), dir)?,
        ];
        let [first, _] = &targets;
        api.apply(&objects(lease.address(), &slice(at, first.port)), dir)?;
        let kubeconfig = api.kubeconfig(dir)?.into_os_string();
        let meltemid = paths::binary_in(&release, "meltemid")?;
        let mut options = Options::new(meltemid, String::new(), dir.to_path_buf());
        options.config = Vec::new();
        options.args = vec!["--kubeconfig".into(), kubeconfig];
        let closed = [
            "--secureGRPCAddr=",
            "--httpAddr=127.0.0.1:0",
            "--monitoringAddr=",
        ];
        options.args.extend(closed.map(Into::into));
        let plane = Plane::start(&options)?;
        let envoy = caller(lease.address(), plane.grpc(), dir)?;
        wait::until("a healthy Envoy", PATIENCE, || {
            let problems = envoy::health::problems(envoy.admin())?;
            ensure!(problems.is_empty(), "{}", problems.join("; "));
            Ok(Some(()))
        })?;
        Ok(Self {
            told: api.watch()?,
            api,
            targets,
            plane,
            envoy,
            client: Client::new(LATE),
            door: (lease.address(), PORT).into(),
            rounds: 0,
            _lease: lease,
        })
    }

    /// Changes the slice to the other endpoint, and sends requests until that answers.
    pub(super) fn flip(&mut self) -> Result<Flip> {
        self.rounds += 1;
        let [even, odd] = &self.targets;
        let target = match self.rounds % 2 {
            0 => even,
            _ => odd,
        };
        let slice = slice(self.api.address(), target.port);
        let begun = Instant::now();
        self.api.patch(&slice)?;
        let seen = loop {
            let answer = self.client.send(&Request::get(self.door, NAME, "/"))?;
            let passed = begun.elapsed();
            let name = who(&answer);
            if name == target.name {
                break passed;
            }
            ensure!(
                passed < LATE,
                "{name} still answers after {} s",
                passed.as_secs()
            );
        };
        let told = self.told.as_ref().map(|told| until(told, target.port));
        let told = told.transpose()?;
        Ok(Flip {
            seen,
            told: told.map(|at| at.saturating_duration_since(begun)),
        })
    }

    /// Looks whether all was well, and ends it.
    pub(super) fn end(mut self) -> Result<()> {
        let problems = envoy::health::problems(self.envoy.admin())?;
        ensure!(problems.is_empty(), "unhealthy: {}", problems.join("; "));
        self.envoy.quit()?;
        self.plane.stop()
    }
}

/// When the watch told of that port.
fn until(told: &Receiver<Told>, port: u16) -> Result<Instant> {
    loop {
        match told.recv_timeout(LATE) {
            Ok((at, of)) if of == port => return Ok(at),
            Ok(_) => {}
            Err(error) => bail!("the watch does not tell of port {port}: {error}"),
        }
    }
}

/// Starts a workload on a port that the system chooses.
fn target(echo: &Path, (name, at): (&'static str, Ipv4Addr), dir: &Path) -> Result<Target> {
    let port_file = dir.join(format!("{name}.ports"));
    let spec = Spec::new(name, echo, dir)
        .option("--address", at.to_string())
        .option("--port", "0")
        .option("--tcp-port", "0")
        .option("--name", name)
        .option("--port-file", &port_file);
    let mut process = Process::start(&spec)?;
    let text = wait::until(name, PATIENCE, || {
        process.expect_running()?;
        Ok(std::fs::read_to_string(&port_file).ok())
    })?;
    let ports: Value = serde_json::from_str(&text)?;
    let address = ports.pointer("/http/0").and_then(Value::as_str);
    let address = address.and_then(|text| text.parse::<SocketAddr>().ok());
    Ok(Target {
        name,
        port: address.context("no address in the port file")?.port(),
        _process: process,
    })
}

/// The Envoy beside the caller.
fn caller(address: Ipv4Addr, server: SocketAddr, dir: &Path) -> Result<Envoy> {
    let mut workload = Workload::new("caller", ("caller", ""), (address, 0));
    workload.namespace = NAMESPACE.to_owned();
    let bootstrap = Bootstrap {
        node: workload.node(address),
        xds: XdsServer::Tcp {
            address: server.ip().to_string(),
            port: server.port(),
        },
        protocol: XdsProtocol::default(),
        admin: AdminAddress {
            address: address.to_string(),
            port: 0,
        },
        stats: StatsScope::All,
        static_resources: None,
    };
    let options = envoy::Options {
        name: "caller-envoy".to_owned(),
        concurrency: 1,
        dir: dir.to_path_buf(),
    };
    Envoy::start(&envoy::find()?, &bootstrap.to_json(), &options)
}

fn slice(at: Ipv4Addr, port: u16) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": NAMESPACE,
            "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [at.to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    })
}

/// A Service without a selector, its slice, and a Sidecar that binds its port for the caller.
fn objects(door: Ipv4Addr, slice: &Value) -> Vec<Value> {
    let metadata = json!({"name": NAME, "namespace": NAMESPACE});
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"ports": [{"name": "http", "port": PORT, "protocol": "TCP"}]},
        }),
        slice.clone(),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": metadata,
            "spec": {"egress": [{
                "port": {"number": PORT, "protocol": "HTTP", "name": "http"},
                "bind": door.to_string(), "captureMode": "NONE", "hosts": ["./*"],
            }]},
        }),
    ]
}
