//! A cluster from start to end.

use super::access::{Helm, Kubectl, wrappers};
use super::components::{self, Component};
use super::config::{self, OBJECTS};
use super::places::{Places, built, program, runs};
use super::{cgroups, image, inside, needs, space};
use crate::wait;
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_secs(60);
const API: Duration = Duration::from_secs(90);
/// Between two questions to something that answers slowly.
const PAUSE: Duration = Duration::from_millis(150);

/// How long a cluster lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until somebody calls [`down`].
    Detached,
    /// As long as the value; what a killed process leaves behind, [`sweep`] clears away.
    Owned,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name; clusters of different names run side by side.
    pub name: String,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// Archives of images to have from the start, beside CoreDNS and `pause`.
    pub images: Vec<PathBuf>,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    places: Places,
    lifetime: Lifetime,
    /// Whether [`Cluster::down`] was called.
    ended: bool,
}

impl Cluster {
    /// Starts a cluster and waits until its node is ready and DNS answers. What an earlier one of
    /// the same name left is cleared away first. `tell` hears what happens.
    ///
    /// # Errors
    /// The machine lacks something ([`needs::Unavailable`]), the programs are not built, or a
    /// component does not come up; then everything is cleared away again, the logs apart.
    pub fn up(options: &Options, tell: &mut dyn FnMut(&str)) -> Result<Self> {
        needs::check()?;
        let places = Places::of(&options.name)?;
        let begun = Instant::now();
        let mut tell =
            |text: &str| tell(&format!("{:4.1} s: {text}", begun.elapsed().as_secs_f32()));
        down(&options.name)?;
        let result = start(&places, options, &mut tell);
        if let Err(error) = result {
            let logs = keep_logs(&places);
            down(&options.name)?;
            return Err(error.context(format!("the cluster did not start; logs are in {logs}")));
        }
        Ok(Self {
            places,
            lifetime: options.lifetime,
            ended: false,
        })
    }

    /// A cluster that runs already, and goes on after the value.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn of(name: &str) -> Result<Self> {
        let places = Places::of(name)?;
        let ready = places.ready().is_file();
        anyhow::ensure!(
            ready,
            "the cluster {name} is not up; start it: cargo xtask cluster up --name {name}"
        );
        Ok(Self {
            places,
            lifetime: Lifetime::Detached,
            ended: false,
        })
    }

    /// Where its things are.
    #[must_use]
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// kubectl, as the administrator.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::inside(&self.places)
    }

    /// helm, as the administrator.
    #[must_use]
    pub fn helm(&self) -> Helm {
        Helm::inside(&self.places)
    }

    /// A program in the network of the node, to call what runs in the cluster.
    #[must_use]
    pub fn command(&self, program: &Path) -> std::process::Command {
        let mut command = space::in_network(&self.places, program);
        command.env("KUBECONFIG", self.places.kubeconfig());
        command
    }

    /// Gives the node an image, from an archive in OCI layout.
    ///
    /// # Errors
    /// containerd refuses it.
    pub fn import(&self, archive: &Path) -> Result<()> {
        image::import(&self.places, archive)
    }

    /// Kills a component with SIGKILL.
    ///
    /// # Errors
    /// It was not running, or does not go.
    pub fn kill(&self, component: Component) -> Result<()> {
        components::kill(&self.places, component)
    }

    /// Starts a component that was killed.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, component: Component) -> Result<()> {
        components::start(&self.places, component)
    }

    /// Stops a component where it is, until [`Cluster::resume`].
    ///
    /// # Errors
    /// It has not been started.
    pub fn pause(&self, component: Component) -> Result<()> {
        components::signal(&self.places, component, Signal::STOP)
    }

    /// Lets a component that was stopped go on.
    ///
    /// # Errors
    /// It has not been started.
    pub fn resume(&self, component: Component) -> Result<()> {
        components::signal(&self.places, component, Signal::CONT)
    }

    /// Kills the first process of a container with SIGKILL; `id` as a pod's status names it.
    ///
    /// # Errors
    /// There is no such container.
    pub fn kill_container(&self, id: &str) -> Result<()> {
        let id = id.trim_start_matches("containerd://");
        let mut ctr = std::process::Command::new(self.places.wrappers().join("ctr"));
        space::run(ctr.args(["tasks", "kill", "--signal", "SIGKILL", id]))?;
        Ok(())
    }

    /// Ends it and leaves nothing behind.
    ///
    /// # Errors
    /// Something does not go away.
    pub fn down(mut self) -> Result<()> {
        self.ended = true;
        down(self.places.name())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.lifetime == Lifetime::Owned && !self.ended {
            // A test that failed: its reader wants to know what the cluster thought of it.
            let logs = keep_logs(&self.places);
            eprintln!(
                "the logs of the cluster {} are in {logs}",
                self.places.name()
            );
            // What fails here fails again, and aloud, at the next start.
            let _left_behind = down(self.places.name());
        }
    }
}

