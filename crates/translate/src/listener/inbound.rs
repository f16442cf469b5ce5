//! The listeners before the workload itself: one that captured connections arrive at, with chains
//! for each port that is served, or the ports that a Sidecar declares.
//!
//! Where mTLS is demanded (STRICT) of a proxy without a certificate, where a Sidecar's TLS cannot
//! end, and where a policy is not understood, everything is refused: failing open would be worse.

use super::bind::{Bind, Capture};
use super::chain::{Chain, Handler, Match};
use super::inbound_match::{PortKind, Reading, Row, Tls, ends_tls, rows};
use super::ingress;
use super::server_tls::{OwnTls, ServerTls};
use super::tcp_proxy::TcpSpec;
use super::{ListenerInput, Role, Source, Traits, destination};
use crate::class::InboundKey;
use crate::http::{Access, HttpSpec, InboundRoute, Resolve, Routes, Side};
use crate::name;
use crate::plan::Planned;
use meltemi_model::Interception;
use meltemi_model::security::MtlsMode;
use meltemi_types::{Code, Diagnostic, Origin, Port, Protocol};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Ports of listeners that every proxy starts with: health and metrics.
const RESERVED: [u32; 2] = [15021, 15090];

/// A port before the workload.
#[derive(Clone, Debug)]
pub(super) struct Served {
    /// The workload's port; `None` is every port that nobody declared.
    pub(super) port: Option<Port>,
    /// The first part of the chains' names: `0.0.0.0_<port>`.
    pub(super) name: Arc<str>,
    /// What is spoken there.
    pub(super) protocol: Protocol,
    /// Where it goes.
    pub(super) cluster: Arc<str>,
    /// The port that clients call.
    pub(super) service_port: u32,
    /// What the operation in traces starts with.
    pub(super) host: Arc<str>,
    /// TLS for clients outside of the mesh, in force where the mTLS mode is DISABLE.
    pub(super) own_tls: OwnTls,
    /// Where it was declared.
    pub(super) origin: Option<Origin>,
}

/// Lists them.
pub(super) fn plan(key: &InboundKey) -> Planned<ListenerInput> {
    let traits = Traits::of_workload(key);
    let mut planned = Planned::default();
    let (captured, bound) = match &key.sidecar {
        Some(sidecar) if !sidecar.spec.ingress.is_empty() => {
            ingress::served(key, sidecar, &mut planned.diagnostics)
        }
        Some(_) | None => (targets(key), Vec::new()),
    };
    let all = captured
        .iter()
        .chain(bound.iter().map(|(served, _)| served));
    planned.diagnostics.extend(refusals(key, all));
    let port = key.mesh.config.inbound_port();
    if let (true, Some(port)) = (key.interception != Interception::None, port) {
        let input = virtual_inbound(key, &traits, &captured, port);
        planned.push(input.name.clone(), input, origins(key, &captured));
    }
    for (served, bind) in bound {
        let mut input = ListenerInput::new(&traits, Role::Ingress, bind);
        input.chains = chains(key, &traits, &served);
        for chain in &mut input.chains {
            chain.matching.port = None; // the listener's own
        }
        let from = origins(key, std::slice::from_ref(&served));
        planned.push(input.name.clone(), input, from);
    }
    planned
}

/// The service ports that the workload stands behind, the oldest service of each port.
fn targets(key: &InboundKey) -> Vec<Served> {
    let mut ports = BTreeSet::new();
    let mut served = Vec::new();
    for target in &key.targets {
        let port = target.target;
        let own = target.port.protocol != Protocol::Udp && !is_reserved(key, port);
        if !own || !ports.insert(port) {
            continue;
        }
        served.push(Served {
            port: Some(port),
            name: name::listener("0.0.0.0", port),
            protocol: target.port.protocol,
            cluster: name::inbound_cluster(port),
            service_port: target.port.number.number(),
            host: target.service.key.host.as_str().into(),
            own_tls: OwnTls::Passes,
            origin: Some(target.service.origin.clone()),
        });
    }
    served
}

