//! What the debug pages say, as JSON documents.

use crate::clock;
use meltemi_model::Snapshot;
use meltemi_proto::pool;
use meltemi_proto::resource::{Encoded, TypeSet};
use meltemi_translate::Assigned;
use meltemi_types::{Diagnostic, Origin};
use meltemi_xds::debug::ClientStatus;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

fn document(kind: &str, field: &str, items: Vec<Value>) -> Value {
    json!({ "apiVersion": "cli.meltemi.io/v1", "kind": kind, field: items })
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
pub(super) fn config_dump(proxy: &str, assigned: &Assigned) -> Value {
    let (outbound, inbound) = (&assigned.outbound, &assigned.inbound);
    let both = |a: &Arc<TypeSet>, b: &Arc<TypeSet>| -> Vec<Value> {
        a.resources
            .values()
            .chain(b.resources.values())
            .map(|r| resource(r))
            .collect()
    };
    let one = |set: &Arc<TypeSet>| -> Vec<Value> {
        set.resources.values().map(|r| resource(r)).collect()
    };
    json!({
        "apiVersion": "cli.meltemi.io/v1",
        "kind": "ProxyResources",
        "proxy": proxy,
        "class": assigned.class_hash(),
        "resources": {
            "cluster": both(&outbound.clusters, &inbound.clusters),
            "endpoint": one(&outbound.endpoints),
            "listener": both(&outbound.listeners, &inbound.listeners),
            "route": one(&outbound.routes),
        },
        "diagnostics": assigned.diagnostics().iter().map(diagnostic).collect::<Vec<_>>(),
    })
}

fn resource(encoded: &Encoded) -> Value {
    let name = encoded.type_url.rsplit('/').next().unwrap_or_default();
    let message = pool::to_json(name, &encoded.body);
    json!({
        "name": encoded.name,
        "version": encoded.version,
        "origin": encoded.origins.iter().map(origin).collect::<Vec<_>>(),
        "resource": message.unwrap_or_else(|e| json!({ "error": e.to_string() })),
    })
}

fn origin(origin: &Origin) -> Value {
    serde_json::to_value(origin).unwrap_or_default()
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    let mut value = serde_json::to_value(diagnostic).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("text".into(), diagnostic.to_string().into());
    }
    value
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
    let peers = snapshot.security.peers.iter().map(|p| origin(&p.origin));
    let guards = snapshot.security.guards.iter().map(|g| origin(&g.origin));
    let all = routes
        .chain(rules)
        .chain(sidecars)
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
