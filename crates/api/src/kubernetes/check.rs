//! What an API server would refuse in Services and EndpointSlices. A directory has no API server
//! in front of it, so these mistakes must be found here.

use super::EndpointSlice;
use crate::check::{Findings, value};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use meltemi_types::FieldPath;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A Service's ports: numbers in range, names that tell them apart.
pub(super) fn service(spec: &core::ServiceSpec, out: &mut Findings) {
    let ports = spec.ports.as_deref().unwrap_or_default();
    let at = FieldPath::spec().field("ports");
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let at = at.index(index);
        value::port(&at.field("port"), i64::from(port.port), out);
        if let Some(IntOrString::Int(target)) = port.target_port {
            value::port(&at.field("targetPort"), i64::from(target), out);
        }
        let name = port.name.as_deref().unwrap_or_default();
        if name.is_empty() && ports.len() > 1 {
            out.required(&at.field("name"), "the name of one of several ports");
        } else if !names.insert(name) {
            let message = format!("another port is called {name:?} too");
            out.invalid(&at.field("name"), message, "give each port its own name");
        }
    }
}

/// The addresses of a slice, by its type, and its ports.
pub(super) fn endpoint_slice(slice: &EndpointSlice, out: &mut Findings) {
    let fits = |address: &str| match (&*slice.address_type, address.parse::<IpAddr>()) {
        ("IPv4", Ok(address)) => address.is_ipv4(),
        ("IPv6", Ok(address)) => address.is_ipv6(),
        ("IPv4" | "IPv6", Err(_)) => false,
        _ => true,
    };
    let root = FieldPath::root();
    match &*slice.address_type {
        "IPv4" | "IPv6" | "FQDN" => {}
        "" => out.required(&root.field("addressType"), "the type of the addresses"),
        other => out.invalid(
            &root.field("addressType"),
            format!("{other:?} is no type of address"),
            "use IPv4, IPv6 or FQDN",
        ),
    }
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        let at = root.field("endpoints").index(index).field("addresses");
        if endpoint.addresses.is_empty() {
            out.required(&at, "the address of an endpoint");
        }
        for (index, address) in endpoint.addresses.iter().enumerate() {
            if !fits(address) {
                let message = format!("{address:?} is no {} address", slice.address_type);
                out.invalid(
                    &at.index(index),
                    message,
                    "correct it, or change addressType",
                );
            }
        }
    }
    for (index, port) in slice.ports.iter().enumerate() {
        if let Some(number) = port.port {
            let at = root.field("ports").index(index).field("port");
            value::port(&at, i64::from(number), out);
        }
    }
}
