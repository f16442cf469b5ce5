//! A control plane over TLS, and Envoys that show it tokens: in front of an API server's stand-in that
//! knows them, or of a directory alone, whose development authority does.

use crate::scene::SOON;
use anyhow::{Context, Result};
use meltemi_bootstrap::{
    AdminAddress, Bootstrap, NodeFacts, SecureServer, StatsScope, XdsProtocol, XdsServer,
};
use meltemi_testkit::envoy::{self, Envoy};
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{Options, Plane};
use meltemi_testkit::reviews::Reviews;
use meltemi_testkit::{laptop, wait};
use serde_json::{Value, json};
use std::path::PathBuf;

const ROOT: &str = "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert";
const ANY: &str = "127.0.0.1:0";

/// Who knows tokens.
#[derive(Debug)]
pub enum Knows {
    /// An API server's stand-in.
    Cluster(Reviews),
    /// The development authority.
    Directory,
}

/// What runs.
#[derive(Debug)]
pub struct Secured {
    /// Its files.
    pub scratch: Scratch,
    /// Who knows tokens.
    pub knows: Knows,
    /// The control plane.
    pub plane: Plane,
}

impl Secured {
    /// Starts one on a file of objects; what clients trust is in `root-cert.pem`.
    ///
    /// # Errors
    /// It does not start, or hands out no root.
    pub fn start(name: &str, objects: &str, knows: Knows) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let config = scratch.path().join("config");
        std::fs::create_dir(&config)?;
        std::fs::write(config.join("objects.yaml"), objects)?;
        let plane = Plane::start(&options(&scratch, &knows)?)?;
        let stage = Self {
            scratch,
            knows,
            plane,
        };
        stage.write_roots()?;
        Ok(stage)
    }

    /// Stops the control plane, and starts it again.
    ///
    /// # Errors
    /// It does not end or start as it should.
    pub fn restart(&mut self) -> Result<()> {
        self.plane.stop()?;
        self.plane = Plane::start(&options(&self.scratch, &self.knows)?)?;
        Ok(())
    }

    /// The API server's stand-in.
    ///
    /// # Errors
    /// There is none.
    pub fn reviews(&self) -> Result<&Reviews> {
        match &self.knows {
            Knows::Cluster(reviews) => Ok(reviews),
            Knows::Directory => anyhow::bail!("there is no API server"),
        }
    }

    /// Mounts what the control plane has published.
    fn write_roots(&self) -> Result<()> {
        let roots = match &self.knows {
            Knows::Directory => std::fs::read_to_string(laptop::roots(&self.path("config")))?,
            Knows::Cluster(reviews) => {
                let map = wait::until("the root certificate in namespace shop", SOON, || {
                    Ok(reviews.object(ROOT))
                })?;
                let roots = map.pointer("/data/root-cert.pem").and_then(Value::as_str);
                roots.context("no root")?.to_owned()
            }
        };
        Ok(std::fs::write(self.path("root-cert.pem"), roots)?)
    }

    /// A file of the run.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Projects a token as the kubelet does: the file is replaced whole.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn project(&self, name: &str, token: &str) -> Result<()> {
        let beside = self.path(&format!("{name}.new"));
        std::fs::write(&beside, token)?;
        Ok(std::fs::rename(&beside, self.path(name))?)
    }

    /// Starts an Envoy that presents the token file `name`; it is not live yet.
    ///
    /// # Errors
    /// It does not start.
    pub fn envoy(&self, name: &str, (node, fixed): (NodeFacts, Option<Value>)) -> Result<Envoy> {
        let text = |path: PathBuf| path.display().to_string();
        let server = XdsServer::Secure(SecureServer {
            target: self.plane.secure()?.to_string(),
            name: laptop::PLANE.into(),
            roots: text(self.path("root-cert.pem")),
            token: text(self.path(name)),
        });
        self.envoy_at(name, server, (node, fixed))
    }

    /// As [`Secured::envoy`], at an address of one's own choice.
    ///
    /// # Errors
    /// It does not start.
    pub fn envoy_at(
        &self,
        name: &str,
        xds: XdsServer,
        (node, static_resources): (NodeFacts, Option<Value>),
    ) -> Result<Envoy> {
        let bootstrap = Bootstrap {
            node,
            xds,
            protocol: XdsProtocol::Delta,
            admin: AdminAddress {
                address: "127.0.0.1".into(),
                port: 0,
            },
            stats: StatsScope::All,
            static_resources,
        };
        let options = envoy::Options {
            name: format!("{name}-envoy"),
            concurrency: 1,
            dir: self.scratch.path().to_path_buf(),
        };
        Envoy::start(&envoy::find()?, &bootstrap.to_json(), &options)
    }
}

fn options(scratch: &Scratch, knows: &Knows) -> Result<Options> {
    let dir = scratch.path();
    let config = dir.join("config").display().to_string();
    let mut options = Options::new(paths::binary("meltemid")?, config, dir.to_path_buf());
    if let Knows::Cluster(reviews) = knows {
        options.args = vec!["--kubeconfig".into(), reviews.kubeconfig(dir)?.into()];
    }
    for flag in ["--secureGRPCAddr", "--httpAddr", "--monitoringAddr"] {
        options.args.extend([flag.into(), ANY.into()]);
    }
    Ok(options)
}

/// A sidecar that says to be the pod `key` (`POD.NAMESPACE`), and to run as `account`.
#[must_use]
pub fn node(key: &str, account: &str) -> NodeFacts {
    let namespace = key.rsplit_once('.').map_or("", |(_, namespace)| namespace);
    let id = format!("sidecar~127.0.0.1~{key}~{namespace}.svc.cluster.local");
    let mut node = NodeFacts::new(id, format!("{account}.{namespace}"));
    let metadata = &mut node.metadata;
    metadata.insert("INTERCEPTION_MODE".into(), json!("NONE"));
    metadata.insert("SERVICE_ACCOUNT".into(), json!(account));
    node
}
