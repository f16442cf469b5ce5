//! Connection pools and outlier detection.

use super::super::{
    ConnectionPoolSettings, H2UpgradePolicy, Http2KeepAlive, HttpSettings, OutlierDetection,
    TcpKeepalive, TcpSettings,
};
use crate::check::value::{duration, duration_or_zero, not_negative};
use crate::check::{Check, Findings};
use meltemi_types::FieldPath;

impl Check for ConnectionPoolSettings {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self { tcp, http } = self;
        if tcp.is_none() && http.is_none() {
            out.required(at, "tcp or http");
        }
        tcp.check(&at.field("tcp"), out);
        http.check(&at.field("http"), out);
    }
}

impl Check for TcpSettings {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            max_connections,
            connect_timeout,
            tcp_keepalive,
            max_connection_duration,
            idle_timeout,
        } = self;
        not_negative(&at.field("maxConnections"), *max_connections, out);
        duration(&at.field("connectTimeout"), *connect_timeout, out);
        tcp_keepalive.check(&at.field("tcpKeepalive"), out);
        duration(
            &at.field("maxConnectionDuration"),
            *max_connection_duration,
            out,
        );
        duration_or_zero(&at.field("idleTimeout"), *idle_timeout, out);
    }
}

impl Check for TcpKeepalive {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            probes: _,
            time,
            interval,
        } = self;
        duration(&at.field("time"), *time, out);
        duration(&at.field("interval"), *interval, out);
    }
}

impl Check for HttpSettings {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            http1_max_pending_requests,
            http2_max_requests,
            max_requests_per_connection,
            max_retries,
            idle_timeout,
            h2_upgrade_policy,
            use_client_protocol,
            max_concurrent_streams,
            http2_keep_alive,
        } = self;
        for (field, number) in [
            ("http1MaxPendingRequests", http1_max_pending_requests),
            ("http2MaxRequests", http2_max_requests),
            ("maxRequestsPerConnection", max_requests_per_connection),
            ("maxRetries", max_retries),
            ("maxConcurrentStreams", max_concurrent_streams),
        ] {
            not_negative(&at.field(field), *number, out);
        }
        duration(&at.field("idleTimeout"), *idle_timeout, out);
        if *h2_upgrade_policy == Some(H2UpgradePolicy::Upgrade)
            && *use_client_protocol == Some(true)
        {
            out.conflict(
                &at.field("useClientProtocol"),
                "h2UpgradePolicy UPGRADE and useClientProtocol are both set",
                "keep one of them",
            );
        }
        if let Some(Http2KeepAlive { interval, timeout }) = http2_keep_alive {
            let at = at.field("http2KeepAlive");
            for (field, value) in [("interval", interval), ("timeout", timeout)] {
                if value.is_none() {
                    out.required(&at.field(field), "the duration");
                }
                duration(&at.field(field), *value, out);
            }
        }
    }
}

impl Check for OutlierDetection {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            consecutive_errors,
            split_external_local_origin_errors,
            consecutive_local_origin_failures,
            consecutive_gateway_errors: _,
            consecutive_5xx_errors: _,
            interval,
            base_ejection_time,
            max_ejection_percent,
            min_health_percent,
            outlier_detection_http_error_codes,
        } = self;
        if consecutive_errors.is_some() {
            out.ignored(
                &at.field("consecutiveErrors"),
                "consecutiveErrors has no effect",
                "use consecutive5xxErrors",
            );
        }
        if consecutive_local_origin_failures.is_some_and(|count| count > 0)
            && *split_external_local_origin_errors != Some(true)
        {
            out.conflict(
                &at.field("consecutiveLocalOriginFailures"),
                "local failures are counted apart only after a split",
                "set splitExternalLocalOriginErrors to true",
            );
        }
        duration(&at.field("interval"), *interval, out);
        duration(&at.field("baseEjectionTime"), *base_ejection_time, out);
        for (field, percent) in [
            ("maxEjectionPercent", max_ejection_percent),
            ("minHealthPercent", min_health_percent),
        ] {
            if let Some(percent) = percent
                && !(0..=100).contains(percent)
            {
                out.out_of_range(
                    &at.field(field),
                    format!("{percent} percent"),
                    "use 0 to 100",
                );
            }
        }
        let codes = at.field("outlierDetectionHttpErrorCodes");
        for (index, code) in outlier_detection_http_error_codes.iter().enumerate() {
            if !(100..=599).contains(code) {
                out.out_of_range(
                    &codes.index(index),
                    format!("{code} is not an HTTP status"),
                    "use 100 to 599",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn pools() {
        table::<ConnectionPoolSettings>(&[
            (
                "{tcp: {maxConnections: 1, connectTimeout: 30ms, idleTimeout: 0s}}",
                "",
            ),
            (
                "{http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 0}}",
                "",
            ),
            ("{}", "Required spec"),
            (
                "{tcp: {maxConnections: -1, connectTimeout: 0s, idleTimeout: -1s, \
                 maxConnectionDuration: 1us, tcpKeepalive: {time: 0s, interval: 1s}}}",
                "OutOfRange spec.tcp.maxConnections|InvalidDuration spec.tcp.connectTimeout|\
                 InvalidDuration spec.tcp.tcpKeepalive.time|\
                 InvalidDuration spec.tcp.maxConnectionDuration|\
                 InvalidDuration spec.tcp.idleTimeout",
            ),
            (
                "{http: {http2MaxRequests: -1, maxRetries: 3000000000, idleTimeout: 0s, \
                 h2UpgradePolicy: UPGRADE, useClientProtocol: true, http2KeepAlive: {interval: 1s}}}",
                "OutOfRange spec.http.http2MaxRequests|OutOfRange spec.http.maxRetries|\
                 InvalidDuration spec.http.idleTimeout|Conflict spec.http.useClientProtocol|\
                 Required spec.http.http2KeepAlive.timeout",
            ),
        ]);
    }

    #[test]
    fn outliers() {
        table::<OutlierDetection>(&[
            (
                "{consecutive5xxErrors: 3, interval: 1s, maxEjectionPercent: 100}",
                "",
            ),
            ("{}", ""),
            (
                "{baseEjectionTime: 0s, maxEjectionPercent: 101, minHealthPercent: -1, \
                 outlierDetectionHttpErrorCodes: [500, 600]}",
                "InvalidDuration spec.baseEjectionTime|OutOfRange spec.maxEjectionPercent|\
                 OutOfRange spec.minHealthPercent|\
                 OutOfRange spec.outlierDetectionHttpErrorCodes[1]",
            ),
            (
                "{consecutiveLocalOriginFailures: 5, consecutiveErrors: 1}",
                "ignoredfield spec.consecutiveErrors|\
                 Conflict spec.consecutiveLocalOriginFailures",
            ),
        ]);
    }
}
