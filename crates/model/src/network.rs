//! Networks whose endpoints cannot be reached directly, and the gateways that lead into them.

use meltemi_types::{ClusterId, NetworkId, Port};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A way into a network: an address that terminates nothing and routes by server name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkGateway {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// Its address, as other networks see it.
    pub address: IpAddr,
    /// Its port.
    pub port: Port,
}

/// The gateways of all networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkIndex {
    by_network: BTreeMap<NetworkId, Vec<NetworkGateway>>,
}

impl NetworkIndex {
    /// An index of these; each gateway counts once.
    #[must_use]
    pub fn new(mut by_network: BTreeMap<NetworkId, Vec<NetworkGateway>>) -> Self {
        for gateways in by_network.values_mut() {
            gateways.sort();
            gateways.dedup();
        }
        Self { by_network }
    }

    /// The gateways to an endpoint of a network and cluster: the cluster's own where it has some.
    #[must_use]
    pub fn towards(&self, network: &NetworkId, cluster: &ClusterId) -> Vec<&NetworkGateway> {
        let all = self.by_network.get(network).map_or(&[][..], Vec::as_slice);
        let own: Vec<_> = all.iter().filter(|g| g.cluster == *cluster).collect();
        match own.is_empty() {
            true => all.iter().collect(),
            false => own,
        }
    }

    /// Every gateway, with the network that it leads into.
    pub fn iter(&self) -> impl Iterator<Item = (&NetworkId, &NetworkGateway)> {
        let all = self.by_network.iter();
        all.flat_map(|(network, gateways)| gateways.iter().map(move |g| (network, g)))
    }

    /// True when a gateway leads into this network.
    #[must_use]
    pub fn leads_into(&self, network: &NetworkId) -> bool {
        self.by_network.get(network).is_some_and(|g| !g.is_empty())
    }
}
