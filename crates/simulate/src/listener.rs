//! A call from the socket to the cluster: listener, inspectors, filter chain, and what the
//! chain does.

use crate::call::{Call, Direction, Protocol, Tls};
use crate::chain;
use crate::decode::{Config, Known, open};
use crate::http;
use crate::inspect;
use crate::outcome::{CallError, Outcome, Stop, Weighted};
use crate::transport;
use meltemi_proto::envoy::config::core::v3::address::Address as Kind;
use meltemi_proto::envoy::config::core::v3::socket_address::PortSpecifier;
use meltemi_proto::envoy::config::core::v3::{Address, Metadata};
use meltemi_proto::envoy::config::listener::v3 as envoy;
use meltemi_proto::envoy::config::listener::v3::filter::ConfigType;
use meltemi_proto::envoy::config::route::v3::RouteConfiguration;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use meltemi_proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use meltemi_proto::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use meltemi_proto::google::protobuf::value::Kind as ValueKind;
use meltemi_types::Origin;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The listener that captured outbound connections arrive at.
const OUTBOUND: &str = "virtualOutbound";
/// The listener that captured inbound connections arrive at.
const INBOUND: &str = "virtualInbound";

impl Config {
    /// What becomes of the call.
    #[must_use]
    pub fn simulate(&self, call: &Call) -> Outcome {
        let mut outcome = Outcome::default();
        match self.run(call, &mut outcome) {
            Ok(()) => {}
            Err(Stop::Error(error)) => outcome.error = Some(error),
            Err(Stop::Unsupported(what)) => {
                outcome.error = Some(CallError::Unsupported);
                outcome.unsupported = Some(what);
            }
        }
        if let Some(cluster) = self.clusters.get(outcome.cluster.as_str()) {
            outcome.origins.extend(cluster.origins.first().cloned());
        }
        let mut seen = std::collections::BTreeSet::new();
        outcome.origins.retain(|origin| seen.insert(origin.clone()));
        outcome
    }

    fn run(&self, call: &Call, outcome: &mut Outcome) -> Result<(), Stop> {
        let known = self.listener(call).ok_or(CallError::NoListener)?;
        let listener = &known.resource;
        outcome.listener.clone_from(&listener.name);
        let seen = inspect::inspect(listener, call)?;
        let chain = chain::choose(listener, call, &seen)?;
        outcome.filter_chain.clone_from(&chain.name);
        let ends_tls = transport::accept(chain, call)?;
        for filter in &chain.filters {
            let Some(ConfigType::TypedConfig(config)) = &filter.config_type else {
                continue;
            };
            if let Some(manager) = open::<HttpConnectionManager>(config) {
                let manager = manager.map_err(Stop::Unsupported)?;
                speaks_http(call, ends_tls)?;
                return self.http(&manager, call, outcome);
            }
            if let Some(proxy) = open::<TcpProxy>(config) {
                tcp(&proxy.map_err(Stop::Unsupported)?, outcome)?;
                outcome.origins = named(chain.metadata.as_ref(), &known.origins);
                return Ok(());
            }
        }
        Err(Stop::unsupported("a filter chain without proxy"))
    }

    /// The exact address and port, then any address and the port, then what catches all.
    fn listener(&self, call: &Call) -> Option<&Known<envoy::Listener>> {
        if call.direction == Direction::Inbound {
            return self.listeners.get(INBOUND);
        }
        let at = |address: IpAddr| {
            let mut all = self.listeners.values();
            all.find(|known| takes(&known.resource, address, call.port))
        };
        let any = match call.address {
            IpAddr::V4(_) => at(Ipv4Addr::UNSPECIFIED.into()),
            IpAddr::V6(_) => {
                at(Ipv4Addr::UNSPECIFIED.into()).or_else(|| at(Ipv6Addr::UNSPECIFIED.into()))
            }
        };
        let exact = at(call.address);
        exact.or(any).or_else(|| self.listeners.get(OUTBOUND))
    }

    fn http(
        &self,
        manager: &HttpConnectionManager,
        call: &Call,
        outcome: &mut Outcome,
    ) -> Result<(), Stop> {
        let (config, origins): (&RouteConfiguration, &[Origin]) = match &manager.route_specifier {
            Some(RouteSpecifier::RouteConfig(config)) => (config, &[]),
            Some(RouteSpecifier::Rds(rds)) => {
                outcome.route_config.clone_from(&rds.route_config_name);
                let known = self.routes.get(rds.route_config_name.as_str());
                let known = known.ok_or(CallError::NoVirtualHost)?;
                (&known.resource, &known.origins)
            }
            Some(RouteSpecifier::ScopedRoutes(_)) | None => {
                return Err(Stop::unsupported("scoped routes"));
            }
        };
        let route = http::route(config, call, outcome)?;
        outcome.origins = named(route.metadata.as_ref(), origins);
        Ok(())
    }
}

/// TLS into a chain that does not end it, and bytes, are no HTTP.
fn speaks_http(call: &Call, ends_tls: bool) -> Result<(), Stop> {
    let hidden = call.tls != Tls::Plaintext && !ends_tls;
    match hidden || call.protocol == Protocol::Tcp {
        true => Err(CallError::ProtocolError.into()),
        false => Ok(()),
    }
}

fn tcp(proxy: &TcpProxy, outcome: &mut Outcome) -> Result<(), Stop> {
    match &proxy.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => outcome.cluster.clone_from(name),
        Some(ClusterSpecifier::WeightedClusters(all)) => {
            let weighted = all.clusters.iter().map(|one| Weighted {
                cluster: one.name.clone(),
                weight: one.weight,
            });
            outcome.weighted = weighted.collect();
        }
        None => return Err(Stop::unsupported("a TCP proxy without cluster")),
    }
    Ok(())
}

/// True when the listener is at the address, first or additional.
fn takes(listener: &envoy::Listener, address: IpAddr, port: u32) -> bool {
    let more = listener.additional_addresses.iter();
    let all = listener
        .address
        .iter()
        .chain(more.filter_map(|a| a.address.as_ref()));
    all.filter_map(socket)
        .any(|(ip, at)| ip == address && at == port)
}

fn socket(address: &Address) -> Option<(IpAddr, u32)> {
    let Some(Kind::SocketAddress(socket)) = &address.address else {
        return None;
    };
    let Some(PortSpecifier::PortValue(port)) = &socket.port_specifier else {
        return None;
    };
    Some((socket.address.parse().ok()?, *port))
}

/// The origins of the object that `filter_metadata.istio.config` names, by a path that ends in
/// `<namespace>/<kind>/<name>`.
fn named(metadata: Option<&Metadata>, origins: &[Origin]) -> Vec<Origin> {
    let istio = metadata.and_then(|metadata| metadata.filter_metadata.get("istio"));
    let value = istio.and_then(|istio| istio.fields.get("config"));
    let Some(ValueKind::StringValue(path)) = value.and_then(|value| value.kind.as_ref()) else {
        return Vec::new();
    };
    let mut parts = path.rsplit('/');
    let (name, kind, namespace) = (parts.next(), parts.next(), parts.next());
    let squeezed = |text: &str| text.replace('-', "").to_ascii_lowercase();
    let is_it = |origin: &&Origin| {
        let object = &origin.object;
        name == Some(object.name.as_str())
            && namespace == Some(object.namespace.as_ref().map_or("", |n| n.as_str()))
            && kind.is_some_and(|kind| squeezed(kind) == squeezed(&object.kind))
    };
    origins.iter().filter(is_it).cloned().collect()
}

#[cfg(test)]
mod tests;
