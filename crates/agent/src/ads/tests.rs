//! The relay between a client on its socket and a control plane that says what a test wants.

use super::*;
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::google::protobuf::Any;
use meltemi_proto::google::rpc;
use meltemi_proto::istio::mesh::v1alpha1::ProxyConfig;
use meltemi_proto::istio::networking::nds::v1::NameTable;
use meltemi_proto::urls::{CLUSTER, LISTENER, NAME_TABLE, PROXY_CONFIG};
use std::time::Duration;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::mpsc::{
    Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel,
};
use tokio_stream::wrappers::{TcpListenerStream, UnboundedReceiverStream};

use discovery::Resource;
use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Client;

const SOON: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(300);

type Ask = DeltaDiscoveryRequest;
type Answer = DeltaDiscoveryResponse;

/// A stream at the control plane.
struct Call {
    asks: Streaming<Ask>,
    answers: Sender<Result<Answer, Status>>,
}

impl Call {
    async fn next(&mut self) -> Ask {
        let next = tokio::time::timeout(SOON, self.asks.message()).await;
        next.expect("nothing is asked in time").unwrap().unwrap()
    }

    async fn say(&self, answer: Answer) {
        self.answers.send(Ok(answer)).await.unwrap();
    }
}

/// Hands each stream to the test.
struct Plane(Sender<Call>);

#[tonic::async_trait]
impl AggregatedDiscoveryService for Plane {
    type StreamAggregatedResourcesStream = Answers<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Answers<Answer>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("these tests are incremental"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<Ask>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (answers, said) = channel(8);
        let asks = request.into_inner();
        self.0.send(Call { asks, answers }).await.unwrap();
        Ok(Response::new(ReceiverStream::new(said)))
    }
}

struct Scene {
    calls: Receiver<Call>,
    seen: Seen,
    trust: crate::trust::Told,
    socket: PathBuf,
    _dir: tempfile::TempDir,
    _drainer: meltemi_runtime::drain::Drainer,
}

impl Scene {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap().to_string();
        let (sender, calls) = channel(1);
        let plane = AggregatedDiscoveryServiceServer::new(Plane(sender));
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(async move {
            let server = tonic::transport::Server::builder();
            let never = std::future::pending();
            server
                .serve_with_incoming_shutdown(plane, incoming, never)
                .await
        });
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("XDS");
        let settings = Settings {
            socket: socket.clone(),
            upstream,
            san: None,
            roots: None,
            token: None,
            headers: vec![("x-team".into(), Secret::new("shop".into()))],
            name_table: true,
            trust: true,
        };
        let (drainer, drain) = meltemi_runtime::drain::channel();
        let (tell, trust) = crate::trust::channel();
        let held = watch::channel(None).1;
        let (relay, seen) = Relay::listen(settings, (held, tell)).unwrap();
        tokio::spawn(relay.run(drain));
        Self {
            calls,
            seen,
            trust,
            socket,
            _dir: dir,
            _drainer: drainer,
        }
    }

    async fn call(&mut self) -> Call {
        let call = tokio::time::timeout(SOON, self.calls.recv()).await;
        call.expect("no stream in time").unwrap()
    }

    async fn envoy(&self) -> Envoy {
        let upstream = Upstream {
            address: "localhost:1".into(),
            san: None,
            roots: None,
            token: None,
            headers: Vec::new(),
        };
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let channel = upstream.speak(Box::new(stream), "http").await.unwrap();
        let (asks, receiver) = unbounded_channel();
        let (heard, answers) = unbounded_channel();
        tokio::spawn(async move {
            let requests = UnboundedReceiverStream::new(receiver);
            let mut client = Client::new(channel);
            let stream = client.delta_aggregated_resources(requests).await;
            let mut stream = stream.unwrap().into_inner();
            loop {
                let message = stream.message().await.transpose();
                let Some(message) = message else { break };
                let ends = message.is_err();
                if heard.send(message).is_err() || ends {
                    break;
                }
            }
        });
        let node = Node {
            id: "sidecar~1".into(),
            ..Node::default()
        };
        asks.send(Ask {
            node: Some(node),
            ..ask(CLUSTER)
        })
        .unwrap();
        Envoy { asks, answers }
    }
}

