//! The gateways of a class of routers, merged: which servers share a port, and which give way.
//!
//! Follows Istio: older gateways first; plaintext HTTP servers share a port, TLS servers share one
//! by server name, nothing else does. A TLS server one of whose hosts is taken gives way as a
//! whole. Envoy would refuse the rest, so a conflict costs the younger server and nothing else.

use crate::name;
use crate::view::View;
use meltemi_api::networking::server_tls::ServerTlsMode;
use meltemi_model::gateway::{GatewayRule, GatewayServer, ServerHost};
use meltemi_model::{Attachment, Resolution, Service};
use meltemi_types::{Code, Diagnostic, HostPattern, Port};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How the servers of a port share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Requests, told apart by host.
    Http,
    /// TLS connections, told apart by server name.
    Tls,
    /// Not at all.
    Tcp,
}

impl Sharing {
    fn of(server: &GatewayServer) -> Self {
        match (server.protocol.is_http(), server.is_tls()) {
            (true, _) => Self::Http,
            (false, true) => Self::Tls,
            (false, false) => Self::Tcp,
        }
    }
}

/// A server and its gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) gateway: &'a GatewayRule,
    pub(crate) server: &'a GatewayServer,
}

impl Placed<'_> {
    /// What route tables that serve it are attached to.
    pub(crate) fn attachment(&self) -> Attachment {
        let GatewayRule {
            namespace, name, ..
        } = self.gateway;
        Attachment::Gateway(namespace.clone(), name.clone())
    }

    /// The route configuration of an HTTPS server.
    pub(crate) fn https_route(&self) -> Arc<str> {
        let GatewayRule {
            namespace, name, ..
        } = self.gateway;
        let server = self.server;
        name::https_route(
            (server.port, &server.port_name),
            &format!("{name}.{namespace}"),
            server.bind.as_deref(),
        )
    }
}

/// A port where the proxy listens.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    /// Where it is bound.
    pub(crate) port: Port,
    /// The address, as written.
    pub(crate) bind: Option<&'a str>,
    pub(crate) sharing: Sharing,
    /// The oldest server.
    pub(crate) first: Placed<'a>,
    /// The others, in order of precedence.
    pub(crate) others: Vec<Placed<'a>>,
}

impl<'a> Entry<'a> {
    /// All servers, in order of precedence.
    pub(crate) fn servers(&self) -> impl Iterator<Item = Placed<'a>> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }

    /// The route configuration of plaintext HTTP.
    pub(crate) fn http_route(&self) -> Arc<str> {
        name::http_route(self.port, self.bind)
    }
}

/// All ports of a class of routers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Merged<'a> {
    /// By port, then address.
    pub(crate) entries: BTreeMap<(Port, Option<&'a str>), Entry<'a>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The hosts of TLS servers and redirects, by port and address, with their server.
    taken: BTreeMap<(Port, Option<&'a str>), BTreeMap<&'a ServerHost, Placed<'a>>>,
}

impl<'a> Merged<'a> {
    /// Merges the gateways of a class.
    pub(crate) fn of(view: &View<'a>) -> Self {
        let mut merged = Self::default();
        let edge = view.key.edge.as_deref();
        for chosen in edge.map_or(&[] as &[_], |edge| &edge.gateways) {
            let Some(gateway) = view.gateway(&chosen.object) else {
                continue;
            };
            for server in &gateway.servers {
                let placed = Placed { gateway, server };
                for port in chosen.targets(server.port) {
                    merged.add(port, placed);
                }
            }
        }
        merged
    }

    /// The hosts of servers that pass on what the mesh's own clients send to other networks.
    fn passing(&self) -> Vec<HostPattern> {
        let servers = self.entries.values().flat_map(Entry::servers);
        servers
            .filter(|p| p.server.mode() == Some(ServerTlsMode::AutoPassthrough))
            .flat_map(|p| p.server.names())
            .collect()
    }

    fn add(&mut self, port: Port, placed: Placed<'a>) {
        let key = (port, placed.server.bind.as_deref());
        let sharing = Sharing::of(placed.server);
        if placed.server.tls.is_some()
            && let Some(other) = self.claim(key, placed)
        {
            self.diagnostics.push(host_taken(placed, other));
            return;
        }
        match self.entries.get_mut(&key) {
            None => {
                let entry = Entry {
                    port,
                    bind: key.1,
                    sharing,
                    first: placed,
                    others: Vec::new(),
                };
                self.entries.insert(key, entry);
            }
            Some(entry) if entry.sharing == sharing && sharing != Sharing::Tcp => {
                entry.others.push(placed);
            }
            Some(entry) => {
                self.diagnostics.push(port_taken(placed, entry.first));
            }
        }
    }

    /// Takes the hosts of a server, or says who has one of them.
    fn claim(&mut self, key: (Port, Option<&'a str>), placed: Placed<'a>) -> Option<Placed<'a>> {
        let taken = self.taken.entry(key).or_default();
        let mut hosts = placed.server.hosts.iter();
        if let Some(other) = hosts.find_map(|host| taken.get(host)) {
            return Some(*other);
        }
        for host in &placed.server.hosts {
            taken.insert(host, placed);
        }
        None
    }
}

/// The hosts whose services have clusters by server name, too; none for all but gateways that pass
/// TLS on by themselves.
pub(crate) fn passing(view: &View<'_>) -> Vec<HostPattern> {
    match view.key.edge {
        Some(_) => Merged::of(view).passing(),
        None => Vec::new(),
    }
}

/// True when the mesh's own clients may reach a service through servers of these hosts.
pub(crate) fn is_reachable(service: &Service, hosts: &[HostPattern]) -> bool {
    let host = &service.key.host;
    !service.external
        && !matches!(service.resolution, Resolution::Alias(_))
        && hosts.iter().any(|own| own.overlaps(host))
}

fn host_taken(placed: Placed<'_>, other: Placed<'_>) -> Diagnostic {
    Diagnostic::warning(
        Code::ConflictingListener,
        placed.server.origin.clone(),
        format!(
            "one of the hosts is already served on port {} by {}, so this server is left out",
            placed.server.port, other.gateway.origin.object
        ),
        "give the servers different hosts, or merge the gateways",
    )
}

fn port_taken(placed: Placed<'_>, other: Placed<'_>) -> Diagnostic {
    Diagnostic::warning(
        Code::ConflictingListener,
        placed.server.origin.clone(),
        format!(
            "port {} already carries {} for {}, so this {} server is left out",
            placed.server.port,
            other.server.protocol.name(),
            other.gateway.origin.object,
            placed.server.protocol.name()
        ),
        "use another port or another bind address",
    )
}
