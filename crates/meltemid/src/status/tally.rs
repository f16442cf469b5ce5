//! How many proxies run what was made of an object. No I/O, no clock.
//!
//! Proxies that have the same sets of resources are one part, and a part knows since which
//! generation of the control plane each of its objects is as it is now. A proxy says of each type
//! which generation it has confirmed, so an object is counted per part, not per proxy; only proxies
//! that refuse something are looked at one by one. Endpoints are left out: they change all the time
//! and are nobody's mistake.

use meltemi_kube::Proxies;
use meltemi_proto::resource::TypeSet;
use meltemi_registry::Subjects;
use meltemi_translate::Assigned;
use meltemi_types::xds::{CLUSTER, LISTENER, ROUTE};
use meltemi_types::{ObjectRef, Origin};
use meltemi_xds::{ClientId, Confirmed, Culprit};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The types that are looked at.
const TYPES: [&str; 3] = [CLUSTER, LISTENER, ROUTE];

/// A generation for each type; 0 is never.
type Since = [u64; 3];
/// A set for each type, where there is one.
type Sets = [Option<Arc<TypeSet>>; 3];
/// Which sets: their addresses.
type Key = [usize; 3];

/// Proxies that share their sets.
#[derive(Debug)]
struct Part {
    sets: Sets,
    /// Since when the resources of an object are what this generation of it makes them.
    spots: BTreeMap<Arc<ObjectRef>, Since>,
    /// The newest of the spots: what was confirmed later is as good.
    newest: Since,
    members: usize,
    /// How many counted members have confirmed what.
    standings: BTreeMap<Since, usize>,
}

/// A resource that a proxy refused.
#[derive(Debug)]
struct Refusal {
    origins: Arc<[Origin]>,
    message: Arc<str>,
    /// What was confirmed of the type before; 0 when the proxy has no version of the resource.
    good: u64,
}

/// A proxy.
#[derive(Debug)]
struct Member {
    name: Arc<str>,
    parts: [Key; 2],
    confirmed: Since,
    /// It has once confirmed everything there is for it; before that it starts, and says nothing
    /// about any object.
    counted: bool,
    refusals: BTreeMap<(usize, Arc<str>), Refusal>,
}

/// Who runs what.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    subjects: Arc<Subjects>,
    /// The objects that the last publication brought in another generation.
    moved: BTreeSet<Arc<ObjectRef>>,
    parts: BTreeMap<Key, Part>,
    members: BTreeMap<ClientId, Member>,
    refusing: BTreeSet<ClientId>,
}

impl Tally {
    /// The objects of the next publication; what is assigned after it is made of them.
    pub(crate) fn publish(&mut self, subjects: &Arc<Subjects>) {
        let old = std::mem::replace(&mut self.subjects, subjects.clone());
        self.moved = match Arc::ptr_eq(&old, subjects) {
            true => BTreeSet::new(),
            false => {
                let differs = |(object, generation): &(&Arc<ObjectRef>, &i64)| {
                    old.get(*object) != Some(*generation)
                };
                let moved = subjects.iter().filter(differs);
                moved.map(|(object, _)| object.clone()).collect()
            }
        };
    }

    /// The objects that are counted.
    pub(crate) fn subjects(&self) -> &Arc<Subjects> {
        &self.subjects
    }

    /// A proxy should have this, as of that generation.
    pub(crate) fn assign(
        &mut self,
        (id, name): (ClientId, &Arc<str>),
        assigned: &Assigned,
        generation: u64,
    ) {
        let before = self.members.get(&id).map(|member| member.parts);
        let sets = sets(assigned);
        let keys = [key(&sets[0]), key(&sets[1])];
        if before == Some(keys) {
            return;
        }
        for ((sets, key), at) in sets.into_iter().zip(keys).zip(0_usize..) {
            if !self.parts.contains_key(&key) {
                let old = before.and_then(|before| self.parts.get(before.get(at)?));
                let part = self.part((sets, at == 1), old, generation);
                self.parts.insert(key, part);
            }
        }
        self.leave(id);
        let member = self.members.entry(id).or_insert_with(|| Member {
            name: name.clone(),
            parts: keys,
            confirmed: [0; 3],
            counted: false,
            refusals: BTreeMap::new(),
        });
        member.parts = keys;
        self.enter(id);
    }

