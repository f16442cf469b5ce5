//! From egress listeners to listeners: every service port in scope, or what a Sidecar declares.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/sidecar/#IstioEgressListener>.
//! A listener with a port serves that port only, and no catch-all listener after it may change it.

use super::bind::{Address, Bind, Capture};
use super::chain::{Chain, Handler, Match};
use super::merge::{Incoming, Owner, Table};
use super::ports::{Chosen, Listening, Place, binds};
use super::{Traits, tcp};
use crate::http::{Access, HttpSpec, Resolve, Routes, Side};
use crate::name;
use crate::route::hosts;
use crate::view::View;
use meltemi_api::networking::sidecar::{CaptureMode, IstioEgressListener, SidecarPort};
use meltemi_model::{Egress, Interception, Resolution, Service, ServicePort};
use meltemi_types::{Code, Diagnostic, FieldPath, HostPattern, Origin, Port, Protocol};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Adds everything that one egress listener asks for.
pub(super) fn listeners(view: &View<'_>, traits: &Traits, egress: &Egress, table: &mut Table) {
    let importer = Importer {
        view,
        traits,
        egress,
        aliases: hosts::aliases(egress),
    };
    let Some(listener) = egress.listener.as_deref() else {
        // Without interception nothing reaches a listener that nobody declared.
        if view.key.interception != Interception::None {
            let listening = Listening {
                address: None,
                capture: Capture::Virtual,
                chosen: Chosen::ByService,
            };
            importer.every_port(&listening, table);
        }
        return;
    };
    let IstioEgressListener {
        port,
        bind,
        capture_mode,
        hosts: _, // resolved into the scope
    } = listener;
    let bind = bind.as_deref().filter(|b| !b.is_empty());
    let address = match bind.map(|b| Address::read(b, traits.families)) {
        None => None,
        Some(Some(address)) => Some(address),
        Some(None) => {
            table.report(egress.origin.as_ref().map(|o| bad_bind(o, bind)));
            return;
        }
    };
    let bound = view.key.interception == Interception::None
        || *capture_mode == Some(CaptureMode::None)
        || matches!(address, Some(Address::Unix(_)));
    let capture = if bound {
        Capture::Bound
    } else {
        Capture::Virtual
    };
    let mut listening = Listening {
        address,
        capture,
        chosen: Chosen::ByService,
    };
    match port {
        None => {
            table.lock();
            importer.every_port(&listening, table);
        }
        Some(port) => {
            listening.chosen = Chosen::BySidecar;
            importer.one_port(&listening, port, table);
        }
    }
}

/// One egress listener and what it imports.
struct Importer<'a> {
    view: &'a View<'a>,
    traits: &'a Traits,
    egress: &'a Egress,
    aliases: BTreeMap<HostPattern, Vec<HostPattern>>,
}

impl Importer<'_> {
    fn every_port(&self, listening: &Listening, table: &mut Table) {
        for service in self.egress.services.iter() {
            for port in service.ports.iter() {
                let number = Some(port.number);
                let listening = local(self.view, listening, number);
                self.add(&listening, service, (number, port), table);
            }
        }
    }

    fn one_port(&self, listening: &Listening, port: &SidecarPort, table: &mut Table) {
        let number = Port::new(port.number);
        let on_socket = matches!(listening.address, Some(Address::Unix(_)));
        if number.is_none() && !on_socket {
            return; // the checks of the object have reported it
        }
        let number = number.filter(|_| !on_socket);
        let protocol = protocol(port);
        let listening = local(self.view, listening, number);
        if protocol == Protocol::HttpProxy {
            let bind = match (&listening.address, number) {
                (None, Some(number)) => Bind::loopback(self.view.key.families, number),
                (Some(address), number) => Bind {
                    address: address.clone(),
                    extra: Vec::new(),
                    port: number,
                    capture: Capture::Bound,
                },
                (None, None) => return,
            };
            let origin = self.egress.origin.clone();
            table.add(http_proxy(bind, self.traits, origin));
            return;
        }
        if self.egress.services.is_empty() {
            let origin = self.egress.origin.as_ref();
            table.report(origin.map(|o| nothing(o, number)));
        }
        for service in self.egress.services.iter() {
            let same = number.and_then(|number| service.port(number));
            let Some(known) = same.or(service.ports.first()) else {
                continue;
            };
            let declared = ServicePort {
                protocol,
                ..known.clone()
            };
            self.add(&listening, service, (number, &declared), table);
        }
    }

    /// Adds a service port to each of its listeners.
    #[expect(clippy::too_many_arguments, reason = "what, where, and into what")]
    fn add(
        &self,
        listening: &Listening,
        service: &Arc<Service>,
        port: (Option<Port>, &ServicePort),
        table: &mut Table,
    ) {
        let (number, declared) = port;
        for (bind, cidrs) in binds(self.view, listening, service, port) {
            let place = Place {
                view: self.view,
                traits: self.traits,
                egress: self.egress,
                service,
                number,
                protocol: declared.protocol,
                chosen: listening.chosen,
                bind,
                cidrs,
                aliases: &self.aliases,
            };
            add(&place, table);
        }
    }
}

