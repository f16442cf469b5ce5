//! The directories of demo runs: `target/demo-run-PID`.
//!
//! A demo that was killed with -9 cannot tidy up; the next one does it.

use anyhow::Result;
use std::path::{Path, PathBuf};

const PREFIX: &str = "demo-run-";
/// A file that says: not to be swept.
const KEEP: &str = ".keep";

/// The directory of this run.
pub(crate) fn own(target: &Path) -> PathBuf {
    target.join(format!("{PREFIX}{}", std::process::id()))
}

/// Keeps a run's directory for whoever wants to look at it.
pub(crate) fn keep(dir: &Path) -> Result<()> {
    Ok(std::fs::write(dir.join(KEEP), "")?)
}

/// Removes what ended runs have left, unless it is to be kept.
pub(crate) fn sweep(target: &Path) -> Result<()> {
    for entry in std::fs::read_dir(target)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(pid) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let runs = Path::new("/proc").join(pid).exists();
        if !runs && !path.join(KEEP).exists() {
            // Another demo may sweep at the same time.
            let _swept_by_another = std::fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_forgotten_runs_of_ended_processes_are_swept() {
        let target = std::env::temp_dir().join(format!("meltemi-sweep-{}", std::process::id()));
        let dirs = [
            "demo-run-1",
            "demo-run-4194305",
            "demo-run-4194306",
            "other",
        ];
        for dir in dirs {
            std::fs::create_dir_all(target.join(dir)).unwrap();
        }
        keep(&target.join("demo-run-4194306")).unwrap();
        sweep(&target).unwrap();
        let left: Vec<_> = dirs
            .into_iter()
            .filter(|dir| target.join(dir).exists())
            .collect();
        std::fs::remove_dir_all(&target).unwrap();
        assert_eq!(left, ["demo-run-1", "demo-run-4194306", "other"]);
    }
}
