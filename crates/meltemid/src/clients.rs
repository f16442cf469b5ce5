//! One connected proxy: who it is, and the cell that holds what it should have.

use crate::plane::class_of;
use meltemi_model::Proxy;
use meltemi_proto::resource::TypeSet;
use meltemi_translate::Assigned;
use meltemi_types::xds::{CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, PROXY_CONFIG, ROUTE, SECRET};
use meltemi_xds::{Assignment, Layer};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// A connected proxy.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) key: Arc<str>,
    /// Who it says that it is.
    pub(crate) node: Arc<Value>,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) assigned: Assigned,
    /// The certificates that it may have, of those that it asks for.
    pub(crate) secrets: Secrets,
    pub(crate) cell: watch::Sender<Arc<Assignment>>,
}

/// Certificates of one proxy, which nobody else gets.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    /// The line of its sets: that of the proxy alone.
    pub(crate) line: u64,
    pub(crate) set: Arc<TypeSet>,
}

/// The line of whom everybody believes.
const TRUST: u64 = 0;

/// Assignments made in one round: proxies that share both parts share the assignment.
#[derive(Debug)]
pub(crate) struct Round {
    /// Whom every workload believes.
    trust: Arc<TypeSet>,
    made: HashMap<(u64, u64, Option<u64>), Arc<Assignment>>,
}

impl Round {
    /// A round in which workloads are told to believe these.
    pub(crate) fn new(trust: &Arc<TypeSet>) -> Self {
        Self {
            trust: trust.clone(),
            made: HashMap::new(),
        }
    }

    /// The assignment of these parts.
    pub(crate) fn assignment(
        &mut self,
        generation: u64,
        (assigned, secrets): (&Assigned, &Secrets),
    ) -> Arc<Assignment> {
        let (outbound, inbound) = (&assigned.outbound, &assigned.inbound);
        let some = secrets.set.revision > 0;
        let id = (
            class_of(outbound),
            class_of(inbound),
            some.then_some(secrets.line),
        );
        let make = || {
            let certificates = Layer::new(secrets.line, secrets.set.clone());
            let shared = |set| Layer::new(outbound.line, Arc::clone(set));
            let own = |set| Layer::new(inbound.line, Arc::clone(set));
            Arc::new(
                Assignment::new(generation)
                    .with(CLUSTER, shared(&outbound.clusters))
                    .with(CLUSTER, own(&inbound.clusters))
                    .with(ENDPOINT, shared(&outbound.endpoints))
                    .with(LISTENER, shared(&outbound.listeners))
                    .with(LISTENER, own(&inbound.listeners))
                    .with(ROUTE, shared(&outbound.routes))
                    .with(SECRET, certificates)
                    .with(NAME_TABLE, shared(&outbound.names))
                    .with(PROXY_CONFIG, Layer::new(TRUST, self.trust.clone())),
            )
        };
        self.made.entry(id).or_insert_with(make).clone()
    }
}