/// Listeners that bind a port and name no address are on the loopback address.
fn local(view: &View<'_>, listening: &Listening, number: Option<Port>) -> Listening {
    let mut listening = listening.clone();
    if let (Capture::Bound, None, Some(number)) = (listening.capture, &listening.address, number) {
        listening.address = Some(Bind::loopback(view.key.families, number).address);
    }
    listening
}

/// What a port of a Sidecar speaks: as its protocol or name says, else told by looking.
pub(super) fn protocol(port: &SidecarPort) -> Protocol {
    let SidecarPort {
        number: _,
        protocol,
        name,
        target_port: _, // without effect, as documented
    } = port;
    let said = protocol.as_deref().and_then(Protocol::by_name);
    let named = || {
        let name = name.as_deref()?;
        if name.to_ascii_lowercase().starts_with("grpc-web") {
            return Some(Protocol::GrpcWeb);
        }
        Protocol::by_name(name.split('-').next()?)
    };
    said.or_else(named).unwrap_or(Protocol::Auto)
}

/// Adds a service port to its listener.
fn add(place: &Place<'_>, table: &mut Table) {
    let http = place.protocol.is_http() || place.protocol == Protocol::Auto;
    let mut origins: Vec<Origin> = place.egress.origin.iter().cloned().collect();
    origins.push(place.service.origin.clone());
    let mut tcp = Vec::new();
    if !place.protocol.is_http() {
        let chains = tcp::chains(place);
        origins.extend(chains.origins);
        for finding in chains.diagnostics {
            table.report(Some(finding));
        }
        tcp = chains.list;
    }
    table.add(Incoming {
        bind: place.bind.clone(),
        protocol: place.protocol,
        http: http.then(|| http_chain(place)),
        tcp,
        owner: Owner {
            origin: Some(place.service.origin.clone()),
            label: place.service.key.host.as_str().into(),
            port: place.number,
        },
        origins,
    });
}

/// The chain that reads requests; which connections it takes is decided when the listener is
/// complete.
fn http_chain(place: &Place<'_>) -> Chain {
    let own = sniffed(place).then_some(&place.service.key.host);
    let routes = match (place.number, own) {
        (None, _) => place.bind.name(place.traits.families),
        (Some(port), Some(host)) => name::sniffed_route(host, port),
        (Some(port), None) => name::route(port),
    };
    let mut chain = reading(&place.bind, place.traits, (routes, place.protocol));
    if let Handler::Http(spec) = &mut chain.handler
        && place.service.resolution == Resolution::DynamicDns
    {
        spec.resolve = Resolve::Hosts;
    }
    chain
}

/// True when the routes are for one service alone: where its listener is not for every address.
fn sniffed(place: &Place<'_>) -> bool {
    place.protocol == Protocol::Auto && place.chosen == Chosen::ByService && !place.bind.is_any()
}

fn reading(bind: &Bind, traits: &Traits, routes: (Arc<str>, Protocol)) -> Chain {
    let (routes, protocol) = routes;
    let stat_prefix = name::stat(&format!("outbound_{}", bind.name(traits.families)));
    let spec = HttpSpec {
        side: Side::Outbound,
        routes: Routes::Rds(routes),
        stat_prefix: stat_prefix.into(),
        protocol,
        access: Access::Open,
        resolve: Resolve::Nothing,
    };
    Chain::new(Match::default(), Handler::Http(spec))
}

/// A listener that applications use as their HTTP proxy.
pub(super) fn http_proxy(bind: Bind, traits: &Traits, origin: Option<Origin>) -> Incoming {
    let routes = (Arc::from(name::HTTP_PROXY), Protocol::HttpProxy);
    let chain = reading(&bind, traits, routes);
    Incoming {
        protocol: Protocol::HttpProxy,
        http: Some(chain),
        tcp: Vec::new(),
        owner: Owner {
            origin: origin.clone(),
            label: "the HTTP proxy".into(),
            port: bind.port,
        },
        origins: origin.into_iter().collect(),
        bind,
    }
}

fn nothing(origin: &Origin, number: Option<Port>) -> Diagnostic {
    let port = number.map(|port| format!(" has port {port}"));
    let port = port.unwrap_or_else(|| " is known".into());
    Diagnostic::warning(
        Code::UnknownPort,
        origin.at(FieldPath::new(&format!("{}.port", origin.path))),
        format!("no service of the listener's hosts{port}, so nothing listens"),
        "use a port of the services, or name more hosts",
    )
}

fn bad_bind(origin: &Origin, bind: Option<&str>) -> Diagnostic {
    let path = FieldPath::new(&format!("{}.bind", origin.path));
    let bind = bind.unwrap_or_default();
    Diagnostic::error(
        Code::InvalidValue,
        origin.at(path),
        format!("{bind:?} is no address to listen on; the listener is left out"),
        "use an IP address or unix:///PATH",
    )
}
