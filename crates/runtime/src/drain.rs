//! One signal that tells everything to finish: SIGTERM and SIGINT start it, a second one asks to
//! give up waiting.

use std::io;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::watch;

/// Learns that the process drains. Clones learn the same.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<bool>);

/// Starts the drain. Dropping it starts the drain as well.
#[derive(Debug)]
pub struct Drainer(watch::Sender<bool>);

/// The two ends of a drain that has not started.
#[must_use]
pub fn channel() -> (Drainer, Drain) {
    let (sender, receiver) = watch::channel(false);
    (Drainer(sender), Drain(receiver))
}

impl Drainer {
    /// Starts the drain; a second time changes nothing.
    pub fn start(&self) {
        self.0.send_replace(true);
    }
}

impl Drain {
    /// Ends when the drain has started.
    pub async fn started(&mut self) {
        // An error means that the drainer is gone: that is a drain too.
        let _ = self.0.wait_for(|started| *started).await;
    }

    /// True once the drain has started.
    #[must_use]
    pub fn is_started(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// The signals that end a process.
#[derive(Debug)]
pub struct Signals {
    terminate: Stream,
    interrupt: Stream,
}

/// Which signal came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM.
    Terminate,
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
}

impl Signals {
    /// Takes over SIGTERM and SIGINT. Call it before anything can be lost.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }

    /// Starts the drain at the first signal, and ends at the second one: then leave at once.
    pub async fn drain(mut self, drainer: Drainer) -> Signal {
        let signal = self.next().await;
        tracing::info!(?signal, "draining");
        drainer.start();
        self.next().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_clones_learn_of_the_drain() {
        let (drainer, drain) = channel();
        let mut clone = drain.clone();
        assert!(!drain.is_started());
        let waits = tokio::spawn(async move { clone.started().await });
        drainer.start();
        waits.await.unwrap();
        assert!(drain.is_started());
    }

    #[tokio::test]
    async fn a_lost_drainer_is_a_drain() {
        let (drainer, mut drain) = channel();
        drop(drainer);
        drain.started().await;
        assert!(drain.is_started());
    }

    #[tokio::test]
    async fn the_first_signal_drains_and_the_second_ends() {
        let signals = Signals::listen().unwrap();
        let (drainer, mut drain) = channel();
        let task = tokio::spawn(signals.drain(drainer));
        let me = rustix::process::getpid();
        rustix::process::kill_process(me, rustix::process::Signal::TERM).unwrap();
        drain.started().await;
        assert!(!task.is_finished());
        rustix::process::kill_process(me, rustix::process::Signal::INT).unwrap();
        assert_eq!(task.await.unwrap(), Signal::Interrupt);
    }
}
