//! Each way in which a file can change arrives at Envoy: written in place, renamed over, and a
//! directory of links whose `..data` is swapped, as Kubernetes mounts a ConfigMap.

use anyhow::Result;
use meltemi_bootstrap::XdsProtocol;
use meltemi_live::scene::{Scene, run};
use meltemi_live::shop::{self, Servers};
use std::os::unix::fs::symlink;

fn shop(name: &str, play: impl FnOnce(&mut Scene) -> Result<()>) -> Result<()> {
    run(name, &shop::plan(XdsProtocol::Delta, Servers::One), play)
}

#[test]
fn written_in_place() -> Result<()> {
    shop("in-place", |scene| {
        let path = scene.mesh.config().join(shop::ROUTES);
        for mark in ["two", "three"] {
            std::fs::write(&path, shop::reviews(mark, "v1"))?;
            scene.wait_answer("reviews", &format!("{mark} v1"))?;
        }
        scene.wait_no_diagnostics()
    })
}

#[test]
fn renamed_over() -> Result<()> {
    shop("renamed", |scene| {
        for mark in ["two", "three"] {
            scene.mesh.write(shop::ROUTES, &shop::reviews(mark, "v1"))?;
            scene.wait_answer("reviews", &format!("{mark} v1"))?;
        }
        scene.wait_no_diagnostics()
    })
}

#[test]
fn links_swapped() -> Result<()> {
    shop("links", |scene| {
        let dir = scene.mesh.config().join("mounted");
        let version = |mark: &str| -> Result<()> {
            let name = format!("..{mark}");
            std::fs::create_dir_all(dir.join(&name))?;
            std::fs::write(
                dir.join(&name).join(shop::ROUTES),
                shop::reviews(mark, "v1"),
            )?;
            symlink(&name, dir.join("..data_tmp"))?;
            Ok(std::fs::rename(dir.join("..data_tmp"), dir.join("..data"))?)
        };
        version("two")?;
        scene.mesh.remove(shop::ROUTES)?;
        scene.wait_answer("reviews", " v1")?;
        symlink(format!("..data/{}", shop::ROUTES), dir.join(shop::ROUTES))?;
        scene.wait_answer("reviews", "two v1")?;
        for mark in ["three", "four"] {
            version(mark)?;
            scene.wait_answer("reviews", &format!("{mark} v1"))?;
        }
        scene.wait_no_diagnostics()
    })
}
