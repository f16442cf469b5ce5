//! An API server that asks the injection webhook as fast as it is answered.
//!
//! Reads one JSON object from stdin: `server`, `roots`, `bodies`, `connections`, `seconds`. Each
//! connection is kept and asks one question after the other, HTTP/1.1 as an API server does (it
//! wants no HTTP/2 there, so that its questions spread over replicas). Each answer must let the pod
//! in with a patch. Prints one JSON object: how many were answered, how long that took, and within
//! how many microseconds 50 and 99 of 100 were.
//!
//! It never sleeps: see `meltemi-csrload`.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::webhooks::{Hook, post};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

#[derive(Deserialize)]
struct Work {
    server: SocketAddr,
    roots: String,
    bodies: Vec<Value>,
    connections: usize,
    seconds: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let work: Work = serde_json::from_reader(std::io::stdin().lock())?;
    let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut waiting = Vec::new();
    for index in 0..work.connections {
        let body = work.bodies.get(index % work.bodies.len().max(1));
        let body = body.context("nothing to ask")?.to_string();
        let question = post("/inject?timeout=10s", "application/json", body.as_bytes());
        let hook = Hook::connect(work.server, &work.roots, from).await?;
        waiting.push((hook, question));
    }
    let awake = tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let started = Instant::now();
    let until = started + Duration::from_secs(work.seconds);
    let asking = waiting
        .into_iter()
        .map(|(hook, question)| ask(hook, question, until));
    let times = futures::future::try_join_all(asking).await?;
    let seconds = started.elapsed().as_secs_f64();
    awake.abort();
    let mut times: Vec<Duration> = times.into_iter().flatten().collect();
    times.sort_unstable();
    let within = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).map(|time| time.as_secs_f64() * 1e6)
    };
    let (half, most) = (within(50), within(99));
    let answered = times.len();
    println!(
        "{}",
        json!({"answered": answered, "seconds": seconds, "p50_us": half, "p99_us": most})
    );
    Ok(())
}

/// Asks again and again on one connection; how long each answer took.
async fn ask(mut hook: Hook, question: Vec<u8>, until: Instant) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        hook.send(&question).await?;
        let (status, body) = hook.answer().await?;
        times.push(began.elapsed());
        let answer: Value = serde_json::from_slice(&body)?;
        let response = answer.get("response").context("no response")?;
        let is_in = response.get("allowed") == Some(&Value::Bool(true));
        let has_patch = response.get("patch").is_some_and(Value::is_string);
        ensure!(status == 200 && is_in && has_patch, "{status}: {response}");
    }
    Ok(times)
}
