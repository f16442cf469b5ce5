//! A control plane that signs: an API server's stand-in knows its tokens and keeps its Secrets.

use crate::scene::SOON;
use crate::shop::service;
use anyhow::{Context, Result};
use meltemi_bootstrap::NodeFacts;
use meltemi_testkit::caller::Caller;
use meltemi_testkit::openssl::{Openssl, Signer};
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{Options, Plane};
use meltemi_testkit::reviews::{Reviews, Token};
use meltemi_testkit::wait;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Where the self-signed authority is kept.
pub const SECRET: &str = "/api/v1/namespaces/istio-system/secrets/istio-ca-secret";
const CACERTS: &str = "/api/v1/namespaces/istio-system/secrets/cacerts";
const ROOT: &str = "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert";

/// What runs.
#[derive(Debug)]
pub struct Citadel {
    scratch: Scratch,
    /// Who knows tokens.
    pub reviews: Reviews,
    /// The control plane.
    pub plane: Plane,
    /// Makes keys.
    pub openssl: Openssl,
    options: Options,
}

/// What there is before a control plane starts.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// Who knows tokens.
    pub reviews: &'a Reviews,
    /// Makes keys.
    pub openssl: &'a Openssl,
    /// Where its files are; `mesh.yaml` is the mesh configuration.
    pub dir: &'a Path,
}

/// Files of the Secret `cacerts`, by their names.
pub type Files<'a> = &'a [(&'a str, &'a str)];

