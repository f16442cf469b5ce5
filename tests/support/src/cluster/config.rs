//! The configuration of every component, from the templates in tests/cluster/config.
//!
//! A template holds `@NAME@` where a value of the run goes; one that stays is an error, so that a
//! misspelt name is not found out by a component that starts strangely.

use super::places::Places;
use super::{ADDRESS, KUBERNETES};
use anyhow::{Context, Result, bail};
use std::os::unix::fs::symlink;
use std::path::Path;

/// Where Debian's containernetworking-plugins are.
const PLUGINS: &str = "/usr/lib/cni";

/// Each file of the run directory with its template.
const FILES: [(&str, &str); 5] = [
    (
        "kubeadm.yaml",
        include_str!("../../../cluster/config/kubeadm.yaml"),
    ),
    (
        "containerd.toml",
        include_str!("../../../cluster/config/containerd.toml"),
    ),
    (
        "cni/10-meltemi.conflist",
        include_str!("../../../cluster/config/cni.conflist"),
    ),
    (
        "kubelet.yaml",
        include_str!("../../../cluster/config/kubelet.yaml"),
    ),
    (
        "kube-proxy.yaml",
        include_str!("../../../cluster/config/kube-proxy.yaml"),
    ),
];

/// The objects that the cluster itself needs: rights, and its DNS server.
pub(super) const OBJECTS: &str = include_str!("../../../cluster/config/objects.yaml");

/// What kubelet wants to write into the machine's kernel. It finds these instead, already as it
/// wants them, and the machine stays as it is.
pub(super) const TUNABLES: [(&str, &str); 6] = [
    ("kernel/keys/root_maxbytes", "25000000"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
];

/// Writes all of them.
pub(super) fn write(places: &Places) -> Result<()> {
    let run = places.run();
    for (name, template) in FILES {
        let text = fill(template, places).with_context(|| format!("in the template of {name}"))?;
        put(&run.join(name), &text)?;
    }
    for (name, value) in TUNABLES {
        put(&tunable(run, name), &format!("{value}\n"))?;
    }
    plugins(&run.join("plugins"))?;
    // The pods' own name server comes from kubelet; nobody else is asked.
    put(&run.join("resolv.conf"), "nameserver 10.96.0.10\n")
}

/// The machine's plugins of the network, in a folder of the run: what a test adds stays there.
fn plugins(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(PLUGINS).with_context(|| format!("cannot read {PLUGINS}"))? {
        let plugin = entry?;
        let link = folder.join(plugin.file_name());
        if link.symlink_metadata().is_err() {
            symlink(plugin.path(), link)?;
        }
    }
    Ok(())
}

/// The file that stands for a value of the kernel.
pub(super) fn tunable(run: &Path, name: &str) -> std::path::PathBuf {
    run.join("tunables").join(name.replace('/', "-"))
}

/// Writes a file and the folders above it.
pub(super) fn put(path: &Path, text: &str) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(cannot)?;
    }
    std::fs::write(path, text).with_context(cannot)
}

fn fill(template: &str, places: &Places) -> Result<String> {
    let run = places.run().display().to_string();
    let text = template
        .replace("@RUN@", &run)
        .replace("@SPACE@", &places.space())
        .replace("@ADDRESS@", ADDRESS)
        .replace("@VERSION@", KUBERNETES);
    if let Some((_, rest)) = text.split_once('@') {
        bail!(
            "@{} is no value of a run",
            rest.split('\n').next().unwrap_or_default()
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_filled() {
        let places = Places::of("a-test").unwrap();
        for (name, template) in FILES {
            let text = fill(template, &places).unwrap();
            assert!(!text.contains('@'), "{name}: {text}");
        }
        let kubelet = FILES
            .iter()
            .find(|(name, _)| *name == "kubelet.yaml")
            .unwrap();
        let text = fill(kubelet.1, &places).unwrap();
        assert!(text.contains("cgroupRoot: /meltemi-a-test\n"), "{text}");
    }

    #[test]
    fn a_misspelt_value_is_an_error() {
        let places = Places::of("a-test").unwrap();
        let error = fill("a: @RUM@/x\nb: 1", &places).unwrap_err().to_string();
        assert!(error.contains("@RUM@/x is no value"), "{error}");
    }
}
