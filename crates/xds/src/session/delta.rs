//! Delta: a request adds and drops names, a response holds what changed and what is no more.
//!
//! Names are taken over whatever the nonce says: a client sends each change once (Istio drops
//! them on an old nonce). A name asked for again is answered again: Envoy asks so when a cluster
//! warms anew.

use std::sync::Arc;

use meltemi_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use meltemi_proto::resource::Encoded;

use super::check_names;
use super::ledger::{Batch, Ledger, empty};
use super::subscription::ALL;
use crate::error::Unacceptable;
use crate::types::Missing;

/// Takes over which names the client adds and drops. The `first` request of a type may mean
/// everything by naming nothing, and says what the client still holds.
pub(super) fn subscribe(
    ledger: &mut Ledger,
    request: &DeltaDiscoveryRequest,
    first: bool,
) -> Result<(), Unacceptable> {
    let more = request.resource_names_subscribe.len() + request.initial_resource_versions.len();
    check_names(ledger.row, ledger.subscription.names.len() + more)?;
    let was_wildcard = ledger.subscription.wildcard;
    let legacy = first && ledger.row.wildcard && request.resource_names_subscribe.is_empty();
    let all = |names: &[String]| names.iter().any(|name| name == ALL);
    if legacy || all(&request.resource_names_subscribe) {
        ledger.subscription.wildcard = true;
    }
    if all(&request.resource_names_unsubscribe) {
        ledger.subscription.wildcard = false;
    }
    if first {
        report(ledger, request);
    }
    for name in named(&request.resource_names_subscribe) {
        let name = ledger.intern(name);
        let known = first && ledger.holds(&name);
        ledger.subscription.names.insert(name.clone());
        if known {
            ledger.recheck(&name);
        } else {
            ledger.owe(&name);
        }
    }
    for name in named(&request.resource_names_unsubscribe) {
        let name = ledger.intern(name);
        ledger.subscription.names.remove(&name);
        if ledger.subscription.wildcard {
            ledger.owe(&name);
        } else {
            ledger.recheck(&name);
        }
    }
    if was_wildcard != ledger.subscription.wildcard {
        ledger.must_answer = !was_wildcard && request.initial_resource_versions.is_empty();
        ledger.recheck_all();
    }
    Ok(())
}

/// What the client holds from before also counts as asked for.
fn report(ledger: &mut Ledger, request: &DeltaDiscoveryRequest) {
    for (name, version) in &request.initial_resource_versions {
        let name = ledger.intern(name);
        if !ledger.subscription.wildcard {
            ledger.subscription.names.insert(name.clone());
        }
        ledger.report(&name, version);
    }
}

fn named(names: &[String]) -> impl Iterator<Item = &str> {
    names.iter().map(String::as_str).filter(|name| *name != ALL)
}

/// The resources and the removed names of the response that brings `batch`.
pub(super) fn contents(ledger: &Ledger, batch: &Batch) -> (Vec<Arc<Encoded>>, Vec<Arc<str>>) {
    let (mut resources, mut removed) = (Vec::new(), Vec::new());
    for (name, brought) in batch {
        let asked = ledger.subscription.explicit(name);
        match brought {
            Some(resource) => resources.push(resource.clone()),
            None if asked && ledger.row.missing == Missing::EmptyResource => {
                resources.push(empty(ledger.row, name));
            }
            None => removed.push(name.clone()),
        }
    }
    (resources, removed)
}
