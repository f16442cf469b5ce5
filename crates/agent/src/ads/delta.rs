//! The incremental protocol between Envoy and the control plane.

use super::conversation::Talk;
use super::link::Flavor;
use super::memory::{Answered, Change, Held, Kept, Kind, Known, is_wildcard};
use super::own::Kept as Own;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3 as discovery;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Client;
use discovery::{DeltaDiscoveryRequest as Ask, DeltaDiscoveryResponse as Answer, Resource};

/// Asks for all there are.
const ALL: &str = "*";

/// A conversation in the incremental protocol.
#[derive(Debug, Default)]
pub(super) struct Delta(Known);

impl Flavor for Delta {
    type Request = Ask;
    type Response = Answer;

    async fn open(
        mut client: Client<tonic::transport::Channel>,
        requests: Request<ReceiverStream<Ask>>,
    ) -> Result<Response<Streaming<Answer>>, Status> {
        client.delta_aggregated_resources(requests).await
    }
}

impl Talk for Delta {
    const PROTOCOL: &str = "delta";

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
        for (name, kept) in &mut held.table {
            let before = last.table.get(name);
            if let Some(before) = before.filter(|before| before.version == kept.version) {
                kept.body.clone_from(&before.body);
            }
        }
    }

    fn hear(&mut self, mut request: Ask) -> Option<Ask> {
        let Self(known) = self;
        if let Some(node) = request.node.take() {
            known.node = Some(node);
        }
        let first = !known.kinds.contains_key(&request.type_url);
        let kind = known.kinds.entry(request.type_url.clone()).or_default();
        if first {
            let none = request.resource_names_subscribe.is_empty();
            kind.all = none && is_wildcard(&request.type_url);
            for (name, version) in &request.initial_resource_versions {
                let (version, body) = (version.clone(), None);
                kind.held.table.insert(name.clone(), Kept { version, body });
            }
            if let Some(last) = known.last.get(&request.type_url) {
                Self::adopt(&mut kind.held, last);
            }
        }
        for name in &request.resource_names_unsubscribe {
            if name == ALL {
                kind.all = false;
            }
            kind.names.remove(name);
        }
        for name in &request.resource_names_subscribe {
            if name == ALL {
                kind.all = true;
            } else {
                kind.names.insert(name.clone());
            }
        }
        if !request.resource_names_unsubscribe.is_empty() {
            let Kind { names, all, held } = kind;
            held.table.retain(|name, _| *all || names.contains(name));
        }
        let refused = request.error_detail.is_some();
        let nonce = (request.response_nonce.as_str(), refused);
        match known.nonces.answer(nonce, &mut known.kinds) {
            Answered::Nothing => {}
            Answered::Theirs(nonce) => request.response_nonce = nonce,
            Answered::Past => {
                let silent = request.resource_names_subscribe.is_empty()
                    && request.resource_names_unsubscribe.is_empty();
                if silent {
                    return None;
                }
                request.response_nonce.clear();
                request.error_detail = None;
            }
        }
        Some(request)
    }

    fn replay(&mut self, request: &Ask) -> Option<Answer> {
        let Self(state) = self;
        let url = &request.type_url;
        let kind = state.kinds.get(url)?;
        let last = state.last.get(url).map(|held| &held.table);
        let asked = |name: &str| {
            let news = request.resource_names_subscribe.iter();
            // By name, or as one of all, when they were asked for just now.
            let all =
                request.resource_names_subscribe.is_empty() && request.response_nonce.is_empty();
            news.into_iter().any(|it| it == name || it == ALL) || all
        };
        let known = kind.held.table.iter();
        let older = last.into_iter().flatten();
        let older = older.filter(|(name, _)| !kind.held.table.contains_key(*name));
        let again = |(name, kept): &(&String, &Kept)| {
            let has = kind.held.table.contains_key(*name);
            let named = request.resource_names_subscribe.contains(name);
            kept.body.is_some() && kind.wants(name) && asked(name) && (!has || named)
        };
        let set: Vec<(String, Kept)> = known
            .chain(older)
            .filter(again)
            .map(|(name, kept)| (name.clone(), kept.clone()))
            .collect();
        if set.is_empty() {
            return None;
        }
        let resources = set.iter().map(|(name, kept)| Resource {
            name: name.clone(),
            version: kept.version.clone(),
            resource: kept.body.clone(),
            ..Resource::default()
        });
        let mut answer = Answer {
            type_url: url.clone(),
            resources: resources.collect(),
            ..Answer::default()
        };
        answer.nonce = state.nonces.own(Change {
            type_url: url.clone(),
            set,
            removed: Vec::new(),
            whole: false,
            version: String::new(),
        });
        Some(answer)
    }

    fn missing(type_url: &str, kind: &Kind) -> Ask {
        let names = kind.names.iter();
        let names = names
            .filter(|name| !kind.held.table.contains_key(*name))
            .cloned();
        Ask {
            type_url: type_url.to_owned(),
            resource_names_subscribe: names.chain(kind.all.then(|| ALL.to_owned())).collect(),
            ..Ask::default()
        }
    }

    fn deliver(&mut self, mut response: Answer) -> Answer {
        let Self(known) = self;
        known.last.remove(&response.type_url);
        let kept = |resource: &Resource| {
            let version = resource.version.clone();
            let body = resource.resource.clone();
            (resource.name.clone(), Kept { version, body })
        };
        let change = Change {
            type_url: response.type_url.clone(),
            set: response.resources.iter().map(kept).collect(),
            removed: response.removed_resources.clone(),
            whole: false,
            version: response.system_version_info.clone(),
        };
        response.nonce = known
            .nonces
            .wrap(std::mem::take(&mut response.nonce), change);
        response
    }

    fn first(type_url: &str, kind: &Kind, node: Option<Node>) -> Ask {
        let versions = kind.held.table.iter();
        let mut names: Vec<_> = kind.names.iter().cloned().collect();
        if kind.all && !names.is_empty() {
            names.push(ALL.to_owned());
        }
        Ask {
            node,
            type_url: type_url.to_owned(),
            resource_names_subscribe: names,
            initial_resource_versions: versions
                .map(|(name, kept)| (name.clone(), kept.version.clone()))
                .collect(),
            ..Ask::default()
        }
    }

    fn ask_own(type_url: &str, book: &dyn Own) -> Ask {
        Ask {
            type_url: type_url.to_owned(),
            initial_resource_versions: book.versions(),
            ..Ask::default()
        }
    }

    fn take_own(book: &mut dyn Own, response: Answer) -> Ask {
        let mut set = response.resources.into_iter().filter_map(|resource| {
            let body = resource.resource?;
            Some((resource.name, resource.version, body))
        });
        let outcome = book.change(&mut set, &response.removed_resources);
        Ask {
            type_url: response.type_url,
            response_nonce: response.nonce,
            error_detail: outcome.err(),
            ..Ask::default()
        }
    }
}

#[cfg(test)]
mod tests;
