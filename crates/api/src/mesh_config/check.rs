//! What is wrong with a mesh config by itself. Checked as the user wrote it, before the merge.

mod proxy;

use super::{AccessLogEncoding, MeshConfig, ServiceSettings};
use crate::check::value::{
    duration, duration_or_zero, is_label, label_name, not_negative, wildcard_host,
};
use crate::check::{Check, Finding, Findings};
use crate::duration::Duration;
use meltemi_types::{Code, FieldPath, TrustDomain};
use std::collections::BTreeSet;

impl Check for MeshConfig {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        for (field, number) in [
            ("proxyListenPort", self.proxy_listen_port),
            ("proxyInboundListenPort", self.proxy_inbound_listen_port),
        ] {
            if let Some(number) = number {
                crate::check::value::port(&at.field(field), number, out);
            }
        }
        if let Some(number) = self.proxy_http_port.filter(|number| *number != 0) {
            crate::check::value::port(&at.field("proxyHttpPort"), number, out);
        }
        duration(&at.field("connectTimeout"), self.connect_timeout, out);
        if self
            .connect_timeout
            .is_some_and(|timeout| timeout > Duration::from_secs(3600))
        {
            out.out_of_range(
                &at.field("connectTimeout"),
                "connectTimeout is above an hour",
                "use at most 1h",
            );
        }
        duration_or_zero(
            &at.field("protocolDetectionTimeout"),
            self.protocol_detection_timeout,
            out,
        );
        duration(&at.field("dnsRefreshRate"), self.dns_refresh_rate, out);
        self.tcp_keepalive.check(&at.field("tcpKeepalive"), out);
        self.default_config.check(&at.field("defaultConfig"), out);
        trust(self, at, out);
        if let Some(namespace) = &self.root_namespace {
            label_name(&at.field("rootNamespace"), namespace, out);
        }
        export(self, at, out);
        self.outbound_traffic_policy
            .check(&at.field("outboundTrafficPolicy"), out);
        self.locality_lb_setting
            .check(&at.field("localityLbSetting"), out);
        self.service_settings
            .check(&at.field("serviceSettings"), out);
        self.default_http_retry_policy
            .check(&at.field("defaultHttpRetryPolicy"), out);
        self.default_inbound_http_retry_policy
            .check(&at.field("defaultInboundHttpRetryPolicy"), out);
        if let Some(policy) = &self.default_inbound_http_retry_policy
            && (policy.retry_ignore_previous_hosts.is_some()
                || policy.retry_remote_localities.is_some())
        {
            out.ignored(
                &at.field("defaultInboundHttpRetryPolicy"),
                "hosts and localities mean nothing towards the own application",
                "remove retryIgnorePreviousHosts and retryRemoteLocalities",
            );
        }
        if let Some(policy) = &self.default_traffic_policy {
            let at = at.field("defaultTrafficPolicy");
            policy
                .connection_pool
                .check(&at.field("connectionPool"), out);
            policy
                .outlier_detection
                .check(&at.field("outlierDetection"), out);
        }
        if self
            .mesh_mtls
            .as_ref()
            .is_some_and(|tls| !tls.ecdh_curves.is_empty())
        {
            out.invalid(
                &at.field("meshMTLS").field("ecdhCurves"),
                "curves cannot be chosen inside the mesh",
                "remove ecdhCurves, or set them in tlsDefaults",
            );
        }
        providers(self, &at.field("extensionProviders"), out);
        logs(self, at, out);
    }
}

