//! The one route table: hosts, where it attaches, ordered rules, weighted backends.
//!
//! VirtualService and Kubernetes Ingress lower into it; HTTPRoute and GRPCRoute will. The leaves
//! (match conditions, retries, faults, headers, CORS) stay as `meltemi_api` types.

use crate::order::Age;
use crate::visibility::ExportTo;
use meltemi_api::networking::virtual_service as api;
use meltemi_types::{HostPattern, Labels, Namespace, ObjectName, Origin, Port};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where a route table applies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attachment {
    /// Every sidecar (`mesh`).
    Mesh,
    /// The Gateway of this namespace and name.
    Gateway(Namespace, ObjectName),
}

/// What a backend is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendTarget {
    /// A service, by its full host.
    Service {
        /// The full host.
        host: HostPattern,
        /// The DestinationRule's subset.
        subset: Option<Arc<str>>,
        /// The service port; `None` is "its only one, else the listener's".
        port: Option<Port>,
    },
    /// Something that cannot be: its share of requests is answered with 500.
    Invalid,
}

/// One of several weighted backends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Backend {
    /// The field it was written in.
    pub origin: Origin,
    /// Where it sends to.
    pub target: BackendTarget,
    /// Its share; a single backend gets everything whatever its weight.
    pub weight: u32,
    /// Header changes for this backend only.
    pub headers: Option<api::Headers>,
}

/// One condition: all its parts must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpMatch {
    /// The field it was written in.
    pub origin: Origin,
    /// The condition as written.
    pub request: Arc<api::HttpMatchRequest>,
    /// The attachments it is limited to; empty is no limit.
    pub attach: Vec<Attachment>,
}

/// A copy of requests to another backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mirror {
    /// Where copies go.
    pub target: BackendTarget,
    /// Which share of requests is copied, in millionths.
    pub share: u32,
}

/// What a rule does with a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HttpAction {
    /// Sends it to one of the backends, by weight.
    Forward(Vec<Backend>),
    /// Answers with a redirect.
    Redirect(api::HttpRedirect),
    /// Answers by itself.
    Direct(api::HttpDirectResponse),
}

/// One HTTP rule. Any of `matches` selects it; none at all selects everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpRule {
    /// The field it was written in.
    pub origin: Origin,
    /// Its name, as the user gave it.
    pub name: Option<Arc<str>>,
    /// Conditions.
    pub matches: Vec<HttpMatch>,
    /// What it does.
    pub action: HttpAction,
    /// Copies of requests.
    pub mirrors: Vec<Mirror>,
    /// Everything else of the rule, as written: rewrite, timeout, retries, fault, CORS, headers.
    pub body: Arc<api::HttpRoute>,
}

/// One condition of a TLS or TCP rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct L4Match {
    /// SNI hosts; empty for TCP.
    pub sni_hosts: Vec<HostPattern>,
    /// Destination ranges, as written.
    pub destination_subnets: Vec<Arc<str>>,
    /// The port of the listener.
    pub port: Option<Port>,
    /// Labels of the caller.
    pub source_labels: Labels,
    /// Namespace of the caller.
    pub source_namespace: Option<Namespace>,
    /// The attachments it is limited to; empty is no limit.
    pub attach: Vec<Attachment>,
}

/// One TLS or TCP rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct L4Rule {
    /// The field it was written in.
    pub origin: Origin,
    /// Conditions; any selects it.
    pub matches: Vec<L4Match>,
    /// Where connections go.
    pub backends: Vec<Backend>,
}

/// A route table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteTable {
    /// The object.
    pub origin: Origin,
    /// For "the oldest wins".
    pub age: Age,
    /// The object's namespace.
    pub namespace: Namespace,
    /// The object's name.
    pub name: ObjectName,
    /// Full hosts, in order.
    pub hosts: Vec<HostPattern>,
    /// Where it applies.
    pub attach: Vec<Attachment>,
    /// Who may see it.
    pub export_to: ExportTo,
    /// HTTP rules, in order.
    pub http: Vec<HttpRule>,
    /// TLS rules, in order.
    pub tls: Vec<L4Rule>,
    /// TCP rules, in order.
    pub tcp: Vec<L4Rule>,
}

impl RouteTable {
    /// True when a path prefix takes whole elements of the path only, as Kubernetes' own kinds
    /// have it: `/a` takes `/a/b` and not `/ab`.
    #[must_use]
    pub fn matches_elements(&self) -> bool {
        &*self.origin.object.kind == "Ingress"
    }

    /// True when sidecars use it.
    #[must_use]
    pub fn is_for_mesh(&self) -> bool {
        self.attach.contains(&Attachment::Mesh)
    }
}

/// All route tables, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteIndex {
    /// Sorted by age.
    pub tables: Arc<[Arc<RouteTable>]>,
    /// Every label key that some rule asks of the caller (`sourceLabels`).
    pub source_label_keys: BTreeSet<Arc<str>>,
}

impl RouteIndex {
    /// An index of these.
    #[must_use]
    pub fn new(mut tables: Vec<Arc<RouteTable>>) -> Self {
        tables.sort_by(|a, b| a.age.cmp(&b.age));
        let mut source_label_keys = BTreeSet::new();
        for table in &tables {
            for condition in table.http.iter().flat_map(|r| &r.matches) {
                source_label_keys.extend(
                    condition
                        .request
                        .source_labels
                        .keys()
                        .map(|k| Arc::from(k.as_str())),
                );
            }
            for condition in table.tls.iter().chain(&table.tcp).flat_map(|r| &r.matches) {
                source_label_keys.extend(condition.source_labels.iter().map(|(k, _)| k.into()));
            }
        }
        Self {
            tables: tables.into(),
            source_label_keys,
        }
    }
}
