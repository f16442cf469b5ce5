//! EnvoyFilter: changes to generated Envoy configuration.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/envoy-filter/>. The patches
//! themselves are Envoy's messages as JSON; only their frame is known here.

mod check;

use super::sidecar::WorkloadSelector;
use crate::message::{choice, message};
use crate::selector::PolicyTargetReference;
use std::collections::BTreeMap;

message! {
    /// Changes to the configuration that is generated for proxies.
    pub struct EnvoyFilter {
        /// The workloads meant. Default: the namespace, or the mesh in the root namespace.
        pub workload_selector: Option<WorkloadSelector>,
        /// The Gateways or Services that the patches are attached to. Excludes
        /// `workloadSelector`.
        pub target_refs: Vec<PolicyTargetReference>,
        /// The changes, applied in order.
        pub config_patches: Vec<EnvoyConfigObjectPatch>,
        /// Where these patches stand among those of other objects: lower numbers come first.
        /// Default 0.
        pub priority: Option<i32>,
    }
}

message! {
    /// One change.
    pub struct EnvoyConfigObjectPatch {
        /// What is changed. Required.
        pub apply_to: Option<ApplyTo>,
        /// Which of them are changed. Default: all.
        pub r#match: Option<EnvoyConfigObjectMatch>,
        /// The change. Required.
        pub patch: Option<Patch>,
    }
}

choice! {
    /// What a patch changes.
    pub enum ApplyTo {
        /// Not said.
        Invalid,
        /// A listener.
        Listener,
        /// A filter chain of a listener.
        FilterChain,
        /// A network filter of a filter chain.
        NetworkFilter,
        /// An HTTP filter of the HTTP connection manager.
        HttpFilter,
        /// A table of routes.
        RouteConfiguration,
        /// A virtual host of a table of routes.
        VirtualHost,
        /// A route of a virtual host.
        HttpRoute,
        /// A cluster.
        Cluster,
        /// A configuration of an extension that is fetched on demand.
        ExtensionConfig,
        /// The configuration that a proxy starts with.
        Bootstrap,
        /// A listener filter of a listener.
        ListenerFilter,
    }
}

message! {
    /// Which objects are changed; all that is set must hold. At most one of `listener`,
    /// `routeConfiguration`, `cluster` and `waypoint` is set.
    pub struct EnvoyConfigObjectMatch {
        /// The kind of proxy and direction of traffic. Default `ANY`.
        pub context: Option<PatchContext>,
        /// The proxies.
        pub proxy: Option<ProxyMatch>,
        /// The listeners.
        pub listener: Option<ListenerMatch>,
        /// The tables of routes.
        pub route_configuration: Option<RouteConfigurationMatch>,
        /// The clusters.
        pub cluster: Option<ClusterMatch>,
        /// The parts of a waypoint; needs `context: WAYPOINT`.
        pub waypoint: Option<WaypointMatch>,
    }
}

choice! {
    /// The kind of proxy and direction of traffic.
    pub enum PatchContext {
        /// Sidecars and gateways.
        Any,
        /// Traffic to the workload of a sidecar.
        SidecarInbound,
        /// Traffic from the workload of a sidecar.
        SidecarOutbound,
        /// Gateways.
        Gateway,
        /// Waypoints.
        Waypoint,
    }
}

message! {
    /// Which proxies.
    pub struct ProxyMatch {
        /// A regular expression in RE2 syntax for the version of the proxy.
        pub proxy_version: Option<String>,
        /// Node metadata that must be equal.
        pub metadata: BTreeMap<String, String>,
    }
}

message! {
    /// Which clusters.
    pub struct ClusterMatch {
        /// The port of the service.
        pub port_number: Option<u32>,
        /// The service, fully qualified.
        pub service: Option<String>,
        /// The subset of the service.
        pub subset: Option<String>,
        /// The exact name of the cluster; excludes the other fields.
        pub name: Option<String>,
    }
}

message! {
    /// Which tables of routes.
    pub struct RouteConfigurationMatch {
        /// The port of the service, or of the server of a gateway.
        pub port_number: Option<u32>,
        /// The name of the port, for gateways.
        pub port_name: Option<String>,
        /// The Gateway, as `NAMESPACE/NAME`, for gateways.
        pub gateway: Option<String>,
        /// The virtual host.
        pub vhost: Option<VirtualHostMatch>,
        /// The exact name of the table.
        pub name: Option<String>,
    }
}

