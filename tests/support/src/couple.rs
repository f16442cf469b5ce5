//! Two pods of which one calls the other over mutual TLS: a control plane that signs, an agent with its
//! Envoy in each, an application, and a stand-in for the API server and the kubelet.
//!
//! Everything is a process of its own and is reached through its real listener. Plaintext is refused,
//! and after a few requests a connection between the Envoys is replaced, so that handshakes go on.

mod load;
mod pod;
mod roots;
mod turns;

pub use load::{Load, Tally};
pub use pod::Pod;
pub use roots::{Rotated, Signers};
pub use turns::{Outage, Turns};

use crate::lease::Door;
use crate::openssl::{Openssl, Signer};
use crate::paths::{self, Scratch};
use crate::plane::{self, Plane};
use crate::reviews::Reviews;
use crate::{envoy, wait};
use anyhow::{Context, Result, ensure};
use pod::Kubelet;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a start or a change may take, on a machine that is busy with other tests.
pub const SOON: Duration = Duration::from_secs(60);
const CACERTS: &str = "/api/v1/namespaces/istio-system/secrets/cacerts";
/// Where the Envoy of the caller listens for it, and that of the called one for everybody.
const PORT: u16 = 9080;

/// The programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The control plane.
    pub meltemid: PathBuf,
    /// The agent.
    pub agent: PathBuf,
    /// The application.
    pub echo: PathBuf,
    /// Envoy 1.40.
    pub envoy: PathBuf,
}

impl Programs {
    /// Those of the running profile, and the Envoy that is found.
    ///
    /// # Errors
    /// One is missing; the error names the command that remedies it.
    pub fn find() -> Result<Self> {
        Self::of((paths::binary, envoy::find()?))
    }

    /// Those in `dir`, and this Envoy.
    ///
    /// # Errors
    /// One is missing; the error names the command that remedies it.
    pub fn in_dir(dir: &Path, envoy: PathBuf) -> Result<Self> {
        Self::of((|name: &str| paths::binary_in(dir, name), envoy))
    }

    fn of((binary, envoy): (impl Fn(&str) -> Result<PathBuf>, PathBuf)) -> Result<Self> {
        Ok(Self {
            meltemid: binary("meltemid")?,
            agent: binary("meltemi-agent")?,
            echo: binary("meltemi-echo")?,
            envoy,
        })
    }
}

/// How certificates are given out.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How long certificates of workloads count.
    pub lifetime: Duration,
    /// How long a new root is handed out before anything is signed under it.
    pub settle: Duration,
}

/// What runs. Dropping it kills all of it.
#[derive(Debug)]
pub struct Couple {
    /// The control plane, unless it was stopped.
    pub plane: Option<Plane>,
    /// The stand-in for the API server.
    pub reviews: Reviews,
    /// The pod that calls.
    pub caller: Pod,
    /// The pod that is called.
    pub called: Pod,
    /// Makes authorities.
    pub openssl: Openssl,
    /// How certificates are given out.
    pub terms: Terms,
    options: plane::Options,
    _door: Door,
    _kubelet: Kubelet,
    scratch: Scratch,
}

