//! `bench edit`: how long until an edited file answers requests.
//!
//! On the mesh of the demo, with a release build: all traffic goes to v1, the file says v2 from
//! the rename on, and back. Requests are sent one after another all the time.

use super::percentile;
use super::table::Table;
use crate::demo::scene::{self, REVIEWS, Scene, who};
use crate::shell::say;
use anyhow::{Context, Result, ensure};
use meltemi_testkit::mesh::{Mesh, Plan, Programs};
use meltemi_testkit::paths::{self, Scratch};
use std::time::{Duration, Instant};

const EDITS: usize = 50;
/// How many answers in a row show that the new rule holds everywhere.
const STREAK: u32 = 20;
const LATE: Duration = Duration::from_secs(10);
const P50_MS: f64 = 50.0;
const P99_MS: f64 = 150.0;

/// True when the bounds hold.
pub(crate) fn run() -> Result<bool> {
    say("50 edits of a file, each until 20 requests in a row are answered by the new rule");
    let dir = super::release()?;
    let programs = Programs {
        meltemid: paths::binary_in(&dir, "meltemid")?,
        echo: paths::binary_in(&dir, "meltemi-echo")?,
        envoy: crate::fetch::envoy()?,
    };
    let plan = Plan {
        files: Plan::read(&paths::repository().join("manifests/demo"))?,
        workloads: scene::workloads(),
        ports: scene::PORTS.to_vec(),
        ..Plan::default()
    };
    let scratch = Scratch::new("bench-edit")?;
    let mesh = Mesh::start_telling(&programs, &plan, scratch.path(), &mut say)?;
    let scene = Scene::new(mesh, Duration::ZERO);
    let reviews = plan
        .files
        .get("reviews.yaml")
        .context("the demo has no reviews.yaml")?;
    let mut times = Vec::new();
    for round in 0..=EDITS {
        let (text, answer) = rule(reviews, round)?;
        let time = edit(&scene, &text, answer)?;
        // The first edit only makes sure where the rounds start from.
        if round > 0 {
            times.push(time.as_secs_f64() * 1000.0);
        }
    }
    scene.mesh().assert_healthy()?;
    times.sort_by(f64::total_cmp);
    let mut table = Table::default();
    table.note("edits", &EDITS.to_string());
    table.at_most(
        "rename to live, p50",
        percentile(&times, 50),
        (P50_MS, "ms"),
    );
    table.at_most(
        "rename to live, p99",
        percentile(&times, 99),
        (P99_MS, "ms"),
    );
    Ok(table.end())
}

/// The file that sends everything to v1 (even rounds) or to v2, and who answers then.
fn rule(file: &str, round: usize) -> Result<(String, &'static str)> {
    let (first, second, answer) = match round % 2 {
        0 => ("weight: 100", "weight: 0", "reviews-v1"),
        _ => ("weight: 0", "weight: 100", "reviews-v2"),
    };
    ensure!(
        file.contains("weight: 90") && file.contains("weight: 10"),
        "no weights to edit"
    );
    let marked = file
        .replace("weight: 90", "FIRST")
        .replace("weight: 10", "SECOND");
    Ok((
        marked.replace("FIRST", first).replace("SECOND", second),
        answer,
    ))
}

/// Edits, and sends requests until the streak; the time is that of the first answer of the streak.
fn edit(scene: &Scene, text: &str, answer: &str) -> Result<Duration> {
    let renamed = Instant::now();
    scene.mesh().write("reviews.yaml", text)?;
    let mut first = Duration::ZERO;
    let mut streak = 0;
    while streak < STREAK {
        let got = who(&scene.call(REVIEWS, "/", &[])?);
        let now = renamed.elapsed();
        ensure!(
            now < LATE,
            "the edit is still not live after {} s",
            now.as_secs()
        );
        streak = if got == answer { streak + 1 } else { 0 };
        if streak == 1 {
            first = now;
        }
    }
    Ok(first)
}
