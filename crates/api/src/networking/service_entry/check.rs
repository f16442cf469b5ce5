//! What is wrong with a ServiceEntry by itself.

use super::{Resolution, ServiceEntry, ServicePort};
use crate::check::value::{
    bad_host, export_to, host, is_fqdn, optional_port, port, selector, subnets,
};
use crate::check::{Check, Findings};
use crate::networking::workload_entry::{UNIX, WorkloadEntry};
use meltemi_types::{FieldPath, Protocol};
use std::collections::BTreeSet;
use std::net::IpAddr;

impl Check for ServiceEntry {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            hosts,
            addresses,
            ports,
            location: _,
            resolution: _,
            endpoints,
            workload_selector,
            export_to: namespaces,
            subject_alt_names: _,
        } = self;
        if let Some(workloads) = workload_selector {
            let path = at.field("workloadSelector");
            selector(&path.field("labels"), &workloads.labels, out);
            if !endpoints.is_empty() {
                out.conflict(
                    &path,
                    "workloadSelector and endpoints are both set",
                    "keep one of them",
                );
            }
        }
        if hosts.is_empty() {
            out.required(&at.field("hosts"), "a host");
        }
        for (index, name) in hosts.iter().enumerate() {
            host(&at.field("hosts").index(index), name, out);
        }
        subnets(&at.field("addresses"), addresses, out);
        self.check_ports(&at.field("ports"), out);
        for (index, endpoint) in endpoints.iter().enumerate() {
            let at = at.field("endpoints").index(index);
            endpoint.check(&at, out);
            known_ports(endpoint, ports, &at.field("ports"), out);
        }
        self.check_resolution(at, out);
        visible(namespaces, &at.field("exportTo"), out);
    }
}

impl ServiceEntry {
    fn check_ports(&self, at: &FieldPath, out: &mut Findings) {
        let mut numbers = BTreeSet::new();
        let mut names = BTreeSet::new();
        for (index, listed) in self.ports.iter().enumerate() {
            let at = at.index(index);
            let ServicePort {
                number,
                protocol: _,
                name,
                target_port,
            } = listed;
            port(&at.field("number"), (*number).into(), out);
            optional_port(&at.field("targetPort"), *target_port, out);
            if name.is_empty() {
                out.required(&at.field("name"), "the name of the port");
            } else if !names.insert(name) {
                out.conflict(
                    &at.field("name"),
                    format!("the name {name:?} is there twice"),
                    "give each port its own name",
                );
            }
            if !numbers.insert(*number) {
                out.conflict(
                    &at.field("number"),
                    format!("port {number} is there twice"),
                    "list each port once",
                );
            }
            if self.addresses.is_empty() && matches!(listed.spoken(), Protocol::Tcp) {
                out.ignored(
                    &at.field("protocol"),
                    "a TCP port of an entry without addresses takes every connection to that port",
                    "add addresses, or set the protocol to HTTP or TLS",
                );
            }
        }
    }

    fn check_resolution(&self, at: &FieldPath, out: &mut Findings) {
        let resolution = self.resolution.unwrap_or_default();
        let fixed = matches!(resolution, Resolution::None | Resolution::Static);
        if !fixed && self.addresses.iter().any(|text| text.contains('/')) {
            out.conflict(
                &at.field("addresses"),
                "a CIDR range needs resolution NONE or STATIC",
                "use single addresses, or another resolution",
            );
        }
        match resolution {
            Resolution::None if !self.endpoints.is_empty() => out.conflict(
                &at.field("endpoints"),
                "resolution NONE leaves connections where they go, endpoints are of no use",
                "remove endpoints, or set resolution to STATIC or DNS",
            ),
            Resolution::None => {}
            Resolution::Static => self.check_static(&at.field("endpoints"), out),
            Resolution::Dns | Resolution::DnsRoundRobin => self.check_dns(at, out),
            Resolution::DynamicDns => self.check_dynamic(at, out),
        }
        self.check_told_apart(&at.field("hosts"), out);
    }

