//! One workload of a mesh: its address, its application, its Envoy.

use super::Programs;
use crate::envoy::{self, Envoy};
use crate::lease::Lease;
use crate::plane::Plane;
use crate::process::{Process, Spec};
use crate::rewrite::Rewrite;
use crate::{laptop, paths, secrets, wait};
use anyhow::{Context, Result};
use meltemi_bootstrap::{
    AdminAddress, Bootstrap, NodeFacts, SecureServer, StatsScope, XdsProtocol, XdsServer,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// How long an application may take to listen.
const START: Duration = Duration::from_secs(20);

/// A workload, with address and port as written in the files of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The name of its Pod; the application answers with it.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its address.
    pub address: Ipv4Addr,
    /// The port of its application.
    pub app_port: u16,
    /// True when its Envoy has the certificate of the account that its label `app` names.
    pub certified: bool,
    /// True when its Envoy calls the control plane over TLS, with the token of the account that its
    /// label `app` names; for a plan with `--secureGRPCAddr`.
    pub proved: bool,
    /// What its Envoy is: `sidecar` or `router`.
    pub kind: &'static str,
}

impl Workload {
    /// A workload with label `app`, and `version` unless that is empty.
    #[must_use]
    pub fn new(name: &str, (app, version): (&str, &str), at: (Ipv4Addr, u16)) -> Self {
        let labels = [("app", app), ("version", version)];
        let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
        Self {
            name: name.to_owned(),
            namespace: "shop".to_owned(),
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            address: at.0,
            app_port: at.1,
            certified: false,
            proved: false,
            kind: "sidecar",
        }
    }

    /// The same, whose Envoy is a gateway.
    #[must_use]
    pub fn router(self) -> Self {
        Self {
            kind: "router",
            ..self
        }
    }

    /// The same, whose Envoy has a certificate.
    #[must_use]
    pub fn certified(self) -> Self {
        Self {
            certified: true,
            ..self
        }
    }

    /// The same, whose Envoy calls the control plane over TLS.
    #[must_use]
    pub fn proved(self) -> Self {
        Self {
            proved: true,
            ..self
        }
    }

    /// Its service account.
    fn account(&self) -> &str {
        self.labels.get("app").unwrap_or(&self.name)
    }

    /// How its Envoy reaches the control plane, whose configuration is in the directory.
    fn server(&self, (plane, config): (&Plane, &Path), dir: &Path) -> Result<XdsServer> {
        if !self.proved {
            let server = plane.grpc();
            return Ok(XdsServer::Tcp {
                address: server.ip().to_string(),
                port: server.port(),
            });
        }
        let words = laptop::pod((&self.namespace, self.account(), &self.name));
        let token = laptop::token(&paths::binary("meltemi")?, config, &words)?;
        let file = dir.join(format!("{}-token", self.name));
        std::fs::write(&file, token)?;
        Ok(XdsServer::Secure(SecureServer {
            target: plane.secure()?.to_string(),
            name: laptop::PLANE.to_owned(),
            roots: laptop::roots(config).display().to_string(),
            token: file.display().to_string(),
        }))
    }

    /// What its Envoy starts with beside the control plane.
    fn secrets(&self) -> Result<Option<Value>> {
        let wanted = self.certified.then(|| secrets::of(self.account()));
        wanted.transpose()
    }

    /// What its Envoy tells the control plane about itself.
    #[must_use]
    pub fn node(&self, address: Ipv4Addr) -> NodeFacts {
        let Self {
            name,
            namespace,
            labels,
            certified,
            kind,
            ..
        } = self;
        let app = self.account();
        let id = format!("{kind}~{address}~{name}.{namespace}~{namespace}.svc.cluster.local");
        let mut node = NodeFacts::new(id, format!("{app}.{namespace}"));
        node.metadata = Map::from_iter([
            ("CLUSTER_ID".to_owned(), json!("Kubernetes")),
            ("INSTANCE_IPS".to_owned(), json!(address.to_string())),
            ("INTERCEPTION_MODE".to_owned(), json!("NONE")),
            ("LABELS".to_owned(), json!(labels)),
            ("MESH_ID".to_owned(), json!("cluster.local")),
            ("NAME".to_owned(), json!(name)),
            ("NAMESPACE".to_owned(), json!(namespace)),
            ("SERVICE_ACCOUNT".to_owned(), json!(app)),
            ("WORKLOAD_NAME".to_owned(), json!(name)),
        ]);
        if *certified {
            node.metadata
                .insert("MELTEMI_CERTIFICATES".to_owned(), json!("BOOTSTRAP"));
        }
        node
    }
}

/// A running workload. Dropping it kills its processes.
#[derive(Debug)]
pub struct Member {
    /// As written.
    pub workload: Workload,
    /// Its address in this run.
    pub address: Ipv4Addr,
    /// Its Envoy.
    pub envoy: Envoy,
    /// Its application.
    pub app: Process,
    _lease: Lease,
}

/// A workload whose application runs and whose Envoy does not yet.
pub(super) struct Cast {
    workload: Workload,
    lease: Lease,
    app: Process,
}

impl Cast {
    /// Leases an address and starts the application on it; both go into the rewrite.
    pub(super) fn prepare(
        programs: &Programs,
        workload: &Workload,
        (rewrite, dir): (&mut Rewrite, &Path),
    ) -> Result<Self> {
        let lease = Lease::take(&[])?;
        let (app, port) = app(&programs.echo, (&workload.name, lease.address()), dir)?;
        rewrite.add(workload.address, lease.address());
        rewrite.add(workload.app_port, port);
        Ok(Self {
            workload: workload.clone(),
            lease,
            app,
        })
    }

    /// Starts the Envoy.
    pub(super) fn join(
        self,
        binary: &Path,
        (at, protocol): ((&Plane, &Path), XdsProtocol),
        dir: &Path,
    ) -> Result<Member> {
        let Self {
            workload,
            lease,
            app,
        } = self;
        let address = lease.address();
        let bootstrap = Bootstrap {
            node: workload.node(address),
            xds: workload.server(at, dir)?,
            protocol,
            admin: AdminAddress {
                address: address.to_string(),
                port: 0,
            },
            stats: StatsScope::All,
            static_resources: workload.secrets()?,
        };
        let name = format!("{}-envoy", workload.name);
        let options = envoy::Options {
            name,
            concurrency: 1,
            dir: dir.to_path_buf(),
        };
        let envoy = Envoy::start(binary, &bootstrap.to_json(), &options)?;
        Ok(Member {
            workload,
            address,
            envoy,
            app,
            _lease: lease,
        })
    }
}

/// Starts an application on a port that the system chooses, and says which.
///
/// # Errors
/// It does not start.
pub fn app(binary: &Path, (name, at): (&str, Ipv4Addr), dir: &Path) -> Result<(Process, u16)> {
    let port_file = dir.join(format!("{name}-app.ports"));
    let spec = Spec::new(&format!("{name}-app"), binary, dir)
        .option("--address", at.to_string())
        .option("--port", "0")
        .option("--tcp-port", "0")
        .option("--name", name)
        .option("--port-file", &port_file);
    let mut process = Process::start(&spec)?;
    let text = wait::until(&format!("{} to listen", spec.name), START, || {
        process.expect_running()?;
        Ok(std::fs::read_to_string(&port_file).ok())
    })?;
    let ports: Value = serde_json::from_str(&text)?;
    let address = ports
        .pointer("/http/0")
        .and_then(Value::as_str)
        .and_then(|text| text.parse::<SocketAddr>().ok());
    let address = address.with_context(|| format!("{text} is not a port file"))?;
    Ok((process, address.port()))
}
