//! Ports, protocols, IP families and localities.

use crate::text::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;
use std::sync::Arc;

/// A TCP or UDP port, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(NonZeroU16);

impl Port {
    /// The port of this number; `None` for 0 and above 65535.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        u16::try_from(number)
            .ok()
            .and_then(NonZeroU16::new)
            .map(Self)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        u32::from(self.0.get())
    }

    /// The number as sockets want it.
    #[must_use]
    pub fn u16(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Port {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse::<u32>()
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| Invalid::new("port", text, "use a number from 1 to 65535"))
    }
}

/// The application protocol of a service port, as Istio names them.
///
/// Follows <https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1, with upgrades.
    Http,
    /// HTTP/2, also h2c.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web over HTTP/1.1 or 2.
    GrpcWeb,
    /// An HTTP forward proxy.
    HttpProxy,
    /// TLS carrying HTTP, routed by SNI.
    Https,
    /// TLS carrying anything, routed by SNI.
    Tls,
    /// Opaque bytes.
    Tcp,
    /// MongoDB.
    Mongo,
    /// Redis.
    Redis,
    /// MySQL.
    Mysql,
    /// Datagrams; the mesh leaves them alone.
    Udp,
    /// Not declared: told apart by looking at the first bytes.
    Auto,
}

impl Protocol {
    /// The protocol of this name (`http`, `grpc-web`, `HTTP2`, …), case-insensitive.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "http2" => Self::Http2,
            "grpc" => Self::Grpc,
            "grpc-web" => Self::GrpcWeb,
            "http_proxy" => Self::HttpProxy,
            "https" => Self::Https,
            "tls" => Self::Tls,
            "tcp" => Self::Tcp,
            "mongo" => Self::Mongo,
            "redis" => Self::Redis,
            "mysql" => Self::Mysql,
            "udp" => Self::Udp,
            _ => return None,
        })
    }

    /// True when Envoy reads requests: HTTP of any kind, in clear.
    #[must_use]
    pub fn is_http(self) -> bool {
        matches!(
            self,
            Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb | Self::HttpProxy
        )
    }

    /// True for HTTP/2 only protocols (HTTP2 and gRPC).
    #[must_use]
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }

    /// True when connections are routed by SNI (HTTPS, TLS).
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// True when Envoy carries bytes: everything but HTTP, UDP and undeclared.
    #[must_use]
    pub fn is_tcp(self) -> bool {
        !self.is_http() && !matches!(self, Self::Udp | Self::Auto)
    }

    /// Istio's spelling.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Http2 => "HTTP2",
            Self::Grpc => "GRPC",
            Self::GrpcWeb => "GRPC-Web",
            Self::HttpProxy => "HTTP_PROXY",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Mongo => "Mongo",
            Self::Redis => "Redis",
            Self::Mysql => "MySQL",
            Self::Udp => "UDP",
            Self::Auto => "Auto",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which IP families a proxy has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpFamilies {
    /// IPv4 only.
    #[default]
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Dual,
}

impl IpFamilies {
    /// The families of these addresses; IPv4 when there are none.
    #[must_use]
    pub fn of(addresses: &[IpAddr]) -> Self {
        match (
            addresses.iter().any(IpAddr::is_ipv4),
            addresses.iter().any(IpAddr::is_ipv6),
        ) {
            (true, true) => Self::Dual,
            (false, true) => Self::V6,
            (true | false, false) => Self::V4,
        }
    }

    /// True when an address of this family can be reached.
    #[must_use]
    pub fn allows(self, address: &IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::Dual => true,
        }
    }

    /// The address that stands for "any": `0.0.0.0`, or `::` where there is only IPv6.
    #[must_use]
    pub fn wildcard(self) -> &'static str {
        match self {
            Self::V4 | Self::Dual => "0.0.0.0",
            Self::V6 => "::",
        }
    }

    /// The loopback address: `127.0.0.1`, or `::1` where there is only IPv6.
    #[must_use]
    pub fn loopback(self) -> &'static str {
        match self {
            Self::V4 | Self::Dual => "127.0.0.1",
            Self::V6 => "::1",
        }
    }
}

/// Where a workload runs: region, zone, subzone; each may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locality {
    /// The region, for example `eu-west-1`.
    pub region: Arc<str>,
    /// The zone inside the region.
    pub zone: Arc<str>,
    /// The subzone inside the zone (a rack, say).
    pub subzone: Arc<str>,
}

impl Default for Locality {
    fn default() -> Self {
        Self {
            region: "".into(),
            zone: "".into(),
            subzone: "".into(),
        }
    }
}

impl Locality {
    /// Reads `region/zone/subzone`; missing parts are empty.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, '/').map(Arc::from);
        let mut next = || parts.next().unwrap_or_else(|| "".into());
        Self {
            region: next(),
            zone: next(),
            subzone: next(),
        }
    }

    /// True when nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty() && self.subzone.is_empty()
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = format!("{}/{}/{}", self.region, self.zone, self.subzone);
        f.pad(full.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_bounds() {
        assert!(Port::new(0).is_none());
        assert!(Port::new(65536).is_none());
        assert_eq!("65535".parse::<Port>().unwrap().number(), 65535);
    }

    #[test]
    fn protocols_by_name() {
        assert_eq!(Protocol::by_name("GRPC-Web"), Some(Protocol::GrpcWeb));
        assert_eq!(Protocol::by_name("quic"), None);
        assert!(Protocol::Https.is_tcp() && Protocol::Https.is_tls());
        assert!(!Protocol::Auto.is_tcp() && !Protocol::Auto.is_http());
    }

    #[test]
    fn families_of_addresses() {
        let v4: IpAddr = "10.0.0.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(IpFamilies::of(&[v4]), IpFamilies::V4);
        assert_eq!(IpFamilies::of(&[v6]), IpFamilies::V6);
        assert_eq!(IpFamilies::of(&[v6, v4]), IpFamilies::Dual);
        assert_eq!(IpFamilies::of(&[]), IpFamilies::V4);
    }

    #[test]
    fn localities_read_and_print() {
        assert_eq!(Locality::parse("r/z").to_string(), "r/z");
        assert_eq!(&*Locality::parse("r/z/s").subzone, "s");
        assert!(Locality::parse("").is_empty());
    }
}
