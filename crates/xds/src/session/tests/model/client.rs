//! A client that behaves as Envoy does: it withholds the answer about clusters while one warms,
//! applies siblings of a bad resource or not as the type has it, and keeps what it has over a
//! reconnect.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use meltemi_proto::google::rpc::Status;
use meltemi_proto::urls;
use meltemi_types::TypeUrl;
use prost::Message;

use crate::session::Flavor;
use crate::types::{Isolate, XdsType};

/// A resource: its name in field 1, as in every real one.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Thing {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) refs: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) text: String,
}

#[derive(Clone, Debug)]
pub(super) enum Request {
    Delta(DeltaDiscoveryRequest),
    Sotw(DiscoveryRequest),
}

/// A response of either protocol: names, versions and contents.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) url: String,
    nonce: String,
    version: String,
    pub(super) resources: Vec<(Thing, String)>,
    removed: Vec<String>,
}

impl From<DeltaDiscoveryResponse> for Reply {
    fn from(response: DeltaDiscoveryResponse) -> Self {
        let open = |resource: meltemi_proto::envoy::service::discovery::v3::Resource| {
            let thing = Thing::decode(resource.resource.unwrap().value).unwrap();
            assert_eq!(thing.name, resource.name);
            (thing, resource.version)
        };
        Self {
            url: response.type_url,
            nonce: response.nonce,
            version: String::new(),
            resources: response.resources.into_iter().map(open).collect(),
            removed: response.removed_resources,
        }
    }
}

impl From<DiscoveryResponse> for Reply {
    fn from(response: DiscoveryResponse) -> Self {
        let open = |any: meltemi_proto::google::protobuf::Any| {
            (Thing::decode(any.value).unwrap(), String::new())
        };
        Self {
            url: response.type_url,
            nonce: response.nonce,
            version: response.version_info,
            resources: response.resources.into_iter().map(open).collect(),
            removed: Vec::new(),
        }
    }
}

/// One type at the client.
#[derive(Debug, Default)]
struct Shelf {
    held: BTreeMap<String, (Thing, String)>,
    names: BTreeSet<String>,
    /// Asked for and not answered yet.
    asked: BTreeSet<String>,
    nonce: String,
    version: String,
}

pub(super) struct Client {
    flavor: Flavor,
    shelves: BTreeMap<TypeUrl, Shelf>,
    warming: BTreeSet<String>,
    /// What is said about clusters once none warms.
    withheld: Vec<Request>,
    refusals: usize,
    /// What the server should not have done.
    pub(super) complaints: Vec<String>,
}

const TYPES: [TypeUrl; 4] = [urls::CLUSTER, urls::ENDPOINT, urls::LISTENER, urls::ROUTE];

impl Client {
    pub(super) fn new(flavor: Flavor) -> Self {
        Self {
            flavor,
            shelves: TYPES.map(|url| (url, Shelf::default())).into(),
            warming: BTreeSet::new(),
            withheld: Vec::new(),
            refusals: 0,
            complaints: Vec::new(),
        }
    }

    fn shelf(&mut self, url: &str) -> &mut Shelf {
        self.shelves.get_mut(url).unwrap()
    }

    pub(super) fn held(&self, url: &str, name: &str) -> Option<&Thing> {
        self.shelves[url].held.get(name).map(|(thing, _)| thing)
    }

    pub(super) fn wants(&self, url: &str, name: &str) -> bool {
        row(url).wildcard || self.shelves[url].names.contains(name)
    }

    pub(super) fn everything(&self) -> impl Iterator<Item = (TypeUrl, &str, &Thing)> {
        self.shelves.iter().flat_map(|(url, shelf)| {
            let held = shelf.held.iter();
            held.map(|(name, (thing, _))| (*url, name.as_str(), thing))
        })
    }

    pub(super) fn warming(&self) -> usize {
        self.warming.len()
    }