/// Logs go to files so far.
fn logs(mesh: &MeshConfig, at: &FieldPath, out: &mut Findings) {
    let mut later = |at: FieldPath| {
        out.push(Finding::warning(
            Code::NotSupportedYet,
            &at,
            "access logs are written to accessLogFile only, so far",
            "set accessLogFile",
        ));
    };
    if mesh.enable_envoy_access_log_service == Some(true) {
        later(at.field("enableEnvoyAccessLogService"));
    }
    let providers = mesh.default_providers.as_ref();
    if providers.is_some_and(|p| !p.access_logging.is_empty()) {
        later(at.field("defaultProviders").field("accessLogging"));
    }
    let format = mesh.access_log_format.as_deref().filter(|f| !f.is_empty());
    if let (Some(AccessLogEncoding::Json), Some(format)) = (mesh.access_log_encoding, format)
        && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(format).is_err()
    {
        out.push(Finding::warning(
            Code::InvalidValue,
            &at.field("accessLogFormat"),
            "the format is no JSON object, so the default one is used",
            "write an object, or set accessLogEncoding: TEXT",
        ));
    }
}

fn trust(mesh: &MeshConfig, at: &FieldPath, out: &mut Findings) {
    let own = at.field("trustDomain");
    let aliases = at.field("trustDomainAliases");
    let named = mesh.trust_domain.iter().map(|name| (own.clone(), name));
    let others = mesh.trust_domain_aliases.iter().enumerate();
    for (at, name) in named.chain(others.map(|(index, name)| (aliases.index(index), name))) {
        if name.parse::<TrustDomain>().is_err() {
            out.invalid(
                &at,
                format!("{name:?} is not a trust domain"),
                "use lower-case letters, digits, '.', '-' and '_'",
            );
        }
    }
}

fn export(mesh: &MeshConfig, at: &FieldPath, out: &mut Findings) {
    for (field, list) in [
        ("defaultServiceExportTo", &mesh.default_service_export_to),
        (
            "defaultVirtualServiceExportTo",
            &mesh.default_virtual_service_export_to,
        ),
        (
            "defaultDestinationRuleExportTo",
            &mesh.default_destination_rule_export_to,
        ),
    ] {
        for (index, name) in list.iter().enumerate() {
            if !matches!(name.as_str(), "*" | "." | "~") {
                label_name(&at.field(field).index(index), name, out);
            }
        }
    }
}

impl Check for ServiceSettings {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        for (index, host) in self.hosts.iter().enumerate() {
            wildcard_host(&at.field("hosts").index(index), host, out);
        }
    }
}

/// The service and port of a provider, by the name of its field.
fn services(provider: &super::ExtensionProvider) -> Vec<(&'static str, &str, u32)> {
    let mut found = Vec::new();
    macro_rules! service {
        ($($field:ident $name:literal),*) => {
            $(if let Some(it) = &provider.$field {
                found.push(($name, it.service.as_str(), it.port));
            })*
        };
    }
    service!(
        envoy_ext_authz_http "envoyExtAuthzHttp",
        envoy_ext_authz_grpc "envoyExtAuthzGrpc",
        zipkin "zipkin",
        lightstep "lightstep",
        datadog "datadog",
        opencensus "opencensus",
        skywalking "skywalking",
        opentelemetry "opentelemetry",
        envoy_http_als "envoyHttpAls",
        envoy_tcp_als "envoyTcpAls",
        envoy_otel_als "envoyOtelAls"
    );
    found
}

/// Names are unique, services are `[NAMESPACE/]HOST` and have a port.
fn providers(mesh: &MeshConfig, at: &FieldPath, out: &mut Findings) {
    let mut names = BTreeSet::new();
    for (index, provider) in mesh.extension_providers.iter().enumerate() {
        let at = at.index(index);
        if provider.name.is_empty() {
            out.required(&at.field("name"), "the name of the provider");
        } else if !names.insert(&*provider.name) {
            out.conflict(
                &at.field("name"),
                format!("the provider {:?} is there twice", provider.name),
                "give each provider its own name",
            );
        }
        for (field, service, port) in services(provider) {
            let at = at.field(field);
            let (namespace, host) = match service.split_once('/') {
                Some((namespace, host)) => (Some(namespace), host),
                None => (None, service),
            };
            if namespace.is_some_and(|name| !is_label(name))
                || host.parse::<std::net::IpAddr>().is_err()
            {
                crate::check::value::host(
                    &at.field("service"),
                    service_host(namespace, host, service),
                    out,
                );
            }
            crate::check::value::port(&at.field("port"), port.into(), out);
        }
        if let Some(lightstep) = &provider.lightstep
            && lightstep
                .access_token
                .as_deref()
                .unwrap_or_default()
                .is_empty()
        {
            out.required(
                &at.field("lightstep").field("accessToken"),
                "the access token",
            );
        }
    }
}