    fn check_static(&self, at: &FieldPath, out: &mut Findings) {
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let at = at.index(index).field("address");
            let address = endpoint.address.as_deref().unwrap_or_default();
            if address.starts_with(UNIX) {
                if self.ports.len() != 1 {
                    out.conflict(
                        &at,
                        "a Unix socket serves one port",
                        "give the entry exactly one port",
                    );
                }
            } else if !address.is_empty() && address.parse::<IpAddr>().is_err() {
                out.invalid(
                    &at,
                    format!("{address:?} is not an IP address"),
                    "use an IP address, or resolution DNS",
                );
            }
        }
    }

    fn check_dns(&self, at: &FieldPath, out: &mut Findings) {
        if self.endpoints.is_empty() && self.workload_selector.is_none() {
            for (index, name) in self.hosts.iter().enumerate() {
                if name.starts_with('*') {
                    out.invalid(
                        &at.field("hosts").index(index),
                        format!("{name:?} cannot be resolved"),
                        "add endpoints, or use a host without '*', or resolution DYNAMIC_DNS",
                    );
                }
            }
        }
        let robin = self.resolution == Some(Resolution::DnsRoundRobin);
        if robin && self.endpoints.len() > 1 {
            out.conflict(
                &at.field("endpoints"),
                "DNS_ROUND_ROBIN takes one endpoint",
                "keep one endpoint, or use resolution DNS",
            );
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let at = at.field("endpoints").index(index).field("address");
            let address = endpoint.address.as_deref().unwrap_or_default();
            if address.starts_with(UNIX) {
                out.invalid(
                    &at,
                    "a Unix socket cannot be resolved",
                    "use resolution STATIC",
                );
            } else if !address.is_empty() && address.parse::<IpAddr>().is_err() && !is_fqdn(address)
            {
                bad_host(&at, address, "use a DNS name or an IP address", out);
            }
        }
    }

    fn check_dynamic(&self, at: &FieldPath, out: &mut Findings) {
        for (field, set) in [
            ("addresses", !self.addresses.is_empty()),
            ("endpoints", !self.endpoints.is_empty()),
            ("workloadSelector", self.workload_selector.is_some()),
        ] {
            if set {
                out.conflict(
                    &at.field(field),
                    format!("DYNAMIC_DNS resolves the names of requests; {field} is of no use"),
                    "remove it, or use another resolution",
                );
            }
        }
        for (index, name) in self.hosts.iter().enumerate() {
            if !name.starts_with('*') {
                out.invalid(
                    &at.field("hosts").index(index),
                    format!("{name:?} has no '*', so there is nothing dynamic about it"),
                    "use '*.' and a suffix, or resolution DNS",
                );
            }
        }
        for (index, listed) in self.ports.iter().enumerate() {
            let spoken = listed.spoken();
            if !spoken.is_http() && !spoken.is_tls() {
                out.invalid(
                    &at.field("ports").index(index).field("protocol"),
                    format!("{spoken} names no host, so there is nothing to resolve"),
                    "use HTTP, HTTP2, GRPC, HTTPS or TLS",
                );
            }
        }
    }

    /// Several hosts need a port whose traffic names the host.
    fn check_told_apart(&self, at: &FieldPath, out: &mut Findings) {
        let passes = self.resolution.unwrap_or_default() == Resolution::None;
        let named = |port: &ServicePort| port.spoken().is_http() || port.spoken().is_tls();
        if self.hosts.len() > 1 && !passes && !self.ports.iter().any(named) {
            out.conflict(
                at,
                "several hosts, but no port whose traffic names the host",
                "use one host per entry, or a port of protocol HTTP or TLS",
            );
        }
    }
}

impl ServicePort {
    /// What is spoken, as far as it decides about the entry: TCP when nobody knows.
    fn spoken(&self) -> Protocol {
        let named = self.protocol.as_deref().and_then(Protocol::by_name);
        named.unwrap_or(Protocol::Tcp)
    }
}

/// An endpoint's ports carry the names of the entry's.
fn known_ports(
    endpoint: &WorkloadEntry,
    ports: &[ServicePort],
    at: &FieldPath,
    out: &mut Findings,
) {
    for name in endpoint.ports.keys() {
        if !ports.iter().any(|port| port.name == *name) {
            out.invalid(
                &at.field(name),
                format!("no port of the entry is called {name:?}"),
                "use the name of a port in spec.ports",
            );
        }
    }
}

/// The namespaces that see the services; unlike elsewhere, `~` hides them from all.
fn visible(namespaces: &[String], at: &FieldPath, out: &mut Findings) {
    match namespaces.iter().position(|name| name == "~") {
        None => export_to(at, namespaces, out),
        Some(_) if namespaces.len() == 1 => {}
        Some(index) => out.conflict(
            &at.index(index),
            "'~' (nobody) stands beside other namespaces",
            "use '~' alone",
        ),
    }
}

#[cfg(test)]
mod tests;
