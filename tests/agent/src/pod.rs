//! A pod on this machine: an address of its own, the files that a pod has, the agent as a process
//! with its Envoy, and the control plane that it speaks to.
//!
//! The ports are those of a real pod, on the pod's own address.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::http::{Client, Request, Response};
use meltemi_testkit::lease::{Door, Lease};
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{self, Plane};
use meltemi_testkit::process::Process;
use meltemi_testkit::{agent, envoy, wait};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

/// How long a start or a change may take, on a machine that is busy with other tests.
pub const SOON: Duration = Duration::from_secs(30);
/// How often readiness is looked at.
const PROBE: Duration = Duration::from_millis(10);
/// Where the application listens.
pub const APP: u16 = 8080;
/// Where Envoy listens for it.
pub const INBOUND: u16 = 9080;
/// Ports of the agent and its Envoy.
pub const PORTS: [u16; 7] = [15000, 15020, 15021, 15053, 15090, APP, INBOUND];

/// A pod, before or while its agent runs. Dropping it kills everything of it.
#[derive(Debug)]
pub struct Pod {
    /// Its agent, once started.
    pub agent: Option<Process>,
    /// Its control plane, once started.
    pub plane: Option<Plane>,
    /// Its files.
    pub scratch: Scratch,
    /// On top of what every pod has.
    pub env: Vec<(String, String)>,
    /// On top of what every pod's ProxyConfig has.
    pub config: Value,
    /// What its Sidecar says of egress, a list in YAML; nothing is seen by default.
    pub egress: String,
    address: Ipv4Addr,
    grpc: Door,
    client: Client,
    _lease: Lease,
}

impl Pod {
    /// A pod whose control plane runs already.
    ///
    /// # Errors
    /// A program is missing, or there is no address.
    pub fn new(name: &str) -> Result<Self> {
        let mut pod = Self::alone(name)?;
        pod.serve()?;
        Ok(pod)
    }

    /// A pod whose control plane does not run yet.
    ///
    /// # Errors
    /// A program is missing, or there is no address.
    pub fn alone(name: &str) -> Result<Self> {
        let lease = Lease::take(&PORTS)?;
        Ok(Self {
            agent: None,
            plane: None,
            scratch: Scratch::new(name)?,
            env: Vec::new(),
            config: json!({}),
            egress: "[{hosts: [~/*]}]".into(),
            address: lease.address(),
            grpc: Door::take()?,
            client: Client::new(Duration::from_secs(10)),
            _lease: lease,
        })
    }

    /// Starts the control plane.
    ///
    /// # Errors
    /// It does not start.
    pub fn serve(&mut self) -> Result<()> {
        let config = self.scratch.path().join("config");
        std::fs::create_dir_all(&config)?;
        std::fs::write(config.join("pod.yaml"), objects(self.address, &self.egress))?;
        let logs = self.scratch.path().to_path_buf();
        let binary = paths::binary("meltemid")?;
        let mut options = plane::Options::new(binary, config.display().to_string(), logs);
        options.grpc = self.grpc.address();
        self.plane = Some(Plane::start(&options)?);
        Ok(())
    }

