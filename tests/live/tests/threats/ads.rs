//! A client of the control plane that says whatever an attacker would.

use anyhow::{Context, Result, ensure};
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use meltemi_proto::google::protobuf::value::Kind;
use meltemi_proto::google::protobuf::{Struct, Value};
use meltemi_proto::urls::CLUSTER;
use meltemi_testkit::caller::Caller;
use meltemi_testkit::reviews::Token;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::codec::Streaming;
use tonic::{Code, Request, Status};

/// Any answer must come within this.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// The proxy that the tests have a token for.
pub(crate) const NODE: &str = "sidecar~127.0.0.1~web-0.shop~shop.svc.cluster.local";

/// The pod of that proxy.
pub(crate) fn pod() -> Token<'static> {
    Token::of("shop", "web", "web-0")
}

/// What a proxy says of itself.
pub(crate) fn node(id: &str, metadata: &[(&str, &str)]) -> Node {
    let value = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let said = metadata
        .iter()
        .map(|(key, text)| ((*key).to_owned(), value(text)));
    let none = [("INTERCEPTION_MODE".to_owned(), value("NONE"))];
    Node {
        id: id.to_owned(),
        cluster: "web.shop".to_owned(),
        metadata: Some(Struct {
            fields: none.into_iter().chain(said).collect(),
        }),
        ..Node::default()
    }
}

/// The first request of a stream: a type, and names of it.
pub(crate) fn first(node: Node, type_url: &str, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(node),
        type_url: type_url.to_owned(),
        resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// A stream of configuration.
pub(crate) struct Ads {
    requests: UnboundedSender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Ads {
    /// Opens it with further headers; who is refused at once is told why.
    pub(crate) async fn open(
        caller: &Caller,
        headers: &[(&'static str, &str)],
    ) -> Result<Result<Self, Status>> {
        let channel = caller.connect().await?;
        let (requests, receiver) = unbounded_channel();
        let mut request = Request::new(UnboundedReceiverStream::new(receiver));
        let token = caller.token.iter().map(|token| format!("Bearer {token}"));
        for bearer in token {
            request
                .metadata_mut()
                .insert("authorization", bearer.parse()?);
        }
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse()?);
        }
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let opened = client.delta_aggregated_resources(request);
        let opened = tokio::time::timeout(SOON, opened).await?;
        Ok(opened.map(|responses| Self {
            requests,
            responses: responses.into_inner(),
        }))
    }

    /// Opens it as the proxy of the tests, and gets its clusters.
    pub(crate) async fn of(caller: &Caller) -> Result<Self> {
        let mut ads = Self::open(caller, &[]).await??;
        // It may have been refused before it was heard; then that comes next.
        let _unheard = ads.say(first(node(NODE, &[]), CLUSTER, &[]));
        ensure!(!ads.next().await??.resources.is_empty(), "no cluster");
        Ok(ads)
    }

    pub(crate) fn say(&self, request: DeltaDiscoveryRequest) -> Result<()> {
        self.requests.send(request).context("nobody reads")
    }

    /// What comes next, or why nothing does any more.
    pub(crate) async fn next(&mut self) -> Result<Result<DeltaDiscoveryResponse, Status>> {
        let next = tokio::time::timeout(SOON, self.responses.message()).await;
        let next = next.context("nothing comes, and the stream stays open")?;
        Ok(match next {
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(Status::ok("the stream has ended")),
            Err(status) => Err(status),
        })
    }
}

/// Who opens a stream so, and says this, gets nothing but a refusal.
pub(crate) async fn expect_refused(
    (caller, headers): (&Caller, &[(&'static str, &str)]),
    says: Vec<DeltaDiscoveryRequest>,
    (code, words): (Code, &str),
) -> Result<()> {
    let status = match Ads::open(caller, headers).await? {
        Err(status) => status,
        Ok(mut ads) => {
            for request in says {
                // It may have been refused before it was heard.
                let _unheard = ads.say(request);
            }
            match ads.next().await? {
                Err(status) => status,
                Ok(response) => anyhow::bail!("{words:?}: it got {response:?}"),
            }
        }
    };
    let fits = status.code() == code && status.message().contains(words);
    ensure!(fits, "{code:?} with {words:?} was expected: {status:?}");
    Ok(())
}
