//! The life of the proxy: served until something ends it, and how leave is taken.
//!
//! Follows Istio's agent: a drain that a preStop hook asked for is not done twice, and a second
//! signal ends it at once.

use crate::INTERNAL;
use crate::config::Config;
use crate::envoy::{Admin, After, Envoy, verdict};
use crate::status::Wish;
use meltemi_runtime::drain::{Drainer, Signals};
use meltemi_runtime::ready::Readiness;
use std::process::ExitStatus;
use tokio::sync::mpsc;

/// Why life ends.
pub(crate) enum End {
    /// Envoy ended by itself.
    Envoy(std::io::Result<ExitStatus>),
    /// A signal asks for the end.
    Signal,
    /// Somebody of this pod wants the end now.
    Quit,
    /// A part of the agent failed.
    Task(String),
}

/// The process while Envoy runs.
pub(crate) struct Life {
    pub(crate) config: Config,
    pub(crate) admin: Admin,
    pub(crate) envoy: Envoy,
    pub(crate) gates: Readiness,
    pub(crate) wished: mpsc::Receiver<Wish>,
    pub(crate) drainer: Drainer,
}

impl Life {
    /// Serves until something ends it; a wish to drain does not.
    pub(crate) async fn until_told(&mut self, signals: &mut Signals) -> End {
        let mut drained = false;
        loop {
            let wish = tokio::select! {
                status = self.envoy.ended() => return End::Envoy(status),
                _ = signals.next() => match drained {
                    // The kubelet waited as long as it wanted.
                    true => return End::Quit,
                    false => return End::Signal,
                },
                Some(wish) = self.wished.recv() => wish,
            };
            match wish {
                Wish::Quit => return End::Quit,
                Wish::Drain if drained => {}
                Wish::Drain => {
                    drained = true;
                    self.drain(After::Serve).await;
                }
            }
        }
    }

    async fn drain(&self, after: After) {
        tracing::info!(?after, "draining");
        if let Err(error) = self.config.drain.start(&self.admin, after).await {
            tracing::warn!(%error, "Envoy cannot be told to drain");
        }
    }

    /// Takes leave; the code that the process ends with.
    pub(crate) async fn leave(mut self, end: End, signals: &mut Signals) -> u8 {
        self.gates.drain();
        let code = match end {
            End::Envoy(status) => {
                let (reason, code) = match status {
                    Ok(status) => verdict(status, self.envoy.age()),
                    Err(error) => (format!("Envoy cannot be waited for: {error}"), 1),
                };
                tracing::error!(%reason, "the proxy has ended");
                last_words(&reason);
                return code;
            }
            End::Signal => {
                self.drain(After::Close).await;
                tokio::select! {
                    () = self.config.drain.finish(&self.admin) => {}
                    _ended = self.envoy.ended() => {}
                    _again = signals.next() => tracing::info!("told again: leaving at once"),
                }
                0
            }
            End::Quit => 0,
            End::Task(reason) => {
                tracing::error!(%reason, "a part of the agent has failed");
                last_words(&reason);
                INTERNAL
            }
        };
        self.envoy.end().await;
        self.drainer.start();
        code
    }
}

/// Leaves the reason where `kubectl describe pod` finds it, when this is a container.
fn last_words(reason: &str) {
    let file = std::fs::File::options()
        .append(true)
        .open("/dev/termination-log");
    if let Ok(mut file) = file {
        // The log has the reason as well.
        let _written = std::io::Write::write_all(&mut file, reason.as_bytes());
    }
}
