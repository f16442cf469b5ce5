//! Where a cluster keeps things: binaries in a cache outside `target`, each run below it.
//!
//! The cache is `MELTEMI_CACHE`, else `XDG_CACHE_HOME/meltemi`, else `~/.cache/meltemi`. The key of
//! the binaries is a hash of everything that decides them. Runs lie on disk and not in `/run`,
//! which is memory on most machines, because containers' file systems are below them.

use super::image::digest;
use crate::{paths, process};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// The Go programs that a cluster needs, each with the folder of `tests/cluster` whose `go.mod`
/// pins it and the package it is built from. In the order that is quickest to something usable.
pub const PROGRAMS: [(&str, &str, &str); 11] = [
    ("pause", "pause", "."),
    ("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    (
        "kube-apiserver",
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-apiserver",
    ),
    ("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    ("kubeadm", "kubernetes", "k8s.io/kubernetes/cmd/kubeadm"),
    (
        "kube-controller-manager",
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    ("kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet"),
    (
        "kube-scheduler",
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-scheduler",
    ),
    (
        "kube-proxy",
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-proxy",
    ),
    ("coredns", "coredns", "."),
    ("helm", "helm", "helm.sh/helm/v4/cmd/helm"),
];

/// istioctl, as the others; no cluster needs it, one test does.
pub const ISTIOCTL: (&str, &str, &str) = (
    "istioctl",
    "istioctl",
    "istio.io/istio/istioctl/cmd/istioctl",
);

/// The longest name of a cluster: it is part of the names of sockets.
const NAME: usize = 24;
/// What a cluster's namespace hides behind a file system of its own, so no cache can be there.
pub(super) const HIDDEN: [&str; 3] = ["/run", "/var/lib", "/var/log"];

/// The cache, which need not exist.
///
/// # Errors
/// Neither `MELTEMI_CACHE` nor `XDG_CACHE_HOME` nor `HOME` is set, or it lies where a cluster
/// cannot see it.
pub fn cache() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let dir = if let Some(dir) = variable("MELTEMI_CACHE") {
        PathBuf::from(dir)
    } else if let Some(dir) = variable("XDG_CACHE_HOME") {
        PathBuf::from(dir).join("meltemi")
    } else if let Some(home) = variable("HOME") {
        PathBuf::from(home).join(".cache/meltemi")
    } else {
        bail!("there is no place for a cache: name one in MELTEMI_CACHE");
    };
    ensure!(
        dir.is_absolute() && !HIDDEN.iter().any(|hidden| dir.starts_with(hidden)),
        "{} cannot hold a cluster: name an absolute path outside of {} in MELTEMI_CACHE",
        dir.display(),
        HIDDEN.join(", ")
    );
    Ok(dir)
}

/// The folder of the repository that pins and configures all this.
#[must_use]
pub fn sources() -> PathBuf {
    paths::repository().join("tests/cluster")
}

/// Where the built programs are, in `bin`, and the images made of them, in `images`.
///
/// # Errors
/// The sources cannot be read.
pub fn built() -> Result<PathBuf> {
    let mut decisive = Vec::new();
    for folder in ["coredns", "etcd", "helm", "kubernetes", "pause"] {
        for file in ["go.mod", "go.sum", "main.go"] {
            let path = sources().join(folder).join(file);
            if path.is_file() {
                decisive.push(path);
            }
        }
    }
    Ok(cache()?.join("cluster").join(key(&decisive)?))
}

/// Where istioctl is once it is built.
///
/// # Errors
/// The sources cannot be read.
pub fn istioctl() -> Result<PathBuf> {
    let (name, folder, _) = ISTIOCTL;
    let folder = sources().join(folder);
    let key = key(&["go.mod", "go.sum"].map(|file| folder.join(file)))?;
    let dir = format!("istioctl-{key}");
    Ok(cache()?.join("cluster").join(dir).join(name))
}

/// A short hash of what is in some files.
fn key(files: &[PathBuf]) -> Result<String> {
    let mut text = String::from(super::KUBERNETES);
    for file in files {
        let content = std::fs::read_to_string(file);
        text += &content.with_context(|| format!("cannot read {}", file.display()))?;
        text.push('\0');
    }
    Ok(digest::of_bytes(text.as_bytes())?
        .chars()
        .take(16)
        .collect())
}

/// A built program.
///
/// # Errors
/// It has not been built; the error names the command that does it.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = built()?.join("bin").join(name);
    ensure!(
        path.is_file(),
        "{name} has not been built; build it: cargo xtask cluster build"
    );
    Ok(path)
}