/// True for the ports that the proxy itself listens on.
pub(super) fn is_reserved(key: &InboundKey, port: Port) -> bool {
    let config = &key.mesh.config;
    RESERVED.contains(&port.number())
        || [config.outbound_port(), config.inbound_port()].contains(&Some(port))
}

fn virtual_inbound(
    key: &InboundKey,
    traits: &Traits,
    served: &[Served],
    port: Port,
) -> ListenerInput {
    let bind = Bind::any(key.families, port, Capture::Bound);
    let mut input = ListenerInput::new(traits, Role::VirtualInbound, bind);
    if key.interception == Interception::Tproxy {
        input.source = Source::Original;
    }
    let loops = Match {
        port: Some(port),
        ..Match::default()
    };
    let black_hole = Handler::Tcp(TcpSpec::to(name::BLACK_HOLE));
    input.chains = vec![Chain::new(loops, black_hole).named("virtualInbound-blackhole")];
    for undeclared in undeclared(key, served) {
        input.chains.extend(chains(key, traits, &undeclared));
    }
    for one in served {
        input.chains.extend(chains(key, traits, one));
    }
    input
}

/// Traffic to ports that nobody declared: all of them, and each with an mTLS mode of its own.
fn undeclared(key: &InboundKey, served: &[Served]) -> Vec<Served> {
    let declared: BTreeSet<Option<Port>> = served.iter().map(|s| s.port).collect();
    let own = key.security.ports.keys().copied().map(Some);
    let ports =
        own.filter(|port| !declared.contains(port) && *port != key.mesh.config.inbound_port());
    let one = |port: Option<Port>| Served {
        port,
        name: name::VIRTUAL_INBOUND.into(),
        protocol: Protocol::Auto,
        cluster: name::INBOUND_PASSTHROUGH.into(),
        service_port: port.map_or(0, Port::number),
        host: name::INBOUND_PASSTHROUGH.into(),
        own_tls: OwnTls::Passes,
        origin: None,
    };
    [None].into_iter().chain(ports).map(one).collect()
}

/// The mTLS mode of a port.
pub(super) fn mode(key: &InboundKey, served: &Served) -> MtlsMode {
    match served.port {
        Some(port) => key.security.mode_of(port),
        None => key.security.mode,
    }
}

fn access(key: &InboundKey, served: &Served) -> Access {
    let guarded = !key.security.guards.is_empty();
    match guarded || is_closed(key, served) || is_broken(key, served) {
        true => Access::Denied,
        false => Access::Open,
    }
}

/// The chains of one port.
pub(super) fn chains(key: &InboundKey, traits: &Traits, served: &Served) -> Vec<Chain> {
    let access = access(key, served);
    table(key, served)
        .into_iter()
        .map(|row| {
            let matching = Match {
                port: served.port,
                transport: row.transport,
                alpn: row.alpn.for_proxy(traits),
                ..Match::default()
            };
            let (handler, name) = match row.reading {
                Reading::Http => (http(served, access), http_name(served)),
                Reading::Bytes => (bytes(served, access), served.name.clone()),
            };
            let tls = match row.tls {
                Tls::Elsewhere => None,
                Tls::Here => Some(ServerTls::Mesh),
                Tls::Own => match &served.own_tls {
                    OwnTls::Ends(files) => Some(ServerTls::Files(files.clone())),
                    OwnTls::Passes | OwnTls::Broken => None,
                },
            };
            Chain::new(matching, handler).named(name).ending(tls)
        })
        .collect()
}

fn table(key: &InboundKey, served: &Served) -> Vec<Row> {
    let (kind, mode) = (PortKind::of(served.protocol), mode(key, served));
    match (&served.own_tls, mode) {
        (OwnTls::Ends(_), MtlsMode::Disable) => vec![ends_tls(served.protocol)],
        (_, _) => rows(kind, mode, key.certificates),
    }
}

