//! What the machine says of itself, and whether it lets us change its rules.

use crate::Failure;
use meltemi_capture::Surroundings;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

/// The bit of CAP_NET_ADMIN.
const NET_ADMIN: u32 = 12;

/// Moves this thread into a network namespace. What the kernel tells of it under `/proc` is right
/// only in the main thread of a process.
///
/// # Errors
/// The path is no namespace, or may not be entered.
pub fn enter(path: &str) -> Result<(), Failure> {
    let why = |what: &str, error: &dyn std::fmt::Display| {
        let text = format!("the network namespace {path:?}: cannot {what} it: {error}");
        Failure::Unavailable(text)
    };
    let file = std::fs::File::open(path).map_err(|e| why("open", &e))?;
    let kind = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(file.as_fd(), kind).map_err(|e| why("enter", &e))
}

/// Fails when rules may not be changed, with what to do about it in a container.
///
/// # Errors
/// The capability NET_ADMIN is missing.
pub fn may_change_rules() -> Result<(), Failure> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    match is_capable(&status) {
        true => Ok(()),
        false => Err(Failure::NotPermitted(
            "the capability NET_ADMIN is missing: give it to this container (securityContext: \
             runAsUser 0, capabilities.add [NET_ADMIN, NET_RAW], and a namespace whose pod \
             security allows that), or let a CNI plugin capture and set pilot.cni.enabled"
                .to_owned(),
        )),
    }
}

/// Whether NET_ADMIN is effective; a status that does not say counts as yes.
fn is_capable(status: &str) -> bool {
    let mut lines = status.lines();
    let effective = lines.find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_none_or(|bits| bits & (1 << NET_ADMIN) != 0)
}

/// Addresses, name servers, users and groups; what cannot be read is none.
#[must_use]
pub fn surroundings() -> Surroundings {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut addresses = v4_addresses(&text("/proc/net/fib_trie"));
    addresses.extend(v6_addresses(&text("/proc/net/if_inet6")));
    Surroundings {
        addresses,
        nameservers: nameservers(&text("/etc/resolv.conf")),
        users: ids(&text("/etc/passwd")),
        groups: ids(&text("/etc/group")),
    }
}

/// The kernel's tree of routes says behind each address whether it is one of ours.
fn v4_addresses(tree: &str) -> Vec<IpAddr> {
    let mut last = None;
    let mut found = BTreeSet::new();
    for line in tree.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last);
        }
    }
    found.into_iter().map(IpAddr::V4).collect()
}

fn v6_addresses(table: &str) -> Vec<IpAddr> {
    let first = |line: &str| -> Option<IpAddr> {
        let bits = u128::from_str_radix(line.split(' ').next()?, 16).ok()?;
        Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
    };
    table.lines().filter_map(first).collect()
}

fn nameservers(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some("nameserver")
            && let Some(server) = words.next()
            && let Ok(server) = server.split('%').next().unwrap_or_default().parse()
            && !found.contains(&server)
        {
            found.push(server);
        }
    }
    found
}

/// Names and numbers of `/etc/passwd` or `/etc/group`.
fn ids(text: &str) -> BTreeMap<String, u32> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((name, fields.nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        let tree = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
                    \x20    |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 10.0.0.255\n\
                    \x20       /32 link BROADCAST\nLocal:\n     |-- 10.0.0.7\n        /32 host LOCAL\n";
        assert_eq!(v4_addresses(tree), ["10.0.0.7".parse::<IpAddr>().unwrap()]);
        let table = "fd000000000000000000000000000007 02 40 00 80 eth0\n";
        assert_eq!(v6_addresses(table), ["fd00::7".parse::<IpAddr>().unwrap()]);
        let servers =
            "search a.b\nnameserver 10.96.0.10\nnameserver fe80::1%eth0\n#nameserver 1.1.1.1\n";
        let wanted: [IpAddr; 2] = ["10.96.0.10".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(nameservers(servers), wanted);
        let users = "root:x:0:0::/:/bin/sh\nistio-proxy:x:1337:1337::/:\n";
        assert_eq!(ids(users).get("istio-proxy"), Some(&1337));
    }

    #[test]
    fn the_capability_is_seen() {
        assert!(is_capable("Name:\ta\nCapEff:\t0000000000003000\n"));
        assert!(!is_capable(
            "CapEff:\t00000000a80425fb\n".replace("5fb", "000").as_str()
        ));
        assert!(is_capable(""));
    }
}
