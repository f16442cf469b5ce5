//! A client that behaves as Envoy does, on random schedules: whatever happens, both protocols end
//! with the client holding what is wanted, and no route goes to a cluster that is not there.

mod client;

use std::collections::{BTreeMap, VecDeque};

use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use meltemi_proto::urls;
use meltemi_types::ProxyKind;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::script::World;
use crate::server::frames::message;
use crate::session::{Flavor, Session};
use crate::types::XdsType;
use client::{Client, Reply, Request, Thing};

/// One state of a small mesh: versions by number, `BAD` is one that the client refuses.
#[derive(Clone, Debug)]
struct Mesh {
    clusters: Vec<Option<u8>>,
    endpoints: Vec<u8>,
    /// Version, and which clusters it goes to.
    routes: Vec<Option<(u8, u8)>>,
    /// Version, and which route it uses.
    listeners: Vec<Option<(u8, usize)>>,
}

const BAD: u8 = 3;

#[derive(Clone, Debug)]
enum Step {
    Want(Mesh),
    /// The client reads a response.
    Down,
    /// The server reads a request.
    Up,
    Reconnect,
    Restart,
}

fn mesh(versions: u8) -> impl Strategy<Value = Mesh> {
    let some = move || proptest::option::weighted(0.8, 0..versions);
    let routes = vec(
        proptest::option::weighted(0.8, (0..versions, any::<u8>())),
        3,
    );
    let listeners = vec(
        proptest::option::weighted(0.8, (0..versions, 0..3_usize)),
        2,
    );
    (vec(some(), 4), vec(0..versions, 4), routes, listeners).prop_map(
        |(clusters, endpoints, routes, listeners)| Mesh {
            clusters,
            endpoints,
            routes,
            listeners,
        },
    )
}

fn steps(versions: u8, breaks: u32) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => mesh(versions).prop_map(Step::Want),
        8 => Just(Step::Down),
        8 => Just(Step::Up),
        breaks => Just(Step::Reconnect),
        breaks => Just(Step::Restart),
    ];
    vec(step, 1..60)
}

/// The resources of a mesh. References to what is not there are left out.
fn things(mesh: &Mesh) -> BTreeMap<(&'static str, String), Thing> {
    let mut things = BTreeMap::new();
    let thing = |kind: &str, at: usize, version: u8, refs: Vec<String>| Thing {
        name: format!("{kind}{at}"),
        refs,
        text: match version {
            BAD => "bad".to_owned(),
            _ => version.to_string(),
        },
    };
    let mut add = |url, thing: Thing| {
        things.insert((url, thing.name.clone()), thing);
    };
    for (at, cluster) in mesh.clusters.iter().enumerate() {
        if let Some(version) = cluster {
            add(urls::CLUSTER, thing("c", at, *version, Vec::new()));
            add(
                urls::ENDPOINT,
                thing("c", at, mesh.endpoints[at], Vec::new()),
            );
        }
    }
    for (at, route) in mesh.routes.iter().enumerate() {
        if let Some((version, mask)) = route {
            let there = |c: &usize| mask & (1 << c) != 0 && mesh.clusters[*c].is_some();
            let refs = (0..4).filter(there).map(|c| format!("c{c}")).collect();
            add(urls::ROUTE, thing("r", at, *version, refs));
        }
    }
    for (at, listener) in mesh.listeners.iter().enumerate() {
        if let Some((version, route)) = listener
            && mesh.routes[*route].is_some()
        {
            let refs = vec![format!("r{route}")];
            add(urls::LISTENER, thing("l", at, *version, refs));
        }
    }
    things
}

/// A server, a client and the wire between them.
struct Play {
    flavor: Flavor,
    world: World,
    wanted: BTreeMap<(&'static str, String), Thing>,
    session: Session,
    client: Client,
    streams: u64,
    up: VecDeque<Request>,
    down: VecDeque<Reply>,
}

impl Play {
    fn new(flavor: Flavor) -> Self {
        let mut world = World::default();
        let session = Session::new(flavor, ProxyKind::Sidecar, 1, world.assignment());
        let mut client = Client::new(flavor);
        Self {
            up: client.connect().into(),
            flavor,
            world,
            wanted: BTreeMap::new(),
            session,
            client,
            streams: 1,
            down: VecDeque::new(),
        }
    }

    fn want(&mut self, mesh: &Mesh) {
        let wanted = things(mesh);
        for (url, name) in self.wanted.keys() {
            if !wanted.contains_key(&(url, name.clone())) {
                self.world.edit_bytes(row(url), name, None);
            }
        }
        for ((url, name), thing) in &wanted {
            let bytes = prost::Message::encode_to_vec(thing);
            self.world.edit_bytes(row(url), name, Some(bytes));
        }
        self.wanted = wanted;
        self.session.update(self.world.assignment());
    }

