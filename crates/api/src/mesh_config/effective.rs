//! Effective values of a mesh config: what holds, whatever was said or left out.
//!
//! A value that cannot be used (a port of 0, a name that is none) counts as left out: the checks
//! have reported it.

use super::{
    InboundTrafficPolicyMode, MeshConfig, MeshH2UpgradePolicy, NormalizationType, ProxyConfig,
};
use crate::duration::Duration;
use crate::networking::sidecar::{OutboundTrafficPolicy, OutboundTrafficPolicyMode};
use meltemi_types::{Namespace, Port, TrustDomain};

fn port(number: Option<i64>) -> Option<Port> {
    Port::new(u32::try_from(number?).ok()?)
}

fn exported(list: &[String]) -> Vec<&str> {
    match list {
        [] => vec!["*"],
        list => list.iter().map(String::as_str).collect(),
    }
}

impl MeshConfig {
    /// How long connecting may take.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
            .filter(|timeout| *timeout > Duration::ZERO)
            .unwrap_or(Duration::from_secs(10))
    }

    /// How long the proxy waits for the first bytes; `None` is for ever.
    #[must_use]
    pub fn protocol_detection_timeout(&self) -> Option<Duration> {
        self.protocol_detection_timeout
            .filter(|timeout| *timeout > Duration::ZERO)
    }

    /// Port of the listener for outbound traffic.
    #[must_use]
    pub fn outbound_port(&self) -> Option<Port> {
        port(self.proxy_listen_port).or_else(|| Port::new(15001))
    }

    /// Port of the listener for inbound traffic.
    #[must_use]
    pub fn inbound_port(&self) -> Option<Port> {
        port(self.proxy_inbound_listen_port).or_else(|| Port::new(15006))
    }

    /// Port of the HTTP forward proxy, when there is to be one.
    #[must_use]
    pub fn http_proxy_port(&self) -> Option<Port> {
        port(self.proxy_http_port)
    }

    /// What happens to traffic to unknown destinations.
    #[must_use]
    pub fn outbound_mode(&self) -> OutboundTrafficPolicyMode {
        self.outbound_traffic_policy.as_ref().map_or(
            OutboundTrafficPolicyMode::AllowAny,
            OutboundTrafficPolicy::mode,
        )
    }

    /// Where inbound traffic to ports that no service declares goes.
    #[must_use]
    pub fn inbound_mode(&self) -> InboundTrafficPolicyMode {
        self.inbound_traffic_policy
            .as_ref()
            .and_then(|policy| policy.mode)
            .unwrap_or_default()
    }

    /// The namespace whose configuration is for the whole mesh.
    #[must_use]
    pub fn root_namespace(&self) -> Namespace {
        self.root_namespace
            .as_deref()
            .and_then(|name| name.parse().ok())
            .unwrap_or_else(Namespace::istio_system)
    }

    /// The trust domain; `None` only when the default one is no trust domain.
    #[must_use]
    pub fn trust_domain(&self) -> Option<TrustDomain> {
        self.trust_domain
            .as_deref()
            .and_then(|name| name.parse().ok())
            .or_else(|| "cluster.local".parse().ok())
    }

    /// How often DNS names of destinations are resolved.
    #[must_use]
    pub fn dns_refresh_rate(&self) -> Duration {
        self.dns_refresh_rate
            .filter(|rate| *rate > Duration::ZERO)
            .unwrap_or(Duration::from_secs(60))
    }

    /// Whether sidecars choose mutual TLS by themselves.
    #[must_use]
    pub fn auto_mtls(&self) -> bool {
        self.enable_auto_mtls.unwrap_or(true)
    }

    /// Whether proxies trace.
    #[must_use]
    pub fn tracing_enabled(&self) -> bool {
        self.enable_tracing.unwrap_or(true)
    }

    /// Whether HTTP/1.1 becomes HTTP/2 between sidecars.
    #[must_use]
    pub fn upgrades_to_http2(&self) -> bool {
        self.h2_upgrade_policy == Some(MeshH2UpgradePolicy::Upgrade)
    }

    /// Whether load balancing looks at localities where nothing else is said.
    #[must_use]
    pub fn locality_enabled(&self) -> bool {
        self.locality_lb_setting
            .as_ref()
            .and_then(|setting| setting.enabled)
            .unwrap_or(true)
    }

    /// How far paths are normalized; never `DEFAULT`.
    #[must_use]
    pub fn normalization(&self) -> NormalizationType {
        match self
            .path_normalization
            .as_ref()
            .and_then(|path| path.normalization)
            .unwrap_or_default()
        {
            NormalizationType::Default => NormalizationType::Base,
            other @ (NormalizationType::None
            | NormalizationType::Base
            | NormalizationType::MergeSlashes
            | NormalizationType::DecodeAndMergeSlashes) => other,
        }
    }

    /// File for access logs, when they are written.
    #[must_use]
    pub fn access_log_path(&self) -> Option<&str> {
        self.access_log_file
            .as_deref()
            .filter(|path| !path.is_empty())
    }

    /// Who sees services that do not say.
    #[must_use]
    pub fn service_export_to(&self) -> Vec<&str> {
        exported(&self.default_service_export_to)
    }

    /// Who sees VirtualServices that do not say.
    #[must_use]
    pub fn virtual_service_export_to(&self) -> Vec<&str> {
        exported(&self.default_virtual_service_export_to)
    }

    /// Who sees DestinationRules that do not say.
    #[must_use]
    pub fn destination_rule_export_to(&self) -> Vec<&str> {
        exported(&self.default_destination_rule_export_to)
    }

    /// Settings of every proxy, with Istio's defaults where nothing is said.
    #[must_use]
    pub fn proxy_config(&self) -> ProxyConfig {
        let defaults = ProxyConfig::defaults();
        match &self.default_config {
            Some(config) => defaults.merge(config.clone()),
            None => defaults,
        }
    }
}

