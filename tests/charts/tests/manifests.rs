//! `manifests/cluster` is what the charts say, by the real helm.

use anyhow::Result;
use meltemi_charts::{helm, objects, render};
use meltemi_testkit::helm::{MANIFESTS, answer};
use meltemi_testkit::paths;

#[test]
fn the_manifests_are_the_rendered_charts() -> Result<()> {
    let helm = helm()?;
    for manifest in MANIFESTS {
        let found =
            std::fs::read_to_string(paths::repository().join(manifest.path)).unwrap_or_default();
        assert!(
            found == helm.manifest(&manifest)?,
            "{} is not current; run: cargo xtask generate",
            manifest.path
        );
    }
    Ok(())
}

#[test]
fn applying_the_manifests_cleans_nothing_up() -> Result<()> {
    let jobs = |all: &[meltemi_charts::Object]| all.iter().filter(|o| o.kind() == "Job").count();
    assert_eq!(jobs(&render("meltemid", &[])?), 1);
    for manifest in MANIFESTS {
        let text = std::fs::read_to_string(paths::repository().join(manifest.path))?;
        assert_eq!(jobs(&objects(&text)?), 0, "{}", manifest.path);
    }
    Ok(())
}

#[test]
fn what_is_cleaned_up_is_left_out_on_demand() -> Result<()> {
    let hooks = |values: &[&str]| -> Result<usize> {
        let all = render("meltemid", values)?;
        let is_hook = |object: &&meltemi_charts::Object| {
            object.text("/metadata/annotations/helm.sh~1hook") == "pre-delete"
        };
        Ok(all.iter().filter(is_hook).count())
    };
    assert_eq!(hooks(&[])?, 6);
    assert_eq!(hooks(&["cleanup.enabled=false"])?, 0);
    Ok(())
}

#[test]
fn helm_finds_nothing_to_complain_about() -> Result<()> {
    let helm = helm()?;
    for manifest in MANIFESTS {
        let mut command = helm.command("lint");
        command.arg(format!("charts/{}", manifest.chart)).args([
            "--strict",
            "--namespace",
            manifest.namespace,
        ]);
        answer(&mut command)?;
    }
    Ok(())
}
