//! Settings of proxies.

use super::super::{ConnectionSettings, PrivateKeyProvider, ProxyConfig, RemoteService, Tracing};
use super::at_least;
use crate::check::value::{duration, duration_or_zero, is_fqdn, not_negative, port};
use crate::check::{Check, Findings};
use crate::duration::Duration;
use meltemi_types::FieldPath;
use std::net::IpAddr;

impl Check for ProxyConfig {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        whole_seconds(&at.field("drainDuration"), self.drain_duration, out);
        whole_seconds(
            &at.field("parentShutdownDuration"),
            self.parent_shutdown_duration,
            out,
        );
        duration_or_zero(
            &at.field("terminationDrainDuration"),
            self.termination_drain_duration,
            out,
        );
        duration(
            &at.field("fileFlushInterval"),
            self.file_flush_interval,
            out,
        );
        for (field, text) in [
            ("discoveryAddress", &self.discovery_address),
            ("zipkinAddress", &self.zipkin_address),
            ("statsdUdpAddress", &self.statsd_udp_address),
        ] {
            address(&at.field(field), text.as_deref(), out);
        }
        for (field, number) in [
            ("proxyAdminPort", self.proxy_admin_port),
            ("statusPort", self.status_port),
        ] {
            if let Some(number) = number {
                port(&at.field(field), number, out);
            }
        }
        not_negative(&at.field("statNameLength"), self.stat_name_length, out);
        not_negative(&at.field("concurrency"), self.concurrency, out);
        if self.service_cluster.is_some() && self.tracing_service_name.is_some() {
            out.conflict(
                &at.field("tracingServiceName"),
                "serviceCluster and tracingServiceName are both set",
                "keep one of them",
            );
        }
        self.tracing.check(&at.field("tracing"), out);
        self.envoy_access_log_service
            .check(&at.field("envoyAccessLogService"), out);
        self.envoy_metrics_service
            .check(&at.field("envoyMetricsService"), out);
        self.private_key_provider
            .check(&at.field("privateKeyProvider"), out);
        self.connection_settings
            .check(&at.field("connectionSettings"), out);
    }
}

fn whole_seconds(at: &FieldPath, value: Option<Duration>, out: &mut Findings) {
    duration(at, value, out);
    if value.is_some_and(|value| value.as_millis() > 0 && value.subsec_nanos() != 0) {
        out.invalid(
            at,
            "it counts whole seconds",
            "use whole seconds, as in 45s",
        );
    }
}

/// `HOST:PORT`.
fn address(at: &FieldPath, text: Option<&str>, out: &mut Findings) {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return;
    };
    let well = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        port.parse::<u16>().is_ok_and(|port| port > 0)
            && (is_fqdn(host) || bare.parse::<IpAddr>().is_ok() || host.starts_with('$'))
    });
    if !well {
        out.invalid(at, format!("{text:?} is not an address"), "use HOST:PORT");
    }
}

impl Check for RemoteService {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            address: text,
            tls_settings,
            tcp_keepalive,
        } = self;
        address(&at.field("address"), text.as_deref(), out);
        tls_settings.check(&at.field("tlsSettings"), out);
        tcp_keepalive.check(&at.field("tcpKeepalive"), out);
    }
}

impl Check for Tracing {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let tracers = [
            self.zipkin.is_some(),
            self.lightstep.is_some(),
            self.datadog.is_some(),
            self.stackdriver.is_some(),
            self.open_census_agent.is_some(),
        ];
        if tracers.into_iter().filter(|set| *set).count() > 1 {
            out.conflict(at, "more than one tracer is set", "keep one of them");
        }
        if let Some(zipkin) = &self.zipkin {
            let at = at.field("zipkin").field("address");
            address(&at, zipkin.address.as_deref(), out);
        }
        if let Some(datadog) = &self.datadog {
            let at = at.field("datadog").field("address");
            address(&at, datadog.address.as_deref(), out);
        }
        if let Some(lightstep) = &self.lightstep {
            let at = at.field("lightstep");
            address(&at.field("address"), lightstep.address.as_deref(), out);
            if lightstep
                .access_token
                .as_deref()
                .unwrap_or_default()
                .is_empty()
            {
                out.required(&at.field("accessToken"), "the access token");
            }
        }
        if let Some(sampling) = self.sampling
            && !sampling.is_percentage()
        {
            out.out_of_range(
                &at.field("sampling"),
                format!("{sampling} percent"),
                "use 0 to 100",
            );
        }
        self.tls_settings.check(&at.field("tlsSettings"), out);
    }
}

