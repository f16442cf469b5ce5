//! How a mesh config is laid over another one.
//!
//! Fields replace fields, with Istio's exceptions: `defaultConfig` merges field by field and its
//! `proxyMetadata` by key, `defaultProviders` merges field by field, `extensionProviders` merge
//! by name, `trustDomainAliases` become a sorted union.

use super::{DefaultProviders, ExtensionProvider, MeshConfig, ProxyConfig};
use std::collections::BTreeSet;

impl MeshConfig {
    /// This config with `user`'s laid over it. Usually called on [`MeshConfig::defaults`].
    #[must_use]
    pub fn merge(self, mut user: Self) -> Self {
        let mut base = self;
        user.default_config = both(
            base.default_config.take(),
            user.default_config.take(),
            ProxyConfig::merge,
        );
        user.default_providers = both(
            base.default_providers.take(),
            user.default_providers.take(),
            DefaultProviders::overlaid,
        );
        user.extension_providers = by_name(
            std::mem::take(&mut base.extension_providers),
            std::mem::take(&mut user.extension_providers),
        );
        let aliases: BTreeSet<String> = std::mem::take(&mut base.trust_domain_aliases)
            .into_iter()
            .chain(std::mem::take(&mut user.trust_domain_aliases))
            .collect();
        user.trust_domain_aliases = aliases.into_iter().collect();
        base.overlaid(user)
    }
}

impl ProxyConfig {
    /// This config with `over` laid over it: fields replace fields, `proxyMetadata` merges by
    /// key, `proxyHeaders` field by field. Also how a pod's annotation is applied.
    #[must_use]
    pub fn merge(mut self, mut over: Self) -> Self {
        let mut metadata = std::mem::take(&mut self.proxy_metadata);
        metadata.append(&mut over.proxy_metadata);
        over.proxy_metadata = metadata;
        over.proxy_headers = both(
            self.proxy_headers.take(),
            over.proxy_headers.take(),
            super::ProxyHeaders::overlaid,
        );
        self.overlaid(over)
    }
}

fn both<T>(base: Option<T>, over: Option<T>, merge: impl FnOnce(T, T) -> T) -> Option<T> {
    match (base, over) {
        (Some(base), Some(over)) => Some(merge(base, over)),
        (base, over) => over.or(base),
    }
}

/// Providers of `base`, replaced by those of `over` of the same name; new ones follow in order.
fn by_name(
    mut base: Vec<ExtensionProvider>,
    over: Vec<ExtensionProvider>,
) -> Vec<ExtensionProvider> {
    for provider in over {
        match base.iter_mut().find(|known| known.name == provider.name) {
            Some(known) => *known = provider,
            None => base.push(provider),
        }
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration::Duration;

    fn merged(yaml: &str) -> MeshConfig {
        MeshConfig::defaults().merge(serde_yaml::from_str(yaml).unwrap())
    }

    #[test]
    fn nothing_changes_nothing() {
        assert_eq!(merged("{}"), MeshConfig::defaults());
    }

    #[test]
    fn plain_fields_replace() {
        let mesh = merged("{connectTimeout: 1s, outboundTrafficPolicy: {mode: REGISTRY_ONLY}}");
        assert_eq!(mesh.connect_timeout, Some(Duration::from_secs(1)));
        assert_eq!(mesh.dns_refresh_rate, Some(Duration::from_secs(60)));
        let policy = mesh.outbound_traffic_policy.unwrap();
        assert_eq!(
            policy.mode,
            Some(crate::networking::sidecar::OutboundTrafficPolicyMode::RegistryOnly)
        );
    }

    #[test]
    fn proxy_config_merges_field_by_field_and_metadata_by_key() {
        let base = merged("defaultConfig: {concurrency: 4, proxyMetadata: {A: '1', B: '2'}}");
        let mesh = base.merge(
            serde_yaml::from_str("defaultConfig: {statusPort: 1, proxyMetadata: {B: '3'}}")
                .unwrap(),
        );
        let proxy = mesh.default_config.unwrap();
        assert_eq!((proxy.concurrency, proxy.status_port), (Some(4), Some(1)));
        assert_eq!(proxy.drain_duration, Some(Duration::from_secs(45)));
        let metadata: Vec<_> = proxy.proxy_metadata.into_iter().collect();
        assert_eq!(
            metadata,
            [("A".into(), "1".into()), ("B".into(), "3".into())]
        );
    }

    #[test]
    fn providers_merge_by_name() {
        let mesh = merged(
            "{extensionProviders: [{name: envoy, envoyFileAccessLog: {path: /tmp/log}}, \
             {name: mine, prometheus: {}}], defaultProviders: {metrics: [mine]}}",
        )
        .merge(serde_yaml::from_str("defaultProviders: {tracing: [t]}").unwrap());
        let names: Vec<_> = mesh.extension_providers.iter().map(|p| &*p.name).collect();
        assert_eq!(names, ["prometheus", "stackdriver", "envoy", "mine"]);
        let envoy = mesh.extension_providers.get(2).unwrap().clone();
        assert_eq!(
            envoy.envoy_file_access_log.unwrap().path.unwrap(),
            "/tmp/log"
        );
        let providers = mesh.default_providers.unwrap();
        assert_eq!(
            (providers.metrics, providers.tracing),
            (vec!["mine".to_owned()], vec!["t".to_owned()])
        );
    }

    #[test]
    fn trust_domain_aliases_are_a_sorted_union() {
        let mesh = merged("trustDomainAliases: [c, a]")
            .merge(serde_yaml::from_str("trustDomainAliases: [b, a]").unwrap());
        assert_eq!(mesh.trust_domain_aliases, ["a", "b", "c"]);
    }
}
