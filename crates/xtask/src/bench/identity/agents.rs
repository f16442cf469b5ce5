//! What an agent costs: until its pod is ready with a certificate, and in memory.

use crate::bench::cost::Cost;
use crate::bench::table::Table;
use crate::shell::say;
use anyhow::{Result, ensure};
use meltemi_testkit::couple::{Couple, Programs, Signers, Terms};
use std::path::Path;
use std::time::Duration;

const STARTS: usize = 9;
const READY_MS: f64 = 500.0;
const RSS_MIB: f64 = 20.0;
const HOUR: Terms = Terms {
    lifetime: Duration::from_secs(3600),
    settle: Duration::from_secs(180),
};

/// Starts one agent after the other.
pub(super) fn measure(dir: &Path, table: &mut Table) -> Result<()> {
    say("an agent with its Envoy, started nine times beside another pod");
    let programs = Programs::in_dir(dir, crate::fetch::envoy()?)?;
    let signers = Signers::make()?;
    let mut couple = Couple::start(("bench-agent", &programs), HOUR, &signers.a)?;
    let (mut times, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let ready = couple.caller.restart()?;
        ensure!(!couple.caller.serials()?.is_empty(), "no certificate");
        times.push(ready.as_secs_f64() * 1000.0);
        costs.push(Cost::of(couple.caller.agent_pid()?)?);
    }
    times.sort_by(f64::total_cmp);
    let median = super::super::percentile(&times, 50);
    let row = "agent: process to ready with a certificate, median";
    table.at_most(row, median, (READY_MS, "ms"));
    let (fastest, slowest) = (times.first(), times.last());
    for (which, time) in [("fastest", fastest), ("slowest", slowest)] {
        let text = time.map_or_else(String::new, |time| format!("{time:.0} ms"));
        table.note(&format!("agent: the same, {which}"), &text);
    }
    let most = |value: &dyn Fn(&Cost) -> f64| costs.iter().map(value).fold(0.0, f64::max);
    let row = "agent: resident memory when ready, most of all";
    table.at_most(row, most(&Cost::resident_mib), (RSS_MIB, "MiB"));
    let anonymous = most(&Cost::anonymous_mib);
    let row = "agent: of it no part of the program, most of all";
    table.note(row, &format!("{anonymous:.2} MiB"));
    let cpu = most(&|cost| cost.cpu().as_secs_f64() * 1000.0);
    let row = "agent: its own CPU until ready, most of all";
    table.note(row, &format!("{cpu:.0} ms"));
    Ok(())
}
