//! Which files of a directory count, and what tells that one of them changed.
//!
//! `.yaml`, `.yml` and `.json`, subdirectories included; hidden names (editors' swap files,
//! Kubernetes' `..data`) are passed over, symbolic links are followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Directories below the root are followed this deep.
const MAX_DEPTH: usize = 16;

/// What changes when a file's content may have changed: sizes, times, and which file a name
/// leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What a directory holds.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The files that count.
    pub(crate) files: BTreeMap<PathBuf, Stamp>,
    /// Directories and entries that cannot be read, and why.
    pub(crate) unreadable: BTreeMap<PathBuf, io::Error>,
}

impl Scan {
    /// True when the path lies in a part that could not be read.
    pub(crate) fn hides(&self, path: &Path) -> bool {
        self.unreadable.keys().any(|dir| path.starts_with(dir))
    }
}

/// True for a file below `root` that counts, by its name and those of its directories.
pub(crate) fn counts(root: &Path, path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let below = path.strip_prefix(root).unwrap_or(path);
    matches!(extension, Some("yaml" | "yml" | "json"))
        && !below
            .ancestors()
            .any(|path| path.file_name().is_some() && hidden(path))
}

fn hidden(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_none_or(|name| name.starts_with(['.', '#']))
}

/// All files of a directory that count. The root must be readable; below it, what is not is
/// noted.
pub(crate) fn scan(root: &Path) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let mut seen = BTreeSet::new();
    let metadata = fs::metadata(root)?;
    seen.insert((metadata.dev(), metadata.ino()));
    let mut queue = vec![(root.to_owned(), 0)];
    while let Some((dir, depth)) = queue.pop() {
        let entries = match entries(&dir) {
            Ok(entries) => entries,
            Err(error) if dir == root => return Err(error),
            Err(error) => {
                scan.unreadable.insert(dir, error);
                continue;
            }
        };
        for path in entries.into_iter().filter(|path| !hidden(path)) {
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                // A link that leads nowhere, or removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    scan.unreadable.insert(path, error);
                    continue;
                }
            };
            if metadata.is_dir() {
                if depth < MAX_DEPTH && seen.insert((metadata.dev(), metadata.ino())) {
                    queue.push((path, depth + 1));
                }
            } else if metadata.is_file() && counts(root, &path) {
                scan.files.insert(path, Stamp::of(&metadata));
            }
        }
    }
    Ok(scan)
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_count() {
        for name in ["a.yaml", "b.yml", "dir/c.json"] {
            assert!(
                counts(Path::new(".root"), &Path::new(".root").join(name)),
                "{name}"
            );
        }
        for name in [
            ".a.yaml",
            "a.yaml~",
            "a.yaml.swp",
            "#a.yaml",
            "README.md",
            "yaml",
        ] {
            assert!(
                !counts(Path::new(".root"), &Path::new(".root").join(name)),
                "{name}"
            );
        }
    }

    #[test]
    fn subdirectories_count_and_hidden_ones_do_not() {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "b.yaml",
            "sub/a.yml",
            ".git/x.yaml",
            "..data/y.yaml",
            "notes.txt",
        ] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(root.path(), root.path().join("loop")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.path().join("dead.yaml")).unwrap();
        let scan = scan(root.path()).unwrap();
        let names: Vec<_> = scan
            .files
            .keys()
            .map(|path| path.strip_prefix(root.path()).unwrap().to_owned())
            .collect();
        assert_eq!(names, [Path::new("b.yaml"), Path::new("sub/a.yml")]);
        assert!(scan.unreadable.is_empty());
    }
}
