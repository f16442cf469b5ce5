//! Scripts for a session, a line a step; what the server says is compared as text.
//!
//! ```text
//! world cds a=1 b=1 -c     what is wanted: resources with their bodies, `-c` takes one away
//! -> cds +a -b c@1         delta request: subscribe, unsubscribe, held from before
//! -> eds a b               SotW request: all names; `a@1` in a full-state type: the version held
//! <- cds a=1 b=2 -c        the next response; `()` is an empty message
//! <-                       nothing to say
//! ack cds | nack cds: why  the answer to the last response of that type
//! overdue                  the answer took too long
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use meltemi_proto::google::rpc::Status;
use meltemi_proto::resource::{Encoded, TypeSet};
use meltemi_types::ProxyKind;

use crate::session::ledger::empty;
use crate::session::{Flavor, Push, Session, sotw};
use crate::types::{TABLE, XdsType};
use crate::{Assignment, Event, Layer};

/// The type with that short name.
pub(super) fn row(short: &str) -> &'static XdsType {
    TABLE.iter().find(|row| row.short == short).unwrap()
}

/// A resource with text for a body.
pub(super) fn encoded(row: &XdsType, name: &str, body: &str) -> Arc<Encoded> {
    Arc::new(Encoded::new(name, row.url, body.as_bytes().to_vec()))
}

/// What is wanted, edited in place.
#[derive(Default)]
pub(super) struct World {
    generation: u64,
    sets: BTreeMap<&'static str, Arc<TypeSet>>,
}

impl World {
    pub(super) fn edit(&mut self, row: &'static XdsType, name: &str, body: Option<&str>) {
        self.edit_bytes(row, name, body.map(|body| body.as_bytes().to_vec()));
    }

    pub(super) fn edit_bytes(&mut self, row: &'static XdsType, name: &str, body: Option<Vec<u8>>) {
        let previous = self.sets.get(row.url);
        let mut resources = previous.map_or_else(BTreeMap::new, |set| set.resources.clone());
        match body {
            Some(body) => {
                let encoded = Arc::new(Encoded::new(name, row.url, body));
                resources.insert(name.into(), encoded)
            }
            None => resources.remove(name),
        };
        let next = TypeSet::next(previous, resources);
        self.sets.insert(row.url, next);
    }

    pub(super) fn assignment(&mut self) -> Arc<Assignment> {
        self.generation += 1;
        let empty = Assignment::new(self.generation);
        let sets = self.sets.iter();
        Arc::new(sets.fold(empty, |all, (url, set)| {
            all.with(url, Layer::new(1, set.clone()))
        }))
    }
}

/// A response as text.
pub(super) fn show(push: &Push) -> String {
    let mut text = push.row.short.to_owned();
    for resource in &push.resources {
        let body = if resource.body == empty(push.row, &resource.name).body {
            "()"
        } else {
            std::str::from_utf8(&resource.body).unwrap()
        };
        text += &format!(" {}={body}", resource.name);
    }
    for name in &push.removed {
        text += &format!(" -{name}");
    }
    text
}

/// One stream and what its client said last.
pub(super) struct Stage {
    flavor: Flavor,
    world: World,
    pub(super) session: Session,
    nonces: BTreeMap<&'static str, String>,
    names: BTreeMap<&'static str, Vec<String>>,
    pub(super) events: Vec<Event>,
}

/// Plays a script on a new stream.
pub(super) fn play(flavor: Flavor, script: &str) -> Stage {
    let mut world = World::default();
    let session = Session::new(flavor, ProxyKind::Sidecar, 1, world.assignment());
    let mut stage = Stage {
        flavor,
        world,
        session,
        nonces: BTreeMap::new(),
        names: BTreeMap::new(),
        events: Vec::new(),
    };
    for (at, line) in script.lines().enumerate() {
        let line = line.split('#').next().unwrap().trim();
        if !line.is_empty() {
            stage.step(line, &format!("{flavor:?} line {at}: {line}"));
        }
    }
    stage
}

