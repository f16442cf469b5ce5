//! The images of ours that go into a cluster: which there are, and what is in each.

use crate::fetch;
use crate::shell::{self, cargo, say};
use anyhow::{Context, Result};
use meltemi_testkit::cluster::image::{Image, Tree};
use meltemi_testkit::cluster::places::{installed, sources};
use meltemi_testkit::paths;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// All of them.
const IMAGES: [&str; 6] = ["meltemid", "envoy", "proxy", "cni", "echo", "tools"];

/// Whether the programs of ours have to be built first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Programs {
    /// Each when an image needs it.
    Build,
    /// They were built with everything else.
    Built,
}

/// Their names, for the command line.
pub(super) fn names() -> clap::builder::PossibleValuesParser {
    IMAGES.into()
}

/// Makes images (all when none is named) and returns their archives, in `target/images`.
pub(crate) fn archives(wanted: &[String], programs: Programs) -> Result<Vec<PathBuf>> {
    let all = IMAGES.map(str::to_owned);
    let wanted = if wanted.is_empty() { &all } else { wanted };
    let target = paths::target()?.join("images");
    let mut archives = Vec::new();
    for name in wanted {
        let archive = target.join(format!("{name}.tar"));
        let main = main_program(name, programs)?;
        if !is_current(&archive, &[&main, &recipe(name)]) {
            say(&format!("making the image {name}"));
            let work = target.join(format!("work-{name}-{}", std::process::id()));
            let mut image = Image::new(name, &work)?;
            fill(name, &main, image.tree())?;
            image.write(&archive)?;
            std::fs::remove_dir_all(&work)?;
        }
        archives.push(archive);
    }
    Ok(archives)
}

/// Writes the tree of an image for another builder.
pub(super) fn tree(name: &str, dir: &Path) -> Result<()> {
    let main = main_program(name, Programs::Build)?;
    let mut tree = Tree::new(&dir.join("rootfs"))?;
    fill(name, &main, &mut tree)?;
    say(&format!(
        "build it: buildah build --isolation chroot -t docker.io/meltemi/{name}:dev -f {} {}",
        recipe(name).display(),
        dir.display()
    ));
    Ok(())
}

/// The program that the image is for, built or fetched.
fn main_program(name: &str, programs: Programs) -> Result<PathBuf> {
    match name {
        "meltemid" => ours("meltemid", programs),
        "echo" => ours("meltemi-echo", programs),
        "proxy" => ours("meltemi-agent", programs),
        "cni" if programs == Programs::Build => alone("meltemi-cni"),
        "cni" => ours("meltemi-cni", programs),
        "envoy" => fetch::envoy(),
        _ => installed("busybox").context(
            "busybox is missing: apt-get install -y --no-install-recommends busybox-static",
        ),
    }
}

fn ours(package: &str, programs: Programs) -> Result<PathBuf> {
    // Whoever names the directory of the binaries has built them.
    let named = std::env::var_os("MELTEMI_BIN_DIR").is_some();
    if programs == Programs::Build && !named {
        shell::run(
            &format!("building {package}"),
            &mut cargo(&["build", "--package", package]),
        )?;
    }
    paths::binary(package)
}

/// A program that also runs outside of its image, on nodes with another C library or none: it brings
/// its own. On the node of the tests, which is this machine, any does.
fn alone(package: &str) -> Result<PathBuf> {
    if std::env::var_os("MELTEMI_BIN_DIR").is_none() {
        let build = ["rustc", "--package", package, "--bin", package];
        shell::run(
            &format!("building {package} without shared libraries"),
            cargo(&build).args(["--", "-C", "target-feature=+crt-static"]),
        )?;
    }
    paths::binary(package)
}

fn fill(name: &str, main: &Path, tree: &mut Tree) -> Result<()> {
    match name {
        "meltemid" => stripped(tree, main, "/usr/local/bin/meltemid"),
        "echo" => stripped(tree, main, "/usr/local/bin/meltemi-echo"),
        "envoy" => tree.program(main, "/usr/local/bin/envoy"),
        "proxy" => proxy(tree, main),
        "cni" => stripped(tree, main, "/usr/local/bin/meltemi-cni"),
        _ => tools(tree),
    }
}

/// A program of ours without its symbols: less than half of the bytes that each node unpacks.
fn stripped(tree: &mut Tree, program: &Path, place: &str) -> Result<()> {
    tree.program(program, place)?;
    tree.strip(place)
}

/// The agent under both of its names, the Envoy that it starts, and the tools by which it captures
/// traffic.
fn proxy(tree: &mut Tree, agent: &Path) -> Result<()> {
    tree.program(&fetch::envoy()?, "/usr/local/bin/envoy")?;
    stripped(tree, agent, "/usr/local/bin/meltemi-agent")?;
    tree.link("meltemi-agent", "/usr/local/bin/pilot-agent")?;
    let families = ["ip6tables", "ip6tables-save", "ip6tables-restore"];
    for name in families.into_iter().chain(["ip", "nft"]) {
        tree.installed(name)?;
    }
    iptables(tree)
}

/// busybox, openssl and iptables.
fn tools(tree: &mut Tree) -> Result<()> {
    tree.busybox()?;
    for name in ["iptables-legacy", "openssl"] {
        tree.installed(name)?;
    }
    iptables(tree)
}

/// iptables with its extensions, which it loads by name.
fn iptables(tree: &mut Tree) -> Result<()> {
    for name in ["iptables", "iptables-save", "iptables-restore"] {
        tree.installed(name)?;
    }
    for folder in [
        "/usr/lib/x86_64-linux-gnu/xtables",
        "/usr/lib/aarch64-linux-gnu/xtables",
    ] {
        let Ok(entries) = std::fs::read_dir(folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            tree.program(&path, &path.display().to_string())?;
        }
    }
    Ok(())
}

fn recipe(name: &str) -> PathBuf {
    sources().join("images").join(name).join("Containerfile")
}

fn is_current(archive: &Path, sources: &[&Path]) -> bool {
    let time = |path: &Path| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    let Some(made) = time(archive) else {
        return false;
    };
    sources
        .iter()
        .all(|source| time(source).is_some_and(|changed| changed < made))
}
