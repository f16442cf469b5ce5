//! The agent's metrics, by Istio's names.

use meltemi_runtime::metrics::{Family, Shape};

/// Every metric that the agent may write.
pub(crate) const FAMILIES: &[Family] = &[
    Family {
        name: "istio_agent_startup_duration_seconds",
        help: "The time from the start until the proxy was ready, in seconds.",
        shape: Shape::Gauge,
    },
    Family {
        name: "istio_agent_scrapes_total",
        help: "How often the merged metrics were asked for.",
        shape: Shape::Counter,
    },
    Family {
        name: "istio_agent_scrape_failures_total",
        help: "Parts of the merged metrics that were missing or incomplete, by part.",
        shape: Shape::Counter,
    },
];
