//! Endpoints of other networks: their share goes to the gateways that lead there.
//!
//! Several gateways share a load evenly; all weights of an assignment are multiplied, so that the
//! shares are whole numbers. A gateway routes by the server name of mesh mTLS, so endpoints to which
//! the client does not speak it cannot be reached, and unready ones would be hidden behind it.

use super::EndpointInput;
use super::group::{At, Member};
use meltemi_model::{Endpoint, Health, NetworkGateway};
use std::collections::BTreeMap;

/// The endpoints of one group, those behind gateways apart.
#[derive(Debug, Default)]
pub(super) struct Split<'a> {
    direct: Vec<Member<'a>>,
    gateways: BTreeMap<&'a NetworkGateway, u32>,
}

/// True when an endpoint is reached through gateways.
pub(super) fn is_far(input: &EndpointInput, endpoint: &Endpoint) -> bool {
    let Some(far) = &input.far else { return false };
    let network = endpoint.network.as_ref();
    let other = network.filter(|network| Some(*network) != far.own.as_ref());
    other.is_some_and(|network| far.gateways.leads_into(network))
}

/// What all weights are multiplied with.
pub(super) fn scale<'a>(
    input: &EndpointInput,
    endpoints: impl Iterator<Item = &'a Endpoint>,
) -> u32 {
    if input.far.is_none() {
        return 1;
    }
    let counts = endpoints
        .filter(|endpoint| is_far(input, endpoint))
        .map(|endpoint| count(&gateways(input, endpoint)));
    counts.filter(|count| *count > 0).fold(1, common_multiple)
}

impl<'a> Split<'a> {
    /// Adds an endpoint.
    pub(super) fn add(&mut self, input: &'a EndpointInput, endpoint: &'a Endpoint, scale: u32) {
        let weight = endpoint.weight.max(1).saturating_mul(scale);
        if !is_far(input, endpoint) {
            let at = At::Endpoint(endpoint);
            self.direct.push(Member { at, weight });
            return;
        }
        if !input.mtls.speaks(endpoint) || endpoint.health != Health::Healthy {
            return;
        }
        let gateways = gateways(input, endpoint);
        let share = weight / count(&gateways).max(1);
        for gateway in gateways {
            let sum = self.gateways.entry(gateway).or_default();
            *sum = sum.saturating_add(share);
        }
    }

    /// All of them: endpoints in their order, then gateways.
    pub(super) fn members(self) -> Vec<Member<'a>> {
        let mut members = self.direct;
        members.extend(self.gateways.into_iter().map(|(gateway, weight)| Member {
            at: At::Gateway(gateway),
            weight,
        }));
        members
    }
}

/// The gateways to an endpoint that the client can reach.
fn gateways<'a>(input: &'a EndpointInput, endpoint: &Endpoint) -> Vec<&'a NetworkGateway> {
    let (Some(far), Some(network)) = (&input.far, &endpoint.network) else {
        return Vec::new();
    };
    let all = far.gateways.towards(network, &endpoint.cluster);
    let reached = |gateway: &&NetworkGateway| input.filter.families.allows(&gateway.address);
    all.into_iter().filter(reached).collect()
}

fn count(gateways: &[&NetworkGateway]) -> u32 {
    u32::try_from(gateways.len()).unwrap_or(u32::MAX)
}

fn common_multiple(a: u32, b: u32) -> u32 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_multiplied_as_little_as_possible() {
        assert_eq!([2, 3, 4].into_iter().fold(1, common_multiple), 12);
        assert_eq!([1, 1].into_iter().fold(1, common_multiple), 1);
    }
}
