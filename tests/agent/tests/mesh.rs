//! All parts at once: a real control plane signs for the pod's token and serves over TLS, a real
//! Envoy behind the agent's relay is configured by it, certificates are renewed, and the control
//! plane is replaced.

use anyhow::{Context, Result, ensure};
use meltemi_agent::ads::{self, Relay, Seen};
use meltemi_agent::files::Files;
use meltemi_agent::identity::{Algorithm, Authority, Grace, Held, Identity, Settings, Source};
use meltemi_agent::sds::{self, Secrets, Sources};
use meltemi_agent::trust;
use meltemi_agent::upstream::Upstream;
use meltemi_agent_tests::relayed::{self, LONG as SOON, Proxy};
use meltemi_bootstrap::XdsProtocol;
use meltemi_runtime::drain::{self, Drain, Drainer};
use meltemi_testkit::envoy::Envoy;
use meltemi_testkit::lease::Door;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{self, Plane};
use meltemi_testkit::reviews::{Reviews, Token};
use meltemi_testkit::wait;
use meltemi_types::Secret;
use serde_json::{Map, Value, json};
use std::net::Ipv4Addr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

const ROOT: &str = "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert";
const NAME: &str = "istiod.istio-system.svc";

/// What proves the workload to the control plane.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Token,
    Certificate,
}

struct Stage {
    plane: Option<Plane>,
    reviews: Reviews,
    secure: Door,
    sockets: TempDir,
    scratch: Scratch,
    runtime: Runtime,
    draining: Drain,
    _drainer: Drainer,
}

