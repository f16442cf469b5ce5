//! MeshConfig and ProxyConfig: settings of the whole mesh and of its proxies.
//!
//! Follows <https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/>. What a user
//! writes is laid over [`MeshConfig::defaults`] by [`MeshConfig::merge`]; the methods that
//! answer effective values work on the result, and fall back to Istio's defaults by themselves.

mod certificates;
mod check;
mod connection;
mod defaults;
mod effective;
mod merge;
mod probe;
mod provider;
mod proxy;
mod proxy_headers;
mod service;
mod tracing;

pub use certificates::{Ca, Certificate, CertificateData, TlsConfig, TlsConfigProtocol};
pub use connection::{
    ConnectionProfile, ConnectionSettings, HeadersWithUnderscoresAction,
    PathWithEscapedSlashesAction,
};
pub use probe::{
    ExecHealthCheck, GrpcHealthCheck, HttpHealthCheck, ProbeHeader, ReadinessProbe, TcpHealthCheck,
};
pub use provider::*;
pub use proxy::{
    AuthenticationPolicy, ForwardClientCertDetails, InboundInterceptionMode, PrivateKeyProvider,
    PrivateKeyQueue, ProxyConfig, ProxyImage, ProxyStatsMatcher, RemoteService, SdsSettings,
    Topology, TopologyProxyProtocol, TracingServiceName,
};
pub use proxy_headers::{
    HeaderSwitch, MetadataExchangeHeaders, MetadataExchangeMode, OptInHeader, ProxyHeaders,
    ServerHeader, SetCurrentClientCertDetails,
};
pub use service::{
    ConfigResource, ConfigSource, ServiceScope, ServiceScopeConfig, ServiceSettings,
    ServiceSettingsValues,
};
pub use tracing::{
    CustomTag, CustomTagEnvironment, CustomTagFormatter, CustomTagHeader, CustomTagLiteral,
    DatadogTracing, LightstepTracing, OpenCensusTracing, StackdriverTracing, TraceContext, Tracing,
    ZipkinTracing,
};

use crate::duration::Duration;
use crate::message::{choice, layered_message, message};
use crate::networking::destination_rule::{
    ConnectionPoolSettings, LocalityLbSetting, OutlierDetection, TcpKeepalive,
};
use crate::networking::sidecar::OutboundTrafficPolicy;
use crate::networking::virtual_service::HttpRetry;
use crate::selector::LabelSelector;

