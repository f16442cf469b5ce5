//! Where traffic goes: a host of the registry, perhaps a subset and a port of it.

use crate::message::message;

message! {
    /// A service, or a part of one.
    pub struct Destination {
        /// The service's host name; a short name is completed with the namespace of the object.
        /// Required.
        pub host: String,
        /// A subset that a DestinationRule of the host defines. Default: all endpoints.
        pub subset: Option<String>,
        /// The service port. Needed when the service has several; default: the only one.
        pub port: Option<PortSelector>,
    }
}

message! {
    /// A port by its number.
    pub struct PortSelector {
        /// The port number, 1 to 65535.
        pub number: u32,
    }
}

message! {
    /// A destination of connections and its share of them.
    pub struct RouteDestination {
        /// The service. Required.
        pub destination: Destination,
        /// The share, relative to the sum of all weights of the rule. Default 0, or everything
        /// when there is one destination.
        pub weight: Option<i64>,
    }
}
