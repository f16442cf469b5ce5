//! Workloads that ask for certificates as fast as they are answered.
//!
//! Reads one JSON object from stdin: `server`, `roots`, `tokens`, `csrs`, `connections`, `seconds`.
//! Each connection asks on its own, one request after the other, with a token and a signing request
//! in turn. Prints one JSON object: how many were signed and refused, and how long that took.
//!
//! It never sleeps: to wake it up would be work of the one that answers, a tenth of the whole on a
//! virtual machine, which no asker on another machine costs it.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::caller::Caller;
use serde::Deserialize;
use serde_json::json;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

#[derive(Deserialize)]
struct Work {
    server: SocketAddr,
    roots: String,
    tokens: Vec<String>,
    csrs: Vec<String>,
    connections: usize,
    seconds: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let work: Work = serde_json::from_reader(std::io::stdin().lock())?;
    ensure!(
        !work.tokens.is_empty() && !work.csrs.is_empty(),
        "nothing to show"
    );
    let mut waiting = Vec::new();
    for index in 0..work.connections {
        let at = |all: &[String]| all.get(index % all.len()).cloned();
        let caller = Caller {
            server: work.server,
            roots: work.roots.clone(),
            token: at(&work.tokens),
            certificate: None,
        };
        let channel = caller.connect().await?;
        waiting.push((caller, channel, at(&work.csrs).context("no request")?));
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
        .map(|(caller, channel, csr)| async move {
            let mut counts = (0_u64, 0_u64);
            while Instant::now() < until {
                match caller.sign_on(channel.clone(), (&csr, 0)).await? {
                    Ok(_) => counts.0 += 1,
                    Err(_) => counts.1 += 1,
                }
            }
            anyhow::Ok(counts)
        });
    let counts = futures::future::try_join_all(asking).await?;
    let signed: u64 = counts.iter().map(|one| one.0).sum();
    let refused: u64 = counts.iter().map(|one| one.1).sum();
    let seconds = started.elapsed().as_secs_f64();
    awake.abort();
    println!(
        "{}",
        json!({"signed": signed, "refused": refused, "seconds": seconds})
    );
    Ok(())
}