/// The host to judge: the whole text when its namespace is none.
fn service_host<'s>(namespace: Option<&str>, host: &'s str, whole: &'s str) -> &'s str {
    match namespace {
        Some(namespace) if !is_label(namespace) => whole,
        _ => host,
    }
}

/// A number that must be at least `least`.
fn at_least(at: &FieldPath, number: Option<i64>, least: i64, out: &mut Findings) {
    not_negative(at, number, out);
    if let Some(number) = number
        && (0..least).contains(&number)
    {
        out.out_of_range(
            at,
            format!("{number} is too small"),
            &format!("use {least} or more"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn the_defaults_are_fine() {
        let mut out = Findings::new();
        MeshConfig::defaults().check(&FieldPath::root(), &mut out);
        assert!(out.is_empty(), "{out:?}");
    }

    #[test]
    fn mesh_settings() {
        table::<MeshConfig>(&[
            (
                "{connectTimeout: 1s, protocolDetectionTimeout: 0s, trustDomain: a.b}",
                "",
            ),
            (
                "{proxyListenPort: 0, proxyInboundListenPort: 70000, proxyHttpPort: 0}",
                "OutOfRange spec.proxyListenPort|OutOfRange spec.proxyInboundListenPort",
            ),
            ("{connectTimeout: 2h}", "OutOfRange spec.connectTimeout"),
            (
                "{trustDomain: 'a:b', trustDomainAliases: [ok, A], rootNamespace: a.b}",
                "InvalidValue spec.trustDomain|InvalidValue spec.trustDomainAliases[1]|\
                 InvalidValue spec.rootNamespace",
            ),
            (
                "{enableEnvoyAccessLogService: true, defaultProviders: {accessLogging: [als]}}",
                "notsupportedyet spec.enableEnvoyAccessLogService|\
                 notsupportedyet spec.defaultProviders.accessLogging",
            ),
            (
                "{accessLogEncoding: JSON, accessLogFormat: '%PROTOCOL%'}",
                "invalidvalue spec.accessLogFormat",
            ),
            (
                "{accessLogEncoding: JSON, accessLogFormat: '{\"p\": \"%PROTOCOL%\"}'}",
                "",
            ),
            (
                "{serviceSettings: [{hosts: [foo.bar.*]}]}",
                "InvalidHost spec.serviceSettings[0].hosts[0]",
            ),
            (
                "{defaultTrafficPolicy: {connectionPool: {}, \
                 outlierDetection: {maxEjectionPercent: 101}}, meshMTLS: {ecdhCurves: [P-256]}}",
                "Required spec.defaultTrafficPolicy.connectionPool|\
                 OutOfRange spec.defaultTrafficPolicy.outlierDetection.maxEjectionPercent|\
                 InvalidValue spec.meshMTLS.ecdhCurves",
            ),
            (
                "{extensionProviders: [{name: a, zipkin: {service: ns/z.com, port: 1}}, \
                 {name: a, datadog: {service: 'a/b/c'}}, {lightstep: {service: x, port: 1}}]}",
                "Conflict spec.extensionProviders[1].name|\
                 InvalidHost spec.extensionProviders[1].datadog.service|\
                 OutOfRange spec.extensionProviders[1].datadog.port|\
                 Required spec.extensionProviders[2].name|\
                 Required spec.extensionProviders[2].lightstep.accessToken",
            ),
        ]);
    }
}