impl Stage {
    fn start(name: &str) -> Result<Self> {
        let (drainer, draining) = drain::channel();
        let mut stage = Self {
            plane: None,
            reviews: Reviews::start(&["istio-system", "shop"])?,
            secure: Door::take()?,
            sockets: tempfile::tempdir()?,
            scratch: Scratch::new(name)?,
            runtime: Runtime::new()?,
            draining,
            _drainer: drainer,
        };
        std::fs::create_dir(stage.path("config"))?;
        stage.serve()?;
        let map = wait::until("the root certificate in namespace shop", SOON, || {
            Ok(stage.reviews.object(ROOT))
        })?;
        let roots = map.pointer("/data/root-cert.pem").and_then(Value::as_str);
        std::fs::write(stage.path("root-cert.pem"), roots.context("no root")?)?;
        let token = stage.reviews.mint(&Token::of("shop", "web", "web-0"));
        std::fs::write(stage.path("token"), token)?;
        Ok(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn serve(&mut self) -> Result<()> {
        let config = self.path("config").display().to_string();
        let dir = self.scratch.path();
        let mut options = plane::Options::new(paths::binary("meltemid")?, config, dir.into());
        options.args = vec!["--kubeconfig".into(), self.reviews.kubeconfig(dir)?.into()];
        let secure = self.secure.address().to_string();
        let any = "127.0.0.1:0".to_owned();
        for (flag, address) in [
            ("--secureGRPCAddr", &secure),
            ("--httpAddr", &any),
            ("--monitoringAddr", &any),
        ] {
            options.args.extend([flag.into(), address.into()]);
        }
        self.plane = Some(Plane::start(&options)?);
        Ok(())
    }

    fn plane(&self) -> Result<&Plane> {
        self.plane.as_ref().context("no control plane runs")
    }

    /// Asks for certificates of so many seconds, which are written too.
    fn identity(&self, lifetime: Duration) -> Result<Held> {
        self.asks(lifetime, Some(self.path("out")))
    }

    /// Asks for certificates, which are written where that is said.
    fn asks(&self, lifetime: Duration, output: Option<PathBuf>) -> Result<Held> {
        let authority = Authority {
            upstream: Upstream {
                address: self.secure.address().to_string(),
                san: Some(NAME.into()),
                roots: Some(self.path("root-cert.pem")),
                token: Some(self.path("token")),
                headers: vec![("clusterid".into(), Secret::new("Kubernetes".into()))],
            },
            proof: None,
            id: "spiffe://cluster.local/ns/shop/sa/web".parse()?,
            algorithm: Algorithm::default(),
            lifetime,
            grace: Grace::default(),
            signer: String::new(),
        };
        let settings = Settings {
            source: Source::Authority(Box::new(authority)),
            output,
        };
        let (identity, held) = Identity::new(settings, Files::new());
        self.runtime.spawn(identity.run(self.draining.clone()));
        Ok(held)
    }

    fn relay(&self, held: Held, proof: Proof) -> Result<Seen> {
        let settings = ads::Settings {
            socket: self.sockets.path().join("XDS"),
            upstream: self.secure.address().to_string(),
            san: Some(NAME.into()),
            roots: Some(self.path("root-cert.pem")),
            token: (proof == Proof::Token).then(|| self.path("token")),
            headers: Vec::new(),
            name_table: false,
            trust: false,
        };
        let _entered = self.runtime.enter();
        let (relay, seen) = Relay::listen(settings, (held, trust::channel().0))?;
        self.runtime.spawn(relay.run(self.draining.clone()));
        Ok(seen)
    }

    fn envoy(&self) -> Result<Envoy> {
        let proxy = Proxy {
            pod: "web-0",
            account: "web",
            address: Ipv4Addr::LOCALHOST,
            metadata: Map::from_iter([
                ("INTERCEPTION_MODE".to_owned(), json!("NONE")),
                ("SERVICE_ACCOUNT".to_owned(), json!("web")),
            ]),
        };
        let socket = self.sockets.path().join("XDS");
        let places = (socket.as_path(), self.scratch.path());
        relayed::envoy(&proxy, XdsProtocol::Delta, places)
    }

    fn change(&self, envoy: &Envoy, name: &str) -> Result<()> {
        relayed::add_service(&self.path("config"), name, envoy)
    }
}

fn serial(held: &Held) -> Option<String> {
    held.borrow().as_ref().map(|held| held.serial.clone())
}

/// A real authority signs, again and again, and each certificate stands in its audit.
#[test]
fn the_control_plane_signs_and_certificates_are_renewed() -> Result<()> {
    let stage = Stage::start("agent-signed")?;
    let held = stage.identity(Duration::from_secs(4))?;
    let first = wait::until("a certificate", SOON, || Ok(serial(&held)))?;
    let mut serials = vec![first];
    for _ in 0..2 {
        let last = serials.last().cloned();
        let next = wait::until("the next certificate", SOON, || {
            Ok(serial(&held).filter(|next| Some(next) != last.as_ref()))
        })?;
        serials.push(next);
    }
    let log = stage.plane()?.log();
    for serial in &serials {
        let audit = log.lines().find(|line| line.contains(serial.as_str()));
        let audit = audit.with_context(|| format!("no {serial} in {log}"))?;
        ensure!(audit.contains("ns/shop/sa/web"), "{audit}");
    }
    let written = std::fs::read(stage.path("out/cert-chain.pem"))?;
    ensure!(!written.is_empty(), "nothing was written");
    Ok(())
}

/// Envoy is configured through the relay, also by the control plane that follows.
fn configured(name: &str, proof: Proof) -> Result<()> {
    let mut stage = Stage::start(name)?;
    let held = stage.identity(Duration::from_secs(3600))?;
    let seen = stage.relay(held, proof)?;
    let envoy = stage.envoy()?;
    stage.change(&envoy, "early")?;
    let before = envoy
        .admin()
        .stats()?
        .get("cluster.xds-grpc.upstream_rq_total");
    let mut plane = stage.plane.take().context("no control plane runs")?;
    plane.stop()?;
    wait::until("the relay to lose its control plane", SOON, || {
        Ok((!seen.course.borrow().connected).then_some(()))
    })?;
    stage.serve()?;
    stage.change(&envoy, "late")?;
    let after = envoy
        .admin()
        .stats()?
        .get("cluster.xds-grpc.upstream_rq_total");
    ensure!(before == after, "{before} streams of Envoy became {after}");
    let metrics = stage.plane()?.metrics()?;
    let again = metrics.with("meltemi_resources_sent_total", "type=\"lds\"");
    ensure!(again == 0.0, "{again} listeners were sent again");
    let sent = metrics.with("meltemi_resources_sent_total", "type=\"cds\"");
    ensure!(sent == 1.0, "{sent} clusters were sent for a new one");
    Ok(())
}

#[test]
fn a_token_opens_the_stream_over_tls() -> Result<()> {
    configured("agent-token", Proof::Token)
}

#[test]
fn a_certificate_opens_the_stream_over_tls() -> Result<()> {
    configured("agent-certificate", Proof::Certificate)
}

/// Every file below a directory.
fn files(dir: &Path, all: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        match path.symlink_metadata()?.is_dir() {
            true => files(&path, all)?,
            false => all.push(path),
        }
    }
    Ok(())
}

/// No file holds a key, and sockets are for one user. How many sockets there are.
fn is_private(root: &Path) -> Result<usize> {
    let mut all = Vec::new();
    files(root, &mut all)?;
    let mut sockets = 0;
    for path in &all {
        let meta = path.symlink_metadata()?;
        let mode = meta.permissions().mode() & 0o777;
        let shown = path.display();
        if meta.file_type().is_socket() {
            sockets += 1;
            ensure!(mode == 0o600, "{shown} has {mode:o}");
        } else if meta.is_file() {
            let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
            ensure!(!text.contains("PRIVATE KEY"), "a key is in {shown}");
        }
    }
    Ok(sockets)
}

/// What Envoy is told on a socket for one user stands in no file, unless that is asked for.
#[test]
fn t66_the_key_of_a_workload_stays_in_memory() -> Result<()> {
    let stage = Stage::start("t66")?;
    let hour = Duration::from_secs(3600);
    let held = stage.asks(hour, None)?;
    wait::until("a certificate", SOON, || Ok(serial(&held)))?;
    stage.relay(held.clone(), Proof::Token)?;
    let settings = sds::Settings {
        socket: stage.sockets.path().join("SDS"),
        revoked: None,
    };
    let sources = Sources {
        held,
        trust: trust::channel().1,
        bundle: watch::channel(Arc::from([])).1,
        files: Files::new(),
    };
    let entered = stage.runtime.enter();
    let secrets = Secrets::listen(&settings, sources)?;
    stage.runtime.spawn(secrets.run(stage.draining.clone()));
    drop(entered);
    let envoy = stage.envoy()?;
    stage.change(&envoy, "early")?;
    ensure!(is_private(stage.sockets.path())? == 2, "both sockets");
    is_private(stage.scratch.path())?;
    // Who asks for files gets them for the group of the pod, and for nobody else.
    let out = stage.path("out");
    let held = stage.asks(hour, Some(out.clone()))?;
    wait::until("a certificate", SOON, || Ok(serial(&held)))?;
    let key = wait::until("the key", SOON, || Ok(out.join("key.pem").metadata().ok()))?;
    let mode = key.permissions().mode() & 0o777;
    ensure!(mode == 0o640, "{mode:o}");
    Ok(())
}
