//! What holds for every world: incremental equals rebuild, order does not matter, encoding is
//! deterministic, classes share, and nothing panics.

#[path = "properties/edge.rs"]
mod edge;
#[path = "properties/entries.rs"]
mod entries;
#[path = "properties/odd.rs"]
mod odd;
#[path = "properties/world.rs"]
mod world;

use anyhow::Result;
use meltemi_api::Change;
use meltemi_golden::compose::{self, sidecar};
use meltemi_model::Proxy;
use meltemi_registry::{Registry, Settings};
use meltemi_translate::compose::Extent;
use meltemi_translate::{Assigned, Translator};
use meltemi_types::{Code, Diagnostic, ObjectRef};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything that a proxy gets, to be compared: bodies and origins by type and name.
type Shown = BTreeMap<String, (Vec<u8>, String)>;

fn shown(assigned: &Assigned) -> Shown {
    let mut all = Shown::new();
    for (type_url, resources) in compose::resources(assigned) {
        for (name, resource) in resources {
            let origins: Vec<_> = resource.origins.iter().map(ToString::to_string).collect();
            let content = (resource.body.to_vec(), origins.join(", "));
            all.insert(format!("{type_url} {name}"), content);
        }
    }
    all
}

/// Names of what differs, for a message that can be read.
fn differences(a: &Shown, b: &Shown) -> Vec<String> {
    let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| a.get(*name) != b.get(*name));
    differing
        .map(|name| match (a.get(name), b.get(name)) {
            (Some(a), Some(b)) if a.0 == b.0 => format!("origins of {name}: {} / {}", a.1, b.1),
            (Some(_), Some(_)) => format!("body of {name}"),
            (Some(_), None) => format!("only the first has {name}"),
            (None, _) => format!("only the second has {name}"),
        })
        .collect()
}

/// Registry and translator as the control plane runs them.
struct Plane {
    registry: Registry,
    translator: Translator,
    clients: Vec<(Proxy, Assigned)>,
}

impl Plane {
    fn new(changes: Vec<Change>, proxies: Vec<Proxy>) -> Self {
        let mut registry = Registry::new(Settings::default());
        changes
            .into_iter()
            .for_each(|change| registry.apply(change));
        let mut translator = Translator::new(registry.publish().snapshot);
        let assign = |proxy: Proxy| {
            let assigned = translator.assign(&proxy, None);
            (proxy, assigned)
        };
        let clients = proxies.into_iter().map(assign).collect();
        Self {
            registry,
            translator,
            clients,
        }
    }

    fn publish(&mut self) {
        let published = self.registry.publish();
        let extent = self
            .translator
            .publish(published.snapshot, &published.endpoints);
        for (proxy, assigned) in &mut self.clients {
            *assigned = match extent {
                Extent::Nothing => continue,
                Extent::Endpoints => self.translator.refresh(proxy, assigned),
                Extent::Everything => self.translator.assign(proxy, Some(assigned)),
            };
        }
        self.translator.forget_unused();
    }

    fn diagnostics(&self, assigned: &Assigned) -> BTreeSet<Diagnostic> {
        let own = self.translator.snapshot().diagnostics.iter().cloned();
        own.chain(assigned.diagnostics()).collect()
    }
}

fn fresh(changes: &[Change]) -> Result<Plane> {
    Ok(Plane::new(changes.to_vec(), world::proxies()?))
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Put(String),
    Delete(Index),
    Publish,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => world::any_object().prop_map(Step::Put),
        3 => any::<Index>().prop_map(Step::Delete),
        2 => Just(Step::Publish),
    ]
}

fn objects(texts: &[String]) -> Result<BTreeMap<Arc<ObjectRef>, Change>> {
    let mut objects = BTreeMap::new();
    for text in texts {
        let (change, key) = world::read(text)?;
        objects.insert(key, change);
    }
    Ok(objects)
}

