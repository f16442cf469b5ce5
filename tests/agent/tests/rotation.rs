//! Roots and certificates are replaced, and the control plane is away, while one pod calls another
//! 100 times a second over mutual TLS: no call fails. `cargo xtask bench rotation` does the same for
//! minutes, with certificates of a minute.

use anyhow::{Result, ensure};
use meltemi_testkit::couple::{Couple, Load, Programs, Signers, Tally, Terms};
use std::time::Duration;

/// Certificates are replaced every four seconds.
const SHORT: Terms = Terms {
    lifetime: Duration::from_secs(8),
    settle: Duration::from_secs(1),
};

fn start(name: &str, terms: Terms, signers: &Signers) -> Result<(Couple, Load)> {
    let couple = Couple::start((name, &Programs::find()?), terms, &signers.a)?;
    let load = couple.load();
    Ok((couple, load))
}

/// Ends the load; nothing may have failed.
fn end(load: Load) -> Result<Tally> {
    let tally = load.end()?;
    println!(
        "{} requests, {:.0} a second, the slowest took {} ms, {} certificates were shown",
        tally.sent,
        tally.rate(),
        tally.slowest.as_millis(),
        tally.shown.len()
    );
    tally.expect_no_failure()?;
    Ok(tally)
}

#[test]
fn roots_are_rotated_under_traffic_and_no_process_is_restarted() -> Result<()> {
    let signers = Signers::make()?;
    let (mut couple, load) = start("rotation-roots", SHORT, &signers)?;
    let before = couple.pids()?;
    let rotated = couple.rotate_roots(&signers)?;
    println!("{rotated:?}");
    let after = couple.pids()?;
    ensure!(before == after, "{before:?} became {after:?}");
    end(load).map(drop)
}

#[test]
fn certificates_are_rotated_under_traffic() -> Result<()> {
    let signers = Signers::make()?;
    let (couple, load) = start("rotation-certificates", SHORT, &signers)?;
    let longest = Duration::from_secs(60);
    let turns = couple.count_turns(longest, |turns| turns.caller.min(turns.called) >= 3)?;
    println!("{turns:?}");
    ensure!(turns.caller.min(turns.called) >= 3, "{turns:?}");
    let tally = end(load)?;
    ensure!(tally.shown.len() >= 3, "{:?}", tally.shown);
    Ok(())
}

#[test]
fn the_authority_is_away_for_half_a_life_and_no_call_fails() -> Result<()> {
    let signers = Signers::make()?;
    let terms = Terms {
        // What is left after half of it is for a machine that is slow.
        lifetime: Duration::from_secs(30),
        ..SHORT
    };
    let (mut couple, load) = start("rotation-outage", terms, &signers)?;
    let outage = couple.outage(terms.lifetime / 2)?;
    println!("{outage:?}");
    end(load).map(drop)
}
