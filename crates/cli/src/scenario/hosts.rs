//! Short host names in a scenario. Expectations are written for configuration that belongs to no
//! cluster: where no Kubernetes service has the name, `a` of namespace `b` is `a.b`, without the
//! domain of a cluster behind it.

use meltemi_api::networking::virtual_service::{Destination, VirtualService};
use meltemi_api::{Change, Object};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Completes the destinations of VirtualServices.
pub(super) fn complete(changes: &mut [Change]) {
    let services: BTreeSet<(String, String)> = changes.iter().filter_map(service).collect();
    for change in changes {
        let Change::Upsert(Object::VirtualService(rules)) = change else {
            continue;
        };
        let Some(namespace) = rules.meta.object.namespace.clone() else {
            continue;
        };
        let namespace = namespace.to_string();
        for destination in destinations(&mut Arc::make_mut(rules).spec) {
            let host = &destination.host;
            let known = services.contains(&(namespace.clone(), host.clone()));
            if !host.is_empty() && !host.contains('.') && !known {
                destination.host = format!("{host}.{namespace}");
            }
        }
    }
}

/// Namespace and name of a Kubernetes service.
fn service(change: &Change) -> Option<(String, String)> {
    let Change::Upsert(Object::Service(service)) = change else {
        return None;
    };
    let object = &service.meta.object;
    Some((
        object.namespace.as_ref()?.to_string(),
        object.name.to_string(),
    ))
}

fn destinations(rules: &mut VirtualService) -> impl Iterator<Item = &mut Destination> {
    let http = rules.http.iter_mut().flat_map(|http| {
        let routes = http.route.iter_mut().map(|route| &mut route.destination);
        let mirrors = http
            .mirrors
            .iter_mut()
            .map(|mirror| &mut mirror.destination);
        routes.chain(http.mirror.as_mut()).chain(mirrors)
    });
    let tcp = rules.tcp.iter_mut().flat_map(|tcp| &mut tcp.route);
    let tls = rules.tls.iter_mut().flat_map(|tls| &mut tls.route);
    http.chain(tcp.chain(tls).map(|route| &mut route.destination))
}