impl Check for PrivateKeyProvider {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        for (field, queue) in [("cryptomb", &self.cryptomb), ("qat", &self.qat)] {
            let Some(queue) = queue else { continue };
            let at = at.field(field).field("pollDelay");
            if queue.poll_delay.is_none_or(|delay| delay <= Duration::ZERO) {
                out.required(&at, "a delay above 0");
            }
        }
    }
}

/// The smallest flow control window of HTTP/2.
const SMALLEST_WINDOW: i64 = 65_535;

impl Check for ConnectionSettings {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        for (field, value) in [
            ("httpIdleTimeout", self.http_idle_timeout),
            (
                "httpMaxConnectionDuration",
                self.http_max_connection_duration,
            ),
            ("httpMaxStreamDuration", self.http_max_stream_duration),
            ("httpStreamIdleTimeout", self.http_stream_idle_timeout),
            ("httpRequestTimeout", self.http_request_timeout),
            (
                "httpRequestHeadersTimeout",
                self.http_request_headers_timeout,
            ),
            ("httpDrainTimeout", self.http_drain_timeout),
        ] {
            duration_or_zero(&at.field(field), value, out);
        }
        for (field, number, least) in [
            (
                "listenerPerConnectionBufferLimitBytes",
                self.listener_per_connection_buffer_limit_bytes,
                1,
            ),
            (
                "clusterPerConnectionBufferLimitBytes",
                self.cluster_per_connection_buffer_limit_bytes,
                1,
            ),
            (
                "httpMaxConcurrentStreams",
                self.http_max_concurrent_streams,
                1,
            ),
            (
                "http2InitialStreamWindowSize",
                self.http2_initial_stream_window_size,
                SMALLEST_WINDOW,
            ),
            (
                "http2InitialConnectionWindowSize",
                self.http2_initial_connection_window_size,
                SMALLEST_WINDOW,
            ),
            (
                "globalDownstreamConnectionLimit",
                self.global_downstream_connection_limit,
                1,
            ),
        ] {
            at_least(&at.field(field), number, least, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn proxy_settings() {
        table::<ProxyConfig>(&[
            (
                "{drainDuration: 45s, discoveryAddress: 'istiod.istio-system.svc:15012'}",
                "",
            ),
            (
                "{discoveryAddress: '[::1]:15010', statsdUdpAddress: '10.0.0.1:9125'}",
                "",
            ),
            (
                "{discoveryAddress: 10.0.0.100}",
                "InvalidValue spec.discoveryAddress",
            ),
            ("{drainDuration: 1500ms}", "InvalidValue spec.drainDuration"),
            (
                "{proxyAdminPort: 0, statusPort: 65536, concurrency: -1}",
                "OutOfRange spec.proxyAdminPort|OutOfRange spec.statusPort|\
                 OutOfRange spec.concurrency",
            ),
            (
                "{tracing: {lightstep: {address: 'a:1'}, sampling: 101, zipkin: {address: a}}}",
                "Conflict spec.tracing|InvalidValue spec.tracing.zipkin.address|\
                 Required spec.tracing.lightstep.accessToken|OutOfRange spec.tracing.sampling",
            ),
            (
                "{privateKeyProvider: {qat: {pollDelay: 0s}}}",
                "Required spec.privateKeyProvider.qat.pollDelay",
            ),
            (
                "{connectionSettings: {httpIdleTimeout: -1s, http2InitialStreamWindowSize: 100}}",
                "InvalidDuration spec.connectionSettings.httpIdleTimeout|\
                 OutOfRange spec.connectionSettings.http2InitialStreamWindowSize",
            ),
        ]);
    }
}
