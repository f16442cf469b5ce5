//! What happens when several service ports want one listener: HTTP is shared, TCP chains stand
//! beside each other as long as Envoy can tell them apart, and else the older service is served.
//!
//! Envoy refuses two listeners on one address, even when they bind nothing, and two chains that
//! take the same connections: neither can leave this table.

use super::bind::{Address, Bind, Capture};
use super::chain::{Alpn, Chain, Handler, Match, Transport};
use super::tcp_proxy::TcpSpec;
use super::{ListenerInput, Role, Traits};
use crate::http::Resolve;
use crate::name;
use crate::plan::Planned;
use meltemi_types::{Code, Diagnostic, Origin, Port, Protocol};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Ports of listeners that every proxy starts with: health and metrics.
const RESERVED: [u32; 2] = [15021, 15090];

/// Who asks for a listener, for what is said about conflicts.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) origin: Option<Origin>,
    pub(super) label: Arc<str>,
    pub(super) port: Option<Port>,
}

/// A service port that wants a listener.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) bind: Bind,
    pub(super) protocol: Protocol,
    /// Reads requests.
    pub(super) http: Option<Chain>,
    /// Carries bytes.
    pub(super) tcp: Vec<Chain>,
    pub(super) owner: Owner,
    /// The objects and fields it comes from, the deciding one first.
    pub(super) origins: Vec<Origin>,
}

/// A listener that grows.
#[derive(Debug)]
struct Entry {
    bind: Bind,
    /// Of the first service port.
    protocol: Protocol,
    http: Option<Chain>,
    /// Each with who asked for it.
    tcp: Vec<(Chain, Owner)>,
    owner: Owner,
    origins: Vec<Origin>,
    /// Declared by a Sidecar; a catch-all listener may not change it.
    locked: bool,
}

/// All outbound listeners of a class, oldest first.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Entry>,
    by_address: BTreeMap<(Address, Option<Port>), usize>,
    findings: BTreeSet<Diagnostic>,
}

impl Table {
    /// Keeps a finding.
    pub(super) fn report(&mut self, finding: Option<Diagnostic>) {
        self.findings.extend(finding);
    }

    /// From now on nothing is added to the listeners that are there.
    pub(super) fn lock(&mut self) {
        for entry in &mut self.entries {
            entry.locked = true;
        }
    }

    /// Adds a service port to its listener.
    pub(super) fn add(&mut self, incoming: Incoming) {
        let key = (incoming.bind.address.clone(), incoming.bind.port);
        let index = self.by_address.get(&key).copied();
        let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) else {
            self.by_address.insert(key, self.entries.len());
            self.entries.push(Entry::new(incoming));
            return;
        };
        if entry.locked {
            return;
        }
        let owner = incoming.owner.clone();
        if let Err(other) = entry.merge(incoming) {
            self.findings.extend(conflict(&owner, &other));
        }
    }

    /// The finished listeners. Connections that no chain takes go to `unknown`.
    pub(super) fn finish(self, traits: &Traits, unknown: &TcpSpec) -> Planned<ListenerInput> {
        let mut planned = Planned::default();
        let mut findings = self.findings;
        let mut taken: BTreeMap<(IpAddr, Option<Port>), Owner> = BTreeMap::new();
        for mut entry in self.entries {
            if reserved(&entry.bind, traits) {
                findings.extend(own_port(&entry.owner));
                continue;
            }
            let port = entry.bind.port;
            if let Some(ip) = first(&entry.bind, traits) {
                if let Some(other) = taken.get(&(ip, port)) {
                    findings.extend(conflict(&entry.owner, other));
                    continue;
                }
                taken.insert((ip, port), entry.owner.clone());
            }
            let extra = std::mem::take(&mut entry.bind.extra);
            for ip in extra {
                let free = !taken.contains_key(&(ip, port));
                if free {
                    taken.insert((ip, port), entry.owner.clone());
                    entry.bind.extra.push(ip);
                }
            }
            let origins = std::mem::take(&mut entry.origins);
            let input = entry.finish(traits, unknown);
            planned.push(input.name.clone(), input, origins);
        }
        planned.diagnostics = findings.into_iter().collect();
        planned
    }
}

impl Entry {
    fn new(incoming: Incoming) -> Self {
        let Incoming {
            bind,
            protocol,
            http,
            tcp,
            owner,
            origins,
        } = incoming;
        let mut entry = Self {
            bind,
            protocol,
            http,
            tcp: Vec::new(),
            owner,
            origins,
            locked: false,
        };
        // Rules of one service that say the same twice: the first one holds.
        let _ = entry.take(tcp, &entry.owner.clone());
        entry
    }