    /// A proxy has confirmed types of a generation.
    pub(crate) fn confirm(&mut self, id: ClientId, generation: u64, types: &[Confirmed]) {
        let told = types
            .iter()
            .filter_map(|one| Some((index(one.type_url)?, one)));
        let told: Vec<_> = told.collect();
        if told.is_empty() || !self.members.contains_key(&id) {
            return;
        }
        self.leave(id);
        if let Some(member) = self.members.get_mut(&id) {
            for (at, one) in told {
                if let Some(slot) = member.confirmed.get_mut(at) {
                    *slot = generation;
                }
                let held = |name: &Arc<str>| one.held_back.contains(name);
                member
                    .refusals
                    .retain(|(of, name), _| *of != at || held(name));
            }
            if member.refusals.is_empty() {
                self.refusing.remove(&id);
            }
        }
        self.enter(id);
    }

    /// A proxy refuses resources of a type.
    pub(crate) fn refuse(
        &mut self,
        id: ClientId,
        (url, message): (&str, &Arc<str>),
        who: &[Culprit],
    ) {
        let (Some(at), Some(member)) = (index(url), self.members.get_mut(&id)) else {
            return;
        };
        for culprit in who {
            let refusal = Refusal {
                origins: culprit.refused.origins.clone(),
                message: message.clone(),
                good: match culprit.last_good {
                    Some(_) => member.confirmed.get(at).copied().unwrap_or(0),
                    None => 0,
                },
            };
            member
                .refusals
                .insert((at, culprit.refused.name.clone()), refusal);
            self.refusing.insert(id);
        }
    }

    /// A proxy is gone.
    pub(crate) fn remove(&mut self, id: ClientId) {
        self.leave(id);
        self.members.remove(&id);
        self.refusing.remove(&id);
    }

    /// How many proxies run each object; objects that no proxy has are left out.
    pub(crate) fn count(&self) -> BTreeMap<Arc<ObjectRef>, Proxies> {
        let mut all: BTreeMap<Arc<ObjectRef>, Proxies> = BTreeMap::new();
        for part in self.parts.values() {
            for (object, since) in &part.spots {
                let proxies = all.entry(object.clone()).or_default();
                for (confirmed, members) in &part.standings {
                    proxies.all += members;
                    proxies.running += if runs(since, confirmed) { *members } else { 0 };
                }
            }
        }
        let refusing = self.refusing.iter().filter_map(|id| self.members.get(id));
        for member in refusing.filter(|member| member.counted) {
            self.subtract(member, &mut all);
        }
        all
    }

    /// A proxy that refuses a part of an object does not run it.
    fn subtract(&self, member: &Member, all: &mut BTreeMap<Arc<ObjectRef>, Proxies>) {
        let mut seen: BTreeSet<&Arc<ObjectRef>> = BTreeSet::new();
        for ((at, _), refusal) in &member.refusals {
            for object in refusal.origins.iter().map(|origin| &origin.object) {
                let parts = member.parts.iter().filter_map(|key| self.parts.get(key));
                let mut spots = parts.filter_map(|part| part.spots.get(object));
                let guilty = |since: &&Since| since.get(*at).is_some_and(|s| *s > refusal.good);
                let (Some(since), Some(proxies)) = (spots.find(guilty), all.get_mut(object)) else {
                    continue;
                };
                if !seen.insert(object) {
                    continue;
                }
                proxies.refusing += 1;
                proxies.running -= usize::from(runs(since, &member.confirmed)).min(proxies.running);
                if proxies.refusal.is_none() {
                    proxies.refusal = Some((member.name.to_string(), refusal.message.to_string()));
                }
            }
        }
    }

