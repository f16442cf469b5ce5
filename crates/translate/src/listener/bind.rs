//! Where a listener listens: any address, one address, a Unix socket; on a real port, or only
//! for what the virtual listeners hand over.

use crate::{name, wire};
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::listener::v3 as envoy;
use meltemi_types::{IpFamilies, Port};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// What starts the name of a Unix socket in `bind`.
const UNIX: &str = "unix://";

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Address {
    /// Every address of the proxy's families.
    Any,
    /// This one.
    Ip(IpAddr),
    /// A Unix socket, as the user wrote it: `unix:///path`.
    Unix(Arc<str>),
}

impl Address {
    /// Reads a `bind` field. `None` when it is neither an IP address nor a Unix socket.
    pub(crate) fn read(text: &str, families: IpFamilies) -> Option<Self> {
        if text == families.wildcard() {
            return Some(Self::Any);
        }
        match text.strip_prefix(UNIX) {
            Some(path) => (path.starts_with(['/', '@'])).then(|| Self::Unix(text.into())),
            None => text.parse().ok().map(Self::Ip),
        }
    }
}

/// How connections get to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Capture {
    /// The virtual listener hands them over by their original destination.
    Virtual,
    /// It binds a port of its own.
    Bound,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bind {
    /// The address that names it.
    pub(crate) address: Address,
    /// Further addresses with the same port.
    pub(crate) extra: Vec<IpAddr>,
    /// The port; `None` for Unix sockets only.
    pub(crate) port: Option<Port>,
    /// How connections get to it.
    pub(crate) capture: Capture,
}

impl Bind {
    /// Every address of these families.
    pub(crate) fn any(families: IpFamilies, port: Port, capture: Capture) -> Self {
        Self {
            address: Address::Any,
            extra: second(families, Ipv6Addr::UNSPECIFIED),
            port: Some(port),
            capture,
        }
    }

    /// The loopback addresses of these families, on a real port.
    pub(crate) fn loopback(families: IpFamilies, port: Port) -> Self {
        let first = match families {
            IpFamilies::V4 | IpFamilies::Dual => IpAddr::from(Ipv4Addr::LOCALHOST),
            IpFamilies::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        Self {
            address: Address::Ip(first),
            extra: second(families, Ipv6Addr::LOCALHOST),
            port: Some(port),
            capture: Capture::Bound,
        }
    }

    /// One address.
    pub(crate) fn ip(address: IpAddr, port: Port, capture: Capture) -> Self {
        Self {
            address: Address::Ip(address),
            extra: Vec::new(),
            port: Some(port),
            capture,
        }
    }

    /// True when it is reached at every address.
    pub(crate) fn is_any(&self) -> bool {
        self.address == Address::Any
    }

    /// The listener's name: `<address>_<port>`, or the Unix socket as written.
    pub(crate) fn name(&self, families: IpFamilies) -> Arc<str> {
        match (&self.address, self.port) {
            (Address::Unix(path), _) => path.clone(),
            (Address::Any, Some(port)) => name::listener(families.wildcard(), port),
            (Address::Ip(ip), Some(port)) => name::listener(ip, port),
            (Address::Any, None) => families.wildcard().into(),
            (Address::Ip(ip), None) => ip.to_string().into(),
        }
    }

    /// The first address.
    pub(crate) fn primary(&self, families: IpFamilies) -> core::Address {
        let port = self.port.map_or(0, Port::number);
        match &self.address {
            Address::Any => wire::socket_address(families.wildcard(), port),
            Address::Ip(ip) => wire::socket_address(ip, port),
            Address::Unix(path) => wire::pipe(path.strip_prefix(UNIX).unwrap_or(path)),
        }
    }

    /// The further addresses.
    pub(crate) fn additional(&self) -> Vec<envoy::AdditionalAddress> {
        let port = self.port.map_or(0, Port::number);
        let one = |ip| envoy::AdditionalAddress {
            address: Some(wire::socket_address(ip, port)),
            ..envoy::AdditionalAddress::default()
        };
        self.extra.iter().map(one).collect()
    }
}

/// The address of the second family, where there are two.
fn second(families: IpFamilies, v6: Ipv6Addr) -> Vec<IpAddr> {
    match families {
        IpFamilies::V4 | IpFamilies::V6 => Vec::new(),
        IpFamilies::Dual => vec![v6.into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_read_and_named() {
        let port = Port::new(80).unwrap();
        let read = |text| Address::read(text, IpFamilies::V4);
        assert_eq!(read("0.0.0.0"), Some(Address::Any));
        assert_eq!(read("localhost"), None);
        assert_eq!(read("unix://relative"), None);
        let unix = Bind {
            address: read("unix:///var/run/a.sock").unwrap(),
            extra: Vec::new(),
            port: None,
            capture: Capture::Bound,
        };
        assert_eq!(&*unix.name(IpFamilies::V4), "unix:///var/run/a.sock");
        let any = Bind::any(IpFamilies::Dual, port, Capture::Virtual);
        assert_eq!(&*any.name(IpFamilies::Dual), "0.0.0.0_80");
        assert_eq!(any.additional().len(), 1);
        let six = Bind::any(IpFamilies::V6, port, Capture::Virtual);
        assert_eq!(&*six.name(IpFamilies::V6), "::_80");
        let local = Bind::loopback(IpFamilies::V4, port);
        assert_eq!(&*local.name(IpFamilies::V4), "127.0.0.1_80");
    }
}
