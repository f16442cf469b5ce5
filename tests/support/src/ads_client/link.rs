//! One stream: the messages of both protocols, in and out.

use super::state::{Arrived, Kind, Update};
use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use meltemi_bootstrap::XdsProtocol;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3 as discovery;
use meltemi_proto::google::rpc::Status;
use meltemi_proto::urls::{CLUSTER, LISTENER};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::codec::Streaming;
use tonic::transport::Endpoint;

use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Client;
use discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use discovery::{DiscoveryRequest, DiscoveryResponse};

/// The largest response that is accepted, in bytes.
const RESPONSE_LIMIT: usize = 256 << 20;
/// `INVALID_ARGUMENT`, which Envoy refuses with.
const INVALID: i32 = 3;

/// An open stream.
#[derive(Debug)]
pub(super) enum Link {
    Delta(
        UnboundedSender<DeltaDiscoveryRequest>,
        Streaming<DeltaDiscoveryResponse>,
    ),
    Sotw(
        UnboundedSender<DiscoveryRequest>,
        Streaming<DiscoveryResponse>,
    ),
}

impl Link {
    /// Opens a stream; the first requests subscribe to everything in `kinds` and say what is held.
    pub(super) async fn open(
        (server, protocol): (SocketAddr, XdsProtocol),
        node: &Node,
        kinds: &BTreeMap<String, Kind>,
    ) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{server}"))?;
        let channel = endpoint.connect().await;
        let channel = channel.with_context(|| format!("cannot connect to {server}"))?;
        let mut client = Client::new(channel).max_decoding_message_size(RESPONSE_LIMIT);
        let node = std::iter::once(Some(node.clone())).chain(std::iter::repeat(None));
        match protocol {
            XdsProtocol::Delta => {
                let (sender, receiver) = unbounded_channel();
                for ((type_url, kind), node) in kinds.iter().zip(node) {
                    sender.send(first_delta(type_url, kind, node))?;
                }
                let requests = UnboundedReceiverStream::new(receiver);
                let responses = client.delta_aggregated_resources(requests).await?;
                Ok(Self::Delta(sender, responses.into_inner()))
            }
            XdsProtocol::Sotw => {
                let (sender, receiver) = unbounded_channel();
                for ((type_url, kind), node) in kinds.iter().zip(node) {
                    sender.send(DiscoveryRequest {
                        node,
                        ..sotw(type_url, kind)
                    })?;
                }
                let requests = UnboundedReceiverStream::new(receiver);
                let responses = client.stream_aggregated_resources(requests).await?;
                Ok(Self::Sotw(sender, responses.into_inner()))
            }
        }
    }

    /// The next response, or `None` when none came in time.
    pub(super) async fn receive(&mut self, deadline: Duration) -> Result<Option<Update>> {
        let next = async {
            match self {
                Self::Delta(_, responses) => Ok(responses.message().await?.map(delta_update)),
                Self::Sotw(_, responses) => match responses.message().await? {
                    Some(response) => Ok(Some(sotw_update(response)?)),
                    None => Ok(None),
                },
            }
        };
        match tokio::time::timeout(deadline, next).await {
            Err(_elapsed) => Ok(None),
            Ok(Ok(Some(update))) => Ok(Some(update)),
            Ok(Ok(None)) => Err(anyhow!("the server has ended the stream")),
            Ok(Err(error)) => Err(error),
        }
    }

    /// Accepts a response, or refuses it with a message.
    pub(super) fn acknowledge(
        &self,
        update: &Update,
        kind: &Kind,
        refusal: Option<&str>,
    ) -> Result<()> {
        let error = refusal.map(|message| Status {
            code: INVALID,
            message: message.to_owned(),
            ..Status::default()
        });
        match self {
            Self::Delta(sender, _) => sender.send(DeltaDiscoveryRequest {
                type_url: update.type_url.clone(),
                response_nonce: update.nonce.clone(),
                error_detail: error,
                ..DeltaDiscoveryRequest::default()
            })?,
            Self::Sotw(sender, _) => {
                let error_detail = error;
                sender.send(DiscoveryRequest {
                    error_detail,
                    ..sotw(&update.type_url, kind)
                })?;
            }
        }
        Ok(())
    }

    /// Tells the server that the names of a type are no longer `before`.
    pub(super) fn change(
        &self,
        type_url: &str,
        kind: &Kind,
        before: &BTreeSet<String>,
    ) -> Result<()> {
        match self {
            Self::Delta(sender, _) => sender.send(DeltaDiscoveryRequest {
                type_url: type_url.to_owned(),
                resource_names_subscribe: kind.names.difference(before).cloned().collect(),
                resource_names_unsubscribe: before.difference(&kind.names).cloned().collect(),
                ..DeltaDiscoveryRequest::default()
            })?,
            Self::Sotw(sender, _) => sender.send(sotw(type_url, kind))?,
        }
        Ok(())
    }
}

fn first_delta(type_url: &str, kind: &Kind, node: Option<Node>) -> DeltaDiscoveryRequest {
    let versions = kind
        .held
        .iter()
        .map(|(name, held)| (name.clone(), held.version.clone()));
    DeltaDiscoveryRequest {
        node,
        type_url: type_url.to_owned(),
        resource_names_subscribe: kind.names.iter().cloned().collect(),
        initial_resource_versions: versions.collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn sotw(type_url: &str, kind: &Kind) -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: kind.version.clone(),
        type_url: type_url.to_owned(),
        resource_names: kind.names.iter().cloned().collect(),
        response_nonce: kind.nonce.clone(),
        ..DiscoveryRequest::default()
    }
}

fn delta_update(response: DeltaDiscoveryResponse) -> Update {
    let arrived = |resource: discovery::Resource| Arrived {
        name: resource.name,
        version: resource.version,
        body: resource.resource.map(|any| any.value).unwrap_or_default(),
    };
    Update {
        type_url: response.type_url,
        changed: response.resources.into_iter().map(arrived).collect(),
        removed: response.removed_resources,
        nonce: response.nonce,
        version: response.system_version_info,
        whole: false,
    }
}

fn sotw_update(response: DiscoveryResponse) -> Result<Update> {
    let type_url = response.type_url;
    let mut changed = Vec::new();
    for any in response.resources {
        let name = name(&type_url, &any.value)?;
        changed.push(Arrived {
            name,
            version: hash(&any.value),
            body: any.value,
        });
    }
    let whole = type_url == CLUSTER || type_url == LISTENER;
    let version = response.version_info;
    Ok(Update {
        type_url,
        changed,
        removed: Vec::new(),
        nonce: response.nonce,
        version,
        whole,
    })
}

/// Every resource type of Envoy has its name in field 1.
fn name(type_url: &str, body: &Bytes) -> Result<String> {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    let named = <Named as prost::Message>::decode(body.clone());
    Ok(named
        .with_context(|| format!("a resource of {type_url} has no name"))?
        .name)
}

fn hash(body: &Bytes) -> String {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
