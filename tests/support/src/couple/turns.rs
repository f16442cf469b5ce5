//! Certificates that are replaced: how often, and while nobody signs.

use super::{Couple, SOON};
use crate::wait;
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How often Envoys are asked which certificates they show.
const LOOK: Duration = Duration::from_millis(200);
/// What an agent says when nobody signs.
const IN_VAIN: &str = "no certificate was issued";

/// How often certificates were replaced, by their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Of the caller.
    pub caller: usize,
    /// Of the called one.
    pub called: usize,
}

/// How a time without a control plane went.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// From its death until it was ready again.
    pub lasted: Duration,
    /// From then until both workloads had another certificate.
    pub recovered: Duration,
}

impl Couple {
    /// Watches for so long how often certificates are replaced; `until` may end it earlier.
    ///
    /// # Errors
    /// An Envoy does not answer, or both certificates of one are shown for ever.
    pub fn count_turns(&self, span: Duration, until: impl Fn(Turns) -> bool) -> Result<Turns> {
        let started = Instant::now();
        let (mut caller, mut called) = (BTreeSet::new(), BTreeSet::new());
        let more = (span + SOON, LOOK);
        wait::every("certificates to be replaced", more, || {
            caller.extend(self.caller.serials()?);
            called.extend(self.called.serials()?);
            let turns = Turns {
                caller: caller.len().saturating_sub(1),
                called: called.len().saturating_sub(1),
            };
            Ok((started.elapsed() >= span || until(turns)).then_some(turns))
        })
    }

    /// Kills the control plane when both certificates are fresh, waits until both agents have asked
    /// in vain and half a life has passed, and starts it again.
    ///
    /// # Errors
    /// Certificates are not replaced before or afterwards.
    pub fn outage(&mut self, at_least: Duration) -> Result<Outage> {
        let half = self.terms.lifetime / 2;
        ensure!(at_least >= half, "{at_least:?} is less than half a life");
        self.wait_fresh()?;
        self.kill_plane()?;
        let killed = Instant::now();
        let before = [self.caller.log(), self.called.log()].map(|log| said(&log));
        wait::every(
            "both agents to ask in vain",
            (SOON + at_least, LOOK),
            || {
                let after = [self.caller.log(), self.called.log()].map(|log| said(&log));
                let in_vain = after
                    .iter()
                    .zip(&before)
                    .all(|(after, before)| after > before);
                Ok((in_vain && killed.elapsed() >= at_least).then_some(()))
            },
        )?;
        let had = self.both()?;
        self.start_plane()?;
        let lasted = killed.elapsed();
        wait::every("other certificates", (SOON, LOOK), || {
            let now = self.both()?;
            let others = now.iter().zip(&had).all(|(now, had)| now.is_disjoint(had));
            Ok(others.then_some(()))
        })?;
        Ok(Outage {
            lasted,
            recovered: killed.elapsed() - lasted,
        })
    }

    /// Waits until both have nearly all of their lives before them: they were asked for together.
    fn wait_fresh(&self) -> Result<()> {
        let left = self.terms.lifetime * 5 / 6;
        let long = (SOON + self.terms.lifetime, LOOK);
        wait::every("both certificates to be fresh", long, || {
            for pod in [&self.caller, &self.called] {
                self.openssl.lasts(&pod.chain()?, left)?;
            }
            Ok(Some(()))
        })
    }

    fn both(&self) -> Result<[BTreeSet<String>; 2]> {
        Ok([self.caller.serials()?, self.called.serials()?])
    }
}

/// How often an agent has asked in vain.
fn said(log: &str) -> usize {
    log.matches(IN_VAIN).count()
}