    /// Starts the agent, which is not ready yet.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&mut self) -> Result<()> {
        let root = self.scratch.path().join("root");
        std::fs::create_dir_all(root.join("etc/istio/pod"))?;
        std::fs::write(
            root.join("etc/istio/pod/labels"),
            "app=\"shop\"\nversion=\"v1\"\n",
        )?;
        let mut config = json!({"controlPlaneAuthPolicy": "NONE"});
        if let (Some(all), Some(more)) = (config.as_object_mut(), self.config.as_object()) {
            all.extend(more.clone());
        }
        let options = agent::Options {
            program: program()?,
            envoy: envoy::find()?,
            name: "shop".into(),
            address: self.address,
            plane: self.grpc.address().to_string(),
            root,
            config,
            env: self.env.clone(),
        };
        self.agent = Some(Process::start(&options.spec())?);
        Ok(())
    }

    /// Starts the agent and waits until the pod is ready.
    ///
    /// # Errors
    /// It is not in time.
    pub fn start_ready(&mut self) -> Result<()> {
        self.start()?;
        self.wait_ready()
    }

    /// Waits until the pod is ready, as the kubelet asks.
    ///
    /// # Errors
    /// It is not in time; the error holds the reason and the end of the log.
    pub fn wait_ready(&mut self) -> Result<()> {
        let address = self.address;
        let ready = agent::wait_ready((self.agent()?, address), (SOON, PROBE));
        ready.with_context(|| self.log())
    }

    /// Runs the agent's program with other words, in the same pod.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(program()?);
        command
            .args(words)
            .env("MELTEMI_LISTEN_ADDRESS", self.address.to_string());
        Ok(command.output()?)
    }

    /// An address of the pod.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }

    /// Asks a port of the pod.
    ///
    /// # Errors
    /// No answer.
    pub fn get(&self, port: u16, path: &str) -> Result<Response> {
        self.send(port, path, &[])
    }

    /// As [`Pod::get`], with headers.
    ///
    /// # Errors
    /// No answer.
    pub fn send(&self, port: u16, path: &str, headers: &[(&str, &str)]) -> Result<Response> {
        let address = self.at(port);
        let host = address.to_string();
        let request = Request::get(address, &host, path);
        self.client.send(&Request { headers, ..request })
    }

    /// A POST without a body.
    ///
    /// # Errors
    /// No answer.
    pub fn post(&self, port: u16, path: &str) -> Result<Response> {
        let address = self.at(port);
        let host = address.to_string();
        self.client.send(&Request {
            method: "POST",
            ..Request::get(address, &host, path)
        })
    }

    /// The agent.
    ///
    /// # Errors
    /// It was not started.
    pub fn agent(&mut self) -> Result<&mut Process> {
        self.agent.as_mut().context("the agent was not started")
    }

    /// Sends a signal (`-TERM`) to the agent alone.
    ///
    /// # Errors
    /// There is no such process.
    pub fn signal(&mut self, signal: &str) -> Result<()> {
        let pid = self.agent()?.pid();
        kill(signal, pid)
    }

    /// The process id of the agent's Envoy.
    ///
    /// # Errors
    /// There is none in time.
    pub fn envoy(&mut self) -> Result<u32> {
        agent::envoy_of(self.agent()?.pid(), SOON)
    }

    /// The code that the agent ends with.
    ///
    /// # Errors
    /// It does not end in time, or by a signal.
    pub fn ended(&mut self, deadline: Duration) -> Result<i32> {
        let agent = self.agent()?;
        let status = wait::until("the agent to end", deadline, || agent.ended())?;
        status.code().context("the agent was killed")
    }

    /// What agent and Envoy have logged.
    #[must_use]
    pub fn log(&self) -> String {
        let path = self.agent.as_ref().map(Process::log);
        path.and_then(|path| std::fs::read_to_string(path).ok())
            .unwrap_or_default()
    }

    /// Waits for a line of the log.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn wait_logged(&self, text: &str) -> Result<()> {
        wait::until(&format!("{text:?} in the log"), SOON, || {
            Ok(self.log().contains(text).then_some(()))
        })
    }
}

fn program() -> Result<PathBuf> {
    paths::binary("meltemi-agent")
}

/// Sends a signal to a process.
///
/// # Errors
/// There is no such process.
pub fn kill(signal: &str, pid: u32) -> Result<()> {
    let status = Command::new("kill")
        .arg(signal)
        .arg(pid.to_string())
        .status()?;
    ensure!(status.success(), "process {pid} cannot be told {signal}");
    Ok(())
}

/// What the control plane knows: the pod, its service, and the ports that its Envoy binds.
fn objects(address: Ipv4Addr, egress: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: shop-1
  namespace: shop
  labels:
    app: shop
    version: v1
spec:
  serviceAccountName: shop
  containers:
  - name: app
status:
  phase: Running
  podIP: {address}
---
apiVersion: v1
kind: Service
metadata:
  name: shop
  namespace: shop
spec:
  selector:
    app: shop
  ports:
  - name: http
    port: {INBOUND}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: shop
  namespace: shop
spec:
  workloadSelector:
    labels:
      app: shop
  ingress:
  - port:
      number: {INBOUND}
      protocol: HTTP
      name: http
    bind: {address}
    captureMode: NONE
    defaultEndpoint: 0.0.0.0:{APP}
  egress: {egress}
"
    )
}
