//! Who calls is known before anything is read, and is who it says to be.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as AdsClient;
use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use meltemi_proto::resource::Encoded;
use meltemi_proto::urls;
use meltemi_xds::types::PAGE;
use meltemi_xds::{
    Account, Answer, Attachment, Authenticator, Caller, ClientId, ClientInfo, Credentials, Event,
    Guest, Identity, Limits, Peer, Question, Refusal, Server, Source, Unanswered, Unknown,
};
use meltemi_xds_tests::{Desk, mesh};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Code, Request, Status, Streaming};

const NODE: &str = "sidecar~127.0.0.1~web-0.shop~shop.svc.cluster.local";
const SOON: Duration = Duration::from_secs(20);

/// Believes tokens that are the name of a pod of `shop/web`, and a few others.
struct Keyring;

impl Authenticator for Keyring {
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> BoxFuture<'static, Result<Caller, Unknown>> {
        async move {
            let certificate = credentials.certificates.first().cloned();
            let token = credentials.token.map(|token| token.expose().clone());
            let mut until = None;
            let identity = match (certificate.as_deref(), token.as_deref()) {
                (Some(b"web"), None) => Identity::Proxy {
                    account: account(),
                    pod: None,
                },
                (_, None) => return Err(Unknown::Unproved("nothing is shown".into())),
                (_, Some("away")) => return Err(Unknown::Undecided("nobody knows".into())),
                (_, Some("person")) => Identity::DebugOnly { account: account() },
                (_, Some(pod)) => {
                    if pod == "short" {
                        until = Some(SystemTime::now() + Duration::from_millis(300));
                    }
                    let pod = Some(pod.replace("short", "web-0").into());
                    Identity::Proxy {
                        account: account(),
                        pod,
                    }
                }
            };
            Ok(Caller { identity, until })
        }
        .boxed()
    }
}

fn account() -> Account {
    Account {
        namespace: "shop".parse().unwrap(),
        name: "web".parse().unwrap(),
    }
}

/// A desk that remembers who was attached.
#[derive(Default)]
struct Door {
    desk: Desk,
    attached: Mutex<Vec<ClientInfo>>,
}

impl Source for Door {
    fn attach(&self, client: &ClientInfo) -> Result<Attachment, Refusal> {
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        attached.push(client.clone());
        self.desk.attach(client)
    }

    fn report(&self, client: ClientId, event: Event) {
        self.desk.report(client, event);
    }

    fn answer(&self, question: &Question<'_>) -> Result<Answer, Unanswered> {
        let all = question.names.iter();
        let echo = |name: &String| Arc::new(Encoded::new(name.as_str(), PAGE, name.clone()));
        Ok(Answer {
            control_plane: "{}".into(),
            resources: all.map(echo).collect(),
        })
    }
}

impl Door {
    fn last(&self) -> Option<ClientInfo> {
        let attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        attached.last().cloned()
    }
}

/// Serves the door to guests, each with `certificate`.
async fn serve(
    door: &Arc<Door>,
    certificate: Option<&'static [u8]>,
    limits: Limits,
) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let guests = TcpListenerStream::new(listener).map(move |stream| {
        let connection: TcpStream = stream?;
        let address = connection.peer_addr()?;
        let certificates = certificate.iter().map(|der| (*der).into()).collect();
        Ok(Guest {
            connection,
            peer: Peer {
                address,
                certificates,
            },
        })
    });
    let server = Server::new(door.clone(), limits);
    tokio::spawn(server.serve_guests(guests, (Arc::new(Keyring), None), std::future::pending()));
    Ok(address)
}

fn first(node: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some(Node {
            id: node.to_owned(),
            ..Node::default()
        }),
        type_url: urls::CLUSTER.to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
}

/// A stream that stays open until it is dropped.
struct Stream {
    _requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

/// Opens a stream with a token that says `requests` and then nothing more.
async fn open(
    address: SocketAddr,
    token: Option<&str>,
    requests: Vec<DeltaDiscoveryRequest>,
) -> Result<Stream> {
    let mut client = AdsClient::connect(format!("http://{address}")).await?;
    let (sender, receiver) = mpsc::channel(8);
    for request in requests {
        sender.send(request).await?;
    }
    let mut request = Request::new(ReceiverStream::new(receiver));
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse()?;
        request.metadata_mut().insert("authorization", value);
    }
    let responses = client.delta_aggregated_resources(request).await?;
    Ok(Stream {
        _requests: sender,
        responses: responses.into_inner(),
    })
}

impl Stream {
    /// What comes next: the number of resources, or how it ended.
    async fn next(&mut self) -> Result<Result<usize, Status>> {
        let next = tokio::time::timeout(SOON, self.responses.message()).await?;
        Ok(match next {
            Ok(message) => Ok(message.context("it was closed")?.resources.len()),
            Err(status) => Err(status),
        })
    }

    async fn end(&mut self) -> Result<Status> {
        loop {
            if let Err(status) = self.next().await? {
                return Ok(status);
            }
        }
    }
}

fn door() -> Arc<Door> {
    let door = Arc::new(Door::default());
    door.desk.edit(&[mesh::cluster("one", SOON)], &[]);
    door
}

