//! State of the world between Envoy and the control plane.

use super::conversation::Talk;
use super::link::Flavor;
use super::memory::{Answered, Change, Held, Kept, Kind, Known, is_whole, is_wildcard};
use super::own::Kept as Own;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3 as discovery;
use meltemi_proto::google::protobuf::Any;
use prost::Message;
use std::collections::BTreeSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Client;
use discovery::{DiscoveryRequest as Ask, DiscoveryResponse as Answer};

/// A conversation in state of the world.
#[derive(Debug, Default)]
pub(super) struct Sotw(Known);

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
    const PROTOCOL: &str = "sotw";

    fn known(&mut self) -> &mut Known {
        let Self(known) = self;
        known
    }

    fn type_of(request: &Ask) -> &str {
        &request.type_url
    }

    fn type_in(response: &Answer) -> &str {
        &response.type_url
    }

    fn refusal(request: &Ask) -> Option<&str> {
        let error = request.error_detail.as_ref();
        error.map(|error| error.message.as_str())
    }

    fn adopt(held: &mut Held, last: &Held) {
        if last.version == held.version && !last.version.is_empty() {
            held.clone_from(last);
        }
    }

    fn hear(&mut self, mut request: Ask) -> Option<Ask> {
        let Self(known) = self;
        if let Some(node) = request.node.take() {
            known.node = Some(node);
        }
        let first = !known.kinds.contains_key(&request.type_url);
        let kind = known.kinds.entry(request.type_url.clone()).or_default();
        let names: BTreeSet<_> = request.resource_names.iter().cloned().collect();
        let same = !first && names == kind.names;
        kind.all = names.is_empty() && is_wildcard(&request.type_url);
        kind.names = names;
        if first {
            kind.held.version.clone_from(&request.version_info);
            if let Some(last) = known.last.get(&request.type_url) {
                Self::adopt(&mut kind.held, last);
            }
        }
        let refused = request.error_detail.is_some();
        let nonce = (request.response_nonce.as_str(), refused);
        match known.nonces.answer(nonce, &mut known.kinds) {
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
        let Self(known) = self;
        let url = &request.type_url;
        let kind = known.kinds.get(url)?;
        let held = match kind.held.table.is_empty() {
            true => known.last.get(url)?,
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
        answer.nonce = known.nonces.own(Change {
            type_url: url.clone(),
            set,
            removed: Vec::new(),
            whole: is_whole(url),
            version,
        });
        Some(answer)
    }

    fn missing(type_url: &str, _: &Kind) -> Ask {
        Ask {
            type_url: type_url.to_owned(),
            // Only what it has not.
            response_nonce: "-".to_owned(),
            ..Ask::default()
        }
    }

    fn deliver(&mut self, mut response: Answer) -> Answer {
        let Self(known) = self;
        known.last.remove(&response.type_url);
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
        response.nonce = known
            .nonces
            .wrap(std::mem::take(&mut response.nonce), change);
        response
    }

    fn first(type_url: &str, kind: &Kind, node: Option<Node>) -> Ask {
        Ask {
            node,
            type_url: type_url.to_owned(),
            version_info: kind.held.version.clone(),
            resource_names: kind.names.iter().cloned().collect(),
            ..Ask::default()
        }
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
