//! `bench rotation`: what a workload notices while roots and certificates are replaced, and while
//! nobody signs: nothing.
//!
//! A control plane, two agents with their Envoys, and 100 requests a second from one pod to the other
//! over mutual TLS, with a new handshake for every ten of them. Three parts, each with processes of its
//! own: new roots in three phases, certificates of a minute for ten minutes, and the control plane
//! killed for longer than half of their life.

use super::table::Table;
use crate::shell::say;
use anyhow::Result;
use meltemi_testkit::couple::{Couple, Load, Programs, Signers, Terms};
use std::time::Duration;

/// How certificates are given out: for a minute, so that they are replaced twice a minute.
const TERMS: Terms = Terms {
    lifetime: Duration::from_secs(60),
    settle: Duration::from_secs(10),
};
/// How long nobody signs; half a life is 30 s.
const AWAY: Duration = Duration::from_secs(35);
const REQUESTS_A_SECOND: f64 = 95.0;
/// What ten minutes must show, and the same part of other spans.
const TURNS_IN_TEN: u32 = 18;

/// True when no request failed and the bounds hold.
pub(crate) fn run(minutes: u32) -> Result<bool> {
    say("100 requests a second over mTLS while roots and certificates are replaced");
    let dir = super::release()?;
    let programs = Programs::in_dir(&dir, crate::fetch::envoy()?)?;
    let signers = Signers::make()?;
    let bench = Bench { programs, signers };
    let mut table = Table::default();
    bench.roots(&mut table)?;
    bench.outage(&mut table)?;
    bench.certificates(&mut table, minutes)?;
    Ok(table.end())
}

struct Bench {
    programs: Programs,
    signers: Signers,
}

impl Bench {
    fn start(&self, part: &str) -> Result<(Couple, Load)> {
        say(part);
        let named = ("bench-rotation", &self.programs);
        let couple = Couple::start(named, TERMS, &self.signers.a)?;
        let load = couple.load();
        Ok((couple, load))
    }

    /// A, A and B, B.
    fn roots(&self, table: &mut Table) -> Result<()> {
        let (mut couple, load) = self.start("roots: A, then A and B, then B")?;
        let before = couple.pids()?;
        let rotated = couple.rotate_roots(&self.signers);
        let after = couple.pids()?;
        traffic(table, ("roots", &mut couple), load)?;
        let rotated = rotated?;
        let restarted = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        table.exactly("roots: processes restarted", restarted as u64, 0);
        for (phase, took) in [
            ("until both are believed", rotated.told),
            ("until B has signed for both", rotated.signed),
            ("until A is believed no more", rotated.forgotten),
        ] {
            table.note(&format!("roots: {phase}"), &seconds(took));
        }
        Ok(())
    }

    /// Nobody signs.
    fn outage(&self, table: &mut Table) -> Result<()> {
        let (mut couple, load) = self.start("the control plane is killed, and comes back")?;
        let outage = couple.outage(AWAY);
        traffic(table, ("outage", &mut couple), load)?;
        let outage = outage?;
        let long = outage.lasted > TERMS.lifetime / 2;
        table.holds("outage: lasted", &seconds(outage.lasted), long);
        let row = "outage: until other certificates are shown";
        table.note(row, &seconds(outage.recovered));
        Ok(())
    }

    /// Turn after turn.
    fn certificates(&self, table: &mut Table, minutes: u32) -> Result<()> {
        let part = format!("certificates of 60 s for {minutes} minutes");
        let (mut couple, load) = self.start(&part)?;
        let span = Duration::from_secs(60) * minutes;
        let turns = couple.count_turns(span, |_| false);
        traffic(table, ("certificates", &mut couple), load)?;
        let (turns, wanted) = (turns?, TURNS_IN_TEN * minutes / 10);
        for (who, count) in [("caller", turns.caller), ("called", turns.called)] {
            let row = format!("certificates: replaced in {minutes} min, {who}, by number");
            let enough = u32::try_from(count).is_ok_and(|count| count >= wanted);
            table.holds(&row, &format!("{count} of {wanted}"), enough);
        }
        Ok(())
    }
}

/// Ends the load, and says how it went; what failed leaves the logs behind.
fn traffic(table: &mut Table, (part, couple): (&str, &mut Couple), load: Load) -> Result<()> {
    let tally = load.end()?;
    table.note(&format!("{part}: requests"), &tally.sent.to_string());
    let failed = tally.failed.len() as u64;
    table.exactly(&format!("{part}: requests that failed"), failed, 0);
    for why in tally.failed.iter().take(3) {
        say(why);
    }
    if failed > 0 {
        let dir = couple.keep();
        say(&format!("logs are in {}", dir.display()));
    }
    let rate = tally.rate();
    let row = format!("{part}: requests a second");
    table.holds(&row, &format!("{rate:.1}"), rate >= REQUESTS_A_SECOND);
    let row = format!("{part}: slowest request");
    table.note(&row, &format!("{} ms", tally.slowest.as_millis()));
    let row = format!("{part}: certificates the caller has shown, by hash");
    table.note(&row, &tally.shown.len().to_string());
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
