//! The ports that a Sidecar declares for inbound traffic, instead of those of services.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/sidecar/#IstioIngressListener>.
//! With interception, a port is one more chain of the shared inbound listener; without, or with
//! `captureMode: NONE`, it is a listener that binds the port at the workload's address.

use super::bind::{Address, Bind, Capture};
use super::egress;
use super::inbound::{Served, is_reserved, mode};
use super::server_tls::OwnTls;
use crate::class::InboundKey;
use crate::name;
use meltemi_api::networking::server_tls::ServerTlsSettings;
use meltemi_api::networking::sidecar::{CaptureMode, IstioEgressListener, IstioIngressListener};
use meltemi_model::security::MtlsMode;
use meltemi_model::{Interception, SidecarRule};
use meltemi_types::{Code, Diagnostic, FieldPath, Origin, Port, Protocol};
use std::collections::BTreeSet;

/// The declared ports: those that are captured, and those that bind.
pub(super) fn served(
    key: &InboundKey,
    sidecar: &SidecarRule,
    found: &mut Vec<Diagnostic>,
) -> (Vec<Served>, Vec<(Served, Bind)>) {
    let (mut captured, mut bound) = (Vec::new(), Vec::new());
    let mut ports = BTreeSet::new();
    for (index, listener) in sidecar.spec.ingress.iter().enumerate() {
        let path = FieldPath::spec().field("ingress").index(index);
        let origin = sidecar.origin.at(path);
        let Some((served, bind)) = one(key, sidecar, (listener, &origin), found) else {
            continue;
        };
        // Each port once: what says otherwise was reported by the checks of the object.
        if !ports.insert(served.port) {
            continue;
        }
        match bind.capture {
            Capture::Virtual => captured.push(served),
            Capture::Bound if collides(key, sidecar, &bind) => found.push(taken(&origin, &bind)),
            Capture::Bound => bound.push((served, bind)),
        }
    }
    (captured, bound)
}

fn one(
    key: &InboundKey,
    sidecar: &SidecarRule,
    listener: (&IstioIngressListener, &Origin),
    found: &mut Vec<Diagnostic>,
) -> Option<(Served, Bind)> {
    let (listener, origin) = listener;
    let IstioIngressListener {
        port,
        bind,
        capture_mode,
        default_endpoint: _, // the cluster's
        tls,
        connection_pool: _, // the cluster's
    } = listener;
    let declared = port.as_ref()?;
    let port = Port::new(declared.number)?;
    let bind = bind.as_deref().filter(|b| !b.is_empty());
    let own = key.ips.iter().find(|ip| key.families.allows(ip)).copied();
    let address = match bind.map(|text| Address::read(text, key.families)) {
        None => own.map_or(Address::Any, Address::Ip),
        Some(Some(address @ (Address::Ip(_) | Address::Any))) => address,
        Some(Some(Address::Unix(_)) | None) => {
            found.push(bad_bind(origin, bind.unwrap_or_default()));
            return None;
        }
    };
    let binds = key.interception == Interception::None || *capture_mode == Some(CaptureMode::None);
    let capture = if binds {
        Capture::Bound
    } else {
        Capture::Virtual
    };
    if !binds && is_reserved(key, port) {
        return None;
    }
    let bind = match address {
        Address::Any => Bind::any(key.families, port, capture),
        Address::Ip(ip) => Bind::ip(ip, port, capture),
        Address::Unix(_) => return None,
    };
    let protocol = egress::protocol(declared);
    let service = key.targets.iter().find(|t| t.target == port);
    let host = service.map(|t| t.service.key.host.to_string());
    let fallback = || format!("{}.{}", sidecar.origin.object.name, sidecar.namespace);
    let served = Served {
        port: Some(port),
        name: bind.name(key.families),
        protocol,
        cluster: name::inbound_cluster(port),
        service_port: port.number(),
        host: host.unwrap_or_else(fallback).into(),
        own_tls: OwnTls::of(tls.as_ref()),
        origin: Some(origin.clone()),
    };
    if let Some(tls) = tls {
        found.extend(without_effect(key, &served, (tls, origin)));
    }
    (protocol != Protocol::Udp).then_some((served, bind))
}

/// True when an egress listener of the same Sidecar binds the same address and port.
fn collides(key: &InboundKey, sidecar: &SidecarRule, bind: &Bind) -> bool {
    let none = key.interception == Interception::None;
    let same = |listener: &IstioEgressListener| {
        let binds = none || listener.capture_mode == Some(CaptureMode::None);
        let text = listener.bind.as_deref().unwrap_or(key.families.loopback());
        let number = listener.port.as_ref().and_then(|p| Port::new(p.number));
        let address = Address::read(text, key.families);
        binds && number == bind.port && address.as_ref() == Some(&bind.address)
    };
    sidecar.spec.egress.iter().any(same)
}

/// Why the TLS of a listener is not in force.
fn without_effect(
    key: &InboundKey,
    served: &Served,
    (tls, origin): (&ServerTlsSettings, &Origin),
) -> Option<Diagnostic> {
    let at = || origin.at(FieldPath::new(&format!("{}.tls", origin.path)));
    if mode(key, served) != MtlsMode::Disable {
        return Some(Diagnostic::warning(
            Code::IgnoredField,
            at(),
            "the TLS of a listener has no effect where a PeerAuthentication admits mTLS",
            "set mode DISABLE for the port in portLevelMtls of a PeerAuthentication",
        ));
    }
    (served.own_tls == OwnTls::Broken).then(|| {
        Diagnostic::error(
            Code::Required,
            at(),
            format!(
                "TLS in mode {:?} cannot end here with what is given, so the port refuses everybody",
                tls.mode.unwrap_or_default()
            ),
            "use mode SIMPLE, MUTUAL or OPTIONAL_MUTUAL with serverCertificate and privateKey, and \
             caCertificates where clients are checked",
        )
    })
}

fn taken(origin: &Origin, bind: &Bind) -> Diagnostic {
    let port = bind.port.map_or(0, Port::number);
    Diagnostic::warning(
        Code::ConflictingListener,
        origin.clone(),
        format!("port {port} is bound at the same address by an egress listener, which is served"),
        "give one of them another port or address",
    )
}

fn bad_bind(origin: &Origin, bind: &str) -> Diagnostic {
    Diagnostic::error(
        Code::InvalidValue,
        origin.at(FieldPath::new(&format!("{}.bind", origin.path))),
        format!("{bind:?} is no IP address; the listener is left out"),
        "use an IP address, or leave it out for the workload's own",
    )
}