    /// One request to the server, one response to the wire.
    fn serve(&mut self) -> bool {
        let request = self.up.pop_front();
        match &request {
            Some(Request::Delta(request)) => self.session.delta(request).unwrap(),
            Some(Request::Sotw(request)) => self.session.sotw(request).unwrap(),
            None => {}
        }
        request.is_some() | self.push()
    }

    fn push(&mut self) -> bool {
        let Some(push) = self.session.next() else {
            return false;
        };
        self.down.push_back(match self.flavor {
            Flavor::Delta => {
                Reply::from(DeltaDiscoveryResponse::decode(message(Flavor::Delta, push)).unwrap())
            }
            Flavor::Sotw => {
                Reply::from(DiscoveryResponse::decode(message(Flavor::Sotw, push)).unwrap())
            }
        });
        true
    }

    fn read(&mut self) -> bool {
        let Some(reply) = self.down.pop_front() else {
            return false;
        };
        self.up.extend(self.client.receive(reply));
        true
    }

    fn reconnect(&mut self) {
        self.streams += 1;
        self.down.clear();
        let assignment = self.world.assignment();
        self.session = Session::new(self.flavor, ProxyKind::Sidecar, self.streams, assignment);
        self.up = self.client.connect().into();
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Want(mesh) => self.want(mesh),
            Step::Down => {
                self.read();
            }
            Step::Up => {
                self.serve();
            }
            Step::Reconnect => self.reconnect(),
            Step::Restart => {
                self.client = Client::new(self.flavor);
                self.reconnect();
            }
        }
    }

    /// Runs until nobody has anything to say.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let busy = self.serve() | self.read();
            if !busy {
                assert!(!self.session.waiting(), "stuck: {:#?}", self.session);
                return;
            }
        }
        panic!("no end: {:#?}", self.session);
    }

    /// The client holds what is wanted, and nothing that it refused.
    fn check(&self) {
        for ((url, name), thing) in &self.wanted {
            if self.client.wants(url, name) && thing.text != "bad" {
                assert_eq!(
                    self.client.held(url, name),
                    Some(thing),
                    "{:#?}",
                    self.session
                );
            }
        }
        for (url, name, held) in self.client.everything() {
            assert_ne!(held.text, "bad");
            let wanted = self.wanted.get(&(url, name.to_owned()));
            let nothing = held.text.is_empty() && held.refs.is_empty();
            assert!(wanted.is_some() || nothing, "{url} {name} should be gone");
        }
        assert_eq!(self.client.warming(), 0);
    }
}

fn row(url: &str) -> &'static XdsType {
    XdsType::find(url).unwrap()
}

fn run(flavor: Flavor, steps: &[Step]) -> Play {
    let mut play = Play::new(flavor);
    for step in steps {
        play.step(step);
    }
    play.settle();
    play.check();
    play
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No break, nothing bad: the order holds on every response and nothing is sent twice.
    #[test]
    fn order_and_thrift(steps in steps(BAD, 0)) {
        for flavor in [Flavor::Delta, Flavor::Sotw] {
            let play = run(flavor, &steps);
            prop_assert_eq!(&play.client.complaints, &Vec::<String>::new());
        }
    }

    /// Streams break and clients restart at any time.
    #[test]
    fn any_schedule_converges(steps in steps(BAD, 1)) {
        let delta = run(Flavor::Delta, &steps);
        let sotw = run(Flavor::Sotw, &steps);
        for (url, name, held) in delta.client.everything() {
            prop_assert_eq!(sotw.client.held(url, name), Some(held));
        }
    }

    /// Some resources are refused: everything else arrives all the same.
    #[test]
    fn the_bad_stay_behind_alone(steps in steps(BAD + 1, 0)) {
        for flavor in [Flavor::Delta, Flavor::Sotw] {
            run(flavor, &steps);
        }
    }

    /// A reconnect once everything is settled is silent (delta), and only answers names (SotW).
    #[test]
    fn a_quiet_reconnect(steps in steps(BAD, 0)) {
        let mut play = run(Flavor::Delta, &steps);
        play.reconnect();
        while play.serve() {}
        let resources: Vec<_> = play.down.iter().flat_map(|reply| &reply.resources).collect();
        prop_assert!(resources.is_empty(), "{resources:?}");

        let mut play = run(Flavor::Sotw, &steps);
        play.reconnect();
        while play.serve() {}
        for reply in &play.down {
            let empty = reply.resources.is_empty();
            prop_assert!(empty || !row(&reply.url).full_state, "{reply:?}");
        }
    }
}
