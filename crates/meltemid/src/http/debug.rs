//! What the debug pages say, as JSON documents.

use crate::clock;
use crate::plane::Held;
use meltemi_model::Snapshot;
use meltemi_translate::document::{API_VERSION, Selection, diagnostic, proxy_resources};
use meltemi_types::{Diagnostic, Origin};
use meltemi_xds::debug::ClientStatus;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn document(kind: &str, field: &str, items: Vec<Value>) -> Value {
    json!({ "apiVersion": API_VERSION, "kind": kind, field: items })
}

/// Which proxy holds what.
pub(super) fn syncz(clients: &[ClientStatus]) -> Value {
    let clients = clients.iter().map(|client| {
        let types = client.types.iter().map(|t| {
            let state = match (&t.last_error, t.settled) {
                (Some(_), _) => "ERROR",
                (None, true) => "SYNCED",
                (None, false) => "STALE",
            };
            json!({
                "type": t.short,
                "typeUrl": t.type_url,
                "state": state,
                "sentNonce": t.sent_nonce,
                "ackedNonce": t.acked_nonce,
                "resources": t.held,
                "quarantined": t.quarantined,
                "error": t.last_error,
            })
        });
        json!({
            "proxy": client.key,
            "node": client.node_id,
            "nodeType": client.kind.name(),
            "peer": client.peer.map(|p| p.to_string()),
            "protocol": format!("{:?}", client.flavor).to_lowercase(),
            "connectedAt": clock::unix(client.connected),
            "types": types.collect::<Vec<_>>(),
        })
    });
    document("SyncStatus", "proxies", clients.collect())
}

/// Everything a proxy should have.
pub(super) fn config_dump(held: &Held) -> Result<Value, String> {
    let Held {
        node,
        assigned,
        diagnostics,
    } = held;
    proxy_resources(node, assigned, Selection::default(), diagnostics)
}

fn origin(origin: &Origin) -> Value {
    serde_json::to_value(origin).unwrap_or_default()
}

/// Services.
pub(super) fn registryz(snapshot: &Snapshot) -> Value {
    let services = snapshot.services.iter().map(|service| {
        let ports = service
            .ports
            .iter()
            .map(|p| json!({ "number": p.number, "name": p.name, "protocol": p.protocol.name() }));
        json!({
            "hostname": service.key.host,
            "namespace": service.key.namespace,
            "addresses": service.addresses.values().flat_map(|a| a.iter()).collect::<Vec<_>>(),
            "resolution": format!("{:?}", service.resolution),
            "ports": ports.collect::<Vec<_>>(),
            "origin": origin(&service.origin),
        })
    });
    document("Services", "services", services.collect())
}

/// Endpoints.
pub(super) fn endpointz(snapshot: &Snapshot) -> Value {
    let services = snapshot.endpoints.iter().map(|(key, endpoints)| {
        let ports = endpoints.ports.iter().map(|(port, endpoints)| {
            let endpoints = endpoints.iter().map(|e| {
                json!({
                    "address": format!("{:?}", e.address),
                    "port": e.port,
                    "health": format!("{:?}", e.health),
                    "locality": e.locality.to_string(),
                    "cluster": e.cluster,
                })
            });
            json!({ "port": port, "endpoints": endpoints.collect::<Vec<_>>() })
        });
        json!({ "hostname": key.host, "namespace": key.namespace, "ports": ports.collect::<Vec<_>>() })
    });
    document("Endpoints", "services", services.collect())
}

/// Configuration objects in force.
pub(super) fn configz(snapshot: &Snapshot) -> Value {
    let routes = snapshot.routes.tables.iter().map(|t| origin(&t.origin));
    let rules = snapshot
        .policies
        .iter()
        .flat_map(|r| r.origins.iter().map(origin));
    let sidecars = snapshot.sidecars.rules.iter().map(|r| origin(&r.origin));
    let gateways = snapshot.gateways.rules.iter().map(|r| origin(&r.origin));
    let peers = snapshot.security.peers.iter().map(|p| origin(&p.origin));
    let guards = snapshot.security.guards.iter().map(|g| origin(&g.origin));
    let all = routes
        .chain(rules)
        .chain(sidecars)
        .chain(gateways)
        .chain(peers)
        .chain(guards);
    document("Configs", "objects", all.collect())
}

/// What is wrong.
pub(super) fn diagnosticz(diagnostics: &BTreeSet<Diagnostic>) -> Value {
    document(
        "Diagnostics",
        "diagnostics",
        diagnostics.iter().map(diagnostic).collect(),
    )
}
