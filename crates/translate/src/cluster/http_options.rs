//! The HTTP protocol towards endpoints: which version, and the options of it.
//!
//! They are one typed extension, and Envoy refuses it without one of the explicit, downstream and
//! automatic choices; so a version is always chosen. Without the extension Envoy speaks HTTP/1.1.

use super::connection_pool::SHORTEST;
use crate::wire;
use meltemi_api::duration::Duration;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_api::networking::destination_rule::{
    ConnectionPoolSettings, H2UpgradePolicy, Http2KeepAlive, HttpSettings, OutlierDetection,
};
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::cluster::v3 as envoy;
use meltemi_proto::envoy::config::common::matcher::v3 as matcher;
use meltemi_proto::envoy::config::common::matcher::v3::match_predicate::{MatchSet, Rule};
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::route::v3::HeaderMatcher;
use meltemi_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use meltemi_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use meltemi_proto::envoy::extensions::upstreams::http::v3::http_protocol_options as choice;
use meltemi_proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use meltemi_types::{Protocol, ProxyKind};

const EXTENSION: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Which HTTP is spoken to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Whatever the client speaks.
    Downstream,
}

impl HttpVersion {
    /// The version towards a service port.
    pub(super) fn outbound(
        kind: ProxyKind,
        protocol: Protocol,
        http: Option<&HttpSettings>,
        mesh: &MeshConfig,
    ) -> Self {
        let sniffed = protocol == Protocol::Auto && kind == ProxyKind::Sidecar;
        let upgrade = http
            .and_then(|h| h.h2_upgrade_policy)
            .unwrap_or(H2UpgradePolicy::Default);
        if http.is_some_and(|h| h.use_client_protocol == Some(true)) {
            return Self::Downstream;
        }
        match upgrade {
            _ if protocol.is_http2() => Self::Http2,
            H2UpgradePolicy::Upgrade if protocol.is_http() || protocol == Protocol::Auto => {
                Self::Http2
            }
            H2UpgradePolicy::Default if protocol.is_http() && mesh.upgrades_to_http2() => {
                Self::Http2
            }
            H2UpgradePolicy::Default | H2UpgradePolicy::DoNotUpgrade | H2UpgradePolicy::Upgrade => {
                if sniffed {
                    Self::Downstream
                } else {
                    Self::Http1
                }
            }
        }
    }

    /// The version towards the workload itself.
    pub(super) fn inbound(protocol: Protocol, http: Option<&HttpSettings>) -> Self {
        let clients = http.is_some_and(|h| h.use_client_protocol == Some(true));
        if protocol.is_http2() && !clients {
            Self::Http2
        } else {
            Self::Downstream
        }
    }
}

/// Whether the server name of TLS is taken from each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AutoSni {
    /// No: there is no TLS, or the name is given.
    Off,
    /// Yes.
    On,
    /// Yes, and the server's certificate must carry it.
    Verified,
}

/// All that the options depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct HttpInput<'a> {
    pub(super) version: HttpVersion,
    pub(super) pool: Option<&'a ConnectionPoolSettings>,
    pub(super) outlier: Option<&'a OutlierDetection>,
    pub(super) auto_sni: AutoSni,
    /// HTTP/1.1 headers keep the case that they came with.
    pub(super) keeps_case: bool,
}

/// Puts the options into a cluster.
pub(super) fn set(cluster: &mut envoy::Cluster, options: Option<HttpProtocolOptions>) {
    let packed = options.map(|options| (EXTENSION.to_owned(), pack(&options)));
    cluster.typed_extension_protocol_options.extend(packed);
}

/// The options; `None` when they would say what Envoy does anyway.
pub(super) fn options(input: &HttpInput<'_>) -> Option<HttpProtocolOptions> {
    let common = common(input.pool);
    let errors = input.outlier.and_then(error_matcher);
    let sni = match input.auto_sni {
        AutoSni::Off => None,
        AutoSni::On | AutoSni::Verified => Some(core::UpstreamHttpProtocolOptions {
            auto_sni: true,
            auto_san_validation: input.auto_sni == AutoSni::Verified,
            ..core::UpstreamHttpProtocolOptions::default()
        }),
    };
    let silent = common.is_none() && errors.is_none() && sni.is_none();
    if silent && !input.keeps_case && input.version == HttpVersion::Http1 {
        return None;
    }
    let http = input.pool.and_then(|p| p.http.as_ref());
    Some(HttpProtocolOptions {
        common_http_protocol_options: common,
        upstream_http_protocol_options: sni,
        outlier_detection: errors.map(|error_matcher| choice::OutlierDetection {
            error_matcher: Some(error_matcher),
        }),
        upstream_protocol_options: Some(protocol(input.version, http, input.keeps_case)),
        ..HttpProtocolOptions::default()
    })
}

