//! The listeners of gateways: one per port and address, bound for real.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/gateway/>. The surprise:
//! listeners are named by where the proxy listens, which is the target port of the Service in
//! front, while HTTPS route configurations are named by the port that clients call.

mod passthrough;
mod tcp;
pub(super) mod tls;

use super::bind::{Address, Bind, Capture};
use super::chain::{Chain, Handler, Match};
use super::{ListenerInput, Role, Traits};
use crate::gateway::{Entry, Merged, Placed, Sharing};
use crate::http::{Access, HttpSpec, Resolve, Routes, Side};
use crate::name;
use crate::plan::Planned;
use crate::view::View;
use meltemi_api::networking::server_tls::ServerTlsMode;
use meltemi_model::Resolution;
use meltemi_types::{Code, Diagnostic, Origin, Port};
use std::sync::Arc;

/// Ports of listeners that every proxy starts with: health and metrics.
const RESERVED: [u32; 2] = [15021, 15090];

/// Ports below need a privilege to be bound.
const PRIVILEGED: u32 = 1024;

/// Lists them.
pub(super) fn plan(view: &View<'_>) -> Planned<ListenerInput> {
    let merged = Merged::of(view);
    let traits = Traits::of_class(view.key, view.mesh());
    let mut planned = Planned {
        items: Vec::new(),
        diagnostics: merged.diagnostics,
    };
    for entry in merged.entries.values() {
        let mut builder = Builder::new(view, entry);
        let found = match bind(view, entry) {
            Ok(bind) => builder.listener(&traits, bind),
            Err(finding) => {
                planned.diagnostics.push(finding);
                None
            }
        };
        if let Some(input) = found {
            planned.push(input.name.clone(), input, builder.origins);
        }
        planned.diagnostics.append(&mut builder.diagnostics);
    }
    planned
}

/// Where an entry listens, or why it cannot.
fn bind(view: &View<'_>, entry: &Entry<'_>) -> Result<Bind, Diagnostic> {
    let families = view.key.families;
    let refuse = |code, message: String, remedy: &str| {
        let origin = entry.first.server.origin.clone();
        Err(Diagnostic::warning(code, origin, message, remedy))
    };
    let port = entry.port;
    let unprivileged = view.key.edge.as_ref().is_some_and(|e| e.unprivileged);
    if RESERVED.contains(&port.number()) {
        let message = format!("port {port} is the proxy's own, so nothing listens for this server");
        return refuse(Code::ConflictingListener, message, "use another port");
    }
    if unprivileged && port.number() < PRIVILEGED {
        let message = format!("the proxy may not bind port {port}, so nothing listens there");
        let remedy = "use a Service whose targetPort is 1024 or more";
        return refuse(Code::ConflictingListener, message, remedy);
    }
    let address = entry.bind.map(|text| Address::read(text, families));
    Ok(match address {
        None | Some(Some(Address::Any)) => Bind::any(families, port, Capture::Bound),
        Some(Some(Address::Ip(ip))) => Bind::ip(ip, port, Capture::Bound),
        Some(Some(unix @ Address::Unix(_))) => Bind {
            address: unix,
            extra: Vec::new(),
            port: None,
            capture: Capture::Bound,
        },
        Some(None) => {
            let message = format!("{:?} is no address to bind", entry.bind.unwrap_or_default());
            return refuse(Code::InvalidValue, message, "use an IP address");
        }
    })
}

