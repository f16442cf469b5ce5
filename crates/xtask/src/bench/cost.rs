//! What a process has cost: CPU of all its threads, resident memory.

use anyhow::{Context, Result};
use std::time::Duration;

/// The cost of a process so far.
#[derive(Debug)]
pub(crate) struct Cost {
    cpu: Duration,
    resident_kib: u64,
    highest_kib: u64,
    anonymous_kib: u64,
}

impl Cost {
    /// Reads it from /proc; CPU is exact to the nanosecond (schedstat), not to the tick.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut cpu = Duration::ZERO;
        let tasks = format!("/proc/{pid}/task");
        for task in std::fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
            // A thread may end between the two reads.
            let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
            cpu += Duration::from_nanos(nanos.unwrap_or_default());
        }
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(Self {
            cpu,
            resident_kib: kib(&status, "VmRSS:")?,
            highest_kib: kib(&status, "VmHWM:")?,
            anonymous_kib: kib(&status, "RssAnon:")?,
        })
    }

    /// The CPU used so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.cpu
    }

    /// The CPU used since an earlier look.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        self.cpu.saturating_sub(earlier.cpu)
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        self.resident_kib as f64 / 1024.0
    }

    /// Resident memory that no file backs, in MiB: without the program's own pages.
    pub(crate) fn anonymous_mib(&self) -> f64 {
        self.anonymous_kib as f64 / 1024.0
    }

    /// The most memory that was ever resident, in MiB.
    pub(crate) fn highest_mib(&self) -> f64 {
        self.highest_kib as f64 / 1024.0
    }
}

/// How busy the machine was within the last minute: processes that ran or wanted to.
pub(crate) fn load_average() -> Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// A line of `/proc/PID/status` that counts memory.
fn kib(status: &str, name: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let words = line.with_context(|| format!("no {name} in /proc"))?.trim();
    let number = words.trim_end_matches(" kB").parse();
    number.with_context(|| format!("{name} {words} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_cost_can_be_read() {
        let cost = Cost::of(std::process::id()).unwrap();
        assert!(
            cost.resident_kib > 0
                && cost.highest_kib >= cost.resident_kib
                && cost.cpu > Duration::ZERO
        );
    }
}
