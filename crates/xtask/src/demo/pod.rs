//! A workload as a pod has it: an address of its own, the agent, which starts its Envoy and gets it a
//! certificate. What a kubelet would mount is written into a directory: labels and token.
//!
//! Certificates are asked for ten seconds and renewed after two, by Istio's own settings, so that a
//! short demo sees several.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::agent::{self, Options};
use meltemi_testkit::envoy::admin::Admin;
use meltemi_testkit::laptop;
use meltemi_testkit::lease::Lease;
use meltemi_testkit::process::Process;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long certificates are asked for, and how much of that is left when they are renewed.
const LIFE: [(&str, &str); 2] = [("SECRET_TTL", "10s"), ("SECRET_GRACE_PERIOD_RATIO", "0.8")];
/// As long as a token may count.
const LONG: [&str; 2] = ["--lifetime", "24h"];
/// How long a start may take, and how often it is looked at.
const START: (Duration, Duration) = (Duration::from_secs(30), Duration::from_millis(10));
const NAMESPACE: &str = "shop";

/// What pods are made with.
pub(crate) struct Kit {
    /// The agent.
    pub(crate) agent: PathBuf,
    /// The command line, which makes tokens.
    pub(crate) meltemi: PathBuf,
    /// Envoy 1.40.
    pub(crate) envoy: PathBuf,
    /// Where logs and mounted files go.
    pub(crate) dir: PathBuf,
}

/// A running pod. Dropping it kills its processes.
pub(crate) struct Pod {
    /// The name of its service account and the value of its label `app`.
    pub(crate) name: &'static str,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    agent: Process,
    admin: Admin,
    _lease: Lease,
}

impl Pod {
    /// Starts the agent; it asks the control plane at `plane`, whose configuration is in `config`.
    pub(crate) fn start(
        kit: &Kit,
        (name, lease): (&'static str, Lease),
        (plane, config): (SocketAddr, &Path),
    ) -> Result<Self> {
        let roots = laptop::roots(config).display().to_string();
        let all = [
            ("ISTIOD_SAN", laptop::PLANE),
            ("XDS_ROOT_CA", &roots),
            ("CA_ROOT_CA", &roots),
        ];
        let all = all.into_iter().chain(LIFE);
        let options = Options {
            program: kit.agent.clone(),
            envoy: kit.envoy.clone(),
            name: name.to_owned(),
            address: lease.address(),
            plane: plane.to_string(),
            root: kit.dir.join(format!("{name}-root")),
            config: Value::Null,
            env: all
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        let mount = |file: &str, text: &str| mount(&options.root.join(file), text);
        mount("etc/istio/pod/labels", &format!("app={name:?}\n"))?;
        // Nobody mounts another one while the demo stays up.
        let pod = format!("{name}-1");
        let words = [&laptop::pod((NAMESPACE, name, &pod))[..], &LONG].concat();
        let token = laptop::token(&kit.meltemi, config, &words)?;
        mount("var/run/secrets/tokens/istio-token", &token)?;
        Ok(Self {
            name,
            address: lease.address(),
            agent: Process::start(&options.spec())?,
            admin: options.admin(),
            _lease: lease,
        })
    }

    /// Waits until the pod is ready, as the kubelet asks.
    pub(crate) fn wait_ready(&mut self) -> Result<()> {
        let ready = agent::wait_ready((&mut self.agent, self.address), START);
        ready.with_context(|| format!("{}: {}", self.name, self.agent.tail()))
    }

    /// An address of the pod.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }

    /// Where its Envoy tells of itself.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The serial numbers of the certificates that its Envoy has.
    pub(crate) fn serials(&self) -> Result<BTreeSet<String>> {
        let page = self.admin.json("/certs")?;
        let all = page.get("certificates").and_then(Value::as_array);
        let serial = |one: &Value| Some(one.pointer("/cert_chain/0/serial_number")?.to_string());
        Ok(all.into_iter().flatten().filter_map(serial).collect())
    }

    /// Fails unless its Envoy serves and has refused nothing.
    pub(crate) fn assert_healthy(&self) -> Result<()> {
        let name = self.name;
        ensure!(self.admin.is_live()?, "{name}: the server is not LIVE");
        let refused = self.admin.stats()?.sum("", ".update_rejected");
        ensure!(refused == 0, "{name}: {refused} updates were rejected");
        Ok(())
    }
}

/// Writes a file that a pod would have mounted.
fn mount(path: &Path, text: &str) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
