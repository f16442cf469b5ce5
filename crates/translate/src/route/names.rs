//! The names under which a service is known to a client: short names of Kubernetes services, the
//! absolute form, names of single pods, addresses.
//!
//! Follows Istio's virtual host domains. Short names need the proxy and the service to share the
//! DNS suffix; a short name may never be `*`.

use super::{Client, HostInput};
use std::net::IpAddr;

/// Names of one virtual host, and how each came about.
pub(super) struct Names {
    /// In order.
    pub(super) all: Vec<Name>,
}

/// One name.
pub(super) struct Name {
    /// The domain, without port.
    pub(super) text: String,
    /// Why it is there.
    pub(super) kind: NameKind,
}

/// Why a name is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    /// It is the host.
    Full,
    /// It is short for the host: gives way to a host of that very name.
    Short,
    /// It is another name for the service, or short for one.
    Alias,
    /// It is an address.
    Address,
}

/// Every name of a virtual host.
pub(super) fn names(client: &Client, host: &HostInput) -> Names {
    let mut names = Names { all: Vec::new() };
    let Some(service) = &host.service else {
        names.push(host.host.as_str(), NameKind::Full);
        return names;
    };
    names.expand(
        host.host.as_str(),
        &client.domain,
        (NameKind::Full, NameKind::Short),
    );
    for alias in &host.aliases {
        names.expand(
            alias.as_str(),
            &client.domain,
            (NameKind::Alias, NameKind::Alias),
        );
    }
    if service.kubernetes && service.is_passthrough() {
        let pods: Vec<String> = names.all.iter().map(|n| format!("*.{}", n.text)).collect();
        for pod in pods {
            names.push(&pod, NameKind::Short);
        }
    }
    for address in service.vips(&client.cluster, client.families, client.dns) {
        names.push(&bracketed(address), NameKind::Address);
    }
    names
}

impl Names {
    fn push(&mut self, text: &str, kind: NameKind) {
        if kind == NameKind::Full || !matches!(text, "*" | "*." | "") {
            self.all.push(Name {
                text: text.to_owned(),
                kind,
            });
        }
    }

    /// The host, its absolute form, its short forms.
    fn expand(&mut self, host: &str, domain: &str, (full, short): (NameKind, NameKind)) {
        self.push(host, full);
        if host != "*" && !host.ends_with('.') {
            self.push(&format!("{host}."), full);
        }
        for name in short_names(host, domain) {
            self.push(&name, short);
        }
    }
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

/// The short forms of a host for a client whose DNS domain is `domain`.
pub(crate) fn short_names(host: &str, domain: &str) -> Vec<String> {
    match domain.split_once(".svc.") {
        Some((namespace, suffix)) => kubernetes_names(host, namespace, suffix),
        None => plain_names(host, domain),
    }
}

fn kubernetes_names(host: &str, client: &str, suffix: &str) -> Vec<String> {
    let Some((scope, own)) = host.split_once(".svc.") else {
        return Vec::new();
    };
    let Some((name, namespace)) = scope.split_once('.').filter(|_| own == suffix) else {
        return Vec::new();
    };
    let with_svc = format!("{scope}.svc");
    match namespace == client {
        true => vec![name.to_owned(), with_svc, scope.to_owned()],
        false => vec![scope.to_owned(), with_svc],
    }
}

/// Outside of Kubernetes: what is left without the suffix that both share.
fn plain_names(host: &str, domain: &str) -> Vec<String> {
    let host: Vec<&str> = host.split('.').collect();
    let pairs = host.iter().rev().zip(domain.rsplit('.'));
    let shared = pairs.take_while(|(a, b)| **a == *b).count();
    let (unique, common) = host.split_at(host.len() - shared);
    let unique = unique.join(".");
    match common {
        _ if unique.is_empty() => Vec::new(),
        [] => Vec::new(),
        [_] => vec![unique],
        [first, ..] => {
            let longer = format!("{unique}.{first}");
            vec![unique, longer]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_depend_on_the_clients_namespace() {
        let host = "web.shop.svc.cluster.local";
        assert_eq!(
            short_names(host, "shop.svc.cluster.local"),
            ["web", "web.shop.svc", "web.shop"]
        );
        assert_eq!(
            short_names(host, "bank.svc.cluster.local"),
            ["web.shop", "web.shop.svc"]
        );
        assert!(short_names(host, "shop.svc.other.local").is_empty());
        assert!(short_names("example.com", "shop.svc.cluster.local").is_empty());
    }

    #[test]
    fn other_domains_lose_the_suffix_they_share() {
        assert_eq!(short_names("a.b.com", "x.b.com"), ["a", "a.b"]);
        assert_eq!(short_names("a.com", "x.com"), ["a"]);
        assert!(short_names("a.org", "x.com").is_empty());
        assert!(short_names("x.com", "x.com").is_empty());
    }
}