    /// The first requests on a new stream.
    pub(super) fn connect(&mut self) -> Vec<Request> {
        self.withheld.clear();
        let mut requests = Vec::new();
        for url in TYPES {
            let flavor = self.flavor;
            let shelf = self.shelf(url);
            shelf.nonce.clear();
            if !row(url).wildcard && shelf.names.is_empty() {
                continue;
            }
            shelf.asked = shelf.names.clone();
            let names: Vec<_> = shelf.names.iter().cloned().collect();
            let request = match flavor {
                Flavor::Delta => Request::Delta(DeltaDiscoveryRequest {
                    type_url: url.to_owned(),
                    resource_names_subscribe: names,
                    initial_resource_versions: shelf
                        .held
                        .iter()
                        .map(|(name, (_, version))| (name.clone(), version.clone()))
                        .collect(),
                    ..DeltaDiscoveryRequest::default()
                }),
                Flavor::Sotw => Request::Sotw(DiscoveryRequest {
                    type_url: url.to_owned(),
                    resource_names: names,
                    version_info: shelf.version.clone(),
                    ..DiscoveryRequest::default()
                }),
            };
            if url == urls::CLUSTER && !self.warming.is_empty() {
                self.withheld.push(request);
            } else {
                requests.push(request);
            }
        }
        requests
    }

    /// What the client does about a response, and says.
    pub(super) fn receive(&mut self, reply: Reply) -> Vec<Request> {
        let row = row(&reply.url);
        let bad: Vec<_> = reply
            .resources
            .iter()
            .filter(|(thing, _)| thing.text == "bad")
            .map(|(thing, _)| thing.name.clone())
            .collect();
        let mut message = None;
        let mut dropped = false;
        if !bad.is_empty() {
            self.refusals += 1;
            let odd = self.refusals % 2 == 1;
            dropped = match row.isolate {
                Isolate::Named => odd,
                Isolate::Singly => odd || self.flavor == Flavor::Sotw,
            };
            message = Some(match row.isolate {
                Isolate::Named if !dropped => {
                    format!("Error adding/updating x(s) {}: bad", bad.join(": bad, "))
                }
                Isolate::Named | Isolate::Singly => "bad".to_owned(),
            });
        }
        self.look(&reply);
        let answer = self.answer(row.url, &reply, message.as_deref());
        if message.is_some() && row.url == urls::ENDPOINT {
            // A refusal ends the wait too, with no endpoints.
            let names = reply.resources.iter().map(|(thing, _)| &thing.name);
            for name in names {
                self.warming.remove(name);
            }
        }
        if !dropped {
            self.apply(row, reply);
        }
        let mut requests = self.follow();
        if row.url == urls::CLUSTER {
            self.withheld.push(answer);
        } else {
            requests.push(answer);
        }
        if self.warming.is_empty() {
            requests.append(&mut self.withheld);
        }
        requests
    }

    /// Complains about what was not needed and what came too early.
    fn look(&mut self, reply: &Reply) {
        let shelf = &self.shelves[&*reply.url];
        let full = self.flavor == Flavor::Sotw && row(&reply.url).full_state;
        for (thing, _) in &reply.resources {
            let same = shelf.held.get(&thing.name).is_some_and(|(h, _)| h == thing);
            let needed = shelf.asked.contains(&thing.name)
                || (reply.url == urls::ENDPOINT && self.warming.contains(&thing.name));
            if same && !needed && !full {
                let complaint = format!("{} {} again", reply.url, thing.name);
                self.complaints.push(complaint);
            }
            if reply.url != urls::ROUTE || shelf.asked.contains(&thing.name) {
                continue;
            }
            for cluster in &thing.refs {
                if self.held(urls::CLUSTER, cluster).is_none() || self.warming.contains(cluster) {
                    let complaint = format!("{} goes to {cluster} too early", thing.name);
                    self.complaints.push(complaint);
                }
            }
        }
    }

