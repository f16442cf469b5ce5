//! A call: a connection to somewhere, and what is inside of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// An address that no mesh knows.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 3, 3, 7));

/// How the connection gets to the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From the workload, or from anywhere to a gateway: the destination decides.
    #[default]
    Outbound,
    /// To the workload: captured by the inbound listener.
    Inbound,
}

/// What is inside of the connection, TLS apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2.
    Http2,
    /// Bytes.
    #[default]
    Tcp,
}

/// What is around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Nothing.
    #[default]
    Plaintext,
    /// TLS without a client certificate.
    Tls,
    /// TLS of the mesh, with a client certificate.
    Mutual,
}

/// What a request says beside its host and path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method; empty is GET.
    pub method: String,
    /// Headers by lower-case name.
    pub headers: BTreeMap<String, String>,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// How it gets to the proxy.
    pub direction: Direction,
    /// Where the connection goes; by default an address that nothing knows.
    pub address: IpAddr,
    /// The port.
    pub port: u32,
    /// What is inside.
    pub protocol: Protocol,
    /// What is around it.
    pub tls: Tls,
    /// The protocol that TLS offers; `None` is what clients of `protocol` offer.
    pub alpn: Option<String>,
    /// The server name of TLS; `None` is `host` for TLS, and no name for mutual TLS.
    pub sni: Option<String>,
    /// The Host header.
    pub host: String,
    /// The path with its query; `/` by default.
    pub path: String,
    /// The rest of the request. `None`: routes are chosen by path alone.
    pub request: Option<Request>,
    /// The name of the certificate that marks a filter chain as mutual TLS of the mesh.
    pub mesh_secret: String,
}

impl Call {
    /// Plaintext bytes to a port of nowhere.
    #[must_use]
    pub fn new(port: u32) -> Self {
        Self {
            direction: Direction::Outbound,
            address: NOWHERE,
            port,
            protocol: Protocol::Tcp,
            tls: Tls::Plaintext,
            alpn: None,
            sni: None,
            host: String::new(),
            path: "/".into(),
            request: None,
            mesh_secret: "default".into(),
        }
    }

    /// The protocol that the handshake offers; empty when there is none.
    pub(crate) fn offered(&self) -> &str {
        if let Some(alpn) = &self.alpn {
            return alpn;
        }
        match (self.tls, self.protocol) {
            (Tls::Plaintext, _) | (Tls::Tls, Protocol::Tcp) => "",
            (Tls::Tls, Protocol::Http) => "http/1.1",
            (Tls::Tls, Protocol::Http2) => "h2",
            (Tls::Mutual, Protocol::Http) => "istio-http/1.1",
            (Tls::Mutual, Protocol::Http2) => "istio-h2",
            (Tls::Mutual, Protocol::Tcp) => "istio",
        }
    }

    /// The server name; empty when there is none.
    pub(crate) fn server_name(&self) -> &str {
        match (&self.sni, self.tls) {
            (Some(sni), _) => sni,
            (None, Tls::Tls) => &self.host,
            (None, Tls::Plaintext | Tls::Mutual) => "",
        }
    }
}