/// The options of the two passthrough clusters: the client's protocol, and an idle time.
pub(super) fn passthrough(idle: Duration, keeps_case: bool) -> HttpProtocolOptions {
    HttpProtocolOptions {
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            idle_timeout: Some(wire::duration(idle)),
            ..core::HttpProtocolOptions::default()
        }),
        upstream_protocol_options: Some(protocol(HttpVersion::Downstream, None, keeps_case)),
        ..HttpProtocolOptions::default()
    }
}

fn protocol(
    version: HttpVersion,
    http: Option<&HttpSettings>,
    keeps_case: bool,
) -> choice::UpstreamProtocolOptions {
    use choice::explicit_http_config::ProtocolConfig;
    let explicit = |config| {
        choice::UpstreamProtocolOptions::ExplicitHttpConfig(choice::ExplicitHttpConfig {
            protocol_config: Some(config),
        })
    };
    let http1 = core::Http1ProtocolOptions {
        header_key_format: crate::http::keep_case(keeps_case),
        ..core::Http1ProtocolOptions::default()
    };
    match version {
        HttpVersion::Http1 => explicit(ProtocolConfig::HttpProtocolOptions(http1)),
        HttpVersion::Http2 => explicit(ProtocolConfig::Http2ProtocolOptions(http2(http))),
        HttpVersion::Downstream => choice::UpstreamProtocolOptions::UseDownstreamProtocolConfig(
            choice::UseDownstreamHttpConfig {
                http_protocol_options: Some(http1),
                http2_protocol_options: Some(http2(http)),
                http3_protocol_options: None,
            },
        ),
    }
}

fn http2(http: Option<&HttpSettings>) -> core::Http2ProtocolOptions {
    let streams = http
        .and_then(|h| h.max_concurrent_streams)
        .filter(|s| *s > 0);
    let pings = http.and_then(|h| h.http2_keep_alive.as_ref());
    core::Http2ProtocolOptions {
        max_concurrent_streams: streams
            .map(|s| wire::u32(u32::try_from(s).unwrap_or(u32::MAX).min(i32::MAX as u32))),
        connection_keepalive: pings.and_then(keepalive),
        ..core::Http2ProtocolOptions::default()
    }
}

/// Envoy demands a time for the answer; Istio's users may leave it out.
fn keepalive(pings: &Http2KeepAlive) -> Option<core::KeepaliveSettings> {
    let Http2KeepAlive { interval, timeout } = pings;
    let interval = interval.filter(|i| *i >= SHORTEST)?;
    let timeout = timeout.filter(|t| *t >= SHORTEST);
    Some(core::KeepaliveSettings {
        interval: Some(wire::duration(interval)),
        timeout: Some(wire::duration(timeout.unwrap_or(Duration::from_secs(10)))),
        ..core::KeepaliveSettings::default()
    })
}

fn common(pool: Option<&ConnectionPoolSettings>) -> Option<core::HttpProtocolOptions> {
    let ConnectionPoolSettings { tcp, http } = pool?;
    let (tcp, http) = (tcp.as_ref(), http.as_ref());
    let requests = http
        .and_then(|h| h.max_requests_per_connection)
        .filter(|n| *n > 0);
    let options = core::HttpProtocolOptions {
        idle_timeout: http
            .and_then(|h| h.idle_timeout)
            .or_else(|| tcp.and_then(|t| t.idle_timeout))
            .filter(|t| !t.is_negative())
            .map(wire::duration),
        max_connection_duration: tcp
            .and_then(|t| t.max_connection_duration)
            .filter(|d| *d >= SHORTEST)
            .map(wire::duration),
        max_requests_per_connection: requests
            .map(|n| wire::u32(u32::try_from(n).unwrap_or(u32::MAX))),
        ..core::HttpProtocolOptions::default()
    };
    (options != core::HttpProtocolOptions::default()).then_some(options)
}