impl Couple {
    /// Starts everything under this authority, and waits until a call arrives.
    ///
    /// # Errors
    /// A part does not start, or no call arrives.
    pub fn start(
        (name, programs): (&str, &Programs),
        terms: Terms,
        authority: &Signer,
    ) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let dir = scratch.path();
        for part in ["config", "openssl"] {
            std::fs::create_dir(dir.join(part))?;
        }
        let openssl = Openssl::new(&dir.join("openssl"));
        let reviews = Reviews::start(&["istio-system", "shop"])?;
        reviews.put(
            CACERTS,
            secret(&openssl, authority, &authority.certificate)?,
        );
        let (caller, called) = (Pod::lease("caller")?, Pod::lease("called")?);
        let objects = objects(&caller, &called);
        std::fs::write(dir.join("config/couple.yaml"), objects)?;
        let door = Door::take()?;
        let secure = door.address();
        let options = options((dir, &programs.meltemid), (&reviews, secure), terms)?;
        let plane = Plane::start(&options)?;
        let kubelet = Kubelet::start(&reviews, &[caller.root(dir), called.root(dir)])?;
        let mut couple = Self {
            plane: Some(plane),
            caller,
            called,
            openssl,
            terms,
            options,
            _door: door,
            _kubelet: kubelet,
            reviews,
            scratch,
        };
        let place = (couple.scratch.path(), secure);
        let token = (&couple.reviews, terms.lifetime);
        couple.called.start(programs, place, token)?;
        couple.caller.start(programs, place, token)?;
        couple.wait_called()?;
        Ok(couple)
    }

    /// Waits until both pods are ready and a call arrives.
    fn wait_called(&mut self) -> Result<()> {
        self.called.wait_ready(SOON)?;
        self.caller.wait_ready(SOON)?;
        let door = self.door();
        wait::until("the first call", SOON, || load::ask(door).map(Some)).map(drop)
    }

    /// Where the caller calls.
    #[must_use]
    pub fn door(&self) -> SocketAddr {
        self.caller.at(PORT)
    }

    /// 100 requests a second from now on.
    #[must_use]
    pub fn load(&self) -> Load {
        Load::start(self.door())
    }

    /// The control plane.
    ///
    /// # Errors
    /// It was stopped.
    pub fn plane(&self) -> Result<&Plane> {
        self.plane.as_ref().context("the control plane is stopped")
    }

    /// Puts files of an authority in place of those that are there: `signer` signs, and whoever
    /// trusts one of `roots` is trusted.
    ///
    /// # Errors
    /// `openssl` is not there.
    pub fn plug(&self, signer: &Signer, roots: &str) -> Result<()> {
        let secret = secret(&self.openssl, signer, roots)?;
        self.reviews.put(CACERTS, secret);
        Ok(())
    }

    /// Replaces the configuration of the mesh, as lines of YAML.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn configure(&self, mesh: &str) -> Result<()> {
        let config = self.scratch.path().join("config");
        let mesh = mesh.trim_end().replace('\n', "\n    ");
        let map = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
             data:\n  mesh: |\n    {mesh}\n"
        );
        let partial = config.join(".mesh.partial");
        std::fs::write(&partial, map)?;
        Ok(std::fs::rename(partial, config.join("mesh.yaml"))?)
    }

    /// Every process: control plane, agents, Envoys.
    ///
    /// # Errors
    /// One does not run.
    pub fn pids(&mut self) -> Result<Vec<u32>> {
        let mut all = vec![self.plane()?.pid()];
        for pod in [&mut self.caller, &mut self.called] {
            all.extend(pod.pids()?);
        }
        Ok(all)
    }

    /// Kills the control plane (SIGKILL).
    ///
    /// # Errors
    /// It was stopped before.
    pub fn kill_plane(&mut self) -> Result<()> {
        let mut plane = self.plane.take().context("it is stopped already")?;
        plane.kill();
        Ok(())
    }

    /// Starts the control plane again, on the same ports.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_plane(&mut self) -> Result<()> {
        ensure!(self.plane.is_none(), "the control plane runs");
        self.plane = Some(Plane::start(&self.options)?);
        Ok(())
    }

    /// Leaves configuration and logs behind.
    pub fn keep(&mut self) -> PathBuf {
        self.scratch.keep();
        self.scratch.path().to_path_buf()
    }
}

fn options(
    (dir, meltemid): (&Path, &Path),
    (reviews, secure): (&Reviews, SocketAddr),
    terms: Terms,
) -> Result<plane::Options> {
    let config = dir.join("config").display().to_string();
    let mut options = plane::Options::new(meltemid.to_path_buf(), config, dir.to_path_buf());
    let kubeconfig = reviews.kubeconfig(dir)?;
    options.args = vec!["--kubeconfig".into(), kubeconfig.into()];
    let any = "127.0.0.1:0".to_owned();
    for (flag, address) in [
        ("--secureGRPCAddr", &secure.to_string()),
        ("--httpAddr", &any),
        ("--monitoringAddr", &any),
    ] {
        options.args.extend([flag.into(), address.into()]);
    }
    let settle = format!("{}ms", terms.settle.as_millis());
    options.env = vec![("MELTEMI_ROOT_SETTLE".to_owned(), settle)];
    Ok(options)
}

/// The Secret `cacerts`.
fn secret(openssl: &Openssl, signer: &Signer, roots: &str) -> Result<Value> {
    let mut data = Map::new();
    for (name, text) in [
        ("ca-cert.pem", signer.certificate.as_str()),
        ("ca-key.pem", &signer.key),
        ("cert-chain.pem", &signer.certificate),
        ("root-cert.pem", roots),
    ] {
        data.insert(name.to_owned(), openssl.base64(text)?.into());
    }
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "cacerts", "namespace": "istio-system", "resourceVersion": "1"},
        "data": data,
    }))
}

/// What the control plane knows: both pods, the service, the ports that Envoys bind.
fn objects(caller: &Pod, called: &Pod) -> String {
    let (from, to, app) = (caller.address(), called.address(), pod::APP);
    let pods = [caller, called].map(Pod::object).concat();
    format!(
        "{pods}apiVersion: v1
kind: Service
metadata: {{name: called, namespace: shop}}
spec:
  selector: {{app: called}}
  ports: [{{name: http, port: {PORT}}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: caller, namespace: shop}}
spec:
  workloadSelector: {{labels: {{app: caller}}}}
  egress:
  - port: {{number: {PORT}, protocol: HTTP, name: http}}
    bind: {from}
    captureMode: NONE
    hosts: [./*]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: called, namespace: shop}}
spec:
  workloadSelector: {{labels: {{app: called}}}}
  ingress:
  - port: {{number: {PORT}, protocol: HTTP, name: http}}
    bind: {to}
    captureMode: NONE
    defaultEndpoint: 0.0.0.0:{app}
  egress:
  - hosts: [~/*]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: strict, namespace: shop}}
spec: {{mtls: {{mode: STRICT}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: called, namespace: shop}}
spec:
  host: called
  trafficPolicy:
    connectionPool: {{http: {{maxRequestsPerConnection: 10}}}}
"
    )
}
