//! Whether and where the agent answers DNS questions of the workload, and whom it asks itself.
//!
//! Follows Istio's agent: on loopback in the families of the servers of resolv.conf. With port 53 it
//! answers the whole machine, whose own resolv.conf then names the agent.

use super::{Given, Network};
use crate::args::Role;
use meltemi_agent::dns::{Early, Order, Resolv, Settings};
use meltemi_api::mesh_config::ProxyConfig;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

const ADDRESS: &str = "DNS_PROXY_ADDR";
const RESOLV: &str = "/etc/resolv.conf";
/// What resolv.conf said before it named the agent.
const KEPT: &str = "/var/lib/istio/resolv.conf";
/// The port on which the whole machine asks.
const MACHINE: u16 = 53;
/// The switches: the second one is for those who send questions here by other means.
const SWITCHES: [&str; 2] = ["ISTIO_META_DNS_CAPTURE", "ISTIO_META_ENABLE_DNS_SERVER"];

/// The settings; `None`: the workload asks somebody else. A gateway's has nobody to answer.
pub(super) fn settings(
    given: &Given<'_>,
    proxy: &ProxyConfig,
    network: &Network,
) -> Result<Option<Settings>, String> {
    let Given { args, env, .. } = *given;
    if args.role != Role::Sidecar || !wanted(given, proxy)? {
        return Ok(None);
    }
    let text = env.text(ADDRESS).unwrap_or("localhost:15053");
    let wrong =
        || format!("{ADDRESS}={text:?}: use HOST:PORT, the host localhost or an IP address");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let kept = (port == MACHINE).then(|| (given.read)(Path::new(KEPT)));
    let resolv = kept.flatten().or_else(|| (given.read)(Path::new(RESOLV)));
    let Resolv { servers, search } = Resolv::parse(&resolv.unwrap_or_default());
    let hosts: Vec<IpAddr> = match host {
        "localhost" => network.loopback(&servers),
        "" => vec![Ipv4Addr::UNSPECIFIED.into()],
        _ => vec![text.parse::<SocketAddr>().map_err(|_| wrong())?.ip()],
    };
    let namespace = env.text("POD_NAMESPACE").unwrap_or_default();
    Ok(Some(Settings {
        addresses: hosts
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect(),
        servers,
        search,
        domain: match args.domain.as_str() {
            "" => format!("{namespace}.svc.cluster.local"),
            domain => domain.to_owned(),
        },
        order: match env.flag("DNS_FORWARD_PARALLEL")? {
            true => Order::AtOnce,
            false => Order::InTurn,
        },
        timeout: env.duration("DNS_FORWARD_TIMEOUT", Duration::from_secs(5))?,
        early: match port == MACHINE {
            true => Early::Forward,
            false => Early::Fail,
        },
    }))
}

/// A switch of the environment, else of ProxyConfig: what is said to the control plane holds here.
fn wanted(given: &Given<'_>, proxy: &ProxyConfig) -> Result<bool, String> {
    let mut wanted = false;
    for name in SWITCHES {
        let said = proxy.proxy_metadata.get(name).map(String::as_str);
        wanted |= match given.env.text(name) {
            Some(_) => given.env.flag(name)?,
            None => matches!(said, Some("1" | "true")),
        };
    }
    Ok(wanted)
}