impl Citadel {
    /// Starts one with this environment and these files of an authority.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(name: &str, env: &[(&str, &str)], files: Files<'_>) -> Result<Self> {
        Self::start_after(name, (env, files), |_, _| Ok(()))
    }

    /// Starts one with these further flags, after something was prepared.
    ///
    /// # Errors
    /// It cannot be prepared, or does not start.
    pub fn start_prepared(
        name: &str,
        flags: &[&str],
        prepare: impl FnOnce(Stage<'_>) -> Result<()>,
    ) -> Result<Self> {
        Self::start_as(name, (&[], flags), prepare)
    }

    /// Starts one with this environment, after something was prepared.
    ///
    /// # Errors
    /// It cannot be prepared, or does not start.
    pub fn start_on(
        name: &str,
        env: &[(&str, &str)],
        prepare: impl FnOnce(Stage<'_>) -> Result<()>,
    ) -> Result<Self> {
        Self::start_as(name, (env, &[]), prepare)
    }

    /// Starts one with this environment and these further flags.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_with(name: &str, env: &[(&str, &str)], flags: &[&str]) -> Result<Self> {
        Self::start_as(name, (env, flags), |_| Ok(()))
    }

    /// Starts one with this environment and these files of an authority, with something done before
    /// it starts: to what the API server has, and to the directory of its configuration.
    ///
    /// # Errors
    /// It does not start, or that fails.
    pub fn start_after(
        name: &str,
        (env, files): (&[(&str, &str)], Files<'_>),
        before: impl FnOnce(&Reviews, &Path) -> Result<()>,
    ) -> Result<Self> {
        Self::start_on(name, env, |stage| {
            if !files.is_empty() {
                stage.reviews.put(CACERTS, secret(stage.openssl, files)?);
            }
            before(stage.reviews, &stage.dir.join("config"))
        })
    }

    fn start_as(
        name: &str,
        (env, flags): (&[(&str, &str)], &[&str]),
        prepare: impl FnOnce(Stage<'_>) -> Result<()>,
    ) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let path = |name: &str| scratch.path().join(name);
        std::fs::create_dir(path("config"))?;
        std::fs::create_dir(path("openssl"))?;
        let reviews_yaml = service("reviews", "app: reviews");
        std::fs::write(path("config/reviews.yaml"), reviews_yaml)?;
        std::fs::write(path("mesh.yaml"), "trustDomainAliases: [old.example]\n")?;
        let openssl = Openssl::new(&path("openssl"));
        let reviews = Reviews::start(&["istio-system", "shop"])?;
        prepare(Stage {
            reviews: &reviews,
            openssl: &openssl,
            dir: scratch.path(),
        })?;
        let config = path("config").display().to_string();
        let dir = scratch.path().to_path_buf();
        let mut options = Options::new(paths::binary("meltemid")?, config, dir);
        let mesh: PathBuf = path("mesh.yaml");
        options.args = vec!["--meshConfig".into(), mesh.into()];
        let kubeconfig = reviews.kubeconfig(scratch.path())?;
        options
            .args
            .extend(["--kubeconfig".into(), kubeconfig.into()]);
        for flag in ["--secureGRPCAddr", "--httpAddr", "--monitoringAddr"] {
            options.args.extend([flag.into(), "127.0.0.1:0".into()]);
        }
        options.args.extend(flags.iter().map(|flag| (*flag).into()));
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        options.env = env.iter().map(own).collect();
        Ok(Self {
            plane: Plane::start(&options)?,
            scratch,
            reviews,
            openssl,
            options,
        })
    }

    /// Starts another one like it, on the same Secrets.
    ///
    /// # Errors
    /// It does not start.
    pub fn replica(&self, name: &str) -> Result<Plane> {
        let dir = self.scratch.path().join(name);
        std::fs::create_dir(&dir)?;
        Plane::start(&Options {
            dir,
            ..self.options.clone()
        })
    }

    /// The roots that everybody in namespace `shop` is told of, in PEM.
    ///
    /// # Errors
    /// There are none.
    pub fn roots(&self) -> Result<String> {
        let map = wait::until("the root certificate in namespace shop", SOON, || {
            Ok(self.reviews.object(ROOT))
        })?;
        let roots = map.pointer("/data/root-cert.pem").and_then(Value::as_str);
        Ok(roots.context("no root")?.to_owned())
    }

    /// The authority that it has made.
    ///
    /// # Errors
    /// It has made none.
    pub fn signer(&self) -> Result<Signer> {
        let secret = self.reviews.object(SECRET).context("no Secret")?;
        let file = |name: &str| {
            let file = secret.pointer(&format!("/data/{name}"));
            let file = file.and_then(Value::as_str).context("no file")?;
            self.openssl.from_base64(file)
        };
        Ok(Signer {
            certificate: file("ca-cert.pem")?,
            key: file("ca-key.pem")?,
        })
    }

    /// Puts files of an authority of one's own.
    ///
    /// # Errors
    /// `openssl` is not there.
    pub fn plug(&self, files: Files<'_>) -> Result<()> {
        self.reviews.put(CACERTS, secret(&self.openssl, files)?);
        Ok(())
    }

    /// Takes the Secret away.
    pub fn unplug(&self) {
        self.reviews.remove(CACERTS);
    }

    /// Somebody with a token, if one is given.
    ///
    /// # Errors
    /// There are no roots.
    pub fn caller(&self, token: Option<&Token<'_>>) -> Result<Caller> {
        Ok(Caller {
            server: self.plane.secure()?,
            roots: self.roots()?,
            token: token.map(|token| self.reviews.mint(token)),
            certificate: None,
        })
    }

    /// Somebody with a certificate (a chain, its roots last) and its key.
    ///
    /// # Errors
    /// There are no roots.
    pub fn certified(&self, chain: &[String], key: &str) -> Result<Caller> {
        let shown = chain
            .split_last()
            .map_or(String::new(), |(_, all)| all.concat());
        Ok(Caller {
            certificate: Some((shown, key.to_owned())),
            ..self.caller(None)?
        })
    }

    /// Waits until it knows a service of this name, as `NAME.NAMESPACE`.
    ///
    /// # Errors
    /// It never does.
    pub fn wait_published(&self, name: &str) -> Result<()> {
        wait::until(&format!("the service {name}"), SOON, || {
            let services = self.plane.get("/debug/registryz")?;
            Ok(services.contains(name).then_some(()))
        })
    }

    /// Waits for a line of its log.
    ///
    /// # Errors
    /// It does not come.
    pub fn wait_said(&self, words: &str) -> Result<()> {
        wait::until(&format!("{words:?} in the log"), SOON, || {
            Ok(self.plane.log().contains(words).then_some(()))
        })
    }

    /// Where its files are.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }
}

fn secret(openssl: &Openssl, files: Files<'_>) -> Result<Value> {
    let mut data = Map::new();
    for (name, text) in files {
        data.insert((*name).to_owned(), openssl.base64(text)?.into());
    }
    Ok(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "cacerts", "namespace": "istio-system", "resourceVersion": "1"},
        "data": data,
    }))
}

/// The proxy of the pod `web-0` of namespace `shop`.
#[must_use]
pub fn web() -> NodeFacts {
    let id = "sidecar~127.0.0.1~web-0.shop~shop.svc.cluster.local";
    let mut node = NodeFacts::new(id.to_owned(), "web.shop".to_owned());
    let metadata = &mut node.metadata;
    metadata.insert("INTERCEPTION_MODE".into(), json!("NONE"));
    metadata.insert("SERVICE_ACCOUNT".into(), json!("web"));
    node
}