#[tokio::test]
async fn a_stranger_is_refused_before_it_is_heard() -> Result<()> {
    let door = door();
    let address = serve(&door, None, Limits::default()).await?;
    for (token, code, words) in [
        (None, Code::Unauthenticated, "nothing is shown"),
        (Some("away"), Code::Unavailable, "nobody knows"),
    ] {
        // It has said nothing, and is not waited for.
        let status = open(address, token, vec![]).await?.end().await?;
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(words), "{status}");
    }
    assert!(door.last().is_none(), "nobody was attached");
    Ok(())
}

#[tokio::test]
async fn a_node_is_of_its_caller() -> Result<()> {
    let door = door();
    let address = serve(&door, None, Limits::default()).await?;
    let mut own = open(address, Some("web-0"), vec![first(NODE)]).await?;
    assert_eq!(own.next().await??, 1);
    let info = door.last().context("nobody was attached")?;
    assert!(matches!(info.identity, Identity::Proxy { pod: Some(pod), .. } if &*pod == "web-0"));
    let metadata = info.node.metadata.context("no metadata")?;
    assert!(metadata.fields.contains_key("NAMESPACE"), "{metadata:?}");

    let bank = "sidecar~127.0.0.1~web-0.bank~bank.svc.cluster.local";
    for (token, node, words) in [
        ("web-0", bank, "namespace \"bank\""),
        ("web-1", NODE, "pod \"web-0\""),
        ("person", NODE, "debug types only"),
    ] {
        let status = open(address, Some(token), vec![first(node)])
            .await?
            .end()
            .await?;
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(status.message().contains(words), "{status}");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_enough_and_a_stream_keeps_its_node() -> Result<()> {
    let door = door();
    let address = serve(&door, Some(b"web"), Limits::default()).await?;
    let other = "sidecar~127.0.0.1~web-1.shop~shop.svc.cluster.local";
    let mut stream = open(address, None, vec![first(NODE)]).await?;
    assert_eq!(stream.next().await??, 1);
    let mut stream = open(address, None, vec![first(NODE), first(other)]).await?;
    let status = stream.end().await?;
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("another node"), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_stream_ends_with_its_proof() -> Result<()> {
    let door = door();
    let address = serve(&door, None, Limits::default()).await?;
    let mut short = open(address, Some("short"), vec![first(NODE)]).await?;
    assert_eq!(short.next().await??, 1);
    let status = short.end().await?;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("connect again"), "{status}");
    Ok(())
}

#[tokio::test]
async fn one_proxy_has_so_many_streams() -> Result<()> {
    let door = door();
    let limits = Limits {
        streams_of_proxy: 1,
        ..Limits::default()
    };
    let address = serve(&door, None, limits).await?;
    let mut one = open(address, Some("web-0"), vec![first(NODE)]).await?;
    assert_eq!(one.next().await??, 1);
    let status = open(address, Some("web-0"), vec![first(NODE)])
        .await?
        .end()
        .await?;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let gone = |event: &Event| matches!(event, Event::Detached);
    drop(one);
    door.desk
        .until("the end of the first", |events| events.iter().any(gone))
        .await?;
    let mut again = open(address, Some("web-0"), vec![first(NODE)]).await?;
    ensure!(again.next().await?.is_ok(), "the place is free");
    Ok(())
}

fn question(names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: PAGE.to_owned(),
        resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
        // What istioctl puts there says nothing.
        response_nonce: "2026-01-01 00:00:00".to_owned(),
        ..first("sidecar~10.0.0.9~test-1.istio-system~istio-system.svc.cluster.local")
    }
}

#[tokio::test]
async fn a_person_may_ask_and_attaches_nobody() -> Result<()> {
    let door = door();
    let address = serve(&door, None, Limits::default()).await?;
    let mut person = open(address, Some("person"), vec![question(&["a", "b"])]).await?;
    assert_eq!(person.next().await??, 2);
    let acknowledged = DeltaDiscoveryRequest {
        response_nonce: "answer-1".to_owned(),
        ..question(&["a", "b"])
    };
    let requests = vec![question(&["a", "b"]), acknowledged, question(&["c"])];
    let mut person = open(address, Some("person"), requests).await?;
    assert_eq!(person.next().await??, 2);
    assert_eq!(
        person.next().await??,
        1,
        "an acknowledgement is not answered"
    );
    let requests = vec![question(&["a"]), first(NODE)];
    let mut person = open(address, Some("person"), requests).await?;
    let status = person.end().await?;
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(door.last().is_none(), "nobody was attached");
    Ok(())
}

#[tokio::test]
async fn a_proxy_may_ask_beside_its_configuration() -> Result<()> {
    let door = door();
    let address = serve(&door, None, Limits::default()).await?;
    let asked = DeltaDiscoveryRequest {
        node: None,
        ..question(&["a", "b", "c"])
    };
    let mut own = open(address, Some("web-0"), vec![first(NODE), asked]).await?;
    let counts = [own.next().await??, own.next().await??];
    assert!(counts.contains(&1) && counts.contains(&3), "{counts:?}");
    Ok(())
}
