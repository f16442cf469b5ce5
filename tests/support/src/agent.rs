//! The agent as a process, as the kubelet starts it in a pod: with the pod's files below a directory of
//! its own, and the ports of a real pod on an address of its own.

use crate::envoy::admin::Admin;
use crate::http::{Client, Request};
use crate::process::{Process, Spec};
use crate::wait;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The ports of the agent and its Envoy that every pod has: admin, the agent, readiness, statistics.
pub const PORTS: [u16; 4] = [15000, 15020, 15021, 15090];

/// How to start one.
#[derive(Clone, Debug)]
pub struct Options {
    /// The agent.
    pub program: PathBuf,
    /// Its Envoy.
    pub envoy: PathBuf,
    /// Its pod, account and namespace: `NAME-1`, `NAME` and `shop`.
    pub name: String,
    /// Where everything listens.
    pub address: Ipv4Addr,
    /// The control plane, `HOST:PORT`.
    pub plane: String,
    /// The root of its files; log and pid file go beside it.
    pub root: PathBuf,
    /// On top of what every pod's ProxyConfig has.
    pub config: Value,
    /// On top of what every pod has.
    pub env: Vec<(String, String)>,
}

impl Options {
    /// The process. A container starts at the root of its files.
    #[must_use]
    pub fn spec(&self) -> Spec {
        let dir = self.root.parent().unwrap_or(&self.root);
        let process = format!("{}-agent", self.name);
        let mut spec = Spec::new(&process, "/usr/bin/env".as_ref(), dir)
            .option("--chdir", &self.root)
            .arg(&self.program)
            .arg("proxy")
            .arg("sidecar")
            .arg("--proxyLogLevel=info");
        spec.env = self.environment();
        spec
    }

    fn environment(&self) -> Vec<(String, String)> {
        let Self {
            program: _,
            envoy,
            name,
            address,
            plane,
            root: _,
            config: more,
            env,
        } = self;
        let mut config = json!({
            "binaryPath": envoy,
            "concurrency": 1,
            "discoveryAddress": plane,
        });
        if let (Some(all), Some(more)) = (config.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        let fixed = [
            ("POD_NAME", format!("{name}-1")),
            ("POD_NAMESPACE", "shop".to_owned()),
            ("SERVICE_ACCOUNT", name.clone()),
            ("INSTANCE_IP", address.to_string()),
            ("ISTIO_META_INTERCEPTION_MODE", "NONE".to_owned()),
            ("PROXY_CONFIG", config.to_string()),
            ("MELTEMI_LISTEN_ADDRESS", address.to_string()),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value));
        fixed.into_iter().chain(env.clone()).collect()
    }

    /// The admin interface of its Envoy.
    #[must_use]
    pub fn admin(&self) -> Admin {
        let address = SocketAddr::from((self.address, 15000));
        Admin::new(address, Client::new(Duration::from_secs(10)))
    }
}

/// Waits until the pod at `address` is ready, as the kubelet asks; looks every `pause`.
///
/// # Errors
/// It is not in time, or the agent has ended; the error holds the reason.
pub fn wait_ready(
    (agent, address): (&mut Process, Ipv4Addr),
    (deadline, pause): (Duration, Duration),
) -> Result<()> {
    let client = Client::new(Duration::from_secs(10));
    let door = SocketAddr::from((address, 15021));
    wait::every("the pod to be ready", (deadline, pause), || {
        agent.expect_running()?;
        let response = client.send(&Request::get(door, "ready", "/healthz/ready"))?;
        ensure!(response.status == 200, "{}", response.text());
        Ok(Some(()))
    })
}

/// The process id of the Envoy that the agent `parent` has started.
///
/// # Errors
/// There is none in time.
pub fn envoy_of(parent: u32, deadline: Duration) -> Result<u32> {
    wait::until("the agent to have an Envoy", deadline, || {
        for entry in std::fs::read_dir("/proc")?.flatten() {
            // Other processes come and go while they are looked at.
            let stat = std::fs::read_to_string(entry.path().join("stat"));
            if let Some(pid) = stat.ok().and_then(|stat| child(&stat, parent)) {
                return Ok(Some(pid));
            }
        }
        Ok(None)
    })
}

/// The process id in a line of `/proc/PID/stat`, when that is an Envoy whose parent is `parent`.
fn child(stat: &str, parent: u32) -> Option<u32> {
    // Between fork and exec it has the agent's name.
    let (pid, rest) = stat.split_once(" (envoy")?;
    let (_, rest) = rest.split_once(") ")?;
    let of = rest.split(' ').nth(1)?.parse::<u32>().ok()?;
    (of == parent).then(|| pid.parse().ok())?
}

/// Resident memory of a process, in KiB.
///
/// # Errors
/// There is no such process.
pub fn memory(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse()?)
}
