//! State of the world: a request lists every name the client wants, a response of a full-state
//! type holds everything.
//!
//! A request with an old nonce is not looked at: the client answers the newer response too, and
//! that answer lists its names again. Responses of the other types hold only what changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use meltemi_proto::envoy::service::discovery::v3::DiscoveryRequest;
use meltemi_proto::resource::Encoded;
use xxhash_rust::xxh3::Xxh3;

use super::check_names;
use super::ledger::{Batch, Ledger, empty};
use super::subscription::ALL;
use crate::error::Unacceptable;
use crate::types::Missing;

/// True when a request must not be looked at.
pub(super) fn stale(ledger: &Ledger, request: &DiscoveryRequest) -> bool {
    let last = ledger.last_nonce.as_deref();
    !request.response_nonce.is_empty() && last.is_some_and(|last| last != request.response_nonce)
}

/// Takes over which names the client wants.
pub(super) fn subscribe(
    ledger: &mut Ledger,
    request: &DiscoveryRequest,
    version_held: Option<&str>,
) -> Result<(), Unacceptable> {
    check_names(ledger.row, request.resource_names.len())?;
    let subscription = &ledger.subscription;
    let was_wildcard = subscription.wildcard;
    let legacy = request.resource_names.is_empty() && !subscription.spoken && ledger.row.wildcard;
    let wildcard = legacy || request.resource_names.iter().any(|name| name == ALL);
    let names: BTreeSet<Arc<str>> = request
        .resource_names
        .iter()
        .filter(|name| *name != ALL)
        .map(|name| ledger.intern(name))
        .collect();
    let added: Vec<_> = names
        .difference(&ledger.subscription.names)
        .cloned()
        .collect();
    let dropped: Vec<_> = ledger
        .subscription
        .names
        .difference(&names)
        .cloned()
        .collect();
    ledger.subscription.spoken |= !request.resource_names.is_empty();
    ledger.subscription.wildcard = wildcard;
    ledger.subscription.names = names;
    if wildcard && !was_wildcard {
        if version_held.is_some_and(|held| held == set_version(ledger.wanted().values())) {
            ledger.adopt();
            return Ok(());
        }
        ledger.must_answer = true;
        ledger.recheck_all();
    } else if was_wildcard && !wildcard {
        ledger.recheck_all();
    }
    added.iter().for_each(|name| ledger.owe(name));
    dropped.iter().for_each(|name| ledger.recheck(name));
    Ok(())
}

/// The resources of the response that brings `batch`. `None` when there is no way to say it.
pub(super) fn resources(ledger: &Ledger, batch: &Batch) -> Option<Vec<Arc<Encoded>>> {
    if ledger.row.full_state {
        return Some(ledger.whole(batch).into_values().collect());
    }
    let resources: Vec<_> = batch
        .iter()
        .filter_map(|(name, brought)| match brought {
            Some(resource) => Some(resource.clone()),
            None if ledger.row.missing == Missing::EmptyResource => Some(empty(ledger.row, name)),
            None => None,
        })
        .collect();
    (!resources.is_empty() || ledger.must_answer).then_some(resources)
}

/// A hash over names and versions, so it is equal on every replica.
pub(crate) fn set_version<'a>(resources: impl Iterator<Item = &'a Arc<Encoded>>) -> String {
    let mut hash = Xxh3::new();
    for resource in resources {
        hash.update(resource.name.as_bytes());
        hash.update(&[0]);
        hash.update(resource.version.as_bytes());
    }
    format!("{:032x}", hash.digest128())
}