/// Which answers count as errors; Envoy refuses an "or" of a single condition.
fn error_matcher(outlier: &OutlierDetection) -> Option<matcher::MatchPredicate> {
    let mut rules: Vec<matcher::MatchPredicate> = outlier
        .outlier_detection_http_error_codes
        .iter()
        .filter(|code| (100..=599).contains(*code))
        .map(|code| matcher::MatchPredicate {
            rule: Some(Rule::HttpResponseHeadersMatch(matcher::HttpHeadersMatch {
                headers: vec![HeaderMatcher {
                    name: ":status".into(),
                    header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(
                        StringMatcher {
                            match_pattern: Some(MatchPattern::Exact(code.to_string())),
                            ignore_case: false,
                        },
                    )),
                    ..HeaderMatcher::default()
                }],
            })),
        })
        .collect();
    match rules.len() {
        0 | 1 => rules.pop(),
        _ => Some(matcher::MatchPredicate {
            rule: Some(Rule::OrMatch(MatchSet { rules })),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(protocol: Protocol, http: &str, mesh: &str) -> HttpVersion {
        let http: HttpSettings = serde_yaml::from_str(http).unwrap();
        let mesh: MeshConfig = serde_yaml::from_str(mesh).unwrap();
        HttpVersion::outbound(ProxyKind::Sidecar, protocol, Some(&http), &mesh)
    }

    #[test]
    fn the_version_follows_port_rule_and_mesh() {
        let upgrade = "{h2UpgradePolicy: UPGRADE}";
        assert_eq!(version(Protocol::Http, "{}", "{}"), HttpVersion::Http1);
        assert_eq!(version(Protocol::Grpc, "{}", "{}"), HttpVersion::Http2);
        assert_eq!(version(Protocol::Auto, "{}", "{}"), HttpVersion::Downstream);
        assert_eq!(version(Protocol::Auto, upgrade, "{}"), HttpVersion::Http2);
        assert_eq!(version(Protocol::Http, "{}", upgrade), HttpVersion::Http2);
        assert_eq!(
            version(Protocol::Auto, "{}", upgrade),
            HttpVersion::Downstream
        );
        assert_eq!(
            version(Protocol::Http, "{h2UpgradePolicy: DO_NOT_UPGRADE}", upgrade),
            HttpVersion::Http1
        );
        assert_eq!(
            version(Protocol::Http, "{useClientProtocol: true}", upgrade),
            HttpVersion::Downstream
        );
    }

    fn made(version: HttpVersion, pool: &str, outlier: &str) -> Option<HttpProtocolOptions> {
        let pool: ConnectionPoolSettings = serde_yaml::from_str(pool).unwrap();
        let outlier: OutlierDetection = serde_yaml::from_str(outlier).unwrap();
        options(&HttpInput {
            version,
            pool: Some(&pool),
            outlier: Some(&outlier),
            auto_sni: AutoSni::Off,
            keeps_case: false,
        })
    }

    #[test]
    fn options_always_choose_a_protocol_or_are_left_out() {
        assert_eq!(made(HttpVersion::Http1, "{}", "{}"), None);
        for version in [
            HttpVersion::Http1,
            HttpVersion::Http2,
            HttpVersion::Downstream,
        ] {
            let options = made(version, "{tcp: {idleTimeout: 7s}}", "{}").unwrap();
            assert!(options.upstream_protocol_options.is_some());
            let common = options.common_http_protocol_options.unwrap();
            assert_eq!(common.idle_timeout, Some(wire::seconds(7)));
        }
    }

    #[test]
    fn one_error_code_is_no_or() {
        let rule = |codes: &str| {
            let outlier = format!("{{outlierDetectionHttpErrorCodes: {codes}}}");
            let options = made(HttpVersion::Http1, "{}", &outlier).unwrap();
            let matcher = options.outlier_detection.unwrap().error_matcher.unwrap();
            matcher.rule.unwrap()
        };
        assert!(matches!(rule("[503]"), Rule::HttpResponseHeadersMatch(_)));
        assert!(matches!(rule("[500, 503]"), Rule::OrMatch(set) if set.rules.len() == 2));
    }

    #[test]
    fn pings_always_have_a_timeout() {
        let options = made(
            HttpVersion::Http2,
            "{http: {http2KeepAlive: {interval: 5s}, maxConcurrentStreams: 99999999999}}",
            "{}",
        );
        let http: HttpSettings = serde_yaml::from_str(
            "{http2KeepAlive: {interval: 5s}, maxConcurrentStreams: 99999999999}",
        )
        .unwrap();
        let made = http2(Some(&http));
        assert!(options.is_some());
        assert!(made.connection_keepalive.unwrap().timeout.is_some());
        assert_eq!(
            made.max_concurrent_streams,
            Some(wire::u32(i32::MAX as u32))
        );
    }
}
