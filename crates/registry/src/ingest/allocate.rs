//! Addresses for ServiceEntries that have none, for proxies that answer DNS questions: those that
//! the status of the object says, else ones made from the name of the service (platform.md 3.14).
//!
//! The address is the hash of namespace and host, looked for in 240.240.0.0/16 and 2001:2::/48; the
//! same set of services has the same addresses everywhere. The surprise: until its status says an
//! address, a service may move when another one with the same hash comes.

use super::{age, entry};
use crate::Allocated;
use crate::world::World;
use meltemi_api::Resource;
use meltemi_api::networking::service_entry::{Resolution, ServiceEntry};
use meltemi_model::ServiceKey;
use meltemi_types::ObjectRef;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The label with which an entry says that it wants no address.
const LABEL: &str = "networking.istio.io/enable-autoallocate-ip";
/// How many addresses there are: those that end in 0 or 255 are left out.
const SLOTS: u32 = 256 * 254;
/// A prime just below, so that the second hash visits every slot.
const PRIME: u32 = 65011;

/// The addresses in force.
#[derive(Debug, Default)]
pub(crate) struct Allocations {
    by_service: ByService,
    by_entry: Arc<Allocated>,
}

type ByService = BTreeMap<ServiceKey, Arc<[IpAddr]>>;

impl Allocations {
    /// The addresses of a service; none when it has its own, or cannot have any.
    pub(crate) fn of(&self, key: &ServiceKey) -> Arc<[IpAddr]> {
        let found = self.by_service.get(key);
        found.cloned().unwrap_or_else(|| Arc::from([]))
    }

    /// The addresses of each object that takes such; the same pointer while they are the same.
    pub(crate) fn by_entry(&self) -> &Arc<Allocated> {
        &self.by_entry
    }

    /// Hands out addresses again; the services whose addresses differ now.
    pub(crate) fn renew(&mut self, world: &World) -> Vec<ServiceKey> {
        let now = all(world);
        let by_entry = by_entry(world, &now);
        if *self.by_entry != by_entry {
            self.by_entry = Arc::new(by_entry);
        }
        let was = std::mem::replace(&mut self.by_service, now);
        let now = &self.by_service;
        let gone = was.keys().filter(|key| !now.contains_key(*key));
        let differ = now
            .iter()
            .filter(|(key, ips)| was.get(*key) != Some(ips))
            .map(|(key, _)| key);
        gone.chain(differ).cloned().collect()
    }
}

fn all(world: &World) -> ByService {
    let mut found = ByService::new();
    let mut taken = written_in_specs(world);
    let (claims, open) = claims(world);
    let mut open: BTreeSet<_> = open.into_iter().collect();
    for (key, ips) in claims {
        // Two that claim one address: the older keeps it.
        if ips.iter().any(|ip| taken.contains(ip)) {
            open.insert(key);
        } else {
            taken.extend(&ips);
            found.insert(key.clone(), ips.into());
        }
    }
    for key in open {
        if let Some(slot) = free(key, &taken) {
            taken.extend(address(slot));
            found.insert(key.clone(), address(slot).into());
        }
    }
    found
}

/// Services with the addresses that their status says, oldest first, and those without any.
fn claims(world: &World) -> (Vec<(&ServiceKey, Vec<IpAddr>)>, Vec<&ServiceKey>) {
    let (mut claims, mut open) = (Vec::new(), Vec::new());
    for key in world.entry_keys() {
        let entries = world.entries(key);
        let Some(first) = entries.first() else {
            continue;
        };
        if !entries.iter().all(|entry| wants(entry, key)) {
            continue;
        }
        let mut written = entries.iter().map(|entry| written(entry, key));
        match written.find(|ips| !ips.is_empty()) {
            Some(ips) => claims.push((age(&first.meta), key, ips)),
            None => open.push(key),
        }
    }
    claims.sort();
    let claims = claims.into_iter().map(|(_, key, ips)| (key, ips));
    (claims.collect(), open)
}

/// The addresses that people have chosen.
fn written_in_specs(world: &World) -> BTreeSet<IpAddr> {
    let entries = world.service_entries.values();
    let all = entries.flat_map(|entry| &entry.spec.addresses);
    all.filter_map(|address| address.parse().ok()).collect()
}

