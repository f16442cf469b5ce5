//! Mesh networks: which endpoints can reach each other directly, and through which gateways the
//! others are reached.
//!
//! Follows <https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshNetworks>. Comes
//! in the ConfigMap `istio` under `meshNetworks`, or in a file of its own.

use crate::check::value::{bad_host, is_fqdn, is_label, port};
use crate::check::{Check, Findings};
use crate::message::message;
use ipnet::IpNet;
use meltemi_types::FieldPath;
use std::collections::BTreeMap;
use std::net::IpAddr;

message! {
    /// The networks of a mesh.
    pub struct MeshNetworks {
        /// The networks by name.
        pub networks: BTreeMap<String, Network>,
    }
}

message! {
    /// A network: endpoints that can reach each other directly.
    pub struct Network {
        /// What belongs to the network: one of these.
        pub endpoints: Vec<NetworkEndpoints>,
        /// How the network is reached from others.
        pub gateways: Vec<NetworkGateway>,
    }
}

message! {
    /// Endpoints of a network. Exactly one field is set.
    pub struct NetworkEndpoints {
        /// Endpoints with an address of this range.
        pub from_cidr: Option<String>,
        /// Endpoints of this cluster.
        pub from_registry: Option<String>,
    }
}

message! {
    /// A gateway of a network. Exactly one of `registryServiceName` and `address` is set.
    pub struct NetworkGateway {
        /// The service of the gateway, fully qualified.
        pub registry_service_name: Option<String>,
        /// The address of the gateway, an IP address or a DNS name.
        pub address: Option<String>,
        /// The port of the gateway, 1 to 65535. Required.
        pub port: u32,
        /// Where the gateway is: region, zone and sub-zone, separated by `/`.
        pub locality: Option<String>,
    }
}

impl Check for MeshNetworks {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self { networks } = self;
        let at = at.field("networks");
        for (name, network) in networks {
            if name.is_empty() {
                out.required(&at, "the name of a network");
            }
            let at = at.field(name);
            network.endpoints.check(&at.field("endpoints"), out);
            network.gateways.check(&at.field("gateways"), out);
        }
    }
}

impl Check for NetworkEndpoints {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            from_cidr,
            from_registry,
        } = self;
        if let Some(range) = from_cidr
            && range.parse::<IpNet>().is_err()
        {
            out.invalid(
                &at.field("fromCidr"),
                format!("{range:?} is not a range of addresses"),
                "write ADDRESS/BITS, for example 10.0.0.0/8",
            );
        }
        if let Some(name) = from_registry
            && !is_label(name)
        {
            out.invalid(
                &at.field("fromRegistry"),
                format!("{name:?} is not the name of a cluster"),
                "use letters, digits and '-', at most 63",
            );
        }
        one_of(
            at,
            ["fromCidr", "fromRegistry"],
            (from_cidr, from_registry),
            out,
        );
    }
}

impl Check for NetworkGateway {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            registry_service_name,
            address,
            port: number,
            locality: _,
        } = self;
        if let Some(name) = registry_service_name
            && !is_fqdn(name)
        {
            let at = at.field("registryServiceName");
            bad_host(&at, name, "use a fully qualified name", out);
        }
        if let Some(address) = address
            && address.parse::<IpAddr>().is_err()
            && !is_fqdn(address)
        {
            let at = at.field("address");
            bad_host(&at, address, "use an IP address or a DNS name", out);
        }
        one_of(
            at,
            ["registryServiceName", "address"],
            (registry_service_name, address),
            out,
        );
        port(&at.field("port"), i64::from(*number), out);
    }
}

fn one_of(
    at: &FieldPath,
    names: [&str; 2],
    values: (&Option<String>, &Option<String>),
    out: &mut Findings,
) {
    let [first, second] = names;
    match values {
        (None, None) => out.required(&at.field(first), &format!("{first} or {second}")),
        (Some(_), Some(_)) => out.conflict(
            &at.field(second),
            format!("{first} and {second} are both set"),
            "keep one of them",
        ),
        (Some(_), None) | (None, Some(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn networks_have_members_and_gateways() {
        let network = |endpoints: &str, gateways: &str| {
            format!("{{networks: {{n: {{endpoints: [{endpoints}], gateways: [{gateways}]}}}}}}")
        };
        table::<MeshNetworks>(&[
            ("{}", ""),
            (
                &network("{fromRegistry: c1}", "{address: 1.2.3.4, port: 15443}"),
                "",
            ),
            (
                &network("{fromRegistry: cluster.local}", ""),
                "InvalidValue spec.networks.n.endpoints[0].fromRegistry",
            ),
            (
                &network("{fromCidr: 10.0.0.0}, {}", "{address: a.b}"),
                "InvalidValue spec.networks.n.endpoints[0].fromCidr|\
                 Required spec.networks.n.endpoints[1].fromCidr|\
                 OutOfRange spec.networks.n.gateways[0].port",
            ),
        ]);
    }
}
