//! What is wrong with a Sidecar by itself.

use super::{
    CaptureMode, IstioEgressListener, IstioIngressListener, OutboundTrafficPolicy,
    OutboundTrafficPolicyMode, Sidecar, SidecarPort,
};
use crate::check::value::{
    bad_host, is_fqdn, is_label, is_wildcard_domain, label_name, port, selector,
};
use crate::check::{Check, Findings};
use crate::networking::server_tls::{ServerTlsMode, ServerTlsSettings};
use meltemi_types::{FieldPath, Protocol};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

impl Check for Sidecar {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            workload_selector,
            ingress,
            egress,
            inbound_connection_pool,
            outbound_traffic_policy,
        } = self;
        if let Some(workloads) = workload_selector {
            let labels = at.field("workloadSelector").field("labels");
            selector(&labels, &workloads.labels, out);
        }
        if ingress.is_empty()
            && egress.is_empty()
            && inbound_connection_pool.is_none()
            && outbound_traffic_policy.is_none()
        {
            out.required(
                &at.field("egress"),
                "a setting (ingress, egress or a policy)",
            );
        }
        ingress.check(&at.field("ingress"), out);
        ports_once(
            ingress.iter().map(|l| (l.port.as_ref(), None)),
            &at.field("ingress"),
            out,
        );
        egress.check(&at.field("egress"), out);
        ports_once(
            egress.iter().map(|l| (l.port.as_ref(), l.bind.as_deref())),
            &at.field("egress"),
            out,
        );
        catch_all_last(egress, &at.field("egress"), out);
        duplicate_hosts(egress, &at.field("egress"), out);
        inbound_connection_pool.check(&at.field("inboundConnectionPool"), out);
        outbound_traffic_policy.check(&at.field("outboundTrafficPolicy"), out);
    }
}

/// Each port once, and each Unix socket once.
fn ports_once<'s>(
    listeners: impl Iterator<Item = (Option<&'s SidecarPort>, Option<&'s str>)>,
    at: &FieldPath,
    out: &mut Findings,
) {
    let mut seen = BTreeSet::new();
    for (index, (port, bind)) in listeners.enumerate() {
        let socket = bind.filter(|bind| bind.starts_with(UNIX));
        let Some(key) = socket
            .map(str::to_owned)
            .or_else(|| port.map(|port| format!("port {}", port.number)))
        else {
            continue;
        };
        if !seen.insert(key.clone()) {
            out.conflict(
                &at.index(index).field("port"),
                format!("{key} has two listeners"),
                "give each listener its own port",
            );
        }
    }
}

/// Only the last egress listener may leave out the port.
fn catch_all_last(egress: &[IstioEgressListener], at: &FieldPath, out: &mut Findings) {
    let last = egress.len().saturating_sub(1);
    for (index, listener) in egress.iter().enumerate() {
        if listener.port.is_none() && index != last {
            out.invalid(
                &at.index(index).field("port"),
                "a listener without a port is not the last one",
                "move it to the end; it takes the ports that the others leave",
            );
        }
    }
}

/// A host that another entry of the same listener imports already.
fn duplicate_hosts(egress: &[IstioEgressListener], at: &FieldPath, out: &mut Findings) {
    let own = out.namespace().map(|own| own.as_str().to_owned());
    let split = |text: &str| {
        let (namespace, host) = text.split_once('/').unwrap_or((text, ""));
        match (namespace, &own) {
            (".", Some(own)) => (own.clone(), host.to_owned()),
            _ => (namespace.to_owned(), host.to_owned()),
        }
    };
    for (index, listener) in egress.iter().enumerate() {
        let pairs: Vec<_> = listener.hosts.iter().map(|text| split(text)).collect();
        for (place, (namespace, host)) in pairs.iter().enumerate() {
            let again = pairs.iter().enumerate().any(|(other, (ns, wide))| {
                ns == namespace && ((other < place && wide == host) || (wide == "*" && host != "*"))
            });
            if again {
                out.ignored(
                    &at.index(index).field("hosts").index(place),
                    format!("another entry imports {namespace}/{host} already"),
                    "remove one of them",
                );
            }
        }
    }
}

