//! What is wrong with a Gateway by itself.

mod tls;

use super::{Gateway, Server, ServerPort};
use crate::check::value::{bad_host, is_label, is_wildcard_domain, labels, port};
use crate::check::{Check, Findings};
use crate::networking::server_tls::{ServerTlsMode, ServerTlsSettings};
use meltemi_types::{FieldPath, Protocol};
use std::collections::BTreeSet;
use std::net::IpAddr;

const UNIX: &str = "unix://";

impl Check for Gateway {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self { servers, selector } = self;
        labels(&at.field("selector"), selector, out);
        let at = at.field("servers");
        if servers.is_empty() {
            out.required(&at, "a server");
        }
        servers.check(&at, out);
        let mut names = BTreeSet::new();
        for (index, server) in servers.iter().enumerate() {
            let Some(port) = &server.port else { continue };
            if !port.name.is_empty() && !names.insert(&port.name) {
                out.conflict(
                    &at.index(index).field("port").field("name"),
                    format!("another port of the gateway is called {:?} too", port.name),
                    "give each port its own name",
                );
            }
        }
    }
}

impl Check for Server {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            port,
            bind,
            hosts,
            tls,
            default_endpoint,
            name: _,
        } = self;
        let bind = bind.as_deref().unwrap_or_default();
        check_bind(&at.field("bind"), bind, out);
        match port {
            None => out.required(&at.field("port"), "the port"),
            Some(port) => check_port(port, bind, &at.field("port"), out),
        }
        if hosts.is_empty() {
            out.required(&at.field("hosts"), "a host");
        }
        for (index, host) in hosts.iter().enumerate() {
            check_host(&at.field("hosts").index(index), host, out);
        }
        if default_endpoint.as_deref().is_some_and(|e| !e.is_empty()) {
            out.ignored(
                &at.field("defaultEndpoint"),
                "defaultEndpoint has no effect",
                "remove it; say where traffic goes in a VirtualService",
            );
        }
        if let Some(port) = port {
            fits_protocol(port, tls.as_ref(), at, out);
        }
        if let Some(tls) = tls {
            tls::check(tls, &at.field("tls"), out);
        }
    }
}

fn check_bind(at: &FieldPath, bind: &str, out: &mut Findings) {
    let remedy = "use an IP address, or unix:///PATH";
    match bind.strip_prefix(UNIX) {
        Some(path) if !path.starts_with(['/', '@']) => {
            out.invalid(at, format!("{bind:?} is not an absolute path"), remedy);
        }
        Some(_) => {}
        None if bind.is_empty() || bind.parse::<IpAddr>().is_ok() => {}
        None => out.invalid(at, format!("{bind:?} is not an address"), remedy),
    }
}

fn check_port(server: &ServerPort, bind: &str, at: &FieldPath, out: &mut Findings) {
    let ServerPort {
        number,
        protocol,
        name,
        target_port,
    } = server;
    if Protocol::by_name(protocol).is_none() {
        out.invalid(
            &at.field("protocol"),
            format!("{protocol:?} is not a protocol"),
            "use HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP, MONGO, REDIS or MYSQL",
        );
    }
    if *number > 0 || !bind.starts_with(UNIX) {
        port(&at.field("number"), i64::from(*number), out);
    } else {
        out.ignored(
            &at.field("number"),
            "a server on a Unix socket without a port number is not served",
            "give it a number that no other server has; only the socket is bound",
        );
    }
    if target_port.is_some_and(|port| port != 0) {
        out.invalid(
            &at.field("targetPort"),
            "targetPort has no effect on gateways",
            "remove it; the Service in front of the proxy says where its ports go",
        );
    }
    if name.is_empty() {
        out.required(&at.field("name"), "the name of the port");
    }
}