/// The addresses of each object, in the order of its hosts.
fn by_entry(world: &World, by_service: &ByService) -> Allocated {
    let of_entry = |entry: &Resource<ServiceEntry>| {
        let mut all: Vec<(Arc<str>, IpAddr)> = Vec::new();
        for key in entry::keys(entry).filter(|key| wants(entry, key)) {
            for ip in by_service.get(&key).into_iter().flat_map(|ips| &**ips) {
                let pair = (key.host.shared(), *ip);
                if !all.contains(&pair) {
                    all.push(pair);
                }
            }
        }
        all
    };
    let entries = world.service_entries.iter();
    let named = entries.map(|(name, entry)| (name.clone(), of_entry(entry)));
    let some = named.filter(|(_, all): &(Arc<ObjectRef>, Vec<_>)| !all.is_empty());
    some.map(|(name, all)| (name, all.into())).collect()
}

/// True when a host of an entry may have an address: the connection alone must tell where it was to
/// go, or the name in it when the entry is of all names below a domain.
fn wants(entry: &Resource<ServiceEntry>, key: &ServiceKey) -> bool {
    let named = match entry.spec.resolution.unwrap_or_default() {
        Resolution::None => false,
        Resolution::DynamicDns => true,
        Resolution::Static | Resolution::Dns | Resolution::DnsRoundRobin => key.host.is_exact(),
    };
    let declined = entry.meta.labels.value(LABEL) == Some("false");
    named && entry.spec.addresses.is_empty() && !declined
}

/// The addresses that the status says for a host.
fn written(entry: &Resource<ServiceEntry>, key: &ServiceKey) -> Vec<IpAddr> {
    let addresses = entry.status.iter().flat_map(|status| &status.addresses);
    let own = |host: &str| host.is_empty() || key.host.as_str().eq_ignore_ascii_case(host);
    addresses
        .filter(|address| own(&address.host))
        .filter_map(|address| address.value.parse().ok())
        .collect()
}

/// The first free slot on the way that the name of a service says; `None` when all are taken.
fn free(key: &ServiceKey, taken: &BTreeSet<IpAddr>) -> Option<u32> {
    let is_free = |slot| !address(slot).iter().any(|ip| taken.contains(ip));
    let first = hash(&format!("{}/{}", key.namespace, key.host));
    let step = PRIME - first % PRIME;
    let mut slot = first % SLOTS;
    for _ in 0..SLOTS {
        if is_free(slot) {
            return Some(slot);
        }
        slot = (slot + step) % SLOTS;
    }
    (0..SLOTS).find(|slot| is_free(*slot))
}

/// FNV-1a, 32 bits.
fn hash(text: &str) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    text.bytes().fold(0x811c_9dc5, step)
}

fn address(slot: u32) -> [IpAddr; 2] {
    let (third, fourth) = (slot / 254, slot % 254 + 1);
    let v4 = Ipv4Addr::from(0xf0f0_0000 | third << 8 | fourth);
    let v6 = Ipv6Addr::from(0x2001_0002_u128 << 96 | u128::from(u32::from(v4)));
    [v4.into(), v6.into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_addresses_of_both_families() {
        let text = |slot| address(slot).map(|ip| ip.to_string());
        assert_eq!(text(0), ["240.240.0.1", "2001:2::f0f0:1"]);
        assert_eq!(text(254), ["240.240.1.1", "2001:2::f0f0:101"]);
        assert_eq!(text(SLOTS - 1), ["240.240.255.254", "2001:2::f0f0:fffe"]);
    }

    #[test]
    fn a_taken_slot_sends_on() {
        let key = ServiceKey {
            host: "a.com".parse().unwrap(),
            namespace: "shop".parse().unwrap(),
        };
        let first = free(&key, &BTreeSet::new()).unwrap();
        // One of both families is enough.
        let second = free(&key, &[address(first)[1]].into()).unwrap();
        assert_ne!(first, second);
        let all_but = |slot| {
            let others = (0..SLOTS).filter(|s| *s != slot);
            others.map(|slot| address(slot)[0]).collect()
        };
        assert_eq!(free(&key, &all_but(77)), Some(77));
        assert_eq!(free(&key, &all_but(SLOTS)), None);
    }
}