struct Envoy {
    asks: UnboundedSender<Ask>,
    answers: UnboundedReceiver<Result<Answer, Status>>,
}

impl Envoy {
    async fn next(&mut self) -> Result<Answer, Status> {
        let next = tokio::time::timeout(SOON, self.answers.recv()).await;
        next.expect("nothing is said in time").unwrap()
    }

    async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(QUIET, self.answers.recv())
            .await
            .is_err()
    }
}

fn ask(url: &str) -> Ask {
    Ask {
        type_url: url.into(),
        ..Ask::default()
    }
}

fn answer(url: &str, nonce: &str, (name, body): (&str, Any)) -> Answer {
    Answer {
        type_url: url.into(),
        nonce: nonce.into(),
        resources: vec![Resource {
            name: name.into(),
            version: "1".into(),
            resource: Some(body),
            ..Resource::default()
        }],
        ..Answer::default()
    }
}

fn cluster() -> Answer {
    let body = pack(&Cluster {
        name: "c".into(),
        ..Cluster::default()
    });
    answer(CLUSTER, "n1", ("c", body))
}

#[tokio::test]
async fn names_are_asked_for_behind_listeners_and_kept_from_envoy() {
    let mut scene = Scene::start().await;
    let mut envoy = scene.envoy().await;
    let mut call = scene.call().await;
    assert_eq!(call.next().await.type_url, CLUSTER);
    envoy.asks.send(ask(LISTENER)).unwrap();
    assert_eq!(call.next().await.type_url, LISTENER);
    assert_eq!(call.next().await, ask(NAME_TABLE));
    assert_eq!(call.next().await, ask(PROXY_CONFIG));
    let info = NameInfo {
        ips: vec!["10.0.0.1".into()],
        ..NameInfo::default()
    };
    let table = NameTable {
        name_info: Some(info.clone()),
        ..NameTable::default()
    };
    call.say(answer(NAME_TABLE, "n7", ("a.shop.svc", pack(&table))))
        .await;
    let accepted = call.next().await;
    assert_eq!(
        (accepted.response_nonce.as_str(), accepted.error_detail),
        ("n7", None)
    );
    let names = scene.seen.names.borrow().clone().unwrap();
    assert_eq!(*names, BTreeMap::from([("a.shop.svc".to_owned(), info)]));
    let broken = answer(NAME_TABLE, "n8", ("a.shop.svc", pack(&Cluster::default())));
    call.say(broken).await;
    assert!(call.next().await.error_detail.is_some());
    let names = scene.seen.names.borrow().clone().unwrap();
    assert_eq!(names.len(), 1, "what was known stays");
    assert!(envoy.is_quiet().await, "nothing of it is for Envoy");
}

#[tokio::test]
async fn whom_to_believe_is_heard_refused_and_kept_while_nothing_is_said() {
    let mut scene = Scene::start().await;
    let mut envoy = scene.envoy().await;
    let mut call = scene.call().await;
    envoy.asks.send(ask(LISTENER)).unwrap();
    for url in [CLUSTER, LISTENER, NAME_TABLE, PROXY_CONFIG] {
        assert_eq!(call.next().await.type_url, url);
    }
    let root = crate::authority_double::Root::new("partner").pem;
    let said = |pem: &str| {
        pack(&ProxyConfig {
            ca_certificates_pem: vec![pem.to_owned()],
            ..ProxyConfig::default()
        })
    };
    call.say(answer(PROXY_CONFIG, "n7", ("trust", said(&root))))
        .await;
    assert_eq!(call.next().await.error_detail, None);
    let trust = scene.trust.borrow_and_update().clone();
    assert_eq!(trust.roots, root.as_bytes());
    let bad = answer(
        PROXY_CONFIG,
        "n8",
        ("trust", said("-----BEGIN CERTIFICATE-----")),
    );
    call.say(bad).await;
    assert!(call.next().await.error_detail.is_some());
    let gone = Answer {
        resources: Vec::new(),
        removed_resources: vec!["trust".to_owned()],
        ..answer(PROXY_CONFIG, "n9", ("trust", Any::default()))
    };
    call.say(gone).await;
    assert_eq!(call.next().await.error_detail, None);
    assert!(!scene.trust.has_changed().unwrap(), "what was known stays");
    assert!(envoy.is_quiet().await, "nothing of it is for Envoy");
    // Who comes back is told what is known.
    drop(call);
    let mut call = scene.call().await;
    for url in [CLUSTER, LISTENER, NAME_TABLE] {
        assert_eq!(call.next().await.type_url, url);
    }
    let known = [("trust".to_owned(), "1".to_owned())].into();
    let again = Ask {
        initial_resource_versions: known,
        ..ask(PROXY_CONFIG)
    };
    assert_eq!(call.next().await, again);
}