/// So many cases, unless `PROPTEST_CASES` says another number.
fn config(cases: u32) -> ProptestConfig {
    let told = std::env::var("PROPTEST_CASES");
    ProptestConfig {
        cases: told.ok().and_then(|n| n.parse().ok()).unwrap_or(cases),
        max_shrink_iters: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn check_history(start: &[String], steps: Vec<Step>) -> Result<()> {
    let mut now = objects(start)?;
    let all = |now: &BTreeMap<_, Change>| -> Result<Vec<Change>> {
        Ok(now.values().cloned().chain([world::pinned()?]).collect())
    };
    let mut plane = Plane::new(all(&now)?, world::proxies()?);
    for step in steps {
        match step {
            Step::Put(text) => {
                let (change, key) = world::read(&text)?;
                plane.registry.apply(change.clone());
                now.insert(key, change);
            }
            Step::Delete(index) => {
                if !now.is_empty() {
                    let at = index.index(now.len());
                    let key = now.keys().nth(at).cloned();
                    if let Some(key) = key {
                        now.remove(&key);
                        plane.registry.apply(Change::Delete(key));
                    }
                }
            }
            Step::Publish => plane.publish(),
        }
    }
    plane.publish();
    let rebuilt = fresh(&all(&now)?)?;
    let (a, b) = (plane.registry.snapshot(), rebuilt.registry.snapshot());
    anyhow::ensure!(a == b, "the snapshots differ");
    for ((proxy, old), (_, new)) in plane.clients.iter().zip(&rebuilt.clients) {
        let differing = differences(&shown(old), &shown(new));
        anyhow::ensure!(differing.is_empty(), "{}: {differing:#?}", proxy.node);
        let (a, b) = (plane.diagnostics(old), rebuilt.diagnostics(new));
        anyhow::ensure!(a == b, "{}: {a:#?} is not {b:#?}", proxy.node);
    }
    Ok(())
}

fn told(result: Result<()>) -> Result<(), TestCaseError> {
    result.map_err(|error| TestCaseError::fail(format!("{error:#}")))
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn incremental_equals_rebuild(
        start in prop::collection::vec(world::any_object(), 0..14),
        steps in prop::collection::vec(step(), 1..12),
    ) {
        told(check_history(&start, steps))?;
    }
}

#[test]
fn what_is_wrong_with_one_service_outlives_a_change_of_another() -> Result<()> {
    let service = |name: &str| {
        let ports = "ports: [{port: 80, name: http}]";
        let spec = format!("spec: {{selector: {{app: {name}}}, {ports}}}");
        world::object(("v1", "Service"), name, "team", &spec)
    };
    let slice = |name: &str, port: &str| {
        world::endpoint_slice((name, "team", 1), port, "{addresses: [10.0.0.8]}")
    };
    // No endpoint of either carries a label of the subsets, which one rule gives to both.
    let start = [
        service("a"),
        slice("a", "http"),
        service("b"),
        slice("b", "http"),
    ];
    check_history(&start, vec![Step::Put(slice("a", "other"))])
}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn the_order_of_input_does_not_matter(
        texts in prop::collection::vec(world::any_object(), 1..16),
        order in any::<prop::sample::Selector>(),
    ) {
        told((|| {
            let sorted: Vec<_> = objects(&texts)?.into_values().collect();
            let mut shuffled: Vec<_> = Vec::new();
            let mut left = sorted.clone();
            while !left.is_empty() {
                let at = order.try_select(0..left.len()).unwrap_or_default();
                shuffled.push(left.swap_remove(at));
            }
            compare(&fresh(&sorted)?, &fresh(&shuffled)?)
        })())?;
    }

    #[test]
    fn encoded_once_equals_encoded_each_time(
        texts in prop::collection::vec(world::any_object(), 1..16),
    ) {
        told((|| {
            let changes: Vec<_> = objects(&texts)?.into_values().collect();
            let shared = fresh(&changes)?;
            for (proxy, assigned) in &shared.clients {
                let alone = Plane::new(changes.clone(), vec![proxy.clone()]);
                for (_, other) in &alone.clients {
                    let differing = differences(&shown(assigned), &shown(other));
                    anyhow::ensure!(differing.is_empty(), "{}: {differing:#?}", proxy.node);
                }
            }
            Ok(())
        })())?;
    }

    #[test]
    fn workloads_of_one_namespace_share_everything_outbound(
        texts in prop::collection::vec(world::any_object(), 1..16),
    ) {
        // Rules that select clients by their labels, and nodes, are what tells them apart.
        let by_label = ["sourceLabels", "workloadSelector", "internalTrafficPolicy"];
        let apart = |text: &String| by_label.iter().any(|word| text.contains(word));
        let texts: Vec<_> = texts.into_iter().filter(|text| !apart(text)).collect();
        told((|| {
            let changes: Vec<_> = objects(&texts)?.into_values().collect();
            let one = sidecar("one-1", "shop", "10.9.0.1", &json!({"app": "one"}))?;
            let two = sidecar("two-1", "shop", "10.9.0.2", &json!({"app": "two", "version": "v1"}))?;
            let plane = Plane::new(changes, vec![one, two]);
            let outbound: Vec<_> = plane.clients.iter().map(|(_, a)| a.outbound.clone()).collect();
            let shared = matches!(&outbound[..], [one, two] if Arc::ptr_eq(one, two));
            anyhow::ensure!(shared, "they do not share");
            Ok(())
        })())?;
    }

    #[test]
    fn odd_worlds_never_panic(texts in prop::collection::vec(odd::any_object(), 1..12)) {
        told((|| {
            let changes: Vec<_> = texts.iter().flat_map(|text| odd::changes(text)).collect();
            let plane = fresh(&changes)?;
            for (proxy, assigned) in &plane.clients {
                let bugs: Vec<_> = plane
                    .diagnostics(assigned)
                    .into_iter()
                    .filter(|d| d.code == Code::InternalError)
                    .collect();
                anyhow::ensure!(bugs.is_empty(), "{}: {bugs:#?}", proxy.node);
            }
            Ok(())
        })())?;
    }
}

fn compare(a: &Plane, b: &Plane) -> Result<()> {
    for ((proxy, one), (_, two)) in a.clients.iter().zip(&b.clients) {
        let differing = differences(&shown(one), &shown(two));
        anyhow::ensure!(differing.is_empty(), "{}: {differing:#?}", proxy.node);
        let (one, two) = (a.diagnostics(one), b.diagnostics(two));
        anyhow::ensure!(one == two, "{}: {one:#?} is not {two:#?}", proxy.node);
    }
    Ok(())
}
