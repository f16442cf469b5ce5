//! The server over a real socket with a tonic client: what ends a stream, and what does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as AdsClient;
use meltemi_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest,
};
use meltemi_proto::urls;
use meltemi_xds::{Attachment, ClientId, ClientInfo, Event, Limits, Refusal, Source};
use meltemi_xds_tests::{Desk, Serving, mesh};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

const NODE: &str = "sidecar~127.0.0.1~web-0.shop~shop.svc.cluster.local";
const SECOND: Duration = Duration::from_secs(1);

/// A delta stream of a client that says what the test says.
struct Stream {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

async fn connect(serving: &Serving) -> Result<AdsClient<Channel>> {
    Ok(AdsClient::connect(format!("http://{}", serving.address)).await?)
}

async fn open(serving: &Serving) -> Result<Stream> {
    let (requests, receiver) = mpsc::channel(8);
    let requested = ReceiverStream::new(receiver);
    let mut client = connect(serving).await?;
    let responses = client.delta_aggregated_resources(requested).await?;
    Ok(Stream {
        requests,
        responses: responses.into_inner(),
    })
}

fn request(node: &str, type_url: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(Node {
            id: node.to_owned(),
            ..Node::default()
        }),
        type_url: type_url.to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
}

impl Stream {
    async fn say(&self, request: DeltaDiscoveryRequest) -> Result<()> {
        self.requests
            .send(request)
            .await
            .context("the stream ended")
    }

    async fn hear(&mut self) -> Result<Result<DeltaDiscoveryResponse, Status>> {
        let heard = tokio::time::timeout(20 * SECOND, self.responses.message()).await?;
        Ok(match heard {
            Ok(response) => Ok(response.context("the stream was closed")?),
            Err(status) => Err(status),
        })
    }

    async fn ends(&mut self) -> Result<Status> {
        match self.hear().await? {
            Ok(response) => bail!("a response instead of an end: {response:?}"),
            Err(status) => Ok(status),
        }
    }
}

#[tokio::test]
async fn a_first_request_is_needed_and_checked() -> Result<()> {
    let desk = Arc::new(Desk::default());
    let limits = Limits {
        first_request: Duration::from_millis(100),
        ..Limits::default()
    };
    let serving = Serving::start(&desk, 0, limits).await?;
    let cases = [
        ("", urls::CLUSTER, Code::InvalidArgument, "set node.id"),
        ("web", urls::CLUSTER, Code::InvalidArgument, "node id"),
        (NODE, "x", Code::InvalidArgument, "\"x\" is not served here"),
        (
            "ztunnel~127.0.0.1~a.b~c",
            urls::CLUSTER,
            Code::PermissionDenied,
            "ztunnel proxy",
        ),
    ];
    for (node, type_url, code, message) in cases {
        let mut stream = open(&serving).await?;
        stream.say(request(node, type_url)).await?;
        let status = stream.ends().await?;
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(message), "{status}");
    }
    let mut silent = open(&serving).await?;
    assert_eq!(silent.ends().await?.code(), Code::DeadlineExceeded);
    assert!(serving.clients.snapshot().is_empty());
    serving.stop().await
}

#[tokio::test]
async fn a_stream_is_served_listed_and_drained() -> Result<()> {
    let desk = Arc::new(Desk::default());
    desk.edit(&[mesh::cluster("one", SECOND)], &[]);
    let serving = Serving::start(&desk, 0, Limits::default()).await?;
    let mut stream = open(&serving).await?;
    stream.say(request(NODE, urls::CLUSTER)).await?;
    let first = stream.hear().await??;
    assert_eq!(first.resources.len(), 1);
    let ack = DeltaDiscoveryRequest {
        response_nonce: first.nonce.clone(),
        ..request("", urls::CLUSTER)
    };
    stream.say(ack).await?;
    desk.until_synced().await?;
    let clients = serving.clients.snapshot();
    let [client] = &clients[..] else {
        panic!("{clients:?}");
    };
    assert_eq!((&*client.key, &*client.node_id), ("web-0.shop", NODE));
    assert_eq!(client.types[0].acked_nonce.as_deref(), Some(&*first.nonce));
    assert!(client.peer.is_some() && client.types[0].settled);

    desk.edit(&[mesh::cluster("one", 2 * SECOND)], &[]);
    assert_eq!(stream.hear().await??.resources.len(), 1);

    let clients = serving.clients.clone();
    serving.stop().await?;
    assert_eq!(stream.ends().await?.code(), Code::Unavailable);
    assert!(clients.snapshot().is_empty());
    let detached = |event: &Event| matches!(event, Event::Detached);
    assert_eq!(desk.events().iter().filter(|e| detached(e)).count(), 1);
    Ok(())
}