#[tokio::test]
async fn refusals_are_forwarded_and_strange_types_are_not() {
    let mut scene = Scene::start().await;
    let mut envoy = scene.envoy().await;
    let mut call = scene.call().await;
    call.next().await;
    let strange = "type.googleapis.com/istio.workload.Workload";
    call.say(answer(strange, "n0", ("x", Any::default()))).await;
    call.say(cluster()).await;
    let said = envoy.next().await.unwrap();
    assert_eq!(said.resources, cluster().resources);
    let refusal = rpc::Status {
        message: "no such thing".into(),
        ..rpc::Status::default()
    };
    let refuse = Ask {
        response_nonce: said.nonce,
        error_detail: Some(refusal.clone()),
        ..ask(CLUSTER)
    };
    envoy.asks.send(refuse).unwrap();
    let heard = call.next().await;
    assert_eq!(
        (heard.response_nonce.as_str(), heard.error_detail),
        ("n1", Some(refusal))
    );
    let course = *scene.seen.course.borrow();
    assert!(
        course.connected && course.clusters && !course.listeners,
        "{course:?}"
    );
}

#[tokio::test]
async fn a_newer_stream_takes_over() {
    let mut scene = Scene::start().await;
    let mut old = scene.envoy().await;
    let mut call = scene.call().await;
    call.next().await;
    call.say(cluster()).await;
    let said = old.next().await.unwrap();
    let accept = Ask {
        response_nonce: said.nonce,
        ..ask(CLUSTER)
    };
    old.asks.send(accept).unwrap();
    call.next().await;
    let mut new = scene.envoy().await;
    assert_eq!(old.next().await.unwrap_err().code(), tonic::Code::Cancelled);
    let mut call = scene.call().await;
    let asked = call.next().await;
    assert_eq!(asked.node.unwrap().id, "sidecar~1");
    assert!(
        asked.initial_resource_versions.is_empty(),
        "it has nothing yet"
    );
    call.say(cluster()).await;
    assert_eq!(new.next().await.unwrap().resources.len(), 1);
}

#[tokio::test]
async fn a_stream_that_ends_is_opened_again_behind_envoys_back() {
    let mut scene = Scene::start().await;
    let mut envoy = scene.envoy().await;
    let mut call = scene.call().await;
    call.next().await;
    call.say(cluster()).await;
    let said = envoy.next().await.unwrap();
    let accept = Ask {
        response_nonce: said.nonce,
        ..ask(CLUSTER)
    };
    envoy.asks.send(accept).unwrap();
    assert_eq!(call.next().await.response_nonce, "n1");
    let end = Status::unavailable("a new version is rolled out");
    call.answers.send(Err(end)).await.unwrap();
    let mut call = scene.call().await;
    let asked = call.next().await;
    let known = BTreeMap::from([("c".to_owned(), "1".to_owned())]);
    assert_eq!(asked.initial_resource_versions, known);
    assert!(envoy.is_quiet().await);
}
