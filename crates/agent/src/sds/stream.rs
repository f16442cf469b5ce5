//! One stream of Envoy: which names it asks for, what it was sent.

use super::desk::{Answer, Desk};
use meltemi_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use meltemi_proto::google::rpc;
use meltemi_proto::urls::SECRET;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// The most names of one stream.
const NAMES: usize = 1024;

/// One of the two protocols.
pub(super) trait Talk: Send + 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;

    /// Takes a request in, and says which error it brought.
    fn hear(&mut self, request: Self::Request) -> Option<rpc::Status>;
    /// The names that are asked for.
    fn names(&self) -> &BTreeSet<String>;
    /// What to send now, if anything.
    fn speak(&mut self, desk: &Desk) -> Option<Self::Response>;
}

/// Answers `requests` until they or the process end.
pub(super) fn open<T: Talk>(
    (talk, desk): (T, Desk),
    requests: Streaming<T::Request>,
    ended: watch::Receiver<()>,
) -> ReceiverStream<Result<T::Response, Status>> {
    let (answers, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        if let Err(status) = run((talk, desk), requests, (&answers, ended)).await {
            // Envoy is gone.
            let _ = answers.send(Err(status)).await;
        }
    });
    ReceiverStream::new(receiver)
}

async fn run<T: Talk>(
    (mut talk, mut desk): (T, Desk),
    mut requests: Streaming<T::Request>,
    (answers, mut ended): (
        &mpsc::Sender<Result<T::Response, Status>>,
        watch::Receiver<()>,
    ),
) -> Result<(), Status> {
    loop {
        tokio::select! {
            request = requests.message() => {
                let Some(request) = request? else { return Ok(()) };
                if let Some(error) = talk.hear(request) {
                    tracing::warn!(error = error.message, names = ?talk.names(), "Envoy refuses a secret");
                }
                if talk.names().len() > NAMES {
                    return Err(Status::resource_exhausted("more than 1024 secrets on one stream"));
                }
            }
            () = desk.changed() => {}
            _ = ended.changed() => return Ok(()),
        }
        if let Some(answer) = talk.speak(&desk)
            && answers.send(Ok(answer)).await.is_err()
        {
            return Ok(());
        }
    }
}

/// State of the world.
#[derive(Debug, Default)]
pub(super) struct Sotw {
    names: BTreeSet<String>,
    /// The versions of what was sent.
    sent: BTreeMap<String, String>,
    count: u64,
}

impl Talk for Sotw {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn hear(&mut self, request: DiscoveryRequest) -> Option<rpc::Status> {
        let current = request.response_nonce.is_empty() || request.response_nonce == self.nonce();
        if current {
            self.names = request.resource_names.into_iter().collect();
        }
        request.error_detail
    }

    fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// All that is asked for and there, once any of it is new. An empty answer would be refused.
    fn speak(&mut self, desk: &Desk) -> Option<DiscoveryResponse> {
        let (mut sent, mut resources) = (BTreeMap::new(), Vec::new());
        for name in &self.names {
            if let Answer::Ready { version, secret } = desk.look(name) {
                sent.insert(name.clone(), version);
                resources.push(secret);
            }
        }
        let news = sent
            .iter()
            .any(|(name, version)| self.sent.get(name) != Some(version));
        if !news {
            return None;
        }
        self.sent = sent;
        self.count += 1;
        let versions: Vec<_> = self.sent.values().map(String::as_str).collect();
        Some(DiscoveryResponse {
            version_info: versions.join("."),
            resources,
            type_url: SECRET.to_owned(),
            nonce: self.nonce(),
            ..DiscoveryResponse::default()
        })
    }
}

impl Sotw {
    fn nonce(&self) -> String {
        self.count.to_string()
    }
}

/// Incremental.
#[derive(Debug, Default)]
pub(super) struct Delta {
    names: BTreeSet<String>,
    /// The versions of what Envoy has; an empty one is of what does not exist.
    sent: BTreeMap<String, String>,
    count: u64,
}

impl Talk for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn hear(&mut self, request: DeltaDiscoveryRequest) -> Option<rpc::Status> {
        for name in request.resource_names_unsubscribe {
            self.names.remove(&name);
            self.sent.remove(&name);
        }
        self.sent.extend(request.initial_resource_versions);
        for name in request.resource_names_subscribe {
            // Who asks again does not have it any more.
            if !self.names.insert(name.clone()) {
                self.sent.remove(&name);
            }
        }
        request.error_detail
    }

    fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    fn speak(&mut self, desk: &Desk) -> Option<DeltaDiscoveryResponse> {
        let (mut resources, mut removed_resources) = (Vec::new(), Vec::new());
        for name in &self.names {
            let (version, secret) = match desk.look(name) {
                Answer::Later => continue,
                Answer::Unknown => (String::new(), None),
                Answer::Ready { version, secret } => (version, Some(secret)),
            };
            if self.sent.get(name) == Some(&version) {
                continue;
            }
            self.sent.insert(name.clone(), version.clone());
            match secret {
                None => removed_resources.push(name.clone()),
                Some(_) => resources.push(Resource {
                    name: name.clone(),
                    version,
                    resource: secret,
                    ..Resource::default()
                }),
            }
        }
        if resources.is_empty() && removed_resources.is_empty() {
            return None;
        }
        self.count += 1;
        Some(DeltaDiscoveryResponse {
            resources,
            type_url: SECRET.to_owned(),
            removed_resources,
            nonce: self.count.to_string(),
            ..DeltaDiscoveryResponse::default()
        })
    }
}
