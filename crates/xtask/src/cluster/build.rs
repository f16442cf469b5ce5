//! The programs of the node, built once from the modules that tests/cluster pins, and the two
//! images that the node itself needs.

use crate::shell::{output, run_quietly, say};
use anyhow::{Context, Result};
use meltemi_testkit::cluster::image::Image;
use meltemi_testkit::cluster::places::{self, ISTIOCTL, PROGRAMS, built, sources};
use meltemi_testkit::cluster::{KUBERNETES, Unavailable};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The oldest Go that all modules accept.
const GO: (u32, u32) = (1, 26);

/// Builds what is not built yet.
pub(crate) fn programs() -> Result<()> {
    let built = built()?;
    let bin = built.join("bin");
    let missing: Vec<_> = PROGRAMS
        .into_iter()
        .filter(|(name, _, _)| !bin.join(name).is_file())
        .collect();
    if !missing.is_empty() {
        say(&format!(
            "building {} programs of Kubernetes into {}: once, about 15 minutes in all",
            missing.len(),
            bin.display()
        ));
        let go = go()?;
        std::fs::create_dir_all(&bin)?;
        let begun = Instant::now();
        for (index, program) in missing.iter().enumerate() {
            let what = format!(
                "building {} ({} of {})",
                program.0,
                index + 1,
                missing.len()
            );
            one(&go, *program, &bin, &what)?;
        }
        say(&format!("all are built, {} s", begun.elapsed().as_secs()));
    }
    for (name, program, place) in [
        ("pause", "pause", "/pause"),
        ("coredns", "coredns", "/coredns"),
    ] {
        let archive = built.join("images").join(format!("{name}.tar"));
        if !archive.is_file() {
            let work = built.join(format!("work-{name}-{}", std::process::id()));
            let mut image = Image::new(name, &work)?;
            image.tree().file(&bin.join(program), place)?;
            image.write(&archive)?;
            std::fs::remove_dir_all(&work)?;
        }
    }
    Ok(())
}

/// Builds istioctl unless it is there, or `MELTEMI_ISTIOCTL` names another. After the programs of the
/// node: it shares libraries with them that Go then does not compile again.
pub(crate) fn istioctl() -> Result<()> {
    let named = std::env::var_os("MELTEMI_ISTIOCTL").is_some_and(|value| !value.is_empty());
    let binary = places::istioctl()?;
    if named || binary.is_file() {
        return Ok(());
    }
    let dir = binary.parent().context("a file without a folder")?;
    std::fs::create_dir_all(dir)?;
    one(&go()?, ISTIOCTL, dir, "building istioctl, once")
}

fn one(
    go: &Path,
    (name, folder, package): (&str, &str, &str),
    bin: &Path,
    what: &str,
) -> Result<()> {
    // By its final name it is complete.
    let partial = bin.join(format!(".{name}-{}", std::process::id()));
    let mut command = Command::new(go);
    command
        .args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly"])
        // The linker drops what debuggers read; not to write it saves an eighth of the time.
        .arg("-gcflags=all=-dwarf=false")
        .args(["-ldflags", &flags(folder), "-o"])
        .arg(&partial)
        .arg(package)
        .current_dir(sources().join(folder))
        .env("CGO_ENABLED", "0");
    let begun = Instant::now();
    run_quietly(what, &mut command).context(
        "Go could not build it; its modules come through GOPROXY, so check the network and \
         `go env GOPROXY`",
    )?;
    std::fs::rename(&partial, bin.join(name))?;
    say(&format!("{what}: {:.0} s", begun.elapsed().as_secs_f32()));
    Ok(())
}

/// Kubernetes says its version only when it is told.
fn flags(folder: &str) -> String {
    let mut flags = String::from("-s -w");
    if folder == "kubernetes" {
        let minor = KUBERNETES.split('.').nth(1).unwrap_or_default();
        let package = "k8s.io/component-base/version";
        for (name, value) in [
            ("gitVersion", KUBERNETES),
            ("gitMajor", "1"),
            ("gitMinor", minor),
        ] {
            flags += &format!(" -X {package}.{name}={value}");
        }
    }
    flags
}

/// Go, new enough.
fn go() -> Result<PathBuf> {
    let places = [PathBuf::from("go"), PathBuf::from("/usr/local/go/bin/go")];
    for place in places {
        let Some(text) = output(&place.display().to_string(), &["version"]) else {
            continue;
        };
        if version(&text).is_some_and(|version| version >= GO) {
            return Ok(place);
        }
        return Err(Unavailable(format!(
            "Go 1.26 builds the programs of Kubernetes, and this is {text}; install a newer one: \
             https://go.dev/doc/install"
        ))
        .into());
    }
    Err(Unavailable(
        "Go 1.26 builds the programs of Kubernetes, and there is none; install it: \
         https://go.dev/doc/install"
            .to_owned(),
    )
    .into())
}

/// Reads `go version go1.26.8 linux/amd64`.
fn version(text: &str) -> Option<(u32, u32)> {
    let version = text.split(' ').nth(2)?.strip_prefix("go")?;
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_are_compared_as_numbers() {
        assert_eq!(version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(version("go version go1.27rc1 linux/amd64"), Some((1, 27)));
        assert!(version("go version go1.9 linux/amd64") < Some(GO));
        assert_eq!(version("gccgo"), None);
    }

    #[test]
    fn kubernetes_knows_its_version() {
        let flags = flags("kubernetes");
        assert!(flags.contains("version.gitVersion=v1.35.4 "), "{flags}");
        assert!(flags.ends_with("version.gitMinor=35"), "{flags}");
    }
}
