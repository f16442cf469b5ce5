//! One type of resources of one class: build what is new, check it, keep the last good version of
//! what fails, and leave everything else as it is.

use super::found::Found;
use crate::cluster::{self, ClusterInput};
use crate::endpoint::{self, EndpointInput};
use crate::listener::{self, ListenerInput};
use crate::memo::{Memo, Outcome};
use crate::name_table::{self, NameTableInput};
use crate::plan::{Built, Item, Planned};
use crate::route::{self, RouteInput};
use crate::verify;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::resource::{Encoded, TypeSet};
use meltemi_types::xds::{CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, ROUTE};
use meltemi_types::{Code, Diagnostic, Severity, TypeUrl};
use prost::Message;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How much of one type was made so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Builds since the start.
    pub builds: u64,
    /// Encodings since the start.
    pub encodes: u64,
    /// Classes now.
    pub classes: usize,
}

/// The memos of all types.
#[derive(Default)]
pub(super) struct Memos {
    pub(super) clusters: Memo<ClusterInput>,
    pub(super) endpoints: Memo<EndpointInput>,
    pub(super) listeners: Memo<ListenerInput>,
    pub(super) routes: Memo<RouteInput>,
    pub(super) names: Memo<NameTableInput>,
}

impl Memos {
    pub(super) fn sweep(&mut self, live: usize) {
        self.clusters.sweep(live);
        self.endpoints.sweep(live);
        self.listeners.sweep(live);
        self.routes.sweep(live);
        self.names.sweep(live);
    }

    pub(super) fn counts(&self, classes: usize) -> BTreeMap<&'static str, Counts> {
        let of = |builds, encodes| Counts {
            builds,
            encodes,
            classes,
        };
        BTreeMap::from([
            ("cds", of(self.clusters.builds(), self.clusters.encodes())),
            ("eds", of(self.endpoints.builds(), self.endpoints.encodes())),
            ("lds", of(self.listeners.builds(), self.listeners.encodes())),
            ("nds", of(self.names.builds(), self.names.encodes())),
            ("rds", of(self.routes.builds(), self.routes.encodes())),
        ])
    }
}

/// How resources of one type are made and checked.
pub(super) struct Steps<I> {
    type_url: TypeUrl,
    make: fn(&I) -> Made,
}

/// A finished body, what was found wrong while making it, and why Envoy would refuse it.
struct Made {
    body: Vec<u8>,
    diagnostics: Vec<Diagnostic>,
    problems: Vec<String>,
}

impl Made {
    fn new<M: Message>(built: Built<M>, verify: fn(&M, &[u8]) -> Vec<String>) -> Self {
        let Built {
            message,
            diagnostics,
        } = built;
        let body = message.encode_to_vec();
        let problems = verify(&message, &body);
        Self {
            body,
            diagnostics,
            problems,
        }
    }
}

impl Steps<ClusterInput> {
    pub(super) const CLUSTERS: Self = Self {
        type_url: CLUSTER,
        make: |input| Made::new(cluster::build(input), verify::cluster),
    };
}

impl Steps<EndpointInput> {
    /// The hot path: bytes are written directly, then read once for the check.
    pub(super) const ENDPOINTS: Self = Self {
        type_url: ENDPOINT,
        make: |input| {
            let (body, diagnostics) = endpoint::encode(input);
            let problems = match ClusterLoadAssignment::decode(body.as_slice()) {
                Ok(message) => verify::endpoint(&message, &body),
                Err(error) => vec![error.to_string()],
            };
            Made {
                body,
                diagnostics,
                problems,
            }
        },
    };
}

impl Steps<ListenerInput> {
    pub(super) const LISTENERS: Self = Self {
        type_url: LISTENER,
        make: |input| Made::new(listener::build(input), verify::listener),
    };
}

impl Steps<RouteInput> {
    pub(super) const ROUTES: Self = Self {
        type_url: ROUTE,
        make: |input| Made::new(route::build(input), verify::route),
    };
}

impl Steps<NameTableInput> {
    /// Envoy never reads it, so there is nothing that it would refuse.
    pub(super) const NAMES: Self = Self {
        type_url: NAME_TABLE,
        make: |input| Made::new(name_table::build(input), |_, _| Vec::new()),
    };
}

/// What came of the items of one type.
pub(super) struct Round {
    pub(super) set: Arc<TypeSet>,
    pub(super) found: Found,
}

/// Makes what is planned. Of two items with one name the first is kept: Envoy refuses both.
pub(super) fn make<I: Eq + Hash + Clone>(
    memo: &mut Memo<I>,
    steps: &Steps<I>,
    planned: Planned<I>,
    previous: Option<&Arc<TypeSet>>,
) -> Round {
    let Planned { items, diagnostics } = planned;
    let mut found = Found::planned(diagnostics);
    let mut resources = BTreeMap::new();
    for item in &items {
        if resources.contains_key(&item.name) {
            continue;
        }
        let outcome = memo.get_or(&item.input, |input| one(steps, item, input));
        found.add(&item.name, outcome.diagnostics);
        let made = outcome.encoded.map(|made| with_origins(made, item));
        let last_good = || previous.and_then(|p| p.resources.get(&item.name).cloned());
        if let Some(encoded) = made.or_else(last_good) {
            resources.insert(item.name.clone(), encoded);
        }
    }
    let set = TypeSet::next(previous, resources);
    Round { set, found }
}

/// The resource with the origins of its item: equal inputs may come from other objects than those
/// that it was first made from.
fn with_origins<I>(made: Arc<Encoded>, item: &Item<I>) -> Arc<Encoded> {
    if made.origins == item.origins {
        return made;
    }
    Arc::new(Encoded::clone(&made).with_origins(item.origins.clone()))
}

/// Builds, encodes and checks one resource. A panic is our bug: it costs this resource only.
fn one<I>(steps: &Steps<I>, item: &Item<I>, input: &I) -> Outcome {
    let Ok(made) = catch_unwind(AssertUnwindSafe(|| (steps.make)(input))) else {
        let message = format!("translation of {} {} failed", short(steps), item.name);
        let remedy = "report it with the object";
        let bug = finding(item, Code::InternalError, message, remedy);
        return Outcome {
            encoded: None,
            diagnostics: [bug].into(),
        };
    };
    let Made {
        body,
        mut diagnostics,
        problems,
    } = made;
    diagnostics.extend(problems.iter().map(|problem| {
        let message = format!("{} {} would be refused: {problem}", short(steps), item.name);
        let remedy = "correct the object that it was made from";
        finding(item, Code::StructurallyInvalid, message, remedy)
    }));
    let encoded = problems.is_empty().then(|| {
        let encoded = Encoded::new(item.name.clone(), steps.type_url, body);
        Arc::new(encoded.with_origins(item.origins.clone()))
    });
    Outcome {
        encoded,
        diagnostics: diagnostics.into(),
    }
}

fn short<I>(steps: &Steps<I>) -> &'static str {
    steps.type_url.rsplit('.').next().unwrap_or(steps.type_url)
}

fn finding<I>(item: &Item<I>, code: Code, message: String, remedy: &str) -> Diagnostic {
    Diagnostic {
        code,
        severity: Severity::Error,
        origin: item.origins.first().cloned(),
        location: None,
        message: message.into(),
        remedy: remedy.into(),
    }
}
