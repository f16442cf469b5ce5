//! The machine outside of every cluster, before and after: what differs is a trace. Other clusters
//! may run meanwhile; what has their name is theirs.

use anyhow::Result;
use std::collections::BTreeSet;
use std::path::Path;

/// What a cluster could leave behind, as one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine(BTreeSet<String>);

impl Machine {
    /// As it is now: mounts, network namespaces, devices, control groups, what lies in the folders
    /// that components write to, kernel settings that kubelet changes, and the processes of the
    /// cluster of this name.
    ///
    /// # Errors
    /// The system does not say.
    pub fn now(name: &str) -> Result<Self> {
        let mut all = Self::all(name)?;
        all.0.retain(|line| !of_another(line, name));
        Ok(all)
    }

    fn all(name: &str) -> Result<Self> {
        let mut seen = BTreeSet::new();
        let run = format!("/cluster/run/{name}/");
        for line in std::fs::read_to_string("/proc/self/mountinfo")?.lines() {
            let place = line.split(' ').nth(4).unwrap_or_default();
            seen.insert(format!("mount {place}"));
        }
        for folder in [
            "/run",
            "/run/netns",
            "/run/containerd",
            "/sys/class/net",
            "/var/lib",
            "/var/lib/kubelet",
            "/var/log",
        ] {
            list(Path::new(folder), &mut seen);
        }
        let groups = std::fs::read_dir("/sys/fs/cgroup")?.flatten();
        for group in groups.filter(|entry| entry.path().is_dir()) {
            list(&group.path(), &mut seen);
        }
        for setting in ["kernel/panic", "vm/overcommit_memory", "vm/panic_on_oom"] {
            let value = std::fs::read_to_string(Path::new("/proc/sys").join(setting))?;
            seen.insert(format!("{setting} is {}", value.trim()));
        }
        for entry in std::fs::read_dir("/proc")?.flatten() {
            // It may have ended meanwhile.
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            if words.contains(&run) {
                seen.insert(format!("process {words}"));
            }
        }
        Ok(Self(seen))
    }

    /// What is there now and was not before.
    #[must_use]
    pub fn traces_since(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }
}

/// Whether this is about a cluster of another name: each is called `meltemi-NAME` on the machine.
fn of_another(line: &str, name: &str) -> bool {
    let named = line.split_once("meltemi-").map(|(_, rest)| rest);
    let end = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    named.is_some_and(|rest| rest.split(end).next() != Some(name))
}

fn list(folder: &Path, seen: &mut BTreeSet<String>) {
    if let Ok(entries) = std::fs::read_dir(folder) {
        seen.extend(
            entries
                .flatten()
                .map(|entry| entry.path().display().to_string()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::of_another;

    #[test]
    fn only_what_has_another_name_is_of_another() {
        assert!(of_another("mount /run/netns/meltemi-e2e-shared", "e2e"));
        assert!(of_another("/sys/fs/cgroup/pids/meltemi-two", "e2e"));
        assert!(!of_another("mount /run/netns/meltemi-e2e", "e2e"));
        assert!(!of_another("/sys/fs/cgroup/pids/meltemi-e2e/x", "e2e"));
        assert!(!of_another("/var/lib/kubelet", "e2e"));
    }
}