/// `HOST` or `NAMESPACE/HOST`.
fn check_host(at: &FieldPath, text: &str, out: &mut Findings) {
    let remedy = "use a DNS name, '*.' and a suffix, or '*', perhaps after NAMESPACE/";
    let (namespace, host) = match text.split_once('/') {
        Some((namespace, host)) => (Some(namespace), host),
        None => (None, text),
    };
    let well = namespace.is_none_or(|n| matches!(n, "*" | "." | "~") || is_label(n));
    if !well || !(is_wildcard_domain(host) || host.parse::<IpAddr>().is_ok()) {
        bad_host(at, text, remedy, out);
    }
}

/// TLS settings where TLS is spoken, and there only, but for the redirect.
fn fits_protocol(
    port: &ServerPort,
    tls: Option<&ServerTlsSettings>,
    at: &FieldPath,
    out: &mut Findings,
) {
    let Some(protocol) = Protocol::by_name(&port.protocol) else {
        return;
    };
    let at = at.field("tls");
    let Some(tls) = tls else {
        if protocol.is_tls() {
            out.required(&at, "the TLS settings of an HTTPS or TLS server");
        }
        return;
    };
    let redirect = &at.field("httpsRedirect");
    if tls.https_redirect == Some(true) && !protocol.is_http() {
        out.ignored(
            redirect,
            "only plain HTTP can be redirected to HTTPS",
            "move it to the HTTP server of these hosts",
        );
    }
    if protocol.is_tls() {
        return;
    }
    let set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let terminates = !matches!(
        tls.mode,
        None | Some(ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough)
    ) || set(&tls.server_certificate)
        || set(&tls.private_key)
        || set(&tls.ca_certificates);
    if !protocol.is_http() || terminates {
        out.invalid(
            &at,
            format!("TLS settings on a port of protocol {}", protocol.name()),
            "set port.protocol to HTTPS or TLS, or remove them",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn servers_ports_and_hosts() {
        let server = |text: &str| format!("servers: [{{{text}}}]");
        let port = "port: {number: 80, protocol: HTTP, name: http}";
        for (text, wanted) in [
            (format!("{port}, hosts: ['*']"), ""),
            (
                format!("{port}, hosts: ['./a.com', '*/b.com', 1.1.1.1]"),
                "",
            ),
            (format!("{port}, hosts: ['~/a.com', 'ns/*.b.com']"), ""),
            (port.to_string(), "Required spec.servers[0].hosts"),
            (
                format!("{port}, hosts: ['a.*.com']"),
                "InvalidHost spec.servers[0].hosts[0]",
            ),
            (
                format!("{port}, hosts: ['n.s/a.com']"),
                "InvalidHost spec.servers[0].hosts[0]",
            ),
            (
                format!("{port}, hosts: ['*'], bind: here"),
                "InvalidValue spec.servers[0].bind",
            ),
            (
                "port: {protocol: HTTP, name: http}, hosts: ['*'], bind: 'unix:///a'".into(),
                "ignoredfield spec.servers[0].port.number",
            ),
            (format!("{port}, hosts: ['*'], bind: 'unix:///a'"), ""),
            (
                "port: {number: 80, protocol: FOO}, hosts: ['*']".into(),
                "InvalidValue spec.servers[0].port.protocol|Required spec.servers[0].port.name",
            ),
            (
                "port: {number: 443, protocol: HTTPS, name: https}, hosts: ['*']".into(),
                "Required spec.servers[0].tls",
            ),
            (
                format!("{port}, hosts: ['*'], tls: {{httpsRedirect: true}}"),
                "",
            ),
            (
                format!("{port}, hosts: ['*'], tls: {{mode: SIMPLE, credentialName: a}}"),
                "InvalidValue spec.servers[0].tls",
            ),
        ] {
            table::<Gateway>(&[(&server(&text), wanted)]);
        }
        table::<Gateway>(&[
            ("selector: {a: b}", "Required spec.servers"),
            (
                "servers: [{port: {number: 80, protocol: HTTP, name: a}, hosts: ['*']}, \
                 {port: {number: 81, protocol: HTTP, name: a}, hosts: ['*']}]",
                "Conflict spec.servers[1].port.name",
            ),
        ]);
    }
}
