//! Sorting endpoints into groups: who is left out, which locality, which priority, which weight.
//!
//! Envoy's bounds: the weights of a locality, and of all localities of a priority, must fit into
//! 32 bits; priorities must follow each other without a gap.

use super::locality::{How, Preference, Rank};
use super::split::{self, Split};
use super::{EndpointInput, Filter, Names};
use meltemi_api::networking::destination_rule::Subset;
use meltemi_model::{Endpoint, EndpointAddress, Health, NetworkGateway};
use meltemi_types::Locality;
use std::collections::BTreeMap;

/// Endpoints of one locality and priority.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    /// 0 is used first.
    pub(super) priority: u32,
    pub(super) locality: &'a Locality,
    /// The share of the locality.
    pub(super) weight: u32,
    /// What a single endpoint may weigh, so that sums fit.
    pub(super) heaviest: u32,
    /// In the order of the list, then gateways into other networks.
    pub(super) members: Vec<Member<'a>>,
}

/// One endpoint as the client sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub(super) at: At<'a>,
    /// Its share of the locality.
    pub(super) weight: u32,
}

/// Where a member is.
#[derive(Clone, Copy, Debug)]
pub(super) enum At<'a> {
    /// Where the endpoint is.
    Endpoint(&'a Endpoint),
    /// At a gateway that leads to several endpoints.
    Gateway(&'a NetworkGateway),
}

impl Group<'_> {
    /// The share of a member, so that sums fit.
    pub(super) fn weight_of(&self, member: &Member<'_>) -> u32 {
        member.weight.clamp(1, self.heaviest)
    }
}

/// True when no endpoint is left: Envoy refuses to resolve no name at all.
pub(crate) fn is_empty(input: &EndpointInput) -> bool {
    groups(input).is_empty()
}

/// The groups, sorted by priority, then locality.
pub(super) fn groups(input: &EndpointInput) -> Vec<Group<'_>> {
    let preference = input.preference.as_deref();
    let rank = |endpoint: &Endpoint| preference.map_or(Rank::default(), |p| p.rank(endpoint));
    let mut sorted: BTreeMap<(Rank, &Locality), Split<'_>> = BTreeMap::new();
    let scale = split::scale(input, chosen(input));
    let mut count = 0_u32;
    for endpoint in chosen(input) {
        let key = (rank(endpoint), &endpoint.locality);
        let split = sorted.entry(key).or_default();
        split.add(input, endpoint, scale);
        count = count.saturating_add(1);
    }
    let heaviest = u32::MAX / count.max(1);
    let mut groups: Vec<Group<'_>> = Vec::with_capacity(sorted.len());
    let mut last = None;
    let mut priority = 0;
    for ((rank, locality), split) in sorted {
        let members = split.members();
        if members.is_empty() {
            continue;
        }
        if last.replace(rank).is_some_and(|before| before != rank) {
            priority += 1;
        }
        let weights = members.iter().map(|m| m.weight.clamp(1, heaviest));
        groups.push(Group {
            priority,
            locality,
            weight: weights.fold(0, u32::saturating_add),
            heaviest,
            members,
        });
    }
    match preference {
        Some(Preference {
            how: How::Distribute(shares),
            ..
        }) => distribute(groups, shares),
        Some(_) | None => groups,
    }
}

fn chosen(input: &EndpointInput) -> impl Iterator<Item = &Endpoint> {
    let all = input.endpoints.iter().flat_map(|list| list.iter());
    all.filter(|endpoint| {
        let subset = input.subset.as_ref();
        input
            .filter
            .lets_through(endpoint, split::is_far(input, endpoint))
            && subset.is_none_or(|subset| carries(endpoint, &subset.subset))
    })
}

/// True when an endpoint carries every label of a subset.
pub(super) fn carries(endpoint: &Endpoint, subset: &Subset) -> bool {
    let labels = &endpoint.workload.labels;
    let has = |(key, value): (&String, &String)| labels.value(key) == Some(value);
    subset.labels.iter().all(has)
}

impl Filter {
    fn lets_through(&self, endpoint: &Endpoint, far: bool) -> bool {
        let reachable = far
            || match (&endpoint.address, self.names) {
                (EndpointAddress::Ip(ip), _) => self.families.allows(ip) && endpoint.port.is_some(),
                (EndpointAddress::Name(_), Names::Resolved) => endpoint.port.is_some(),
                (EndpointAddress::Pipe(_), Names::Refused) => true,
                (EndpointAddress::Name(_), Names::Refused)
                | (EndpointAddress::Pipe(_), Names::Resolved)
                | (EndpointAddress::Remote, _) => false,
            };
        let healthy = match endpoint.health {
            Health::Healthy => true,
            Health::Unhealthy => !self.ready_only,
            Health::Draining => !self.no_draining,
        };
        let node = endpoint.workload.node.as_deref().unwrap_or("");
        let here = |wanted: &str| !wanted.is_empty() && wanted == node;
        reachable
            && healthy
            && self.node.as_deref().is_none_or(here)
            && (self.cluster.as_ref()).is_none_or(|cluster| endpoint.cluster == *cluster)
    }
}

/// Gives localities the shares that the user wrote; localities without one get no traffic.
fn distribute<'a>(groups: Vec<Group<'a>>, shares: &[(String, u32)]) -> Vec<Group<'a>> {
    let share_of = |locality: &Locality| {
        shares
            .iter()
            .position(|(pattern, _)| super::locality::covers(pattern, locality))
    };
    let mut totals: BTreeMap<usize, u64> = BTreeMap::new();
    for group in &groups {
        if let Some(share) = share_of(group.locality) {
            *totals.entry(share).or_default() += u64::from(group.weight);
        }
    }
    groups
        .into_iter()
        .filter_map(|group| {
            let index = share_of(group.locality)?;
            let (_, share) = shares.get(index).filter(|(_, share)| *share > 0)?;
            let total = totals.get(&index).copied().unwrap_or(1).max(1);
            let weight = (u64::from(group.weight) * u64::from(*share)).div_ceil(total);
            Some(Group {
                weight: u32::try_from(weight).unwrap_or(u32::MAX).max(1),
                ..group
            })
        })
        .collect()
}
