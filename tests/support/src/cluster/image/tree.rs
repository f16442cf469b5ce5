//! The tree of files that becomes an image: programs with the libraries that `ldd` names, each at
//! the path at which the loader looks for it.

use crate::cluster::places::installed;
use crate::cluster::{config, space};
use anyhow::{Context, Result, ensure};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who the users of our images are.
const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\n\
                      echo:x:1000:1000:echo:/:/sbin/nologin\n\
                      proxy:x:1337:1337:proxy:/:/sbin/nologin\n\
                      nobody:x:65535:65535:nobody:/:/sbin/nologin\n";
/// Without it the C library does not ask a name server in an order one can rely on.
const NSSWITCH: &str = "hosts: files dns\n";

/// A tree of files.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// A new one, with `/tmp` and the few files of `/etc` that a program looks for.
    ///
    /// # Errors
    /// The disk is full, or the place cannot be written.
    pub fn new(root: &Path) -> Result<Self> {
        let tree = Self {
            root: root.to_path_buf(),
        };
        let tmp = root.join("tmp");
        std::fs::create_dir_all(&tmp)?;
        std::fs::set_permissions(&tmp, std::fs::Permissions::from_mode(0o1777))?;
        config::put(&root.join("etc/passwd"), PASSWD)?;
        config::put(&root.join("etc/nsswitch.conf"), NSSWITCH)?;
        Ok(tree)
    }

    /// Adds a file, followed if it is a link, at a path of the image.
    ///
    /// # Errors
    /// It cannot be copied.
    pub fn file(&mut self, from: &Path, to: &str) -> Result<()> {
        let place = self.root.join(to.trim_start_matches('/'));
        let cannot = || format!("cannot copy {} into the image", from.display());
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).with_context(cannot)?;
        }
        std::fs::copy(from, &place).with_context(cannot)?;
        Ok(())
    }

    /// Adds a program and every library that it loads.
    ///
    /// # Errors
    /// One of them is missing on this machine.
    pub fn program(&mut self, from: &Path, to: &str) -> Result<()> {
        self.file(from, to)?;
        self.libraries(from)
    }

    /// Takes the symbols out of a program that was added.
    ///
    /// # Errors
    /// It is no program, or `strip`, which comes with every linker, is missing.
    pub fn strip(&mut self, at: &str) -> Result<()> {
        let place = self.root.join(at.trim_start_matches('/'));
        space::run(Command::new("strip").arg(&place))?;
        Ok(())
    }

    /// Adds the libraries of a program or of a library.
    ///
    /// # Errors
    /// One of them is missing on this machine.
    pub fn libraries(&mut self, of: &Path) -> Result<()> {
        let out = Command::new("ldd")
            .arg(of)
            .output()
            .context("cannot run ldd")?;
        // A static program is none of its business, and it says so by failing.
        if out.status.success() {
            for library in libraries(&String::from_utf8_lossy(&out.stdout))? {
                self.file(Path::new(&library), &library)?;
            }
        }
        Ok(())
    }

    /// Adds a program of this machine at its own path.
    ///
    /// # Errors
    /// It is not installed.
    pub fn installed(&mut self, name: &str) -> Result<()> {
        let from = installed(name).with_context(|| format!("{name} is not installed"))?;
        self.program(&from, &from.display().to_string())
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// There is something at its place.
    pub fn link(&mut self, target: &str, at: &str) -> Result<()> {
        let place = self.root.join(at.trim_start_matches('/'));
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent)?;
        }
        symlink(target, &place).with_context(|| format!("cannot link {at}"))
    }

    /// Adds busybox, which is static, under all its names.
    ///
    /// # Errors
    /// It is not installed, or cannot say what its names are.
    pub fn busybox(&mut self) -> Result<()> {
        let from = installed("busybox").context(
            "busybox is not installed: apt-get install -y --no-install-recommends busybox-static",
        )?;
        self.file(&from, "/bin/busybox")?;
        for name in space::run(Command::new(&from).arg("--list"))?.lines() {
            if name != "busybox" {
                self.link("busybox", &format!("/bin/{name}"))?;
            }
        }
        Ok(())
    }
}

/// The paths in the output of `ldd`.
fn libraries(text: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        ensure!(
            !line.ends_with("not found"),
            "a library is missing here: {line}"
        );
        let path = line.split_once("=> ").map_or(line, |(_, path)| path);
        if path.starts_with('/')
            && let Some(path) = path.split(' ').next()
        {
            found.push(path.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::Scratch;

    #[test]
    fn libraries_and_the_loader_are_found() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\
                    \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x2)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let found = libraries(text).unwrap();
        let expected = [
            "/lib/x86_64-linux-gnu/libm.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(found, expected);
        assert!(libraries("\tliba.so => not found\n").is_err());
    }

    #[test]
    fn a_program_of_the_tree_can_be_loaded() {
        let scratch = Scratch::new("tree").unwrap();
        let mut tree = Tree::new(scratch.path()).unwrap();
        tree.installed("sha256sum").unwrap();
        let loader = scratch.path().join("lib64/ld-linux-x86-64.so.2");
        assert!(loader.is_file() || cfg!(not(target_arch = "x86_64")));
        let mode = std::fs::metadata(scratch.path().join("tmp")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7777, 0o1777);
    }
}
