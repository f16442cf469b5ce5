//! Which route configurations there are: `<port>` for wildcard HTTP listeners, `<host>:<port>` for
//! sniffed ports with an address of their own, `http_proxy`, and the path of a Unix socket.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/sidecar/>: an egress listener
//! with a port has that port to itself; the one without serves all others.

use super::catch_all::Rest;
use super::hosts::PortPlan;
use super::{Client, HostInput, Naming, RouteInput, Settings};
use crate::name;
use crate::plan::Planned;
use crate::view::View;
use meltemi_api::networking::sidecar::{CaptureMode, IstioEgressListener, SidecarPort};
use meltemi_model::{Egress, Interception, Resolution, Service, ServicePort};
use meltemi_types::{Origin, Port, Protocol};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const UNIX: &str = "unix://";

pub(super) fn plan(view: &View<'_>) -> Planned<RouteInput> {
    let mut planner = Planner::new(view);
    let egress = &view.scope.egress;
    let mut taken = BTreeSet::new();
    for one in egress {
        taken.extend(planner.declared(one, &taken));
    }
    let open = egress.iter().find(|one| declared(one).is_none());
    if let Some(one) = open {
        planner.undeclared(one, &taken);
    }
    let wanted =
        view.key.http_proxy_port.is_some() || view.mesh().config.http_proxy_port().is_some();
    if let Some(one) = open.or(egress.first()).filter(|_| wanted) {
        planner.every_port(one, name::HTTP_PROXY.into());
    }
    planner.planned
}

/// The listener and its port, when the egress listener names one.
fn declared(egress: &Egress) -> Option<(&IstioEgressListener, &SidecarPort)> {
    let listener = egress.listener.as_deref()?;
    Some((listener, listener.port.as_ref()?))
}

/// The protocol of an egress listener: as written, else by the name of its port.
fn protocol(port: &SidecarPort) -> Protocol {
    let SidecarPort {
        number: _,
        protocol,
        name,
        target_port: _,
    } = port;
    let by_name = |name: &str| match name.to_ascii_lowercase().starts_with("grpc-web") {
        true => Some(Protocol::GrpcWeb),
        false => Protocol::by_name(name.split('-').next().unwrap_or_default()),
    };
    let written = protocol.as_deref().and_then(Protocol::by_name);
    let named = || name.as_deref().and_then(by_name);
    written.or_else(named).unwrap_or(Protocol::Auto)
}

impl Settings {
    /// As mesh configuration and the proxy's own say.
    pub(super) fn of(view: &View<'_>) -> Self {
        let mesh = &view.mesh().config;
        let headers = view.key.settings.headers.as_ref();
        let attempts = headers.and_then(|h| h.attempt_count.as_ref());
        let forwarded = headers.and_then(|h| h.x_forwarded_host.as_ref());
        Self {
            retries: mesh.default_http_retry_policy.clone(),
            attempt_count: attempts.and_then(|a| a.disabled) != Some(true),
            forwarded_host: forwarded.and_then(|f| f.enabled) == Some(true),
        }
    }
}

struct Planner<'a, 'v> {
    view: &'v View<'a>,
    settings: Arc<Settings>,
    client: Arc<Client>,
    rest: Rest,
    rest_origin: Option<Origin>,
    planned: Planned<RouteInput>,
}

impl<'a, 'v> Planner<'a, 'v> {
    fn new(view: &'v View<'a>) -> Self {
        let mut planned = Planned::default();
        let (rest, rest_origin) = Rest::of(view, &mut planned.diagnostics);
        Self {
            view,
            settings: Arc::new(Settings::of(view)),
            client: Arc::new(Client {
                domain: view.key.domain.clone(),
                cluster: view.key.cluster.clone(),
                families: view.key.families,
                dns: view.key.dns,
            }),
            rest,
            rest_origin,
            planned,
        }
    }

    /// An egress listener with a port of its own, which it takes unless it is `taken` already.
    fn declared(&mut self, egress: &Egress, taken: &BTreeSet<Port>) -> Option<Port> {
        let (listener, port) = declared(egress)?;
        let protocol = protocol(port);
        if protocol == Protocol::HttpProxy {
            self.every_port(egress, name::HTTP_PROXY.into());
            return None;
        }
        if let Some(path) = listener.bind.as_deref().filter(|b| b.starts_with(UNIX)) {
            self.every_port(egress, path.into());
            return None;
        }
        let port = Port::new(port.number).filter(|p| !taken.contains(p))?;
        if protocol.is_http() || protocol == Protocol::Auto {
            let plan = self.port(egress, port);
            self.shared(port, plan);
        }
        Some(port)
    }

