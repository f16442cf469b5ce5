//! `/etc/resolv.conf`: which servers there are, and the first search domain (resolv.conf(5)). Pure.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// The port of DNS servers.
const PORT: u16 = 53;
/// The most servers that are asked; the resolver of the C library asks three.
const SERVERS: usize = 8;

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolv {
    /// The servers, in order.
    pub servers: Vec<SocketAddr>,
    /// The first search domain, lower case, without dots around it.
    pub search: Option<String>,
}

impl Resolv {
    /// Reads it; what cannot be read is left out, as the C library does.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("nameserver"), Some(word)) => {
                    let server = server(word).filter(|server| !found.servers.contains(server));
                    found.servers.extend(server);
                }
                // The last one counts; each may be empty.
                (Some("search" | "domain"), word) => found.search = word.and_then(domain),
                (_, _) => {}
            }
        }
        found.servers.truncate(SERVERS);
        found
    }
}

fn domain(word: &str) -> Option<String> {
    let domain = word.trim_matches('.').to_ascii_lowercase();
    (!domain.is_empty()).then_some(domain)
}

/// An address, of IPv6 with the number of its interface perhaps.
fn server(word: &str) -> Option<SocketAddr> {
    if let Ok(ip) = word.parse::<IpAddr>() {
        return Some((ip, PORT).into());
    }
    let (ip, scope) = word.split_once('%')?;
    Some(SocketAddrV6::new(ip.parse().ok()?, PORT, 0, scope.parse().ok()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_file_is_understood() {
        let text = "search shop.svc.cluster.local svc.cluster.local cluster.local\n\
                    nameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5\n";
        let found = Resolv::parse(text);
        let servers: Vec<_> = found.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.96.0.10:53", "[fd00::a]:53"]);
        assert_eq!(found.search.as_deref(), Some("shop.svc.cluster.local"));
    }

    #[test]
    fn odd_lines_harm_nobody() {
        let text = "; a comment\nnameserver\nnameserver here\nnameserver 10.0.0.1 # mine\n\
                    nameserver 10.0.0.1\ndomain Old.example.\nsearch NEW.example. b\n\
                    nameserver fe80::1%3\nnonsense\n\tnameserver 10.0.0.2";
        let found = Resolv::parse(text);
        let servers: Vec<_> = found.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[fe80::1%3]:53", "10.0.0.2:53"]);
        assert_eq!(found.search.as_deref(), Some("new.example"));
        assert_eq!(Resolv::parse("search .\n"), Resolv::default());
        assert_eq!(Resolv::parse(""), Resolv::default());
    }
}
