//! VirtualService: which requests and connections go where.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/>.

mod check;
mod cors;
mod destination;
mod fault;
mod headers;
mod http;
mod retry;
mod rewrite;
mod tcp;
mod tls;

pub use cors::{CorsPolicy, UnmatchedPreflights};
pub use destination::{Destination, PortSelector, RouteDestination};
pub use fault::{Abort, Delay, HttpFaultInjection};
pub use headers::{HeaderOperations, Headers};
pub use http::{Delegate, HttpMatchRequest, HttpMirrorPolicy, HttpRoute, HttpRouteDestination};
pub use retry::HttpRetry;
pub use rewrite::{
    HttpBody, HttpDirectResponse, HttpRedirect, HttpRewrite, RedirectPort, RegexRewrite,
};
pub use tcp::{L4MatchAttributes, TcpRoute};
pub use tls::{TlsMatchAttributes, TlsRoute};

use crate::message::message;

message! {
    /// Routing rules for one or more hosts.
    pub struct VirtualService {
        /// The hosts whose traffic is routed: DNS names, short service names, names with a
        /// leading `*`, or IP addresses. Must be empty for a delegate.
        pub hosts: Vec<String>,
        /// The gateways (`NAME` or `NAMESPACE/NAME`) that use the rules; `mesh` stands for all
        /// sidecars. Default `mesh`.
        pub gateways: Vec<String>,
        /// Rules for HTTP, in order; the first one that matches is used.
        pub http: Vec<HttpRoute>,
        /// Rules for TLS connections that are passed through, in order.
        pub tls: Vec<TlsRoute>,
        /// Rules for other TCP connections, in order.
        pub tcp: Vec<TcpRoute>,
        /// The namespaces that see the rules: names, `.` (the own one) or `*` (all). Default:
        /// mesh config's `defaultVirtualServiceExportTo`.
        pub export_to: Vec<String>,
    }
}

impl VirtualService {
    /// True when other VirtualServices delegate to this one: it names no hosts.
    #[must_use]
    pub fn is_delegate(&self) -> bool {
        self.hosts.is_empty()
    }

    /// True when sidecars use the rules: no gateway is named, or `mesh` is.
    #[must_use]
    pub fn applies_to_sidecars(&self) -> bool {
        self.gateways.is_empty() || self.gateways.iter().any(|name| name == "mesh")
    }
}