    /// What a part is made of. An object whose resources were there before keeps its moment, unless
    /// it is of another generation and they are not the same bytes.
    fn part(&self, (sets, inbound): (Sets, bool), old: Option<&Part>, generation: u64) -> Part {
        let mut spots: BTreeMap<Arc<ObjectRef>, Since> = BTreeMap::new();
        let mut newest = [0; 3];
        for (at, set) in sets.iter().enumerate() {
            let before = old.and_then(|old| old.sets.get(at)?.as_ref());
            for (name, resource) in set.iter().flat_map(|set| &set.resources) {
                let same = before
                    .and_then(|before| before.resources.get(name))
                    .is_some_and(|before| before.version == resource.version);
                for object in resource.origins.iter().map(|origin| &origin.object) {
                    if !self.subjects.contains_key(object) || (inbound && !is_inbound(object)) {
                        continue;
                    }
                    let stood = old.and_then(|old| old.spots.get(object)?.get(at).copied());
                    let stood = stood.filter(|stood| *stood > 0);
                    let stands = stood.filter(|_| same || !self.moved.contains(object));
                    let spot = spots.entry(object.clone()).or_default();
                    if let (Some(spot), Some(newest)) = (spot.get_mut(at), newest.get_mut(at)) {
                        *spot = (*spot).max(stands.unwrap_or(generation));
                        *newest = (*newest).max(*spot);
                    }
                }
            }
        }
        Part {
            sets,
            spots,
            newest,
            members: 0,
            standings: BTreeMap::new(),
        }
    }

    /// Takes a proxy out of its parts.
    fn leave(&mut self, id: ClientId) {
        let Some(member) = self.members.get(&id) else {
            return;
        };
        for key in &member.parts {
            let Some(part) = self.parts.get_mut(key) else {
                continue;
            };
            part.members = part.members.saturating_sub(1);
            if member.counted {
                let standing = least(&member.confirmed, &part.newest);
                if let Some(count) = part.standings.get_mut(&standing) {
                    *count -= 1;
                    if *count == 0 {
                        part.standings.remove(&standing);
                    }
                }
            }
        }
    }

    /// Puts a proxy into its parts.
    fn enter(&mut self, id: ClientId) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let mut whole = true;
        for part in member.parts.iter().filter_map(|key| self.parts.get(key)) {
            for (set, confirmed) in part.sets.iter().zip(member.confirmed) {
                let some = set.as_ref().is_some_and(|set| !set.resources.is_empty());
                whole &= !some || confirmed > 0;
            }
        }
        member.counted |= whole && member.confirmed != [0; 3];
        for key in &member.parts {
            let Some(part) = self.parts.get_mut(key) else {
                continue;
            };
            part.members += 1;
            if member.counted {
                let standing = least(&member.confirmed, &part.newest);
                *part.standings.entry(standing).or_default() += 1;
            }
        }
    }

    /// Drops parts that nobody is in.
    pub(crate) fn sweep(&mut self) {
        self.parts.retain(|_, part| part.members > 0);
    }
}

fn index(url: &str) -> Option<usize> {
    TYPES.iter().position(|known| *known == url)
}

/// Kinds that are counted where they are enforced; a Sidecar, say, is counted by its class.
fn is_inbound(object: &ObjectRef) -> bool {
    matches!(
        &*object.kind,
        "PeerAuthentication" | "AuthorizationPolicy" | "RequestAuthentication"
    )
}

fn sets(assigned: &Assigned) -> [Sets; 2] {
    let (outbound, inbound) = (&assigned.outbound, &assigned.inbound);
    let some = |set: &Arc<TypeSet>| Some(set.clone());
    [
        [
            some(&outbound.clusters),
            some(&outbound.listeners),
            some(&outbound.routes),
        ],
        [some(&inbound.clusters), some(&inbound.listeners), None],
    ]
}

fn key(sets: &Sets) -> Key {
    let address =
        |set: &Option<Arc<TypeSet>>| set.as_ref().map_or(0, |set| Arc::as_ptr(set) as usize);
    let [a, b, c] = sets;
    [address(a), address(b), address(c)]
}

fn least(a: &Since, b: &Since) -> Since {
    let mut least = *a;
    for (slot, other) in least.iter_mut().zip(b) {
        *slot = (*slot).min(*other);
    }
    least
}

fn runs(since: &Since, confirmed: &Since) -> bool {
    since
        .iter()
        .zip(confirmed)
        .all(|(since, confirmed)| confirmed >= since)
}

#[cfg(test)]
mod tests;
