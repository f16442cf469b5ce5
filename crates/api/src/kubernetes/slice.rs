//! An EndpointSlice, as far as the mesh reads it: a whole one takes half a kilobyte for each
//! endpoint.

use k8s_openapi::api::discovery::v1 as discovery;
use serde::Serialize;
use std::sync::Arc;

/// What the mesh keeps of an EndpointSlice beside its metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointSlice {
    /// `addressType`: IPv4, IPv6 or FQDN.
    pub address_type: Arc<str>,
    /// `endpoints`, in order.
    pub endpoints: Box<[SliceEndpoint]>,
    /// `ports`, in order.
    pub ports: Box<[SlicePort]>,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SliceEndpoint {
    /// `addresses`, in order.
    pub addresses: Box<[Box<str>]>,
    /// `conditions.ready`.
    pub ready: Option<bool>,
    /// `conditions.serving`.
    pub serving: Option<bool>,
    /// `conditions.terminating`.
    pub terminating: Option<bool>,
    /// The name in `targetRef`, when that is a Pod.
    pub pod: Option<Box<str>>,
    /// `zone`.
    pub zone: Option<Arc<str>>,
}

/// A port of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlicePort {
    /// `name`; may be empty.
    pub name: Arc<str>,
    /// `port`; one without a number is every port.
    pub port: Option<i32>,
}

impl From<discovery::EndpointSlice> for EndpointSlice {
    fn from(slice: discovery::EndpointSlice) -> Self {
        let port = |port: discovery::EndpointPort| SlicePort {
            name: port.name.unwrap_or_default().into(),
            port: port.port,
        };
        Self {
            address_type: slice.address_type.into(),
            endpoints: slice.endpoints.into_iter().map(endpoint).collect(),
            ports: slice.ports.into_iter().flatten().map(port).collect(),
        }
    }
}

fn endpoint(endpoint: discovery::Endpoint) -> SliceEndpoint {
    let conditions = endpoint.conditions.unwrap_or_default();
    let target = endpoint.target_ref.unwrap_or_default();
    let addresses = endpoint.addresses.into_iter();
    SliceEndpoint {
        addresses: addresses.map(String::into_boxed_str).collect(),
        ready: conditions.ready,
        serving: conditions.serving,
        terminating: conditions.terminating,
        pod: target
            .name
            .filter(|_| target.kind.as_deref() == Some("Pod"))
            .map(String::into_boxed_str),
        zone: endpoint.zone.map(Arc::from),
    }
}
