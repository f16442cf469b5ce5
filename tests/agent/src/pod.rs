//! A pod on this machine: an address of its own, the files that a pod has, the agent as a process
//! with its Envoy, and the control plane that it speaks to.
//!
//! The ports are those of a real pod, on the pod's own address.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::http::{Client, Request, Response};
use meltemi_testkit::lease::Lease;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{self, Plane};
use meltemi_testkit::process::{Process, Spec};
use meltemi_testkit::{envoy, wait};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

/// How long a start or a change may take, on a machine that is busy with other tests.
pub const SOON: Duration = Duration::from_secs(30);
/// Where the application listens.
pub const APP: u16 = 8080;
/// Where Envoy listens for it.
pub const INBOUND: u16 = 9080;
/// Ports of the agent and its Envoy.
pub const PORTS: [u16; 6] = [15000, 15020, 15021, 15090, APP, INBOUND];

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
    address: Ipv4Addr,
    grpc: SocketAddr,
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
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        Ok(Self {
            agent: None,
            plane: None,
            scratch: Scratch::new(name)?,
            env: Vec::new(),
            config: json!({}),
            address: lease.address(),
            grpc: free,
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
        std::fs::write(config.join("pod.yaml"), objects(self.address))?;
        let logs = self.scratch.path().to_path_buf();
        let binary = paths::binary("meltemid")?;
        let mut options = plane::Options::new(binary, config.display().to_string(), logs);
        options.grpc = self.grpc;
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
        // A container starts at the root of its files.
        let mut spec = Spec::new("agent", "/usr/bin/env".as_ref(), self.scratch.path())
            .option("--chdir", root)
            .arg(program()?)
            .arg("proxy")
            .arg("sidecar")
            .arg("--proxyLogLevel=info");
        spec.env = self.environment()?;
        self.agent = Some(Process::start(&spec)?);
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
        let found = wait::until("the pod to be ready", SOON, || {
            if let Some(agent) = &mut self.agent {
                agent.expect_running()?;
            }
            let response = self.get(15021, "/healthz/ready")?;
            ensure!(response.status == 200, "{}", response.text());
            Ok(Some(()))
        });
        found.with_context(|| self.log())
    }

    fn environment(&self) -> Result<Vec<(String, String)>> {
        let mut config = json!({
            "binaryPath": envoy::find()?,
            "concurrency": 1,
            "controlPlaneAuthPolicy": "NONE",
            "discoveryAddress": self.grpc.to_string(),
        });
        if let (Some(all), Some(more)) = (config.as_object_mut(), self.config.as_object()) {
            all.extend(more.clone());
        }
        let fixed = [
            ("POD_NAME", "shop-1".to_owned()),
            ("POD_NAMESPACE", "shop".to_owned()),
            ("SERVICE_ACCOUNT", "shop".to_owned()),
            ("INSTANCE_IP", self.address.to_string()),
            ("ISTIO_META_INTERCEPTION_MODE", "NONE".to_owned()),
            ("PROXY_CONFIG", config.to_string()),
            ("MELTEMI_LISTEN_ADDRESS", self.address.to_string()),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value));
        Ok(fixed.into_iter().chain(self.env.clone()).collect())
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
        let agent = self.agent()?.pid();
        wait::until("the agent to have an Envoy", SOON, || {
            for entry in std::fs::read_dir("/proc")?.flatten() {
                // Other processes come and go while they are looked at.
                let stat = std::fs::read_to_string(entry.path().join("stat"));
                if let Some(pid) = stat.ok().and_then(|stat| child(&stat, agent)) {
                    return Ok(Some(pid));
                }
            }
            Ok(None)
        })
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

/// The process id in a line of `/proc/PID/stat`, when that is an Envoy whose parent is `parent`.
fn child(stat: &str, parent: u32) -> Option<u32> {
    // Between fork and exec it has the agent's name.
    let (pid, rest) = stat.split_once(" (envoy")?;
    let (_, rest) = rest.split_once(") ")?;
    let of = rest.split(' ').nth(1)?.parse::<u32>().ok()?;
    (of == parent).then(|| pid.parse().ok())?
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
fn objects(address: Ipv4Addr) -> String {
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
  egress:
  - hosts:
    - ~/*
"
    )
}