impl Stage {
    pub(super) fn step(&mut self, line: &str, at: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let words: Vec<_> = rest.split_whitespace().collect();
        match verb {
            "world" => self.want(&words),
            "->" => self.request(row(words[0]), &words[1..], ("", None)),
            "<-" => {
                let said = self.session.next();
                let text = said.as_ref().map(show).unwrap_or_default();
                assert_eq!(text, words.join(" "), "{at}");
                if let Some(push) = said {
                    self.nonces.insert(push.row.short, push.nonce.to_string());
                }
            }
            "ack" => self.answer(words[0], None),
            "nack" => {
                let (short, message) = rest.split_once(": ").unwrap();
                self.answer(short, Some(message));
            }
            "overdue" => self.session.overdue(),
            other => panic!("{other}"),
        }
        self.events.extend(self.session.take_events());
    }

    fn want(&mut self, words: &[&str]) {
        let mut current = None;
        for word in words {
            match (word.split_once('='), word.strip_prefix('-')) {
                (Some((name, body)), _) => self.world.edit(current.unwrap(), name, Some(body)),
                (None, Some(name)) => self.world.edit(current.unwrap(), name, None),
                (None, None) => current = Some(row(word)),
            }
        }
        self.session.update(self.world.assignment());
    }

    fn answer(&mut self, short: &str, refusal: Option<&str>) {
        let nonce = self.nonces[short].clone();
        let names = self.names.get(short).cloned().unwrap_or_default();
        let names: Vec<_> = match self.flavor {
            Flavor::Sotw => names.iter().map(String::as_str).collect(),
            Flavor::Delta => Vec::new(),
        };
        self.request(row(short), &names, (&nonce, refusal));
    }

    /// Words as the module says; also `nonce:X`.
    fn request(&mut self, row: &'static XdsType, words: &[&str], answer: (&str, Option<&str>)) {
        let (nonce, refusal) = answer;
        let given = words.iter().find_map(|word| word.strip_prefix("nonce:"));
        let words = words.iter().filter(|word| !word.starts_with("nonce:"));
        let nonce = given.unwrap_or(nonce).to_owned();
        let error_detail = refusal.map(|message| Status {
            message: message.to_owned(),
            ..Status::default()
        });
        match self.flavor {
            Flavor::Delta => {
                let mut request = DeltaDiscoveryRequest {
                    type_url: row.url.to_owned(),
                    response_nonce: nonce,
                    error_detail,
                    ..DeltaDiscoveryRequest::default()
                };
                for word in words {
                    if let Some(name) = word.strip_prefix('+') {
                        request.resource_names_subscribe.push(name.to_owned());
                    } else if let Some(name) = word.strip_prefix('-') {
                        request.resource_names_unsubscribe.push(name.to_owned());
                    } else if let Some((name, body)) = word.split_once('@') {
                        let version = encoded(row, name, body).version.to_string();
                        let held = &mut request.initial_resource_versions;
                        held.insert(name.to_owned(), version);
                    }
                }
                self.session.delta(&request).unwrap();
            }
            Flavor::Sotw => {
                let (held, names): (Vec<&str>, Vec<&str>) =
                    words.copied().partition(|word| word.contains('@'));
                let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
                self.names.insert(row.short, names.clone());
                let held: Vec<_> = held
                    .iter()
                    .filter_map(|word| word.split_once('@'))
                    .map(|(name, body)| encoded(row, name, body))
                    .collect();
                let version_info = match held.is_empty() {
                    true => String::new(),
                    false => sotw::set_version(held.iter()),
                };
                let request = DiscoveryRequest {
                    type_url: row.url.to_owned(),
                    response_nonce: nonce,
                    error_detail,
                    resource_names: names,
                    version_info,
                    ..DiscoveryRequest::default()
                };
                self.session.sotw(&request).unwrap();
            }
        }
    }
}