/// A client that reads nothing costs no queue: it later gets the last state, not each.
#[tokio::test]
async fn a_slow_reader_gets_the_last_state() -> Result<()> {
    let desk = Arc::new(Desk::default());
    let serving = Serving::start(&desk, 0, Limits::default()).await?;
    let mut stream = open(&serving).await?;
    stream.say(request(NODE, urls::CLUSTER)).await?;
    let first = stream.hear().await??;
    for millis in 1..=500 {
        desk.edit(&[mesh::cluster("one", Duration::from_millis(millis))], &[]);
    }
    let mut nonce = first.nonce;
    let mut heard: Vec<String> = Vec::new();
    let last = mesh::cluster("one", Duration::from_millis(500));
    while heard
        .last()
        .is_none_or(|version| **version != *last.version)
    {
        let ack = DeltaDiscoveryRequest {
            response_nonce: nonce,
            ..request("", urls::CLUSTER)
        };
        stream.say(ack).await?;
        let mut response = stream.hear().await??;
        nonce = response.nonce;
        heard.push(response.resources.remove(0).version);
        assert!(heard.len() <= 3, "{heard:?}");
    }
    serving.stop().await
}

/// Both protocols give the same bytes.
#[tokio::test]
async fn sotw_gives_what_delta_gives() -> Result<()> {
    let desk = Arc::new(Desk::default());
    let (one, two) = (mesh::cluster("one", SECOND), mesh::cluster("two", SECOND));
    desk.edit(&[one.clone(), two.clone()], &[]);
    let serving = Serving::start(&desk, 0, Limits::default()).await?;
    let requests = tokio_stream::iter([DiscoveryRequest {
        node: request(NODE, "").node,
        type_url: urls::CLUSTER.to_owned(),
        ..DiscoveryRequest::default()
    }]);
    let requests = tokio_stream::StreamExt::chain(requests, tokio_stream::pending());
    let mut client = connect(&serving).await?;
    let mut sotw = client
        .stream_aggregated_resources(requests)
        .await?
        .into_inner();
    let sotw = sotw.message().await?.context("the stream was closed")?;
    let bodies: Vec<_> = sotw.resources.iter().map(|any| &any.value).collect();
    assert_eq!(bodies, [&one.body, &two.body]);

    let mut stream = open(&serving).await?;
    stream.say(request(NODE, urls::CLUSTER)).await?;
    let delta = stream.hear().await??;
    let bodies: Vec<_> = delta.resources.iter().flat_map(|r| &r.resource).collect();
    assert_eq!(bodies, sotw.resources.iter().collect::<Vec<_>>());
    serving.stop().await
}

/// A source that fails on every second client.
#[derive(Debug, Default)]
struct Shaky {
    desk: Desk,
    count: AtomicUsize,
}

impl Source for Shaky {
    fn attach(&self, client: &ClientInfo) -> Result<Attachment, Refusal> {
        match self.count.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Refusal::NotReady("still reading".to_owned())),
            1 => std::panic::resume_unwind(Box::new("on purpose")),
            _ => self.desk.attach(client),
        }
    }

    fn report(&self, client: ClientId, event: Event) {
        self.desk.report(client, event);
    }
}

#[tokio::test]
async fn a_panic_ends_one_stream() -> Result<()> {
    let serving = Serving::start(&Arc::new(Shaky::default()), 0, Limits::default()).await?;
    let mut early = open(&serving).await?;
    early.say(request(NODE, urls::CLUSTER)).await?;
    assert_eq!(early.ends().await?.code(), Code::Unavailable);
    let mut unlucky = open(&serving).await?;
    unlucky.say(request(NODE, urls::CLUSTER)).await?;
    assert_eq!(unlucky.ends().await?.code(), Code::Internal);
    let mut lucky = open(&serving).await?;
    lucky.say(request(NODE, urls::CLUSTER)).await?;
    assert_eq!(lucky.hear().await??.resources.len(), 0);
    serving.stop().await
}