/// A program of the machine. The wrappers of a cluster, which may be on the `PATH`, are none: the
/// one for `ctr` would find itself.
#[must_use]
pub fn installed(name: &str) -> Option<PathBuf> {
    let runs = runs().ok();
    process::find(name, |dir| {
        runs.as_ref().is_some_and(|runs| dir.starts_with(runs))
    })
}

/// Where all runs are.
///
/// # Errors
/// There is no place for a cache.
pub fn runs() -> Result<PathBuf> {
    Ok(cache()?.join("cluster/run"))
}

/// The places of one cluster.
#[derive(Clone, Debug)]
pub struct Places {
    name: String,
    run: PathBuf,
}

impl Places {
    /// Those of the cluster of this name.
    ///
    /// # Errors
    /// The name is no good, or there is no place for a cache.
    pub fn of(name: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !name.is_empty() && name.len() <= NAME && name.chars().all(plain),
            "{name:?} cannot name a cluster: use up to {NAME} of a-z, 0-9 and -"
        );
        Ok(Self {
            name: name.to_owned(),
            run: runs()?.join(name),
        })
    }

    /// The name of the cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its network namespace and of its control group.
    #[must_use]
    pub fn space(&self) -> String {
        format!("meltemi-{}", self.name)
    }

    /// The file that stands for its network namespace.
    #[must_use]
    pub fn network(&self) -> PathBuf {
        Path::new("/run/netns").join(self.space())
    }

    /// Its run directory.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The administrator's kubeconfig. It is of use inside the network namespace only.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.run.join("kubeconfig")
    }

    /// The folder of the wrappers, which enter the network namespace.
    #[must_use]
    pub fn wrappers(&self) -> PathBuf {
        self.run.join("bin")
    }

    /// Where a component writes.
    #[must_use]
    pub fn log(&self, component: &str) -> PathBuf {
        self.run.join("log").join(format!("{component}.log"))
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.run.join("containerd.sock")
    }

    /// Written when all is ready.
    pub(super) fn ready(&self) -> PathBuf {
        self.run.join("ready")
    }

    /// The process whose cluster this is, if it belongs to one.
    pub(super) fn owner(&self) -> PathBuf {
        self.run.join("owner")
    }

    pub(super) fn pid(&self, component: &str) -> PathBuf {
        self.run.join("pid").join(component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths() {
        let of = |name| Places {
            name: String::from(name),
            run: PathBuf::new(),
        };
        assert_eq!(of("a").space(), "meltemi-a");
        for wrong in ["", "A", "a/b", "..", "a name", &"a".repeat(25)] {
            assert!(Places::of(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_key_changes_with_every_file() {
        let scratch = paths::Scratch::new("places").unwrap();
        let [one, two] = ["one", "two"].map(|name| scratch.path().join(name));
        std::fs::write(&one, "a").unwrap();
        std::fs::write(&two, "b").unwrap();
        let before = key(&[one.clone(), two.clone()]).unwrap();
        assert_eq!(before.len(), 16);
        std::fs::write(&two, "c").unwrap();
        assert_ne!(before, key(&[one.clone(), two.clone()]).unwrap());
        std::fs::write(&two, "b").unwrap();
        assert_eq!(before, key(&[one, two]).unwrap());
    }

    #[test]
    fn every_program_is_a_tool_of_its_module() {
        for (name, folder, package) in PROGRAMS.into_iter().chain([ISTIOCTL]) {
            let module = sources().join(folder).join("go.mod");
            let text = std::fs::read_to_string(module).unwrap();
            assert!(package == "." || text.contains(package), "{name}");
        }
        let module = sources().join("kubernetes/go.mod");
        let wanted = format!("k8s.io/kubernetes {}", super::super::KUBERNETES);
        assert!(std::fs::read_to_string(module).unwrap().contains(&wanted));
    }
}
