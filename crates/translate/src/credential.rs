//! Which certificates of the control plane the configuration names, by the names that proxies ask for,
//! and where it names them. What is not named here is given to nobody.

use crate::name;
use meltemi_api::networking::destination_rule::{ClientTlsSettings, TrafficPolicy};
use meltemi_api::networking::server_tls::ServerTlsSettings;
use meltemi_model::Snapshot;
use meltemi_types::{FieldPath, Origin};
use std::collections::{BTreeMap, BTreeSet};

/// Where each is named.
pub type Named = BTreeMap<String, BTreeSet<Origin>>;

/// Every name of a certificate, and the fields that name it.
#[must_use]
pub fn named(snapshot: &Snapshot) -> Named {
    let mut all = Named::new();
    let servers = snapshot.gateways.rules.iter().flat_map(|r| &r.servers);
    for server in servers {
        if let Some(tls) = &server.tls {
            of_server(tls, &server.origin, &mut all);
        }
    }
    for rule in snapshot.policies.iter() {
        if let (Some(policy), Some(origin)) = (&rule.policy, rule.origins.first()) {
            let at = FieldPath::spec().field("trafficPolicy");
            of_policy(policy, &origin.at(at), &mut all);
        }
        for subset in &rule.subsets {
            if let Some(policy) = &subset.subset.traffic_policy {
                let at = subset.origin.path.field("trafficPolicy");
                of_policy(policy, &subset.origin.at(at), &mut all);
            }
        }
    }
    all
}

fn of_server(tls: &ServerTlsSettings, server: &Origin, all: &mut Named) {
    let at = server.path.field("tls");
    let single = tls.credential_name.iter();
    let single = single.map(|name| (name, at.field("credentialName")));
    let several = tls.credential_names.iter().enumerate();
    let several = several.map(|(i, name)| (name, at.field("credentialNames").index(i)));
    for (credential, path) in single.chain(several) {
        both(credential, &server.at(path), all);
    }
    if let Some(credential) = tls.ca_cert_credential_name.as_deref() {
        let path = at.field("caCertCredentialName");
        add(name::credential(credential), server.at(path), all);
    }
}

fn of_policy(policy: &TrafficPolicy, origin: &Origin, all: &mut Named) {
    let ports = policy.port_level_settings.iter().enumerate();
    let ports = ports.map(|(index, port)| {
        let at = origin.path.field("portLevelSettings").index(index);
        (port.tls.as_ref(), at)
    });
    let whole = (policy.tls.as_ref(), origin.path.clone());
    for (tls, at) in [whole].into_iter().chain(ports) {
        let credential = tls.and_then(|tls: &ClientTlsSettings| tls.credential_name.as_ref());
        if let Some(credential) = credential {
            let path = at.field("tls").field("credentialName");
            both(credential, &origin.at(path), all);
        }
    }
}

/// A certificate, and the authorities that belong to it.
fn both(credential: &str, origin: &Origin, all: &mut Named) {
    add(name::credential(credential), origin.clone(), all);
    let authorities = name::authorities_of(credential);
    add(name::credential(&authorities), origin.clone(), all);
}

fn add(name: String, origin: Origin, all: &mut Named) {
    all.entry(name).or_default().insert(origin);
}
