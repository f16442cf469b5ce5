//! The API server of `bench flips`: the real one, through `kubectl proxy`, or the double.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::api_server::{ApiServer, Resource};
use meltemi_testkit::cluster::places::program;
use meltemi_testkit::http::{Client, Request};
use meltemi_testkit::process::{Process, Spec};
use meltemi_testkit::{paths, wait};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

pub(super) const NAMESPACE: &str = "bench";
/// The Service, and its slice.
pub(super) const NAME: &str = "flip";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/bench/endpointslices";
const PATIENCE: Duration = Duration::from_secs(20);

/// An API server that can be changed.
pub(super) enum Api {
    Cluster {
        proxy: SocketAddr,
        kubeconfig: PathBuf,
        client: Client,
        _process: Process,
    },
    Double(ApiServer),
}

/// A version of the slice in a watch: when it came, and its port.
pub(super) type Told = (Instant, u16);

impl Api {
    /// The cluster in whose network this process runs; KUBECONFIG names its administrator.
    pub(super) fn of_cluster(dir: &Path) -> Result<Self> {
        let kubeconfig = std::env::var_os("KUBECONFIG").context("KUBECONFIG names no cluster")?;
        let crds = paths::repository().join("crds").display().to_string();
        kubectl(&["apply", "--server-side", "--filename", &crds])?;
        kubectl(&["wait", "--for=condition=Established", "crd", "--all"])?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let spec = Spec::new("kubectl-proxy", &program("kubectl")?, dir)
            .arg("proxy")
            .arg(format!("--port={}", free.port()));
        let mut process = Process::start(&spec)?;
        wait::until("kubectl proxy", PATIENCE, || {
            process.expect_running()?;
            Ok(TcpStream::connect(free).ok())
        })?;
        Ok(Self::Cluster {
            proxy: free,
            kubeconfig: kubeconfig.into(),
            client: Client::new(PATIENCE),
            _process: process,
        })
    }

    /// A double, with the one kind of the mesh that is needed.
    pub(super) fn of_double() -> Result<Self> {
        let server = ApiServer::start()?;
        server.install(&Resource::new("networking.istio.io", "sidecars"));
        Ok(Self::Double(server))
    }

    /// For the table.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Cluster { .. } => "a real one",
            Self::Double(_) => "a double",
        }
    }

    /// Where endpoints may be: an API server refuses loopback.
    pub(super) fn address(&self) -> Ipv4Addr {
        let node = meltemi_testkit::cluster::ADDRESS.parse();
        match self {
            Self::Cluster { .. } => node.unwrap_or(Ipv4Addr::LOCALHOST),
            Self::Double(_) => Ipv4Addr::LOCALHOST,
        }
    }

    /// The kubeconfig for a control plane.
    pub(super) fn kubeconfig(&self, dir: &Path) -> Result<PathBuf> {
        match self {
            Self::Cluster { kubeconfig, .. } => Ok(kubeconfig.clone()),
            Self::Double(server) => server.kubeconfig(dir),
        }
    }

    /// Creates or replaces objects.
    pub(super) fn apply(&self, objects: &[Value], dir: &Path) -> Result<()> {
        match self {
            Self::Cluster { .. } => {
                let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
                let file = dir.join("objects.json");
                std::fs::write(&file, list.to_string())?;
                kubectl(&["apply", "--filename", &file.display().to_string()])?;
            }
            Self::Double(server) => objects.iter().cloned().for_each(|o| server.apply(o)),
        }
        Ok(())
    }

    /// Changes the slice to that port.
    pub(super) fn patch(&self, slice: &Value) -> Result<()> {
        match self {
            Self::Cluster { proxy, client, .. } => {
                let ports = slice.get("ports").cloned().unwrap_or_default();
                let body = json!({"ports": ports}).to_string();
                let answer = client.send(&Request {
                    method: "PATCH",
                    address: *proxy,
                    host: "127.0.0.1",
                    path: &format!("{SLICES}/{NAME}"),
                    headers: &[("content-type", "application/merge-patch+json")],
                    body: body.as_bytes(),
                })?;
                let text = answer.text();
                ensure!(
                    answer.status == 200,
                    "PATCH answered {}: {text}",
                    answer.status
                );
            }
            Self::Double(server) => server.apply(slice.clone()),
        }
        Ok(())
    }

    /// What a watch of the slice says, when the API server is a real one.
    pub(super) fn watch(&self) -> Result<Option<Receiver<Told>>> {
        let Self::Cluster { proxy, .. } = self else {
            return Ok(None);
        };
        let mut stream = TcpStream::connect(proxy)?;
        write!(
            stream,
            "GET {SLICES}?watch=1 HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n\r\n"
        )?;
        let (sender, receiver) = mpsc::channel();
        // Ends with the proxy, and so with this process.
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                let now = Instant::now();
                let Ok(line) = line else { return };
                if let Some(port) = port(&line)
                    && sender.send((now, port)).is_err()
                {
                    return;
                }
            }
        });
        Ok(Some(receiver))
    }
}

/// The port of the slice in a line of a watch.
fn port(line: &str) -> Option<u16> {
    let event: Value = serde_json::from_str(line).ok()?;
    let port = event.pointer("/object/ports/0/port")?.as_u64()?;
    u16::try_from(port).ok()
}

fn kubectl(args: &[&str]) -> Result<()> {
    let out = Command::new(program("kubectl")?).args(args).output()?;
    let error = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "kubectl {args:?}: {error}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::port;

    #[test]
    fn a_watch_tells_the_port() {
        let line = r#"{"type":"MODIFIED","object":{"ports":[{"name":"http","port":4711}]}}"#;
        assert_eq!(port(line), Some(4711));
        assert_eq!(port("1f"), None);
    }
}