impl OutboundTrafficPolicy {
    /// The mode; a policy that names none lets nothing unknown out.
    #[must_use]
    pub fn mode(&self) -> OutboundTrafficPolicyMode {
        self.mode.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_config_and_the_defaults_say_the_same() {
        for mesh in [MeshConfig::default(), MeshConfig::defaults()] {
            assert_eq!(mesh.connect_timeout(), Duration::from_secs(10));
            assert_eq!(mesh.protocol_detection_timeout(), None);
            assert_eq!(mesh.outbound_port().unwrap().number(), 15001);
            assert_eq!(mesh.inbound_port().unwrap().number(), 15006);
            assert_eq!(mesh.http_proxy_port(), None);
            assert_eq!(mesh.outbound_mode(), OutboundTrafficPolicyMode::AllowAny);
            assert_eq!(mesh.inbound_mode(), InboundTrafficPolicyMode::Passthrough);
            assert_eq!(mesh.root_namespace(), Namespace::istio_system());
            assert_eq!(mesh.trust_domain().unwrap().as_str(), "cluster.local");
            assert_eq!(mesh.dns_refresh_rate(), Duration::from_secs(60));
            assert!(mesh.auto_mtls() && mesh.tracing_enabled() && mesh.locality_enabled());
            assert!(!mesh.upgrades_to_http2());
            assert_eq!(mesh.normalization(), NormalizationType::Base);
            assert_eq!(mesh.access_log_path(), None);
            assert_eq!(mesh.service_export_to(), ["*"]);
            assert_eq!(mesh.proxy_config(), ProxyConfig::defaults());
        }
    }

    #[test]
    fn a_policy_without_a_mode_is_the_strict_one() {
        let mesh: MeshConfig = serde_yaml::from_str("outboundTrafficPolicy: {}").unwrap();
        assert_eq!(
            mesh.outbound_mode(),
            OutboundTrafficPolicyMode::RegistryOnly
        );
    }
}
