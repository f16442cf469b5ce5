//! ServiceEntry: services that Kubernetes does not know, inside or outside of the mesh.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/service-entry/>.

mod check;

use super::sidecar::WorkloadSelector;
use super::workload_entry::WorkloadEntry;
use crate::message::{choice, message};

message! {
    /// Adds services to the registry of the mesh, so that traffic to them is routed and observed.
    pub struct ServiceEntry {
        /// The names of the services, DNS names or `*.` and a suffix. HTTP traffic is told apart
        /// by them, TLS traffic by SNI; for plain TCP the addresses decide. Required.
        pub hosts: Vec<String>,
        /// Virtual IP addresses or CIDR ranges; ranges need resolution `NONE` or `STATIC`.
        /// Default: an address of 240.240.0.0/16 is allocated, unless the resolution is `NONE`.
        pub addresses: Vec<String>,
        /// The ports, each with its own number and name.
        pub ports: Vec<ServicePort>,
        /// Whether the services are part of the mesh. Default `MESH_EXTERNAL`.
        pub location: Option<Location>,
        /// How the addresses behind the services are found. Default `NONE`.
        pub resolution: Option<Resolution>,
        /// Where the traffic goes. Excludes `workloadSelector`. With resolution `DNS` and no
        /// endpoints, the hosts themselves are resolved.
        pub endpoints: Vec<WorkloadEntry>,
        /// Sends the traffic to the Pods and WorkloadEntries of the object's namespace that carry
        /// these labels. Excludes `endpoints`.
        pub workload_selector: Option<WorkloadSelector>,
        /// Namespaces whose workloads see the services: names, `.` (the own one), `*` (all) or
        /// `~` (none). Default: mesh config's `defaultServiceExportTo`, all.
        pub export_to: Vec<String>,
        /// Names of which the server's certificate must carry one. Default: any, or the
        /// identities of the endpoints in the mesh.
        pub subject_alt_names: Vec<String>,
    }
}

message! {
    /// A port of a service.
    pub struct ServicePort {
        /// The number that clients call, 1 to 65535. Required, each number once.
        pub number: u32,
        /// What is spoken: `HTTP`, `HTTPS`, `GRPC`, `GRPC-WEB`, `HTTP2`, `TLS`, `TCP`, `MONGO`,
        /// `REDIS`, `MYSQL`, `UDP`. Default: told apart by looking.
        pub protocol: Option<String>,
        /// A name, by which endpoints give their own number. Required, each name once.
        pub name: String,
        /// The number at the endpoints, 1 to 65535. Default `number`.
        pub target_port: Option<u32>,
    }
}

choice! {
    /// Whether services are part of the mesh.
    pub enum Location {
        /// Outside: no mTLS of the mesh.
        MeshExternal,
        /// Inside: mTLS as policies say.
        MeshInternal,
    }
}

choice! {
    /// How the addresses behind services are found.
    pub enum Resolution {
        /// Not at all: connections go where the client wanted.
        None,
        /// The endpoints say them.
        Static,
        /// The names are resolved all the time; all addresses of the answer are used.
        Dns,
        /// The name is resolved when a connection is needed; the first address is used.
        DnsRoundRobin,
        /// The name in each request is resolved; for hosts with `*`.
        DynamicDns,
    }
}
