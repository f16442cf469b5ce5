//! The control group that all containers of a cluster are in: made before kubelet starts, and the
//! way to find every process of every container, whoever was killed before.
//!
//! With cgroup v1 there is a tree for each controller, with v2 there is one; both are handled as
//! "every tree that is mounted".

use super::inside::Pids;
use crate::wait;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the kernel may take to forget the processes of a group.
const EMPTY: Duration = Duration::from_secs(10);

/// The roots of all trees, from the text of `/proc/self/mountinfo`.
fn roots(mounts: &str) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    for line in mounts.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let kind = after.split(' ').next().unwrap_or_default();
        if matches!(kind, "cgroup" | "cgroup2")
            && let Some(place) = before.split(' ').nth(4)
        {
            roots.push(PathBuf::from(place));
        }
    }
    roots.sort();
    roots.dedup();
    roots
}

fn groups(space: &str) -> Result<Vec<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let all = roots(&mounts).into_iter().map(|root| root.join(space));
    Ok(all.collect())
}

/// Makes the group in every tree.
pub(super) fn make(space: &str) -> Result<()> {
    for group in groups(space)? {
        let cannot = || format!("cannot make the control group {}", group.display());
        std::fs::create_dir_all(&group).with_context(cannot)?;
        // A new cpuset is empty, and nothing can run in it.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let parent = group.parent().map(|parent| parent.join(file));
            if let Some(text) = parent.and_then(|path| std::fs::read_to_string(path).ok())
                && group.join(file).exists()
                && !text.trim().is_empty()
            {
                std::fs::write(group.join(file), text).with_context(cannot)?;
            }
        }
    }
    Ok(())
}

/// All processes in the group and those below it.
pub(super) fn pids(space: &str) -> Result<Pids> {
    let mut found = Pids::new();
    for group in groups(space)? {
        for folder in folders(&group) {
            // A group may go while we look.
            let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
    }
    found.remove(&0);
    Ok(found)
}

/// Removes the group, which no process is in any more.
pub(super) fn remove(space: &str) -> Result<()> {
    for group in groups(space)? {
        for folder in folders(&group) {
            let what = format!("the control group {} to be empty", folder.display());
            wait::until(&what, EMPTY, || match std::fs::remove_dir(&folder) {
                Ok(()) => Ok(Some(())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Some(())),
                Err(error) => Err(error.into()),
            })?;
        }
    }
    Ok(())
}

/// A folder and all below it, the deepest first.
fn folders(top: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    if let Ok(entries) = std::fs::read_dir(top) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                all.extend(folders(&entry.path()));
            }
        }
        all.push(top.to_path_buf());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_of_both_versions_are_found() {
        let text = "30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                    31 30 0:27 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
                    32 30 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = roots(text);
        assert_eq!(
            found,
            [
                Path::new("/sys/fs/cgroup/pids"),
                Path::new("/sys/fs/cgroup/unified")
            ]
        );
    }
}