    /// The services of the egress listener without a port, at all ports that are not taken.
    fn undeclared(&mut self, egress: &Egress, taken: &BTreeSet<Port>) {
        let bound = is_bound(self.view, egress);
        let mut ports: BTreeMap<Port, Wanted<'_>> = BTreeMap::new();
        for service in egress.services.iter().filter(|s| !is_alias(s)) {
            let headless = service.is_passthrough();
            let apart = bound || has_address(self.view, service);
            let served = |p: &&ServicePort| p.protocol.is_http() || p.protocol == Protocol::Auto;
            for port in service.ports.iter().filter(served) {
                let sniffed = port.protocol == Protocol::Auto;
                let wanted = ports.entry(port.number).or_default();
                // Listeners at each pod ask by the host, and nobody asks by the port.
                let at_pods = headless && service.kubernetes;
                let apart = sniffed && (apart || at_pods);
                wanted.shared |= !(apart || taken.contains(&port.number));
                if apart || (sniffed && headless) {
                    wanted.sniffed.push(service);
                }
            }
        }
        for (port, wanted) in ports {
            let plan = self.port(egress, port);
            for service in wanted.sniffed {
                self.sniffed(service, port, &plan);
            }
            if wanted.shared {
                self.shared(port, plan);
            }
        }
    }

    fn port(&mut self, egress: &Egress, port: Port) -> PortPlan {
        PortPlan::new(self.view, egress, port, &mut self.planned.diagnostics)
    }

    /// `<port>`: all hosts of a port.
    fn shared(&mut self, port: Port, plan: PortPlan) {
        let naming = Naming::Hosts(self.client.clone());
        self.push(name::route(port), naming, plan);
    }

    /// `http_proxy` and Unix sockets: all hosts of all ports.
    fn every_port(&mut self, egress: &Egress, name: Arc<str>) {
        let services = egress.services.iter();
        let ports = services.flat_map(|s| s.ports.iter()).map(|p| p.number);
        let mut all = PortPlan::default();
        for port in ports.collect::<BTreeSet<_>>() {
            let plan = self.port(egress, port);
            all.hosts.extend(plan.hosts);
            all.origins.extend(plan.origins);
        }
        let naming = Naming::HostsAndPorts(self.client.clone());
        self.push(name, naming, all);
    }

    fn push(&mut self, name: Arc<str>, naming: Naming, plan: PortPlan) {
        let input = RouteInput {
            name: name.clone(),
            naming,
            settings: self.settings.clone(),
            hosts: plan.hosts,
            edge: Vec::new(),
            rest: self.rest.clone(),
            patches: meltemi_model::patch::none(),
        };
        let origins: Vec<Origin> = plan
            .origins
            .into_iter()
            .chain(self.rest_origin.clone())
            .collect();
        self.planned.push(name, input, origins);
    }

    /// `<host>:<port>`: one service port, whatever host requests name.
    fn sniffed(&mut self, service: &Service, port: Port, plan: &PortPlan) {
        let host = &service.key.host;
        let Some(found) = plan.hosts.iter().find(|h| h.host == *host) else {
            return;
        };
        let name = name::sniffed_route(host, port);
        let only = HostInput {
            service: None,
            aliases: Vec::new(),
            ..found.clone()
        };
        let input = RouteInput {
            name: name.clone(),
            naming: Naming::Everything,
            settings: self.settings.clone(),
            hosts: vec![only],
            edge: Vec::new(),
            rest: Rest::Nothing,
            patches: meltemi_model::patch::none(),
        };
        self.planned
            .push(name, input, plan.origins_of(found, service));
    }
}

/// Who wants the routes of a port.
#[derive(Default)]
struct Wanted<'a> {
    shared: bool,
    sniffed: Vec<&'a Service>,
}

fn is_alias(service: &Service) -> bool {
    matches!(service.resolution, Resolution::Alias(_))
}

/// True when the listeners of an egress listener stand at an address of their own, whatever the
/// service's: it names one, or nothing is captured.
fn is_bound(view: &View<'_>, egress: &Egress) -> bool {
    let listener = egress.listener.as_deref();
    let bind = listener.and_then(|l| l.bind.as_deref());
    match bind.filter(|b| !b.is_empty()) {
        Some(bind) => bind != view.key.families.wildcard(),
        None => {
            view.key.interception == Interception::None
                || listener.and_then(|l| l.capture_mode) == Some(CaptureMode::None)
        }
    }
}

/// True when the service has an address that listeners of its own can stand at.
fn has_address(view: &View<'_>, service: &Service) -> bool {
    let mut vips = service.vips(&view.key.cluster, view.key.families, view.key.dns);
    vips.next().is_some()
}
