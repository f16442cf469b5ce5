//! What is counted, with handles made once: looking one up per response would cost more than the
//! response. Names beginning with `pilot_` are Istio's, for the dashboards that read them.

use std::collections::BTreeMap;
use std::time::Duration;

use meltemi_types::TypeUrl;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::session::Push;
use crate::types::{TABLE, XdsType};

/// The handles of the server.
#[derive(Debug)]
pub(super) struct Metrics {
    /// Streams open now.
    pub(super) streams: Gauge,
    /// Streams refused because nobody is known.
    pub(super) unknown: Counter,
    /// Streams that ended by a panic.
    pub(super) panics: Counter,
    /// The same, by Istio's name.
    pub(super) internal: Counter,
    types: BTreeMap<TypeUrl, TypeMetrics>,
}

/// The handles of one type.
#[derive(Debug)]
pub(super) struct TypeMetrics {
    pushes: Counter,
    resources: Counter,
    bytes: Counter,
    size: Histogram,
    time: Histogram,
    nacks: Counter,
    rejects: Counter,
    quarantined: Gauge,
}

impl Metrics {
    /// Takes handles from the recorder that is installed now.
    pub(super) fn new() -> Self {
        let of = |row: &XdsType| (row.url, TypeMetrics::new(row));
        Self {
            streams: gauge!("pilot_xds"),
            unknown: counter!("meltemi_xds_unauthenticated_total"),
            panics: counter!("meltemi_xds_stream_panics_total"),
            internal: counter!("pilot_total_xds_internal_errors"),
            types: TABLE.iter().map(of).collect(),
        }
    }

    /// A response was handed to the transport; it took so long to make.
    pub(super) fn sent(&self, push: &Push, took: Duration) {
        let Some(metrics) = self.types.get(push.row.url) else {
            return;
        };
        let bytes: usize = push.resources.iter().map(|r| r.body.len()).sum();
        metrics.pushes.increment(1);
        metrics.resources.increment(push.resources.len() as u64);
        metrics.bytes.increment(bytes as u64);
        metrics.size.record(bytes as f64);
        metrics.time.record(took.as_secs_f64());
    }

    /// A response was refused.
    pub(super) fn nacked(&self, type_url: &str) {
        if let Some(metrics) = self.types.get(type_url) {
            metrics.nacks.increment(1);
            metrics.rejects.increment(1);
        }
    }

    /// The number of resources in quarantine on one stream went from `before` to `now`.
    pub(super) fn quarantined(&self, type_url: &str, before: usize, now: usize) {
        if before == now {
            return;
        }
        if let Some(metrics) = self.types.get(type_url) {
            if now > before {
                metrics.quarantined.increment((now - before) as f64);
            } else {
                metrics.quarantined.decrement((before - now) as f64);
            }
        }
    }
}

impl TypeMetrics {
    fn new(row: &XdsType) -> Self {
        let short = row.short;
        Self {
            pushes: counter!("pilot_xds_pushes", "type" => short),
            resources: counter!("meltemi_resources_sent_total", "type" => short),
            bytes: counter!("meltemi_resource_bytes_sent_total", "type" => short),
            size: histogram!("pilot_xds_config_size_bytes", "type" => row.url),
            time: histogram!("pilot_xds_push_time", "type" => short),
            nacks: counter!("meltemi_nacks_total", "type" => short),
            rejects: counter!("pilot_total_xds_rejects", "type" => short),
            quarantined: gauge!("meltemi_quarantined", "type" => short),
        }
    }
}
