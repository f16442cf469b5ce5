//! Images without a daemon and without a network: a tree of files, a Containerfile that says what
//! to do with it, and an archive in OCI layout that containerd takes.
//!
//! The images are defined by the folders of tests/cluster/images. Other builders can use the same
//! Containerfiles on the same trees; what is read of them here is in `containerfile.rs`.

mod containerfile;
pub(super) mod digest;
mod layout;
mod tree;

pub use containerfile::Containerfile;
pub use tree::Tree;

use super::places::{Places, sources};
use super::space;
use crate::process;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The prefix of all images of ours; the whole name is `docker.io/meltemi/NAME:dev`.
const PREFIX: &str = "docker.io/meltemi/";
/// The folder of a Containerfile's context that is copied into the image.
const ROOTFS: &str = "rootfs";

/// Makes an image of a tree.
#[derive(Debug)]
pub struct Image {
    name: String,
    dir: PathBuf,
    tree: Tree,
}

impl Image {
    /// An image that is defined in tests/cluster/images; the work is done in `dir`, which is
    /// emptied.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(name: &str, dir: &Path) -> Result<Self> {
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
        let tree = Tree::new(&dir.join(ROOTFS))?;
        Ok(Self {
            name: name.to_owned(),
            dir: dir.to_path_buf(),
            tree,
        })
    }

    /// What will be in it.
    pub fn tree(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// Writes the archive and returns where it is.
    ///
    /// # Errors
    /// The Containerfile is missing or asks for more than is known here, or the disk is full.
    pub fn write(&self, archive: &Path) -> Result<()> {
        let path = sources()
            .join("images")
            .join(&self.name)
            .join("Containerfile");
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let recipe = Containerfile::parse(&text);
        let recipe = recipe.with_context(|| format!("in {}", path.display()))?;
        let name = format!("{PREFIX}{}:dev", self.name);
        layout::write((&name, &recipe), &self.dir, archive)
    }
}

/// Whether containerd of a cluster answers.
pub(super) fn is_listening(places: &Places) -> bool {
    places.socket().exists() && space::run(ctr(places).arg("version")).is_ok()
}

/// Gives containerd the images of an archive.
pub(super) fn import(places: &Places, archive: &Path) -> Result<()> {
    let mut command = ctr(places);
    command.args(["--namespace", "k8s.io", "images", "import"]);
    space::run(command.arg(archive))
        .with_context(|| format!("cannot import {}", archive.display()))?;
    Ok(())
}

fn ctr(places: &Places) -> Command {
    let program = process::find("ctr").unwrap_or_else(|| PathBuf::from("ctr"));
    let mut command = Command::new(program);
    command.arg("--address").arg(places.socket());
    command
}
