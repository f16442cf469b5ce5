//! Settings of a proxy: read when it starts, and sent to us in its node metadata.

use super::{ConnectionSettings, ProxyHeaders, ReadinessProbe, Tracing};
use crate::duration::Duration;
use crate::message::{choice, layered_message, message};
use crate::networking::destination_rule::{ClientTlsSettings, TcpKeepalive};
use std::collections::BTreeMap;

layered_message! {
    /// Settings of a proxy.
    pub struct ProxyConfig {
        /// Directory of the proxy's configuration. Default `./etc/istio/proxy`.
        pub config_path: Option<String>,
        /// The proxy's program. Default `/usr/local/bin/envoy`.
        pub binary_path: Option<String>,
        /// The proxy's service cluster. Excludes `tracingServiceName`.
        pub service_cluster: Option<String>,
        /// How the service in spans is named.
        pub tracing_service_name: Option<TracingServiceName>,
        /// How long connections are drained, in whole seconds. Default 45s.
        pub drain_duration: Option<Duration>,
        /// Deprecated: time before the parent is shut down on a hot restart.
        pub parent_shutdown_duration: Option<Duration>,
        /// The control plane, `HOST:PORT`. Default `istiod.istio-system.svc:15012`.
        pub discovery_address: Option<String>,
        /// Deprecated: without effect.
        pub discovery_refresh_delay: Option<Duration>,
        /// Deprecated: the address of Zipkin. Use `tracing`.
        pub zipkin_address: Option<String>,
        /// Where statistics go as statsd, `HOST:PORT`. Default: nowhere.
        pub statsd_udp_address: Option<String>,
        /// Deprecated: without effect. Use `envoyMetricsService`.
        pub envoy_metrics_service_address: Option<String>,
        /// Port of Envoy's admin interface. Default 15000.
        pub proxy_admin_port: Option<i64>,
        /// Deprecated: without effect.
        pub availability_zone: Option<String>,
        /// How the proxy talks to the control plane. Default `MUTUAL_TLS`.
        pub control_plane_auth_policy: Option<AuthenticationPolicy>,
        /// File with a bootstrap to use instead of the generated one.
        pub custom_config_file: Option<String>,
        /// The longest name of a service in statistics, in characters. Default 189.
        pub stat_name_length: Option<i64>,
        /// Worker threads; 0 is one for each core. Default 2, or by the CPU limit.
        pub concurrency: Option<i64>,
        /// File with a template of the bootstrap.
        pub proxy_bootstrap_template_path: Option<String>,
        /// How inbound traffic is captured. Default `REDIRECT`.
        pub interception_mode: Option<InboundInterceptionMode>,
        /// Tracing.
        pub tracing: Option<Tracing>,
        /// Deprecated: without effect.
        pub sds: Option<SdsSettings>,
        /// The service that access logs go to.
        pub envoy_access_log_service: Option<RemoteService>,
        /// The service that metrics go to.
        pub envoy_metrics_service: Option<RemoteService>,
        /// Environment of the proxy; names with `ISTIO_META_` become node metadata.
        pub proxy_metadata: BTreeMap<String, String>,
        /// Envoy's runtime settings; an empty text removes a default.
        pub runtime_values: BTreeMap<String, String>,
        /// Port of the agent's own interface, for example readiness. Default 15020.
        pub status_port: Option<i64>,
        /// Further tags taken out of the names of statistics.
        pub extra_stat_tags: Vec<String>,
        /// Where a gateway stands among other proxies.
        pub gateway_topology: Option<Topology>,
        /// Time for connections to end when the proxy stops. Default 5s.
        pub termination_drain_duration: Option<Duration>,
        /// The mesh's id in telemetry. Default: the trust domain.
        pub mesh_id: Option<String>,
        /// How the readiness of a workload outside of Kubernetes is probed.
        pub readiness_probe: Option<ReadinessProbe>,
        /// Statistics kept besides Istio's selection.
        pub proxy_stats_matcher: Option<ProxyStatsMatcher>,
        /// Whether the application waits for the proxy at start. Default false.
        pub hold_application_until_proxy_starts: Option<bool>,
        /// Further root certificates, in PEM.
        pub ca_certificates_pem: Vec<String>,
        /// The proxy's image.
        pub image: Option<ProxyImage>,
        /// Hardware that signs for the proxy.
        pub private_key_provider: Option<PrivateKeyProvider>,
        /// Headers that the proxy adds.
        pub proxy_headers: Option<ProxyHeaders>,
        /// How often logs are written to files. Default 1s.
        pub file_flush_interval: Option<Duration>,
        /// Kilobytes buffered before logs are written. Default 64.
        #[serde(alias = "fileFlushMinSizeKB")]
        pub file_flush_min_size_kb: Option<u32>,
        /// Whether metrics are served compressed. Default true.
        pub stats_compression: Option<bool>,
        /// Limits and timeouts of the proxy's own connections.
        pub connection_settings: Option<ConnectionSettings>,
    }
}