/// True when a port demands mTLS of clients, and the proxy has no certificate to do it with.
fn is_closed(key: &InboundKey, served: &Served) -> bool {
    mode(key, served) == MtlsMode::Strict && !key.certificates.exist()
}

/// True when TLS of the user is to end at a port and cannot: what it carries must not come in clear.
fn is_broken(key: &InboundKey, served: &Served) -> bool {
    served.own_tls == OwnTls::Broken && mode(key, served) == MtlsMode::Disable
}

fn http_name(served: &Served) -> Arc<str> {
    match &*served.name == name::VIRTUAL_INBOUND {
        true => "virtualInbound-catchall-http".into(),
        false => served.name.clone(),
    }
}

fn http(served: &Served, access: Access) -> Handler {
    let at = match (served.port, &*served.name == name::VIRTUAL_INBOUND) {
        (Some(port), true) => name::listener("0.0.0.0", port),
        (Some(_) | None, _) => served.name.clone(),
    };
    Handler::Http(HttpSpec {
        side: Side::Inbound,
        routes: Routes::Inline(InboundRoute {
            cluster: served.cluster.clone(),
            virtual_host: name::inbound_virtual_host(served.service_port),
            operation: format!("{}:{}/*", served.host, served.service_port).into(),
        }),
        stat_prefix: name::stat(&format!("inbound_{at}")).into(),
        protocol: served.protocol,
        access,
        resolve: Resolve::Nothing,
    })
}

fn bytes(served: &Served, access: Access) -> Handler {
    Handler::Tcp(TcpSpec {
        sniffer: destination::sniffer(served.protocol),
        access,
        ..TcpSpec::to(served.cluster.clone())
    })
}

/// Where the listener's chains come from: services or the Sidecar, then security policies.
fn origins(key: &InboundKey, served: &[Served]) -> Vec<Origin> {
    let mut all: Vec<Origin> = Vec::new();
    let declared = served.iter().filter_map(|s| s.origin.as_ref());
    let security = key.security.origins.iter().chain(&key.security.guards);
    for origin in declared.chain(security) {
        if !all.contains(origin) {
            all.push(origin.clone());
        }
    }
    all
}

/// What is refused, and how to be served again.
fn refusals<'a>(key: &InboundKey, served: impl Iterator<Item = &'a Served>) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    for guard in &key.security.guards {
        found.push(Diagnostic::error(
            Code::PolicyNotUnderstood,
            guard.clone(),
            "all inbound traffic of the workloads it selects is denied, because this kind of \
             policy is not translated yet",
            "remove the object, or run the workloads without it",
        ));
    }
    let strictest = key.security.origins.last();
    let Some(strictest) = strictest.filter(|_| !key.certificates.exist()) else {
        return found;
    };
    let modes = key.security.ports.iter();
    let modes = modes.filter(|(_, mode)| **mode == MtlsMode::Strict);
    let ports = served.filter(|served| is_closed(key, served));
    let strict: BTreeSet<Port> = modes
        .map(|(port, _)| *port)
        .chain(ports.filter_map(|served| served.port))
        .collect();
    let whole = key.security.mode == MtlsMode::Strict;
    if whole || !strict.is_empty() {
        let list: Vec<String> = strict.iter().map(Port::to_string).collect();
        let what = match whole {
            true => "all inbound traffic of the workloads it selects".to_owned(),
            false => format!("inbound traffic to port {}", list.join(", ")),
        };
        found.push(Diagnostic::error(
            Code::PolicyNotUnderstood,
            strictest.clone(),
            format!("{what} is denied: mode STRICT demands mTLS, and the proxy has no certificate"),
            "use mode PERMISSIVE or DISABLE, or give the proxy a certificate and the Pod the label \
             security.istio.io/tlsMode: istio",
        ));
    }
    found
}

#[cfg(test)]
mod tests;
