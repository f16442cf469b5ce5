//! The OCI image layout of an image with one layer: blobs by digest, an index that names them.
//!
//! The layer is not compressed, so its digest and its diff id are one, and equal trees give equal
//! bytes. containerd takes the name of the image from an annotation of the index.

use super::containerfile::Containerfile;
use super::{ROOTFS, digest};
use crate::cluster::space;
use anyhow::Result;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A blob: its digest and its size.
struct Blob {
    digest: String,
    size: u64,
}

impl Blob {
    fn described(&self, kind: &str) -> Value {
        json!({"mediaType": kind, "digest": format!("sha256:{}", self.digest), "size": self.size})
    }
}

/// Packs `dir/rootfs` into an archive. `dir` is used for the parts and holds only the tree after.
pub(super) fn write(
    (name, recipe): (&str, &Containerfile),
    dir: &Path,
    archive: &Path,
) -> Result<()> {
    let place = dir.join("layout");
    let blobs = place.join("blobs/sha256");
    std::fs::create_dir_all(&blobs)?;
    let layer = layer(&dir.join(ROOTFS), &blobs)?;
    let config = blob(&config(recipe, &layer.digest), &blobs)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.described(CONFIG),
        "layers": [layer.described(LAYER)],
    });
    let manifest = blob(&manifest, &blobs)?;
    let index = index(name, &manifest);
    std::fs::write(place.join("index.json"), index.to_string())?;
    std::fs::write(
        place.join("oci-layout"),
        json!({"imageLayoutVersion": "1.0.0"}).to_string(),
    )?;
    let partial = archive.with_extension("partial");
    if let Some(parent) = archive.parent() {
        std::fs::create_dir_all(parent)?;
    }
    pack(&place, &partial)?;
    std::fs::rename(&partial, archive)?;
    std::fs::remove_dir_all(&place)?;
    Ok(())
}

fn config(recipe: &Containerfile, layer: &str) -> Value {
    let Containerfile {
        user,
        entrypoint,
        env,
    } = recipe;
    json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"User": user, "Entrypoint": entrypoint, "Env": env, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
    })
}

fn index(name: &str, manifest: &Blob) -> Value {
    let mut manifest = manifest.described(MANIFEST);
    if let Some(object) = manifest.as_object_mut() {
        let annotations = json!({"io.containerd.image.name": name});
        object.insert("annotations".to_owned(), annotations);
    }
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]})
}

fn layer(tree: &Path, blobs: &Path) -> Result<Blob> {
    let partial = blobs.join("layer.partial");
    pack(tree, &partial)?;
    let digest = digest::of_file(&partial)?;
    let size = std::fs::metadata(&partial)?.len();
    std::fs::rename(&partial, blobs.join(&digest))?;
    Ok(Blob { digest, size })
}

fn blob(value: &Value, blobs: &Path) -> Result<Blob> {
    let bytes = value.to_string().into_bytes();
    let digest = digest::of_bytes(&bytes)?;
    std::fs::write(blobs.join(&digest), &bytes)?;
    let size = bytes.len() as u64;
    Ok(Blob { digest, size })
}

/// An archive of a folder that depends on names and contents alone.
fn pack(folder: &Path, archive: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--mtime=@0", "--format=gnu"]);
    tar.args(["--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(folder)
        .arg(".");
    space::run(&mut tar)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Scratch;

    fn recipe() -> Containerfile {
        Containerfile {
            user: "7:8".to_owned(),
            entrypoint: vec!["/a".to_owned()],
            env: Vec::new(),
        }
    }

    fn made(scratch: &Scratch, name: &str) -> Vec<u8> {
        let dir = scratch.path().join(name);
        std::fs::create_dir_all(dir.join(ROOTFS)).unwrap();
        std::fs::write(dir.join(ROOTFS).join("a"), "content").unwrap();
        let archive = scratch.path().join(format!("{name}.tar"));
        write(("docker.io/meltemi/a:dev", &recipe()), &dir, &archive).unwrap();
        std::fs::read(archive).unwrap()
    }

    #[test]
    fn equal_trees_give_equal_archives() {
        let scratch = Scratch::new("layout").unwrap();
        assert_eq!(made(&scratch, "one"), made(&scratch, "two"));
    }

    #[test]
    fn every_blob_is_called_by_its_digest_and_found_from_the_index() {
        let scratch = Scratch::new("layout").unwrap();
        made(&scratch, "one");
        let out = scratch.path().join("out");
        std::fs::create_dir_all(&out).unwrap();
        let mut tar = Command::new("tar");
        tar.arg("--extract")
            .arg("--file")
            .arg(scratch.path().join("one.tar"));
        space::run(tar.arg("--directory").arg(&out)).unwrap();
        let read = |path: &Path| -> Value {
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
        };
        let at = |described: &Value| {
            let digest = described["digest"].as_str().unwrap().replace(':', "/");
            let path = out.join("blobs").join(digest);
            let size = std::fs::metadata(&path).unwrap().len();
            assert_eq!(described["size"].as_u64(), Some(size));
            let named = path.file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(digest::of_file(&path).unwrap(), named);
            path
        };
        let index = read(&out.join("index.json"));
        let first = &index["manifests"][0];
        let name = &first["annotations"]["io.containerd.image.name"];
        assert_eq!(name, "docker.io/meltemi/a:dev");
        let manifest = read(&at(first));
        let config = read(&at(&manifest["config"]));
        assert_eq!(config["config"]["User"], "7:8");
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            manifest["layers"][0]["digest"]
        );
        at(&manifest["layers"][0]);
    }
}
