//! 100 requests a second in the background, each on a connection of its own, each answered with 200
//! by an application that was told who calls.

use crate::http::{Client, Request};
use anyhow::{Context, Result, anyhow, ensure};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many send, each on its own: who waits for an answer holds nobody else up.
const SENDERS: u32 = 4;
/// From one request of a sender to its next.
const PACE: Duration = Duration::from_millis(40);
const PATIENCE: Duration = Duration::from_secs(10);
/// What the proxy of the called one puts into the header, of itself and of the caller.
const BY: &str = "By=spiffe://cluster.local/ns/shop/sa/called;Hash=";
const FROM: &str = "URI=spiffe://cluster.local/ns/shop/sa/caller";

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// All requests.
    pub sent: u64,
    /// Why requests failed, each with when it was.
    pub failed: Vec<String>,
    /// The certificates that the caller has shown, by their hashes.
    pub shown: BTreeSet<String>,
    /// The slowest answer.
    pub slowest: Duration,
    /// From the first request to the last.
    pub took: Duration,
}

impl Tally {
    /// Fails unless every request was answered as it should be.
    ///
    /// # Errors
    /// A request failed, or there was none.
    pub fn expect_no_failure(&self) -> Result<()> {
        let first = self.failed.iter().take(3).collect::<Vec<_>>();
        let count = self.failed.len();
        ensure!(count == 0, "{count} of {} failed: {first:?}", self.sent);
        ensure!(self.sent > 0, "nothing was sent");
        Ok(())
    }

    /// Requests a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of minutes")]
        let sent = self.sent as f64;
        sent / self.took.as_secs_f64()
    }
}

/// A running load. Dropping it ends it.
#[derive(Debug)]
pub struct Load {
    stop: Vec<Sender<()>>,
    threads: Vec<JoinHandle<Tally>>,
}

impl Load {
    pub(super) fn start(door: SocketAddr) -> Self {
        let started = Instant::now();
        let sender = |index: u32| {
            let (stop, stopped) = mpsc::channel();
            let first = started + PACE * index / SENDERS;
            let sending = move || send(door, (started, first), &stopped);
            (stop, std::thread::spawn(sending))
        };
        let (stop, threads) = (0..SENDERS).map(sender).unzip();
        Self { stop, threads }
    }

    /// Ends it.
    ///
    /// # Errors
    /// A sender panicked.
    pub fn end(self) -> Result<Tally> {
        drop(self.stop);
        let mut all = Tally::default();
        for thread in self.threads {
            let one = thread.join().map_err(|_| anyhow!("the load panicked"))?;
            all.sent += one.sent;
            all.failed.extend(one.failed);
            all.shown.extend(one.shown);
            all.slowest = all.slowest.max(one.slowest);
            all.took = all.took.max(one.took);
        }
        Ok(all)
    }
}

/// Sends from `first` on until told to stop.
fn send(door: SocketAddr, (started, first): (Instant, Instant), stopped: &Receiver<()>) -> Tally {
    let (mut due, mut tally) = (first, Tally::default());
    loop {
        let pause = due.saturating_duration_since(Instant::now());
        if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            tally.took = started.elapsed();
            return tally;
        }
        one(door, started, &mut tally);
        due += PACE;
    }
}

fn one(door: SocketAddr, started: Instant, tally: &mut Tally) {
    let asked = Instant::now();
    tally.sent += 1;
    match ask(door) {
        Ok(hash) => drop(tally.shown.insert(hash)),
        Err(error) => {
            let at = started.elapsed().as_secs_f32();
            tally.failed.push(format!("after {at:.2} s: {error:#}"));
        }
    }
    tally.slowest = tally.slowest.max(asked.elapsed());
}

/// One call; the hash of the certificate that the caller has shown.
pub(super) fn ask(door: SocketAddr) -> Result<String> {
    let client = Client::new(PATIENCE);
    let answer = client.send(&Request::get(door, "called", "/"))?;
    let text = answer.text();
    ensure!(answer.status == 200, "{} {text}", answer.status);
    let by = text.split_once(BY).context("it knows nobody")?.1;
    ensure!(by.contains(FROM), "it knows somebody else: {text}");
    let hash = by.split(';').next().unwrap_or_default();
    Ok(hash.to_owned())
}