fn start(places: &Places, options: &Options, tell: &mut dyn FnMut(&str)) -> Result<()> {
    std::fs::create_dir_all(places.run())?;
    if options.lifetime == Lifetime::Owned {
        let own = std::process::id();
        let started = inside::started(own).unwrap_or_default();
        // Whole or not at all: who sweeps meanwhile must not take it for a dead one's.
        let partial = places.owner().with_extension("partial");
        config::put(&partial, &format!("{own} {started}"))?;
        std::fs::rename(partial, places.owner())?;
    }
    tell("certificates, configuration, namespaces");
    config::write(places)?;
    certificates(places)?;
    wrappers(places)?;
    cgroups::make(&places.space())?;
    space::make(places)?;
    wait::until("the file system of the node", SHORT, || {
        Ok(space::is_ready(places).then_some(()))
    })?;
    tell("etcd, API server, containerd");
    for component in [Component::Etcd, Component::Containerd, Component::ApiServer] {
        components::start(places, component)?;
    }
    images(places, options, tell)?;
    let kubectl = Kubectl::inside(places);
    wait::every("the API server", (API, PAUSE), || {
        components::expect_running(places)?;
        Ok(kubectl.run(&["get", "--raw", "/readyz"]).ok())
    })?;
    tell("the API server is ready; controllers, scheduler, kubelet, kube-proxy");
    for component in [
        Component::Controllers,
        Component::Scheduler,
        Component::Kubelet,
        Component::Proxy,
    ] {
        components::start(places, component)?;
    }
    kubectl.apply(OBJECTS)?;
    ready(places, &kubectl, tell)?;
    std::fs::write(places.ready(), "")?;
    Ok(())
}

/// Waits for the node, then for DNS.
fn ready(places: &Places, kubectl: &Kubectl, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let node = ["wait", "node/node", "--timeout=60s"];
    let waited = kubectl
        .run(&[&node[..], &["--for=create"]].concat())
        .and_then(|_| kubectl.run(&[&node[..], &["--for=condition=Ready"]].concat()));
    if let Err(error) = waited {
        components::expect_running(places)?;
        return Err(error.context("the node is not ready"));
    }
    tell("the node is ready; DNS");
    let dns = ["rollout", "status", "deployment/coredns", "--timeout=60s"];
    kubectl
        .run(&[&dns[..], &["--namespace=kube-system"]].concat())
        .context("CoreDNS is not ready")?;
    tell("DNS is ready");
    Ok(())
}

fn certificates(places: &Places) -> Result<()> {
    let kubeadm = program("kubeadm")?;
    let config = places.run().join("kubeadm.yaml");
    let dir = places.run().join("pki");
    let phase = |words: &[&str]| {
        let mut command = std::process::Command::new(&kubeadm);
        command.args(["init", "phase"]).args(words);
        command.arg("--config").arg(&config);
        command
    };
    space::run(&mut phase(&["certs", "all"]))?;
    space::run(
        phase(&["kubeconfig", "all"])
            .arg("--kubeconfig-dir")
            .arg(&dir),
    )?;
    std::fs::copy(dir.join("super-admin.conf"), places.kubeconfig())?;
    Ok(())
}

fn images(places: &Places, options: &Options, tell: &mut dyn FnMut(&str)) -> Result<()> {
    wait::every("containerd", (SHORT, PAUSE), || {
        components::expect_running(places)?;
        Ok(image::is_listening(places).then_some(()))
    })?;
    let own = built()?.join("images");
    let mut archives: Vec<PathBuf> = ["pause", "coredns"]
        .map(|name| own.join(format!("{name}.tar")))
        .to_vec();
    archives.extend(options.images.iter().cloned());
    for archive in archives {
        image::import(places, &archive)?;
    }
    tell("images are there");
    Ok(())
}

/// Moves the logs of a failure to where they do not disturb the next start, with the objects as
/// they were, if anybody can tell.
fn keep_logs(places: &Places) -> String {
    let objects = [
        "get",
        "pods,events",
        "--all-namespaces",
        "--request-timeout=5s",
    ];
    if let Ok(text) = Kubectl::inside(places).run(&objects) {
        let _no_place = std::fs::write(places.log("objects"), text);
    }
    let Ok(kept) = runs().map(|runs| runs.with_file_name("failed").join(places.name())) else {
        return "none".to_owned();
    };
    let _older = std::fs::remove_dir_all(&kept);
    let moved = std::fs::create_dir_all(kept.parent().unwrap_or(&kept))
        .and_then(|()| std::fs::rename(places.run().join("log"), &kept));
    match moved {
        Ok(()) => kept.display().to_string(),
        Err(_) => "none".to_owned(),
    }
}

/// Ends a cluster, or what is left of one, and leaves nothing behind: no process, mount, network
/// namespace, device, control group or file. Fine when there is nothing.
///
/// # Errors
/// Something does not go away.
pub fn down(name: &str) -> Result<()> {
    let places = Places::of(name)?;
    inside::kill_all(&places)?;
    space::remove(&places)?;
    cgroups::remove(&places.space())?;
    if places.run().exists() {
        let cannot = || format!("cannot remove {}", places.run().display());
        std::fs::remove_dir_all(places.run()).with_context(cannot)?;
    }
    Ok(())
}

/// Ends the clusters whose owners were killed.
///
/// # Errors
/// Something does not go away.
pub fn sweep() -> Result<()> {
    let Ok(entries) = std::fs::read_dir(runs()?) else {
        return Ok(());
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // Without an owner it lives until somebody ends it; by another name it is none of ours.
        let places = Places::of(&name);
        let Some(text) = places
            .ok()
            .and_then(|places| std::fs::read_to_string(places.owner()).ok())
        else {
            continue;
        };
        let (pid, started) = text.split_once(' ').unwrap_or((&text, ""));
        let now = pid.parse().ok().and_then(inside::started);
        if now.as_deref() != Some(started) {
            down(&name)?;
        }
    }
    Ok(())
}