choice! {
    /// How the service in spans is named.
    pub enum TracingServiceName {
        /// By the `app` label and the namespace.
        AppLabelAndNamespace,
        /// By the canonical name.
        CanonicalNameOnly,
        /// By the canonical name and the namespace.
        CanonicalNameAndNamespace,
    }
}

choice! {
    /// How the proxy talks to the control plane.
    pub enum AuthenticationPolicy {
        /// In plain text.
        None,
        /// With mutual TLS.
        MutualTls,
        /// As the wider scope says.
        Inherit,
    }
}

choice! {
    /// How inbound traffic is captured.
    pub enum InboundInterceptionMode {
        /// By iptables `REDIRECT`; the client's address is lost.
        Redirect,
        /// By iptables `TPROXY`; the client's address is kept.
        Tproxy,
        /// Not at all: the application is set up to use the proxy.
        None,
    }
}

message! {
    /// Deprecated settings of secret discovery.
    pub struct SdsSettings {
        /// Without effect.
        pub enabled: Option<bool>,
        /// Without effect.
        pub k8s_sa_jwt_path: Option<String>,
    }
}

message! {
    /// A service that a proxy reports to.
    pub struct RemoteService {
        /// Its address, `HOST:PORT`.
        pub address: Option<String>,
        /// TLS towards it.
        pub tls_settings: Option<ClientTlsSettings>,
        /// TCP keep-alive towards it.
        pub tcp_keepalive: Option<TcpKeepalive>,
    }
}

message! {
    /// Where a gateway stands among other proxies.
    pub struct Topology {
        /// Trusted proxies in front of it, whose `x-forwarded-for` is believed. Default 0.
        pub num_trusted_proxies: Option<u32>,
        /// What happens to `x-forwarded-client-cert`. Default `SANITIZE`.
        pub forward_client_cert_details: Option<ForwardClientCertDetails>,
        /// Accepts the PROXY protocol from the proxy in front.
        pub proxy_protocol: Option<TopologyProxyProtocol>,
    }
}

message! {
    /// The PROXY protocol on a gateway's listeners.
    pub struct TopologyProxyProtocol {}
}

choice! {
    /// What happens to `x-forwarded-client-cert`.
    pub enum ForwardClientCertDetails {
        /// Nothing is set.
        Undefined,
        /// It is dropped.
        Sanitize,
        /// The client's is forwarded when the connection is mutual TLS.
        ForwardOnly,
        /// The client's certificate is appended when the connection is mutual TLS.
        AppendForward,
        /// The client's certificate replaces it when the connection is mutual TLS.
        SanitizeSet,
        /// The client's is always forwarded.
        AlwaysForwardOnly,
    }
}

message! {
    /// Statistics kept besides Istio's selection.
    pub struct ProxyStatsMatcher {
        /// Names that start with one of these.
        pub inclusion_prefixes: Vec<String>,
        /// Names that end with one of these.
        pub inclusion_suffixes: Vec<String>,
        /// Names that one of these expressions matches.
        pub inclusion_regexps: Vec<String>,
    }
}

message! {
    /// The proxy's image.
    pub struct ProxyImage {
        /// The kind: `default`, `debug` or `distroless`.
        pub image_type: Option<String>,
    }
}

message! {
    /// Hardware that signs for the proxy. One field is set.
    pub struct PrivateKeyProvider {
        /// Intel's CryptoMB.
        pub cryptomb: Option<PrivateKeyQueue>,
        /// Intel's QuickAssist.
        pub qat: Option<PrivateKeyQueue>,
    }
}

message! {
    /// How requests to sign are queued.
    pub struct PrivateKeyQueue {
        /// How long requests wait for the queue to fill; more than 0. Required.
        pub poll_delay: Option<Duration>,
        /// Whether signing falls back to software. Default false.
        pub fallback: Option<bool>,
    }
}
