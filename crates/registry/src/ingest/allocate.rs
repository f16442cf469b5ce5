//! Addresses for ServiceEntries that have none, for proxies that answer DNS questions: those that
//! the status of the object says, else ones made from the name of the service.
//!
//! The address is the hash of namespace and host, looked for in 240.240.0.0/16 and 2001:2::/48; the
//! same set of services has the same addresses everywhere. The surprise: a service may move when
//! another one with the same hash comes.

use crate::world::World;
use meltemi_api::Resource;
use meltemi_api::networking::service_entry::{Resolution, ServiceEntry};
use meltemi_model::ServiceKey;
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
    by_service: BTreeMap<ServiceKey, Arc<[IpAddr]>>,
}

impl Allocations {
    /// The addresses of a service; none when it has its own, or cannot have any.
    pub(crate) fn of(&self, key: &ServiceKey) -> Arc<[IpAddr]> {
        let found = self.by_service.get(key);
        found.cloned().unwrap_or_else(|| Arc::from([]))
    }

    /// Hands out addresses again; the services whose addresses differ now.
    pub(crate) fn renew(&mut self, world: &World) -> Vec<ServiceKey> {
        let now = all(world);
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

fn all(world: &World) -> BTreeMap<ServiceKey, Arc<[IpAddr]>> {
    let mut found: BTreeMap<ServiceKey, Arc<[IpAddr]>> = BTreeMap::new();
    let mut open = Vec::new();
    for key in world.entry_keys() {
        let entries = world.entries(key);
        let wants = |entry: &&Arc<Resource<ServiceEntry>>| wants(entry);
        if !key.host.is_exact() || entries.is_empty() || !entries.iter().all(wants) {
            continue;
        }
        match entries
            .iter()
            .map(|entry| written(entry, key))
            .find(|ips| !ips.is_empty())
        {
            Some(ips) => {
                found.insert(key.clone(), ips.into());
            }
            None => open.push(key.clone()),
        }
    }
    let mut taken: BTreeSet<u32> = found
        .values()
        .flat_map(|ips| ips.iter().filter_map(slot_of))
        .collect();
    for key in open {
        if let Some(slot) = free(&key, &taken) {
            taken.insert(slot);
            found.insert(key, address(slot).into());
        }
    }
    found
}

/// True when an entry may have an address: the connection alone must tell where it was to go.
fn wants(entry: &Resource<ServiceEntry>) -> bool {
    let passes = entry.spec.resolution.unwrap_or_default() == Resolution::None;
    entry.spec.addresses.is_empty() && !passes && entry.meta.labels.value(LABEL) != Some("false")
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
fn free(key: &ServiceKey, taken: &BTreeSet<u32>) -> Option<u32> {
    let first = hash(&format!("{}/{}", key.namespace, key.host));
    let step = PRIME - first % PRIME;
    let mut slot = first % SLOTS;
    for _ in 0..SLOTS {
        if !taken.contains(&slot) {
            return Some(slot);
        }
        slot = (slot + step) % SLOTS;
    }
    (0..SLOTS).find(|slot| !taken.contains(slot))
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

/// The slot of an address that somebody else handed out.
fn slot_of(ip: &IpAddr) -> Option<u32> {
    let IpAddr::V4(v4) = ip else { return None };
    let [240, 240, third, fourth @ 1..=254] = v4.octets() else {
        return None;
    };
    Some(u32::from(third) * 254 + u32::from(fourth) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_slots_are_one_to_one() {
        for slot in [0, 1, 253, 254, 255, SLOTS - 1] {
            let [v4, v6] = address(slot);
            assert_eq!(slot_of(&v4), Some(slot));
            assert!(v6.to_string().starts_with("2001:2::f0f0:"), "{v6}");
        }
        assert_eq!(address(0)[0].to_string(), "240.240.0.1");
        assert_eq!(address(SLOTS - 1)[0].to_string(), "240.240.255.254");
    }

    #[test]
    fn a_taken_slot_sends_on() {
        let key = ServiceKey {
            host: "a.com".parse().unwrap(),
            namespace: "shop".parse().unwrap(),
        };
        let first = free(&key, &BTreeSet::new()).unwrap();
        let second = free(&key, &[first].into()).unwrap();
        assert_ne!(first, second);
        let all_but = |slot| (0..SLOTS).filter(|s| *s != slot).collect();
        assert_eq!(free(&key, &all_but(77)), Some(77));
        assert_eq!(free(&key, &(0..SLOTS).collect()), None);
    }
}