/// Makes the chains of one listener.
struct Builder<'v, 'a> {
    view: &'v View<'a>,
    entry: &'v Entry<'a>,
    access: Access,
    chains: Vec<(Chain, Placed<'a>)>,
    origins: Vec<Origin>,
    diagnostics: Vec<Diagnostic>,
}

impl<'v, 'a> Builder<'v, 'a> {
    fn new(view: &'v View<'a>, entry: &'v Entry<'a>) -> Self {
        let denied = view.key.edge.as_ref().is_some_and(|edge| edge.denied);
        Self {
            view,
            entry,
            access: match denied {
                true => Access::Denied,
                false => Access::Open,
            },
            chains: Vec::new(),
            origins: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    /// The listener; `None` when no chain is left.
    fn listener(&mut self, traits: &Traits, bind: Bind) -> Option<ListenerInput> {
        let mut input = ListenerInput::new(traits, Role::Gateway, bind);
        match self.entry.sharing {
            Sharing::Http => {
                let first = self.entry.first;
                let route = self.entry.http_route();
                let handler = self.http(first, &input.name, route);
                self.add(first, Chain::new(Match::default(), handler));
                for other in &self.entry.others {
                    self.came_from(*other);
                }
            }
            Sharing::Tls => {
                for placed in self.entry.servers() {
                    self.tls_server(placed, &input.name);
                }
            }
            Sharing::Tcp => {
                let first = self.entry.first;
                if let Some(chain) = self.tcp_chain(first, Match::default()) {
                    self.add(first, chain);
                }
            }
        }
        input.chains = std::mem::take(&mut self.chains)
            .into_iter()
            .map(|(chain, _)| chain)
            .collect();
        (!input.chains.is_empty()).then_some(input)
    }

    fn http(&self, placed: Placed<'a>, listener: &str, route: Arc<str>) -> Handler {
        Handler::Http(HttpSpec {
            side: Side::Gateway,
            routes: Routes::Rds(route),
            stat_prefix: name::stat(&format!("outbound_{listener}")).into(),
            protocol: placed.server.protocol,
            access: self.access,
            resolve: match self
                .view
                .by_host
                .values()
                .any(|s| s.resolution == Resolution::DynamicDns)
            {
                true => Resolve::Hosts,
                false => Resolve::Nothing,
            },
        })
    }

    /// The chains of a server behind TLS: for requests, for bytes, or for what TLS carries unread.
    fn tls_server(&mut self, placed: Placed<'a>, listener: &str) {
        match placed.server.mode() {
            None => {}
            Some(ServerTlsMode::Passthrough) => self.passthrough(placed),
            Some(ServerTlsMode::AutoPassthrough) => self.auto_passthrough(placed),
            Some(
                ServerTlsMode::Simple
                | ServerTlsMode::Mutual
                | ServerTlsMode::OptionalMutual
                | ServerTlsMode::IstioMutual,
            ) => {
                let Some(matching) = Match::default().with_names(&placed.server.names()) else {
                    self.diagnostics.push(unusable(&placed.server.origin));
                    return;
                };
                let chain = match placed.server.is_http() {
                    true => {
                        let handler = self.http(placed, listener, placed.https_route());
                        Some(Chain::new(matching, handler))
                    }
                    false => self.tcp_chain(placed, matching),
                };
                if let Some(chain) = chain {
                    self.add(placed, tls::terminated(chain, placed.server));
                }
            }
        }
    }

    /// Adds a chain, without the server names that another chain takes already.
    fn add(&mut self, placed: Placed<'a>, chain: Chain) {
        let mut rest = Some(chain.matching.clone());
        let mut winner = None;
        for (other, of) in &self.chains {
            let Some(before) = rest else { break };
            if before.collides(&other.matching) {
                winner = Some(*of);
            }
            rest = before.beside(&other.matching);
        }
        if let Some(winner) = winner {
            self.diagnostics
                .push(collision(placed, winner, self.entry.port));
        }
        if let Some(matching) = rest {
            self.came_from(placed);
            self.chains.push((Chain { matching, ..chain }, placed));
        }
    }

    fn came_from(&mut self, placed: Placed<'a>) {
        let origin = &placed.server.origin;
        if !self.origins.contains(origin) {
            self.origins.push(origin.clone());
        }
    }
}

fn unusable(origin: &Origin) -> Diagnostic {
    Diagnostic::warning(
        Code::InvalidHost,
        origin.clone(),
        "a server name with a part of a label as wildcard cannot be matched in TLS",
        "use a full name, or '*.' and a suffix",
    )
}

fn collision(placed: Placed<'_>, winner: Placed<'_>, port: Port) -> Diagnostic {
    Diagnostic::warning(
        Code::ConflictingListener,
        placed.server.origin.clone(),
        format!(
            "some server names on port {port} are already taken by {}, and stay there",
            winner.gateway.origin.object
        ),
        "give the servers different hosts",
    )
}