    /// Takes what is not there yet, or tells whose chain stands in the way of some of it.
    fn merge(&mut self, incoming: Incoming) -> Result<(), Owner> {
        let server_first = |p: Protocol| matches!(p, Protocol::Mongo | Protocol::Mysql);
        let clash = server_first(self.protocol) || server_first(incoming.protocol);
        if clash && self.protocol != incoming.protocol {
            return Err(self.owner.clone());
        }
        if incoming.protocol == Protocol::GrpcWeb
            && let Some(Handler::Http(spec)) = self.http.as_mut().map(|c| &mut c.handler)
        {
            spec.protocol = Protocol::GrpcWeb;
        }
        if let Some(Handler::Http(new)) = incoming.http.as_ref().map(|c| &c.handler)
            && new.resolve == Resolve::Hosts
            && let Some(Handler::Http(spec)) = self.http.as_mut().map(|c| &mut c.handler)
        {
            spec.resolve = Resolve::Hosts;
        }
        let adds = !incoming.tcp.is_empty() || (self.http.is_none() && incoming.http.is_some());
        if adds {
            let new = incoming.origins.into_iter();
            self.origins.extend(
                new.filter(|o| !self.origins.contains(o))
                    .collect::<Vec<_>>(),
            );
        }
        if self.http.is_none() {
            self.http = incoming.http;
        }
        self.take(incoming.tcp, &incoming.owner)
    }

    fn take(&mut self, chains: Vec<Chain>, owner: &Owner) -> Result<(), Owner> {
        let mut refused = Ok(());
        for chain in chains {
            let mut rest = Some(chain.matching.clone());
            for (other, asked) in &self.tcp {
                let Some(before) = rest else { break };
                let collides = before.collides(&other.matching);
                rest = before.beside(&other.matching);
                if collides {
                    refused = Err(asked.clone());
                }
            }
            if let Some(matching) = rest {
                self.tcp.push((Chain { matching, ..chain }, owner.clone()));
            }
        }
        refused
    }

    fn finish(self, traits: &Traits, unknown: &TcpSpec) -> ListenerInput {
        let unknown = match self.bind.capture {
            Capture::Virtual => unknown.clone(),
            // The original destination of such a connection is the listener itself.
            Capture::Bound => TcpSpec::to(name::BLACK_HOLE),
        };
        let sniffs = self.bind.is_any() || !self.tcp.is_empty();
        let mut input = ListenerInput::new(traits, Role::Service, self.bind);
        let mut chains: Vec<Chain> = self.tcp.into_iter().map(|(chain, _)| chain).collect();
        if let Some(mut http) = self.http {
            if sniffs {
                http.matching = Match {
                    transport: Transport::Raw,
                    alpn: Alpn::PlainHttp.for_proxy(traits),
                    ..http.matching
                };
            }
            chains.push(http);
        }
        let everything = chains.iter().position(|c| c.matching.is_everything());
        match everything {
            Some(_) if chains.len() == 1 => {}
            Some(index) => input.default = Some(chains.remove(index)),
            None => {
                let chain = Chain::new(Match::default(), Handler::Tcp(unknown));
                input.default = Some(chain.named("PassthroughFilterChain"));
            }
        }
        input.chains = chains;
        input
    }
}

/// The address that a listener is found by, when it is an IP address.
fn first(bind: &Bind, traits: &Traits) -> Option<IpAddr> {
    match &bind.address {
        Address::Any => traits.families.wildcard().parse().ok(),
        Address::Ip(ip) => Some(*ip),
        Address::Unix(_) => None,
    }
}

/// True when every proxy listens there already.
fn reserved(bind: &Bind, traits: &Traits) -> bool {
    let config = &traits.mesh.config;
    let Some(port) = bind.port.filter(|_| bind.is_any()) else {
        return false;
    };
    RESERVED.contains(&port.number())
        || [config.outbound_port(), config.inbound_port()].contains(&Some(port))
}

fn conflict(left_out: &Owner, served: &Owner) -> Option<Diagnostic> {
    if left_out.label == served.label && left_out.port == served.port {
        return None;
    }
    let port = left_out.port.map(|p| format!("port {p} of "));
    let message = format!(
        "{}{} cannot be told apart from {}, which came first and is served",
        port.unwrap_or_default(),
        left_out.label,
        served.label
    );
    Some(Diagnostic::warning(
        Code::ConflictingListener,
        left_out.origin.clone()?,
        message,
        "give one of them an address or a port of its own",
    ))
}

fn own_port(owner: &Owner) -> Option<Diagnostic> {
    let port = owner.port?;
    Some(Diagnostic::warning(
        Code::ConflictingListener,
        owner.origin.clone()?,
        format!(
            "port {port} of {} is a port of the proxy itself",
            owner.label
        ),
        "use another port, or give the service an address of its own",
    ))
}