const UNIX: &str = "unix://";

impl Check for IstioIngressListener {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            port: listened,
            bind,
            capture_mode: _,
            default_endpoint,
            tls,
            connection_pool,
        } = self;
        match listened {
            None => out.required(&at.field("port"), "the port"),
            Some(listened) => {
                listened.check(&at.field("port"), out);
                port(
                    &at.field("port").field("number"),
                    listened.number.into(),
                    out,
                );
            }
        }
        ip(&at.field("bind"), bind.as_deref(), out);
        if let Some(endpoint) = default_endpoint.as_deref().filter(|text| !text.is_empty()) {
            check_endpoint(&at.field("defaultEndpoint"), endpoint, out);
        }
        if let Some(tls) = tls {
            check_tls(tls, listened.as_ref(), &at.field("tls"), out);
        }
        connection_pool.check(&at.field("connectionPool"), out);
    }
}

fn ip(at: &FieldPath, bind: Option<&str>, out: &mut Findings) {
    if let Some(bind) = bind
        && !bind.is_empty()
        && bind.parse::<IpAddr>().is_err()
    {
        out.invalid(
            at,
            format!("{bind:?} is not an IP address"),
            "use an address such as 127.0.0.1 or 0.0.0.0",
        );
    }
}

/// Where a listener forwards to: the workload itself, on loopback or on its own address.
fn check_endpoint(at: &FieldPath, endpoint: &str, out: &mut Findings) {
    let remedy = "use 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix:///PATH";
    if let Some(path) = endpoint.strip_prefix(UNIX) {
        if !path.starts_with('/') {
            out.invalid(at, format!("{endpoint:?} is not an absolute path"), remedy);
        }
        return;
    }
    // Istio also takes `:PORT`, which is the loopback address.
    let full = if endpoint.starts_with(':') {
        format!("127.0.0.1{endpoint}")
    } else {
        endpoint.to_owned()
    };
    match full.parse::<SocketAddr>() {
        Ok(address) if address.port() == 0 => {
            out.out_of_range(at, format!("{endpoint:?} has port 0"), remedy);
        }
        Ok(address)
            if address.ip().is_unspecified()
                || full.starts_with("127.0.0.1:")
                || full.starts_with("[::1]:") => {}
        Ok(_) | Err(_) => {
            out.invalid(
                at,
                format!("{endpoint:?} is not the workload itself"),
                remedy,
            );
        }
    }
}

fn check_tls(
    tls: &ServerTlsSettings,
    port: Option<&SidecarPort>,
    at: &FieldPath,
    out: &mut Findings,
) {
    if let Some(mode @ (ServerTlsMode::IstioMutual | ServerTlsMode::AutoPassthrough)) = tls.mode {
        out.invalid(
            &at.field("mode"),
            format!("{mode:?} cannot terminate TLS on a sidecar"),
            "use SIMPLE or MUTUAL",
        );
    }
    let set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    for (field, used) in [
        ("httpsRedirect", tls.https_redirect == Some(true)),
        ("credentialName", set(&tls.credential_name)),
        ("credentialNames", !tls.credential_names.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
        ("subjectAltNames", !tls.subject_alt_names.is_empty()),
    ] {
        if used {
            out.invalid(
                &at.field(field),
                format!("{field} does not work on a sidecar"),
                "remove it; use certificates in files",
            );
        }
    }
    if set(&tls.ca_cert_credential_name) {
        out.ignored(
            &at.field("caCertCredentialName"),
            "caCertCredentialName has no effect on a sidecar",
            "name the authorities in caCertificates",
        );
    }
    let protocol = port
        .and_then(|port| port.protocol.as_deref())
        .unwrap_or_default();
    if !Protocol::by_name(protocol).is_some_and(Protocol::is_tls) {
        out.invalid(
            at,
            format!("tls on a port of protocol {protocol:?}"),
            "set port.protocol to HTTPS or TLS",
        );
    }
}

impl Check for SidecarPort {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            number: _,
            protocol,
            name: _,
            target_port,
        } = self;
        if let Some(protocol) = protocol.as_deref()
            && !protocol.is_empty()
            && Protocol::by_name(protocol).is_none()
        {
            out.invalid(
                &at.field("protocol"),
                format!("{protocol:?} is not a protocol"),
                "use HTTP, HTTP2, GRPC, HTTPS, TLS, TCP, or leave it out",
            );
        }
        if target_port.is_some_and(|port| port != 0) {
            out.invalid(
                &at.field("targetPort"),
                "targetPort has no place here",
                "remove it; say where traffic goes in defaultEndpoint",
            );
        }
    }
}

