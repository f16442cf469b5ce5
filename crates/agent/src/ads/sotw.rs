//! State of the world between Envoy and the control plane.

use super::conversation::Talk;
use super::link::Flavor;
use super::memory::{
    Answered, Change, Held, Kept, Kind, Nonces, Store, is_whole, is_wildcard, ordered,
};
use super::own::Kept as Own;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3 as discovery;
use meltemi_proto::google::protobuf::Any;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Client;
use discovery::{DiscoveryRequest as Ask, DiscoveryResponse as Answer};

/// A conversation in state of the world.
#[derive(Debug, Default)]
pub(super) struct Sotw {
    node: Option<Node>,
    kinds: BTreeMap<String, Kind>,
    nonces: Nonces,
    /// What the Envoy before had.
    last: BTreeMap<String, Held>,
}

impl Sotw {
    fn owner(&self) -> Option<String> {
        self.node.as_ref().map(|node| format!("sotw {}", node.id))
    }
}

impl Flavor for Sotw {
    type Request = Ask;
    type Response = Answer;

    async fn open(
        mut client: Client<tonic::transport::Channel>,
        requests: Request<ReceiverStream<Ask>>,
    ) -> Result<Response<Streaming<Answer>>, Status> {
        client.stream_aggregated_resources(requests).await
    }
}

impl Talk for Sotw {
    fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    fn type_of(request: &Ask) -> &str {
        &request.type_url
    }

    fn type_in(response: &Answer) -> &str {
        &response.type_url
    }

    fn remember(&mut self, store: Store) {
        if self.owner() == store.owner {
            self.last = store.tables;
        }
        for (url, kind) in &mut self.kinds {
            adopt(&mut kind.held, self.last.get(url));
        }
    }

    fn store(self) -> Store {
        let owner = self.owner();
        Store::keep(owner, self.last, self.kinds)
    }

    fn refusal(request: &Ask) -> Option<&str> {
        let error = request.error_detail.as_ref();
        error.map(|error| error.message.as_str())
    }

    fn hear(&mut self, mut request: Ask) -> Option<Ask> {
        if let Some(node) = request.node.take() {
            self.node = Some(node);
        }
        let first = !self.kinds.contains_key(&request.type_url);
        let kind = self.kinds.entry(request.type_url.clone()).or_default();
        let names: BTreeSet<_> = request.resource_names.iter().cloned().collect();
        let same = !first && names == kind.names;
        kind.all = names.is_empty() && is_wildcard(&request.type_url);
        kind.names = names;
        if first {
            kind.held.version.clone_from(&request.version_info);
            adopt(&mut kind.held, self.last.get(&request.type_url));
        }
        let refused = request.error_detail.is_some();
        let nonce = (request.response_nonce.as_str(), refused);
        match self.nonces.answer(nonce, &mut self.kinds) {
            Answered::Nothing => {}
            Answered::Theirs(nonce) => request.response_nonce = nonce,
            Answered::Past if same => return None,
            Answered::Past => {
                request.response_nonce.clear();
                request.error_detail = None;
            }
        }
        Some(request)
    }

    fn replay(&mut self, request: &Ask) -> Option<Answer> {
        let url = &request.type_url;
        let kind = self.kinds.get(url)?;
        let held = match kind.held.table.is_empty() {
            true => self.last.get(url)?,
            false => &kind.held,
        };
        let wanted = held.table.iter().filter(|(name, _)| kind.wants(name));
        let set: Vec<(String, Kept)> = wanted
            .map(|(name, kept)| (name.clone(), kept.clone()))
            .collect();
        let has = |(name, _): &(String, Kept)| kind.held.table.contains_key(name);
        let repeats = !request.response_nonce.is_empty() && set.iter().all(has);
        if set.is_empty() || repeats {
            return None;
        }
        let complete = kind.all || kind.names.iter().all(|name| held.table.contains_key(name));
        let version = match complete {
            true => held.version.clone(),
            // What is missing must not be taken for known.
            false => String::new(),
        };
        let resources = set.iter().filter_map(|(_, kept)| kept.body.clone());
        let mut answer = Answer {
            type_url: url.clone(),
            version_info: version.clone(),
            resources: resources.collect(),
            ..Answer::default()
        };
        answer.nonce = self.nonces.own(Change {
            type_url: url.clone(),
            set,
            removed: Vec::new(),
            whole: is_whole(url),
            version,
        });
        Some(answer)
    }

    fn replay_all(&mut self) -> Vec<Answer> {
        let missing = |(url, _): (&String, &Kind)| Ask {
            type_url: url.clone(),
            // Only what it has not.
            response_nonce: "-".to_owned(),
            ..Ask::default()
        };
        let asks: Vec<_> = ordered(&self.kinds).into_iter().map(missing).collect();
        asks.iter().filter_map(|ask| self.replay(ask)).collect()
    }

    fn deliver(&mut self, mut response: Answer) -> Answer {
        self.last.remove(&response.type_url);
        let kept = |any: &Any| {
            let version = response.version_info.clone();
            let body = Some(any.clone());
            (name(any), Kept { version, body })
        };
        let change = Change {
            type_url: response.type_url.clone(),
            set: response.resources.iter().map(kept).collect(),
            removed: Vec::new(),
            whole: is_whole(&response.type_url),
            version: response.version_info.clone(),
        };
        response.nonce = self
            .nonces
            .wrap(std::mem::take(&mut response.nonce), change);
        response
    }

    fn reopen(&mut self) -> Vec<Ask> {
        self.nonces.next_connection();
        let first = |(url, kind): (&String, &Kind)| Ask {
            type_url: url.clone(),
            version_info: kind.held.version.clone(),
            resource_names: kind.names.iter().cloned().collect(),
            ..Ask::default()
        };
        let mut asks: Vec<_> = ordered(&self.kinds).into_iter().map(first).collect();
        if let Some(ask) = asks.first_mut() {
            ask.node.clone_from(&self.node);
        }
        asks
    }

    fn ask_own(type_url: &str, book: &dyn Own) -> Ask {
        Ask {
            type_url: type_url.to_owned(),
            version_info: book.version().to_owned(),
            ..Ask::default()
        }
    }

    fn take_own(book: &mut dyn Own, response: Answer) -> Ask {
        let version = response.version_info;
        let outcome = book.replace(&version, &mut response.resources.into_iter());
        Ask {
            type_url: response.type_url,
            version_info: book.version().to_owned(),
            response_nonce: response.nonce,
            error_detail: outcome.err(),
            ..Ask::default()
        }
    }
}

/// Envoy says which version it has; we may still have what is in it.
fn adopt(held: &mut Held, last: Option<&Held>) {
    let same = last.filter(|last| last.version == held.version && !last.version.is_empty());
    if let Some(last) = same {
        held.clone_from(last);
    }
}

/// Every resource of Envoy has its name in field 1; what has none is not told from its siblings.
fn name(any: &Any) -> String {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    Named::decode(any.value.clone()).unwrap_or_default().name
}

#[cfg(test)]
mod tests;
