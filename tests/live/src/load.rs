//! A steady load in the background: one request after the other until it is told to end.

use anyhow::{Context, Result, anyhow, ensure};
use meltemi_testkit::http::{Client, Request};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, mpsc::Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// The pause between two requests, so that the load leaves room for what is tested.
const PACE: Duration = Duration::from_millis(3);
/// The most requests of one load.
const MOST: u64 = 50_000;

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All requests.
    pub sent: u64,
    /// Why requests failed: no answer, or a status other than 200.
    pub failed: Vec<String>,
    /// Answers by `x-version` and workload: `one v1`.
    pub answers: BTreeMap<String, u64>,
}

impl Tally {
    /// Fails unless every request got this answer.
    ///
    /// # Errors
    /// A request failed, was answered otherwise, or there was none.
    pub fn expect_only(&self, answer: &str) -> Result<()> {
        ensure!(self.failed.is_empty(), "requests failed: {self:?}");
        let of_it = self.answers.get(answer).copied().unwrap_or_default();
        ensure!(
            self.sent > 0 && of_it == self.sent,
            "not only {answer:?}: {self:?}"
        );
        Ok(())
    }
}

/// A running load. Dropping it ends it.
#[derive(Debug)]
pub struct Load {
    stop: Option<Sender<()>>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Tally>>,
}

impl Load {
    /// Starts to ask `address` for `host`.
    #[must_use]
    pub fn start(address: SocketAddr, host: &str) -> Self {
        let (stop, stopped) = mpsc::channel();
        let sent = Arc::new(AtomicU64::new(0));
        let (host, count) = (host.to_owned(), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let client = Client::new(Duration::from_secs(10));
            let mut tally = Tally::default();
            while tally.sent < MOST {
                ask(&client, (address, &host), &mut tally);
                count.store(tally.sent, Ordering::Relaxed);
                if stopped.recv_timeout(PACE) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            tally
        });
        Self {
            stop: Some(stop),
            sent,
            thread: Some(thread),
        }
    }

    /// How many requests have been answered so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it.
    ///
    /// # Errors
    /// It had ended before, because of its bound or a panic.
    pub fn end(mut self) -> Result<Tally> {
        self.stop = None;
        let thread = self.thread.take().context("the load has ended already")?;
        let tally = thread.join().map_err(|_| anyhow!("the load panicked"))?;
        ensure!(tally.sent < MOST, "the load reached its bound of {MOST}");
        Ok(tally)
    }
}

fn ask(client: &Client, (address, host): (SocketAddr, &str), tally: &mut Tally) {
    tally.sent += 1;
    match client.send(&Request::get(address, host, "/")) {
        Ok(answer) if answer.status == 200 => {
            let key = [answer.header("x-version"), answer.header("x-workload")].join(" ");
            *tally.answers.entry(key).or_default() += 1;
        }
        Ok(answer) => tally.failed.push(format!("status {}", answer.status)),
        Err(error) => tally.failed.push(format!("{error:#}")),
    }
}