impl Check for IstioEgressListener {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            port: listened,
            bind,
            capture_mode,
            hosts,
        } = self;
        let bind = bind.as_deref().filter(|bind| !bind.is_empty());
        if let Some(path) = bind.and_then(|bind| bind.strip_prefix(UNIX)) {
            if !path.starts_with('/') {
                out.invalid(
                    &at.field("bind"),
                    format!("{path:?} is not an absolute path"),
                    "use unix:///PATH",
                );
            }
            if *capture_mode == Some(CaptureMode::Iptables) {
                out.conflict(
                    &at.field("captureMode"),
                    "a Unix socket cannot be captured",
                    "use DEFAULT or NONE",
                );
            }
        } else {
            ip(&at.field("bind"), bind, out);
            if let Some(listened) = listened {
                port(
                    &at.field("port").field("number"),
                    listened.number.into(),
                    out,
                );
            } else if bind.is_some() {
                out.ignored(
                    &at.field("bind"),
                    "bind has no effect without a port",
                    "add port, or remove bind",
                );
            }
        }
        listened.check(&at.field("port"), out);
        if hosts.is_empty() {
            out.required(&at.field("hosts"), "a host");
        }
        for (index, host) in hosts.iter().enumerate() {
            egress_host(&at.field("hosts").index(index), host, out);
        }
    }
}

/// `NAMESPACE/HOST`; with `~` in front of the namespace it is left out.
fn egress_host(at: &FieldPath, text: &str, out: &mut Findings) {
    let remedy = "use NAMESPACE/HOST, for example ./* or istio-system/istiod.istio-system.svc";
    let Some((namespace, host)) = text.split_once('/') else {
        return bad_host(at, text, remedy, out);
    };
    let known = matches!(namespace, "*" | "." | "~")
        || is_label(namespace.strip_prefix('~').unwrap_or(namespace));
    if !known || !is_wildcard_domain(host) {
        bad_host(at, text, remedy, out);
    }
}

impl Check for OutboundTrafficPolicy {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self { mode, egress_proxy } = self;
        let Some(proxy) = egress_proxy else { return };
        let at = at.field("egressProxy");
        if *mode != Some(OutboundTrafficPolicyMode::AllowAny) {
            out.conflict(
                &at,
                "an egress proxy without ALLOW_ANY gets no traffic",
                "set mode to ALLOW_ANY, or remove egressProxy",
            );
        }
        if !is_fqdn(&proxy.host) {
            bad_host(
                &at.field("host"),
                &proxy.host,
                "use a full DNS name without '*'",
                out,
            );
        }
        if let Some(subset) = proxy.subset.as_deref().filter(|subset| !subset.is_empty()) {
            label_name(&at.field("subset"), subset, out);
        }
        match &proxy.port {
            None => out.required(&at.field("port"), "the port"),
            Some(selected) => port(
                &at.field("port").field("number"),
                selected.number.into(),
                out,
            ),
        }
    }
}

#[cfg(test)]
mod tests;
