//! An installation by the charts of this repository and the real helm, from the images of ours.

use crate::Target;
use anyhow::{Context, Result, anyhow};
use meltemi_testkit::paths;

/// Where it is installed.
pub const SYSTEM: &str = "istio-system";

/// The release, the Deployment and the Service of the gateway.
pub const GATEWAY: &str = "istio-ingressgateway";

/// The images that an installation with a gateway and with workloads of ours needs.
pub const IMAGES: [&str; 4] = ["meltemid", "envoy", "echo", "tools"];

/// How long helm waits for the pods.
const WAIT: [&str; 2] = ["--wait", "--timeout=90s"];

/// The values with which the control plane runs on one small node.
pub const CONTROL: [&str; 4] = [
    "--set=tag=dev",
    "--set=global.imagePullPolicy=Never",
    "--set=autoscaleEnabled=false",
    "--set=replicaCount=1",
];

/// The same for a gateway.
const EDGE: [&str; 4] = [
    "--set=image=docker.io/meltemi/envoy:dev",
    "--set=imagePullPolicy=Never",
    "--set=autoscaling.enabled=false",
    "--set=service.type=ClusterIP",
];

/// Base and control plane, and what was added to them.
#[derive(Debug)]
pub struct Mesh<'target> {
    target: &'target Target,
    releases: Vec<String>,
}

impl<'target> Mesh<'target> {
    /// Installs the definitions.
    ///
    /// # Errors
    /// helm fails.
    pub fn definitions(target: &'target Target) -> Result<Self> {
        let mut mesh = Self {
            target,
            releases: Vec::new(),
        };
        mesh.helm(&["install", "base", "charts/base", "--create-namespace"])?;
        mesh.releases.push("base".to_owned());
        Ok(mesh)
    }

    /// Installs the definitions and a control plane, with further values, and waits for it.
    ///
    /// # Errors
    /// helm fails; the error has what the pods say.
    pub fn install(target: &'target Target, values: &[&str]) -> Result<Self> {
        let mut mesh = Self::definitions(target)?;
        mesh.add_control_plane("istiod", values)?;
        Ok(mesh)
    }

    /// Installs a control plane under the name of its release.
    ///
    /// # Errors
    /// As for [`Mesh::install`].
    pub fn add_control_plane(&mut self, release: &str, values: &[&str]) -> Result<()> {
        let install = ["install", release, "charts/meltemid"];
        let done = self.helm(&[&install[..], &CONTROL, values, &WAIT].concat());
        done.or_else(|error| self.explain("app=istiod", error))?;
        self.releases.push(release.to_owned());
        Ok(())
    }

    /// Installs the gateway, and waits for it.
    ///
    /// # Errors
    /// As for [`Mesh::install`].
    pub fn add_gateway(&mut self, values: &[&str]) -> Result<()> {
        self.add_edge(GATEWAY, values)
    }

    /// Installs a gateway of that name, and waits for it.
    ///
    /// # Errors
    /// As for [`Mesh::install`].
    pub fn add_edge(&mut self, name: &str, values: &[&str]) -> Result<()> {
        self.add_edges(&[(name, values)])
    }

    /// Installs gateways of these names side by side, and waits for all.
    ///
    /// # Errors
    /// As for [`Mesh::install`].
    pub fn add_edges(&mut self, edges: &[(&str, &[&str])]) -> Result<()> {
        let install = |(name, values): &(&str, &[&str])| -> Result<()> {
            let install = ["install", name, "charts/gateway"];
            let done = self.helm(&[&install[..], &EDGE, values, &WAIT].concat());
            let done = done.or_else(|error| self.explain(&format!("app={name}"), error));
            done.map(drop)
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = edges
                .iter()
                .map(|edge| scope.spawn(|| install(edge)))
                .collect();
            let mut all = all.into_iter();
            all.try_for_each(|one| one.join().map_err(|_panic| anyhow!("helm was given up"))?)
        })?;
        let names = edges.iter().map(|(name, _)| (*name).to_owned());
        self.releases.extend(names);
        Ok(())
    }

    /// Upgrades a control plane in place: further values, or others.
    ///
    /// # Errors
    /// As for [`Mesh::install`].
    pub fn upgrade_control_plane(&self, release: &str, values: &[&str]) -> Result<()> {
        let upgrade = ["upgrade", release, "charts/meltemid"];
        let done = self.helm(&[&upgrade[..], &CONTROL, values, &WAIT].concat());
        done.or_else(|error| self.explain("app=istiod", error))?;
        Ok(())
    }

    /// The same for a gateway.
    ///
    /// # Errors
    /// As for [`Mesh::install`].
    pub fn upgrade_edge(&self, name: &str, values: &[&str]) -> Result<()> {
        let upgrade = ["upgrade", name, "charts/gateway"];
        let done = self.helm(&[&upgrade[..], &EDGE, values, &WAIT].concat());
        done.or_else(|error| self.explain(&format!("app={name}"), error))?;
        Ok(())
    }

    /// Takes one of the releases away.
    ///
    /// # Errors
    /// helm fails.
    pub fn remove(&mut self, release: &str) -> Result<()> {
        self.helm(&["uninstall", release, "--wait"])?;
        self.releases.retain(|known| known != release);
        Ok(())
    }

    /// Runs helm in the namespace of the installation; charts are named from the repository.
    ///
    /// # Errors
    /// It fails; the error has what it said.
    pub fn helm(&self, words: &[&str]) -> Result<String> {
        let mut command = self.target.helm().command(words);
        command.arg("--namespace").arg(SYSTEM);
        let out = command
            .current_dir(paths::repository())
            .output()
            .context("cannot run helm")?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let error = String::from_utf8_lossy(&out.stderr);
        anyhow::ensure!(out.status.success(), "helm {words:?}: {said}{error}");
        Ok(said)
    }

    /// Takes away what was installed, the last first.
    ///
    /// # Errors
    /// helm fails.
    pub fn uninstall(mut self) -> Result<()> {
        while let Some(release) = self.releases.pop() {
            self.helm(&["uninstall", &release, "--wait"])?;
        }
        Ok(())
    }

    /// An error with what the pods say.
    fn explain(&self, selector: &str, error: anyhow::Error) -> Result<String> {
        let kubectl = self.target.kubectl();
        let pods = ["--namespace", SYSTEM, "--selector", selector];
        let logs = kubectl.run(&[&["logs", "--tail=40", "--all-containers"][..], &pods].concat());
        let pods = kubectl.run(&[&["describe", "pods"][..], &pods].concat());
        Err(error.context(format!("{pods:?}\n{logs:?}")))
    }
}
