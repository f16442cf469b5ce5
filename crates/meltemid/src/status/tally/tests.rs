//! Proxies of one class on scripts of publications and answers.

use super::*;
use meltemi_proto::resource::Encoded;
use meltemi_translate::compose::{Inbound, Outbound};

fn object(name: &str) -> Arc<ObjectRef> {
    Arc::new(ObjectRef {
        cluster: Default::default(),
        kind: "VirtualService".into(),
        namespace: Some("shop".parse().unwrap()),
        name: name.parse().unwrap(),
    })
}

/// A control plane with one class, whose only route table is made of objects `a` and `b`.
#[derive(Default)]
struct Stage {
    tally: Tally,
    generation: u64,
    outbound: Arc<Outbound>,
    inbound: Arc<Inbound>,
    clients: BTreeSet<u64>,
}

impl Stage {
    /// The next publication: generations of both objects, and the bytes of their table.
    fn publish(&mut self, generations: (i64, i64), bytes: &str) {
        self.generation += 1;
        let (a, b) = generations;
        let subjects: Subjects = [(object("a"), a), (object("b"), b)].into();
        self.tally.publish(&Arc::new(subjects));
        let origins = ["a", "b"].map(|name| Origin::object(object(name), None));
        let table = Encoded::new("http.80", ROUTE, bytes.as_bytes().to_vec());
        let table = Arc::new(table.with_origins(origins.into()));
        let routes = TypeSet::next(
            Some(&self.outbound.routes),
            [(table.name.clone(), table)].into(),
        );
        self.outbound = Arc::new(Outbound {
            routes,
            ..(*self.outbound).clone()
        });
        for id in self.clients.clone() {
            self.connect(id);
        }
        self.tally.sweep();
    }

    fn connect(&mut self, id: u64) {
        self.clients.insert(id);
        let assigned = Assigned {
            outbound: self.outbound.clone(),
            inbound: self.inbound.clone(),
        };
        let name = format!("gw-{id}.edge").into();
        self.tally
            .assign((ClientId(id), &name), &assigned, self.generation);
    }

    fn confirm(&mut self, id: u64, held_back: &[&str]) {
        let types = [Confirmed {
            type_url: ROUTE,
            held_back: held_back.iter().map(|name| Arc::from(*name)).collect(),
        }];
        self.tally.confirm(ClientId(id), self.generation, &types);
    }

    fn refuse(&mut self, id: u64) {
        let culprit = Culprit {
            refused: self.outbound.routes.resources["http.80"].clone(),
            last_good: Some("v".into()),
        };
        self.tally
            .refuse(ClientId(id), (ROUTE, &"no".into()), &[culprit]);
    }

    /// `RUNNING/ALL` of both objects, with `!` for each that refuses.
    fn shown(&self) -> String {
        let counts = self.tally.count();
        let show = |name| {
            let found = counts.get(&object(name)).cloned().unwrap_or_default();
            format!(
                "{}/{}{}",
                found.running,
                found.all,
                "!".repeat(found.refusing)
            )
        };
        format!("{} {}", show("a"), show("b"))
    }
}

fn two() -> Stage {
    let mut stage = Stage::default();
    stage.publish((1, 1), "1");
    stage.connect(1);
    stage.connect(2);
    stage
}

#[test]
fn a_proxy_counts_once_it_has_everything() {
    let mut stage = two();
    assert_eq!(stage.shown(), "0/0 0/0");
    stage.confirm(1, &[]);
    assert_eq!(stage.shown(), "1/1 1/1");
    stage.confirm(2, &[]);
    assert_eq!(stage.shown(), "2/2 2/2");
    stage.tally.remove(ClientId(2));
    assert_eq!(stage.shown(), "1/1 1/1");
}

#[test]
fn only_the_object_that_changed_waits_for_proxies() {
    let mut stage = two();
    stage.confirm(1, &[]);
    stage.confirm(2, &[]);
    stage.publish((2, 1), "2");
    assert_eq!(stage.shown(), "0/2 2/2");
    stage.confirm(1, &[]);
    assert_eq!(stage.shown(), "1/2 2/2");
    // Another generation that makes the same bytes is run already.
    stage.confirm(2, &[]);
    stage.publish((2, 2), "2");
    assert_eq!(stage.shown(), "2/2 2/2");
    assert_eq!(
        stage.tally.parts.len(),
        2,
        "the inbound and the outbound part"
    );
}

#[test]
fn a_refusal_is_of_the_object_that_changed_and_ends_with_a_good_version() {
    let mut stage = two();
    stage.confirm(1, &[]);
    stage.confirm(2, &[]);
    stage.publish((1, 2), "bad");
    stage.refuse(1);
    stage.confirm(1, &["http.80"]);
    stage.confirm(2, &[]);
    assert_eq!(stage.shown(), "2/2 1/2!");
    let told = stage.tally.count()[&object("b")].refusal.clone();
    assert_eq!(told, Some(("gw-1.edge".into(), "no".into())));
    stage.publish((1, 3), "3");
    stage.confirm(1, &[]);
    stage.confirm(2, &[]);
    assert_eq!(stage.shown(), "2/2 2/2");
}

#[test]
fn what_is_gone_is_not_counted() {
    let mut stage = two();
    stage.confirm(1, &[]);
    stage.tally.publish(&Arc::default());
    stage.outbound = Arc::default();
    stage.connect(1);
    stage.tally.remove(ClientId(2));
    stage.tally.sweep();
    assert_eq!(stage.tally.count().len(), 0);
}