layered_message! {
    /// Settings of the whole mesh.
    pub struct MeshConfig {
        /// Port of the proxies' listener for outbound traffic. Default 15001.
        pub proxy_listen_port: Option<i64>,
        /// Port of the proxies' listener for inbound traffic. Default 15006.
        pub proxy_inbound_listen_port: Option<i64>,
        /// Port of an HTTP forward proxy on every sidecar. Default 0, none.
        pub proxy_http_port: Option<i64>,
        /// How long connecting may take, 1ms to 1h. Default 10s.
        pub connect_timeout: Option<Duration>,
        /// How long the proxy waits for the first bytes of a connection whose protocol it must
        /// tell. Default 0s, for ever.
        pub protocol_detection_timeout: Option<Duration>,
        /// TCP keep-alive towards all destinations. Default: none.
        pub tcp_keepalive: Option<TcpKeepalive>,
        /// The class of Ingress objects served. Default `istio`.
        pub ingress_class: Option<String>,
        /// The service of the ingress gateway. Default `istio-ingressgateway`.
        pub ingress_service: Option<String>,
        /// Which Ingress objects are served. Default `STRICT`.
        pub ingress_controller_mode: Option<IngressControllerMode>,
        /// The `istio` label of the ingress gateway's workloads. Default `ingressgateway`.
        pub ingress_selector: Option<String>,
        /// Whether proxies trace and make request ids. Default true.
        pub enable_tracing: Option<bool>,
        /// File for access logs, for example `/dev/stdout`. Default: none are written.
        pub access_log_file: Option<String>,
        /// Format of access logs. Default: Istio's.
        pub access_log_format: Option<String>,
        /// Encoding of access logs. Default `TEXT`.
        pub access_log_encoding: Option<AccessLogEncoding>,
        /// Whether access logs go to Envoy's gRPC log service. Default false.
        pub enable_envoy_access_log_service: Option<bool>,
        /// Whether the listeners' own access logs are off. Default false.
        pub disable_envoy_listener_log: Option<bool>,
        /// Settings of every proxy.
        pub default_config: Option<ProxyConfig>,
        /// What happens to traffic to unknown destinations. Default `ALLOW_ANY`.
        pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
        /// Where inbound traffic to ports that no service declares goes. Default `PASSTHROUGH`.
        pub inbound_traffic_policy: Option<InboundTrafficPolicy>,
        /// Where configuration comes from.
        pub config_sources: Vec<ConfigSource>,
        /// Whether sidecars choose mutual TLS by themselves. Default true.
        pub enable_auto_mtls: Option<bool>,
        /// The trust domain. Default `cluster.local`.
        pub trust_domain: Option<String>,
        /// Trust domains that count as the own one.
        pub trust_domain_aliases: Vec<String>,
        /// Further root certificates for workloads.
        pub ca_certificates: Vec<CertificateData>,
        /// Who sees services that do not say: namespaces, `.`, `*` or `~`. Default `*`.
        pub default_service_export_to: Vec<String>,
        /// Who sees VirtualServices that do not say. Default `*`.
        pub default_virtual_service_export_to: Vec<String>,
        /// Who sees DestinationRules that do not say. Default `*`.
        pub default_destination_rule_export_to: Vec<String>,
        /// The namespace whose configuration is for the whole mesh. Default `istio-system`.
        pub root_namespace: Option<String>,
        /// Load balancing by locality. Default: enabled, without explicit shares.
        pub locality_lb_setting: Option<LocalityLbSetting>,
        /// How often DNS names of destinations are resolved. Default 60s.
        pub dns_refresh_rate: Option<Duration>,
        /// Whether HTTP/1.1 becomes HTTP/2 between sidecars. Default `DO_NOT_UPGRADE`.
        pub h2_upgrade_policy: Option<MeshH2UpgradePolicy>,
        /// Name of inbound clusters in statistics, with variables such as `%SERVICE%`. Default:
        /// the cluster's name.
        pub inbound_cluster_stat_name: Option<String>,
        /// Name of outbound clusters in statistics, with variables such as `%SERVICE_FQDN%`.
        /// Default: the cluster's name.
        pub outbound_cluster_stat_name: Option<String>,
        /// Deprecated: DNS certificates to provision.
        pub certificates: Vec<Certificate>,
        /// Settings of single services.
        pub service_settings: Vec<ServiceSettings>,
        /// Which services are known in other clusters (ambient mode).
        pub service_scope_configs: Vec<ServiceScopeConfig>,
        /// Whether metrics of application and proxy are served together. Default true.
        pub enable_prometheus_merge: Option<bool>,
        /// Deprecated: whether clients verify servers outside of the mesh. Default true.
        pub verify_certificate_at_client: Option<bool>,
        /// An external authority that signs workload certificates.
        pub ca: Option<Ca>,
        /// External services for authorization, tracing, metrics and logs, by name.
        pub extension_providers: Vec<ExtensionProvider>,
        /// The providers used where nothing else is said.
        pub default_providers: Option<DefaultProviders>,
        /// The namespaces that matter: one of the selectors must match. Default: all.
        pub discovery_selectors: Vec<LabelSelector>,
        /// How paths are normalized before they are matched. Default `BASE`.
        pub path_normalization: Option<ProxyPathNormalization>,
        /// How failed requests are tried again where no route says. Default: 2 attempts.
        pub default_http_retry_policy: Option<HttpRetry>,
        /// How sidecars retry towards their own application. Default: requests that a closed
        /// connection swallowed.
        pub default_inbound_http_retry_policy: Option<HttpRetry>,
        /// Limits and outlier detection where no DestinationRule says.
        pub default_traffic_policy: Option<DefaultTrafficPolicy>,
        /// TLS between workloads of the mesh.
        #[serde(rename = "meshMTLS")]
        pub mesh_mtls: Option<TlsConfig>,
        /// TLS everywhere else.
        pub tls_defaults: Option<TlsConfig>,
    }
}

choice! {
    /// Which Ingress objects are served.
    pub enum IngressControllerMode {
        /// The same as `STRICT`.
        Unspecified,
        /// None.
        Off,
        /// Those of the class, and those without a class.
        Default,
        /// Those of the class.
        Strict,
    }
}

choice! {
    /// Encoding of access logs.
    pub enum AccessLogEncoding {
        /// Lines of text.
        Text,
        /// JSON objects, one a line.
        Json,
    }
}

message! {
    /// Where inbound traffic to ports that no service declares goes.
    pub struct InboundTrafficPolicy {
        /// Default `PASSTHROUGH`.
        pub mode: Option<InboundTrafficPolicyMode>,
    }
}

choice! {
    /// Where inbound traffic to ports that no service declares goes.
    pub enum InboundTrafficPolicyMode {
        /// To the address that the client asked for.
        Passthrough,
        /// To the loopback address.
        Localhost,
    }
}

choice! {
    /// Whether HTTP/1.1 becomes HTTP/2 between sidecars.
    pub enum MeshH2UpgradePolicy {
        /// No.
        DoNotUpgrade,
        /// Yes.
        Upgrade,
    }
}

layered_message! {
    /// The providers used where nothing else is said, by name.
    pub struct DefaultProviders {
        /// For tracing.
        pub tracing: Vec<String>,
        /// For metrics.
        pub metrics: Vec<String>,
        /// For access logs.
        pub access_logging: Vec<String>,
    }
}

message! {
    /// How paths are normalized before they are matched.
    pub struct ProxyPathNormalization {
        /// How far. Default `DEFAULT`.
        pub normalization: Option<NormalizationType>,
    }
}

choice! {
    /// How far paths are normalized.
    pub enum NormalizationType {
        /// The same as `BASE`.
        Default,
        /// Not at all.
        None,
        /// By RFC 3986: `/a/../b` is `/b`.
        Base,
        /// And slashes merged: `/a//b` is `/a/b`.
        MergeSlashes,
        /// And `%2F` and `%5C` decoded before.
        DecodeAndMergeSlashes,
    }
}

message! {
    /// Policies where no DestinationRule says.
    pub struct DefaultTrafficPolicy {
        /// Limits on connections and requests.
        pub connection_pool: Option<ConnectionPoolSettings>,
        /// When failing endpoints are left out.
        pub outlier_detection: Option<OutlierDetection>,
    }
}
