//! Istio's defaults, as `istiod` starts from.

use super::{
    AccessLogEncoding, AuthenticationPolicy, ExtensionProvider, InboundInterceptionMode,
    InboundTrafficPolicy, InboundTrafficPolicyMode, IngressControllerMode, MeshConfig,
    MeshH2UpgradePolicy, PrometheusMetricsProvider, ProxyConfig, StackdriverProvider,
};
use super::{EnvoyFileAccessLogProvider, Tracing};
use crate::duration::Duration;
use crate::networking::destination_rule::LocalityLbSetting;
use crate::networking::sidecar::{OutboundTrafficPolicy, OutboundTrafficPolicyMode};
use crate::percent::Decimal;

impl MeshConfig {
    /// What holds where a user's mesh config says nothing.
    #[must_use]
    pub fn defaults() -> Self {
        let everyone = || vec!["*".to_owned()];
        Self {
            proxy_listen_port: Some(15001),
            proxy_inbound_listen_port: Some(15006),
            connect_timeout: Some(Duration::from_secs(10)),
            protocol_detection_timeout: Some(Duration::ZERO),
            ingress_class: Some("istio".into()),
            ingress_service: Some("istio-ingressgateway".into()),
            ingress_controller_mode: Some(IngressControllerMode::Strict),
            ingress_selector: Some("ingressgateway".into()),
            enable_tracing: Some(true),
            access_log_file: Some(String::new()),
            access_log_encoding: Some(AccessLogEncoding::Text),
            default_config: Some(ProxyConfig::defaults()),
            outbound_traffic_policy: Some(OutboundTrafficPolicy {
                mode: Some(OutboundTrafficPolicyMode::AllowAny),
                egress_proxy: None,
            }),
            inbound_traffic_policy: Some(InboundTrafficPolicy {
                mode: Some(InboundTrafficPolicyMode::Passthrough),
            }),
            enable_auto_mtls: Some(true),
            trust_domain: Some("cluster.local".into()),
            default_service_export_to: everyone(),
            default_virtual_service_export_to: everyone(),
            default_destination_rule_export_to: everyone(),
            root_namespace: Some("istio-system".into()),
            locality_lb_setting: Some(LocalityLbSetting {
                enabled: Some(true),
                ..LocalityLbSetting::default()
            }),
            dns_refresh_rate: Some(Duration::from_secs(60)),
            h2_upgrade_policy: Some(MeshH2UpgradePolicy::DoNotUpgrade),
            enable_prometheus_merge: Some(true),
            extension_providers: built_in_providers(),
            ..Self::default()
        }
    }
}

impl ProxyConfig {
    /// What holds for a proxy where nothing else is said.
    #[must_use]
    pub fn defaults() -> Self {
        Self {
            config_path: Some("./etc/istio/proxy".into()),
            binary_path: Some("/usr/local/bin/envoy".into()),
            service_cluster: Some("istio-proxy".into()),
            drain_duration: Some(Duration::from_secs(45)),
            discovery_address: Some("istiod.istio-system.svc:15012".into()),
            proxy_admin_port: Some(15000),
            control_plane_auth_policy: Some(AuthenticationPolicy::MutualTls),
            stat_name_length: Some(189),
            interception_mode: Some(InboundInterceptionMode::Redirect),
            tracing: Some(Tracing {
                sampling: Some(Decimal::from_whole(1)),
                ..Tracing::default()
            }),
            status_port: Some(15020),
            termination_drain_duration: Some(Duration::from_secs(5)),
            ..Self::default()
        }
    }
}

fn built_in_providers() -> Vec<ExtensionProvider> {
    let named = |name: &str| ExtensionProvider {
        name: name.into(),
        ..ExtensionProvider::default()
    };
    vec![
        ExtensionProvider {
            prometheus: Some(PrometheusMetricsProvider::default()),
            ..named("prometheus")
        },
        ExtensionProvider {
            stackdriver: Some(StackdriverProvider::default()),
            ..named("stackdriver")
        },
        ExtensionProvider {
            envoy_file_access_log: Some(EnvoyFileAccessLogProvider {
                path: Some("/dev/stdout".into()),
                ..EnvoyFileAccessLogProvider::default()
            }),
            ..named("envoy")
        },
    ]
}