message! {
    /// Which virtual hosts.
    pub struct VirtualHostMatch {
        /// The name, `HOST:PORT`.
        pub name: Option<String>,
        /// A domain that it must have.
        pub domain_name: Option<String>,
        /// The route.
        pub route: Option<RouteMatch>,
    }
}

message! {
    /// Which routes.
    pub struct RouteMatch {
        /// The name of the route.
        pub name: Option<String>,
        /// What the route does. Default `ANY`.
        pub action: Option<RouteMatchAction>,
    }
}

choice! {
    /// What a route does.
    pub enum RouteMatchAction {
        /// Anything.
        Any,
        /// It sends the request to a cluster.
        Route,
        /// It redirects.
        Redirect,
        /// It answers by itself.
        DirectResponse,
    }
}

message! {
    /// Which listeners.
    pub struct ListenerMatch {
        /// The port of the service or gateway.
        pub port_number: Option<u32>,
        /// Without effect.
        pub port_name: Option<String>,
        /// The filter chain.
        pub filter_chain: Option<FilterChainMatch>,
        /// The listener filter, by name.
        pub listener_filter: Option<String>,
        /// The exact name of the listener.
        pub name: Option<String>,
    }
}

message! {
    /// Which filter chains.
    pub struct FilterChainMatch {
        /// The name of the chain.
        pub name: Option<String>,
        /// A server name that it matches.
        pub sni: Option<String>,
        /// The transport protocol that it matches: `raw_buffer` or `tls`.
        pub transport_protocol: Option<String>,
        /// The application protocols that it matches, separated by commas.
        pub application_protocols: Option<String>,
        /// The network filter.
        pub filter: Option<FilterMatch>,
        /// The destination port that it matches.
        pub destination_port: Option<u32>,
    }
}

message! {
    /// Which network filters.
    pub struct FilterMatch {
        /// The name of the filter.
        pub name: Option<String>,
        /// A filter inside of it, such as an HTTP filter.
        pub sub_filter: Option<SubFilterMatch>,
    }
}

message! {
    /// Which filters inside of a network filter.
    pub struct SubFilterMatch {
        /// The name of the filter.
        pub name: Option<String>,
    }
}

message! {
    /// Which parts of a waypoint.
    pub struct WaypointMatch {
        /// The network filter.
        pub filter: Option<FilterMatch>,
        /// The port of the service, 1 to 65535.
        pub port_number: Option<u32>,
        /// The route.
        pub route: Option<WaypointRouteMatch>,
    }
}

message! {
    /// Which routes of a waypoint.
    pub struct WaypointRouteMatch {
        /// The name of the route.
        pub name: Option<String>,
    }
}

message! {
    /// The change.
    pub struct Patch {
        /// How the value is applied. Required.
        pub operation: Option<PatchOperation>,
        /// An Envoy message as JSON; not for `REMOVE`.
        pub value: Option<BTreeMap<String, serde_json::Value>>,
        /// Where an added filter belongs when no neighbour is named.
        pub filter_class: Option<FilterClass>,
    }
}

choice! {
    /// How the value of a patch is applied.
    pub enum PatchOperation {
        /// Not said.
        Invalid,
        /// Merged into what is there.
        Merge,
        /// Added.
        Add,
        /// What is there is taken away.
        Remove,
        /// Inserted before what is matched, or first.
        InsertBefore,
        /// Inserted after what is matched, or last.
        InsertAfter,
        /// Inserted as the first one.
        InsertFirst,
        /// Put into the place of what is matched.
        Replace,
        /// Merged, but lists are replaced as a whole.
        MergeAndReplaceList,
    }
}

choice! {
    /// Where an added filter belongs.
    pub enum FilterClass {
        /// At the end, before the router.
        Unspecified,
        /// After Istio's authentication filters.
        Authn,
        /// After Istio's authorization filters.
        Authz,
        /// Before Istio's statistics filters.
        Stats,
    }
}
