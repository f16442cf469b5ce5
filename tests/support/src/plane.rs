//! A control plane under test: the real `meltemid` on a directory of YAML.

use crate::http::Client;
use crate::process::{Process, Spec};
use crate::wait;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How long a start may take.
const START: Duration = Duration::from_secs(60);
/// How long the drain of a shutdown may take.
const STOP: Duration = Duration::from_secs(20);

/// How to start a control plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// The binary; `paths::binary("meltemid")` is the one of the running profile.
    pub binary: PathBuf,
    /// Directories of YAML, each `DIR` or `CLUSTER=DIR`.
    pub config: Vec<String>,
    /// Where plaintext ADS listens; port 0 lets the system choose.
    pub grpc: SocketAddr,
    /// Further flags.
    pub args: Vec<OsString>,
    /// Environment on top of the parent's.
    pub env: Vec<(String, String)>,
    /// Where log, pid and port file go.
    pub dir: PathBuf,
    /// A program to run it through (`taskset -c 1`), or nothing.
    pub through: Vec<OsString>,
}

impl Options {
    /// A control plane on one directory, on ports that the system chooses.
    #[must_use]
    pub fn new(binary: PathBuf, config: String, dir: PathBuf) -> Self {
        Self {
            binary,
            config: vec![config],
            grpc: SocketAddr::from(([127, 0, 0, 1], 0)),
            args: Vec::new(),
            env: Vec::new(),
            dir,
            through: Vec::new(),
        }
    }

    fn spec(&self, port_file: &std::path::Path) -> Spec {
        let mut words = self
            .through
            .iter()
            .cloned()
            .chain([self.binary.clone().into()]);
        let program = words.next().unwrap_or_default();
        let mut spec = Spec::new("meltemid", program.as_ref(), &self.dir);
        spec.args = words.collect();
        spec.env.clone_from(&self.env);
        for config in &self.config {
            spec = spec.option("--config-dir", config);
        }
        spec = spec
            .option("--grpcAddr", self.grpc.to_string())
            .option("--port-file", port_file);
        spec.args.extend(self.args.iter().cloned());
        spec
    }
}

/// What the port file says; an address that does not listen is empty.
#[derive(Clone, Debug, Deserialize)]
struct Ports {
    pid: u32,
    grpc: String,
    #[serde(default, rename = "secureGrpc")]
    secure: String,
    #[serde(default)]
    http: String,
    #[serde(default)]
    monitoring: String,
    #[serde(default)]
    webhook: String,
}

/// A running control plane. Dropping it kills it.
#[derive(Debug)]
pub struct Plane {
    process: Process,
    ports: Ports,
    grpc: SocketAddr,
    client: Client,
}

impl Plane {
    /// Starts it and waits until it is ready: every source read, serving.
    ///
    /// # Errors
    /// It does not start or does not become ready; the error holds the end of its log.
    pub fn start(options: &Options) -> Result<Self> {
        let port_file = options.dir.join("meltemid.ports");
        if port_file.exists() {
            std::fs::remove_file(&port_file)?;
        }
        let mut process = Process::start(&options.spec(&port_file))?;
        let text = wait::until("the port file of meltemid", START, || {
            process.expect_running()?;
            Ok(std::fs::read_to_string(&port_file).ok())
        })?;
        let ports: Ports = serde_json::from_str(&text).context("the port file is not as fixed")?;
        let grpc = ports
            .grpc
            .parse()
            .context("the port file has no grpc address")?;
        let client = Client::new(Duration::from_secs(30));
        let mut plane = Self {
            process,
            ports,
            grpc,
            client,
        };
        plane.wait_ready()?;
        Ok(plane)
    }

    /// Where plaintext ADS listens.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Where ADS over TLS listens.
    ///
    /// # Errors
    /// It does not listen.
    pub fn secure(&self) -> Result<SocketAddr> {
        let address = self.ports.secure.parse();
        address.context("meltemid does not serve over TLS")
    }

    /// Where the injection webhook listens.
    ///
    /// # Errors
    /// It does not listen.
    pub fn webhook(&self) -> Result<SocketAddr> {
        let address = self.ports.webhook.parse();
        address.context("meltemid serves no webhook")
    }

    /// The process id that it reports itself.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.ports.pid
    }

    /// Where metrics, health and debug pages are.
    ///
    /// # Errors
    /// Neither the http nor the monitoring address listens.
    pub fn http(&self) -> Result<SocketAddr> {
        let Ports {
            http, monitoring, ..
        } = &self.ports;
        let address = if monitoring.is_empty() {
            http
        } else {
            monitoring
        };
        address
            .parse()
            .context("meltemid listens neither on http nor on monitoring")
    }

    /// The text of a page, `/debug/syncz` say.
    ///
    /// # Errors
    /// No answer, or another status than 200.
    pub fn get(&self, path: &str) -> Result<String> {
        self.client.text(self.http()?, path)
    }

    /// The JSON of a page.
    ///
    /// # Errors
    /// As [`Plane::get`], or not JSON.
    pub fn json(&self, path: &str) -> Result<Value> {
        serde_json::from_str(&self.get(path)?).with_context(|| format!("{path} is not JSON"))
    }

    /// The current diagnostics, `/debug/diagnosticz`.
    ///
    /// # Errors
    /// As [`Plane::json`].
    pub fn diagnostics(&self) -> Result<Value> {
        self.json("/debug/diagnosticz")
    }

    /// The metrics.
    ///
    /// # Errors
    /// As [`Plane::get`].
    pub fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::parse(&self.get("/metrics")?))
    }

    /// Its standard output and error so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.process.log()).unwrap_or_default()
    }

    /// Asks it to end (SIGTERM) and waits; it must exit 0.
    ///
    /// # Errors
    /// It does not end in time, or with another code.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.process.stop(STOP)?;
        ensure!(
            status.success(),
            "meltemid ended with {status}: {}",
            self.process.tail()
        );
        Ok(())
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill();
    }

    fn wait_ready(&mut self) -> Result<()> {
        wait::until("meltemid to be ready", START, || {
            self.process.expect_running()?;
            self.get("/ready").map(Some)
        })?;
        Ok(())
    }
}

/// Metrics in the text format of Prometheus.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// Reads the text format; names keep their labels.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.rsplit_once(' '));
        let numbers =
            pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Self(numbers.collect())
    }

    /// The sum over all labels of the metric called `name`; 0 when there is none.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.with(name, "")
    }

    /// The sum over those whose labels contain `label` (`type="endpoint"`).
    #[must_use]
    pub fn with(&self, name: &str, label: &str) -> f64 {
        let of = |full: &str| {
            let (base, labels) = full.split_once('{').unwrap_or((full, ""));
            base == name && labels.contains(label)
        };
        self.0
            .iter()
            .filter(|(full, _)| of(full))
            .map(|(_, value)| value)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_labels() {
        let text = "# HELP a x\na{type=\"cluster\"} 2\na{type=\"route\"} 3\na_b 7\n";
        let metrics = Metrics::parse(text);
        assert!((metrics.sum("a") - 5.0).abs() < f64::EPSILON);
        assert!((metrics.with("a", "type=\"route\"") - 3.0).abs() < f64::EPSILON);
    }
}
