//! What a process has cost: CPU of all its threads, resident memory.

use anyhow::{Context, Result};
use std::time::Duration;

/// The cost of a process so far.
#[derive(Debug)]
pub(crate) struct Cost {
    cpu: Duration,
    resident_kib: u64,
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
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let words = resident.context("no VmRSS in /proc")?.trim();
        let resident_kib = words
            .trim_end_matches(" kB")
            .parse()
            .context("VmRSS is no number")?;
        Ok(Self { cpu, resident_kib })
    }

    /// The CPU used since an earlier look.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        self.cpu.saturating_sub(earlier.cpu)
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        self.resident_kib as f64 / 1024.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_cost_can_be_read() {
        let cost = Cost::of(std::process::id()).unwrap();
        assert!(cost.resident_kib > 0 && cost.cpu > Duration::ZERO);
    }
}
