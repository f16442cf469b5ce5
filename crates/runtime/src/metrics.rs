//! Metrics for Prometheus: exact names (Istio's dashboards read `pilot_xds_pushes`, without
//! `_total`), help for each, and real histograms with chosen buckets.
//!
//! Values are recorded with the macros of the `metrics` package; what exists is said once, as a
//! table of [`Family`].

mod process;

use crate::drain::Drain;
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::time::Duration;

/// How often what was recorded is folded into histograms when nobody asks for it.
const UPKEEP: Duration = Duration::from_secs(5);

/// A metric that exists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// The name, as it is exposed.
    pub name: &'static str,
    /// What it measures, one sentence.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub shape: Shape,
}

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// A distribution, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// Everything that was recorded. Clones see the same.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

/// Metrics cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A histogram without buckets.
    #[error("histogram {name} cannot be set up")]
    Buckets {
        /// The metric.
        name: &'static str,
        /// Why.
        #[source]
        source: BuildError,
    },
    /// Metrics were set up already.
    #[error("metrics are set up twice")]
    Twice,
}

impl Metrics {
    /// Starts recording, for the whole process.
    ///
    /// # Errors
    /// A histogram has no buckets, or recording was started already.
    pub fn install(families: &[Family]) -> Result<Self, MetricsError> {
        let recorder = recorder(families)?;
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| MetricsError::Twice)?;
        describe(families);
        describe(process::FAMILIES);
        Ok(Self(handle))
    }

    /// The text that Prometheus scrapes.
    #[must_use]
    pub fn render(&self) -> String {
        process::record();
        self.0.render()
    }

    /// Folds what was recorded into histograms until the drain. Without it they would grow where
    /// nobody scrapes.
    ///
    /// # Errors
    /// None; the type is what supervised tasks answer.
    pub async fn run(self, mut drain: Drain) -> Result<(), std::convert::Infallible> {
        let mut tick = tokio::time::interval(UPKEEP);
        loop {
            tokio::select! {
                _ = tick.tick() => self.0.run_upkeep(),
                () = drain.started() => return Ok(()),
            }
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

fn recorder(families: &[Family]) -> Result<PrometheusRecorder, MetricsError> {
    let mut builder = PrometheusBuilder::new();
    for family in families {
        if let Shape::Histogram(buckets) = family.shape {
            let name = Matcher::Full(family.name.to_owned());
            builder = builder
                .set_buckets_for_metric(name, buckets)
                .map_err(|source| MetricsError::Buckets {
                    name: family.name,
                    source,
                })?;
        }
    }
    Ok(builder.build_recorder())
}

fn describe(families: &[Family]) {
    for family in families {
        match family.shape {
            Shape::Counter => metrics::describe_counter!(family.name, family.help),
            Shape::Gauge => metrics::describe_gauge!(family.name, family.help),
            Shape::Histogram(_) => metrics::describe_histogram!(family.name, family.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact_and_histograms_have_their_buckets() {
        let families = [
            Family {
                name: "pilot_xds_pushes",
                help: "Pushes.",
                shape: Shape::Counter,
            },
            Family {
                name: "pilot_xds_push_time",
                help: "Seconds.",
                shape: Shape::Histogram(&[0.1, 1.0]),
            },
        ];
        let recorder = recorder(&families).unwrap();
        let metrics = Metrics(recorder.handle());
        let text = metrics::with_local_recorder(&recorder, || {
            describe(&families);
            describe(process::FAMILIES);
            metrics::counter!("pilot_xds_pushes", "type" => "cds").increment(3);
            metrics::histogram!("pilot_xds_push_time").record(0.5);
            metrics.render()
        });
        for line in [
            "# HELP pilot_xds_pushes Pushes.",
            "# TYPE pilot_xds_pushes counter",
            "pilot_xds_pushes{type=\"cds\"} 3",
            "pilot_xds_push_time_bucket{le=\"0.1\"} 0",
            "pilot_xds_push_time_bucket{le=\"1\"} 1",
            "pilot_xds_push_time_count 1",
            "# TYPE process_resident_memory_bytes gauge",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let memory = text
            .lines()
            .find_map(|line| line.strip_prefix("process_resident_memory_bytes "))
            .unwrap();
        assert!(memory.parse::<f64>().unwrap() > 1e5, "{memory}");
    }

    #[test]
    fn a_histogram_needs_buckets() {
        let family = Family {
            name: "empty",
            help: "",
            shape: Shape::Histogram(&[]),
        };
        assert!(matches!(
            recorder(&[family]),
            Err(MetricsError::Buckets { name: "empty", .. })
        ));
    }

    #[tokio::test]
    async fn upkeep_ends_with_the_drain() {
        let (drainer, drain) = crate::drain::channel();
        let task = tokio::spawn(Metrics(recorder(&[]).unwrap().handle()).run(drain));
        drainer.start();
        task.await.unwrap().unwrap();
    }
}