    fn apply(&mut self, row: &XdsType, reply: Reply) {
        let full = self.flavor == Flavor::Sotw && row.full_state;
        let named: BTreeSet<_> = reply
            .resources
            .iter()
            .map(|(t, _)| t.name.clone())
            .collect();
        let mut gone = reply.removed;
        if full {
            let held = self.shelves[row.url].held.keys();
            gone.extend(held.filter(|name| !named.contains(*name)).cloned());
        }
        for name in gone {
            self.shelf(row.url).held.remove(&name);
            self.shelf(row.url).asked.remove(&name);
            if row.url == urls::CLUSTER {
                self.warming.remove(&name);
                self.look_for_routes_to(&name);
            }
        }
        for (thing, version) in reply.resources {
            let name = thing.name.clone();
            if thing.text == "bad" || !self.wants(row.url, &name) {
                continue;
            }
            self.shelf(row.url).asked.remove(&name);
            let held = self.held(row.url, &name);
            if row.url == urls::CLUSTER && held != Some(&thing) {
                self.warming.insert(name.clone());
            }
            if row.url == urls::ENDPOINT {
                self.warming.remove(&name);
            }
            self.shelf(row.url).held.insert(name, (thing, version));
        }
    }

    fn look_for_routes_to(&mut self, cluster: &str) {
        let used = |(thing, _): &&(Thing, String)| thing.refs.iter().any(|name| name == cluster);
        let mut routes = self.shelves[urls::ROUTE].held.values();
        if let Some((route, _)) = routes.find(used) {
            let complaint = format!("{cluster} went while {} goes there", route.name);
            self.complaints.push(complaint);
        }
    }

    /// Subscribes to what the clusters and listeners held refer to.
    fn follow(&mut self) -> Vec<Request> {
        let clusters = self.shelves[urls::CLUSTER].held.keys().cloned().collect();
        let listeners = self.shelves[urls::LISTENER].held.values();
        let routes = listeners
            .flat_map(|(thing, _)| thing.refs.clone())
            .collect();
        let mut requests = Vec::new();
        for (url, names) in [(urls::ENDPOINT, clusters), (urls::ROUTE, routes)] {
            let flavor = self.flavor;
            let shelf = self.shelf(url);
            if shelf.names == names {
                continue;
            }
            let added: Vec<_> = names.difference(&shelf.names).cloned().collect();
            let dropped: Vec<_> = shelf.names.difference(&names).cloned().collect();
            shelf.held.retain(|name, _| names.contains(name));
            shelf.asked.retain(|name| names.contains(name));
            shelf.asked.extend(added.iter().cloned());
            shelf.names = names;
            requests.push(match flavor {
                Flavor::Delta => Request::Delta(DeltaDiscoveryRequest {
                    type_url: url.to_owned(),
                    resource_names_subscribe: added,
                    resource_names_unsubscribe: dropped,
                    ..DeltaDiscoveryRequest::default()
                }),
                Flavor::Sotw => Request::Sotw(DiscoveryRequest {
                    type_url: url.to_owned(),
                    resource_names: shelf.names.iter().cloned().collect(),
                    response_nonce: shelf.nonce.clone(),
                    version_info: shelf.version.clone(),
                    ..DiscoveryRequest::default()
                }),
            });
        }
        requests
    }

    fn answer(&mut self, url: TypeUrl, reply: &Reply, refusal: Option<&str>) -> Request {
        let flavor = self.flavor;
        let shelf = self.shelf(url);
        shelf.nonce.clone_from(&reply.nonce);
        if refusal.is_none() {
            shelf.version.clone_from(&reply.version);
        }
        let error_detail = refusal.map(|message| Status {
            message: message.to_owned(),
            ..Status::default()
        });
        match flavor {
            Flavor::Delta => Request::Delta(DeltaDiscoveryRequest {
                type_url: url.to_owned(),
                response_nonce: reply.nonce.clone(),
                error_detail,
                ..DeltaDiscoveryRequest::default()
            }),
            Flavor::Sotw => Request::Sotw(DiscoveryRequest {
                type_url: url.to_owned(),
                response_nonce: reply.nonce.clone(),
                version_info: shelf.version.clone(),
                resource_names: shelf.names.iter().cloned().collect(),
                error_detail,
                ..DiscoveryRequest::default()
            }),
        }
    }
}

fn row(url: &str) -> &'static XdsType {
    XdsType::find(url).unwrap()
}
