//! Is the proxy ready: Envoy has had clusters and listeners that it accepted, is live, and its
//! workers run. What was once true is not asked again; the end of the process takes it back.

use crate::envoy::Admin;
use meltemi_agent::ads::Course;
use meltemi_runtime::ready::Readiness;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::watch;

/// What is asked of Envoy.
const QUESTION: &str = "/stats?usedonly&filter=%5E(server.state%7Ccluster_manager.cds.update_success%7C\
                        listener_manager.lds.update_success%7Clistener_manager.workers_started)$";

/// Readiness of the pod's proxy.
#[derive(Debug)]
pub(crate) struct Ready {
    admin: Admin,
    /// Further conditions, and the drain.
    gates: Readiness,
    /// The conversation with the control plane, for the reason in words.
    course: Option<watch::Receiver<Course>>,
    since: Instant,
    latched: AtomicBool,
}

impl Ready {
    pub(crate) fn new(
        admin: Admin,
        gates: Readiness,
        course: Option<watch::Receiver<Course>>,
    ) -> Self {
        Self {
            admin,
            gates,
            course,
            since: Instant::now(),
            latched: AtomicBool::new(false),
        }
    }

    /// `Ok`, or what is missing.
    pub(crate) async fn check(&self) -> Result<(), String> {
        if !self.gates.is_ready() {
            return Err(format!("waiting for {}", self.gates.missing().join(", ")));
        }
        if self.latched.load(Ordering::Relaxed) {
            return Ok(());
        }
        let stats = self.admin.get(QUESTION).await;
        let stats = stats.map_err(|e| format!("Envoy's admin interface: {e}"))?;
        missing(&stats).map_err(|why| match &self.course {
            Some(course) if !course.borrow().connected => {
                format!("{why}; there is no connection to the control plane")
            }
            Some(_) | None => why,
        })?;
        if !self.latched.swap(true, Ordering::Relaxed) {
            let seconds = self.since.elapsed().as_secs_f64();
            metrics::gauge!("istio_agent_startup_duration_seconds").set(seconds);
            tracing::info!(seconds, "ready");
        }
        Ok(())
    }
}

/// What Envoy has not got yet.
fn missing(stats: &str) -> Result<(), String> {
    let value = |name: &str| {
        let found = stats.lines().find_map(|line| line.strip_prefix(name));
        let number = found.and_then(|rest| rest.strip_prefix(": "));
        number.and_then(|text| text.trim().parse::<u64>().ok())
    };
    let clusters = value("cluster_manager.cds.update_success").unwrap_or_default();
    let listeners = value("listener_manager.lds.update_success").unwrap_or_default();
    if clusters == 0 || listeners == 0 {
        return Err(format!(
            "Envoy has not accepted its configuration: {clusters} updates of clusters, {listeners} of listeners"
        ));
    }
    match value("server.state") {
        Some(0) => {}
        state => {
            let state = state.map_or("unknown".to_owned(), |state| state.to_string());
            return Err(format!("Envoy is not live: its state is {state}"));
        }
    }
    match value("listener_manager.workers_started") {
        Some(1) => Ok(()),
        Some(_) | None => Err("Envoy's workers have not started".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_are_needed() {
        let whole = "cluster_manager.cds.update_success: 1\n\
                     listener_manager.lds.update_success: 2\n\
                     listener_manager.workers_started: 1\nserver.state: 0\n";
        assert_eq!(missing(whole), Ok(()));
        let lines: Vec<_> = whole.lines().collect();
        for gone in 0..lines.len() {
            let mut some = lines.clone();
            some.remove(gone);
            assert!(
                missing(&some.join("\n")).is_err(),
                "without {}",
                lines[gone]
            );
        }
        let early = whole.replace("state: 0", "state: 2");
        assert!(missing(&early).unwrap_err().contains("state is 2"));
    }
}
