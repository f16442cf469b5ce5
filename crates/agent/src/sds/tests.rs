//! The service on its socket, asked as Envoy asks.

use super::*;
use crate::authority_double::Root;
use crate::identity::Material;
use crate::trust::{Domain, Trust};
use crate::upstream::Upstream;
use meltemi_proto::any::unpack;
use meltemi_proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::Secret as EnvoySecret;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use meltemi_proto::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient as Client;
use meltemi_proto::google::rpc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;

const SOON: Duration = Duration::from_secs(20);
const QUIET: Duration = Duration::from_millis(300);

struct Scene {
    held: watch::Sender<Option<Arc<Material>>>,
    bundle: watch::Sender<Arc<[u8]>>,
    trust: crate::trust::Tell,
    channel: Channel,
    dir: tempfile::TempDir,
    _drainer: meltemi_runtime::drain::Drainer,
}

async fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("sds/socket");
    let (held, receiver) = watch::channel(None);
    let (bundle, told) = watch::channel(Arc::from(b"".as_slice()));
    let (drainer, drain) = meltemi_runtime::drain::channel();
    let (trust, whom) = crate::trust::channel();
    let sources = Sources {
        held: receiver,
        bundle: told,
        trust: whom,
        files: Files::new(),
    };
    let settings = Settings {
        socket: socket.clone(),
        revoked: None,
    };
    assert_eq!(owner(&socket).await, Owner::Us);
    let secrets = Secrets::listen(&settings, sources).unwrap();
    tokio::spawn(secrets.run(drain));
    assert_eq!(owner(&socket).await, Owner::Another);
    let upstream = Upstream {
        address: "localhost:1".into(),
        san: None,
        roots: None,
        token: None,
        headers: Vec::new(),
    };
    let stream = UnixStream::connect(&socket).await.unwrap();
    Scene {
        held,
        bundle,
        trust,
        channel: upstream.speak(Box::new(stream), "http").await.unwrap(),
        dir,
        _drainer: drainer,
    }
}

struct Sotw(
    UnboundedSender<DiscoveryRequest>,
    Streaming<DiscoveryResponse>,
);

impl Sotw {
    async fn open(scene: &Scene, names: &[&str]) -> Self {
        let (sender, receiver) = unbounded_channel();
        let requests = UnboundedReceiverStream::new(receiver);
        sender.send(ask(names)).unwrap();
        let mut client = Client::new(scene.channel.clone());
        let responses = client.stream_secrets(requests).await.unwrap();
        Self(sender, responses.into_inner())
    }

    async fn next(&mut self) -> DiscoveryResponse {
        let next = tokio::time::timeout(SOON, self.1.message()).await;
        next.expect("no answer in time").unwrap().unwrap()
    }

    async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(QUIET, self.1.message()).await.is_err()
    }
}

fn ask(names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        resource_names: names.iter().copied().map(str::to_owned).collect(),
        ..DiscoveryRequest::default()
    }
}

fn bytes(source: Option<DataSource>) -> Vec<u8> {
    match source.and_then(|source| source.specifier) {
        Some(Specifier::InlineBytes(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

/// What is in the first secret: the chain and key, or the roots.
fn content(response: &DiscoveryResponse) -> (Vec<u8>, Vec<u8>) {
    let secret: EnvoySecret = unpack(&response.resources[0]).unwrap();
    match secret.r#type.unwrap() {
        Type::TlsCertificate(it) => (bytes(it.certificate_chain), bytes(it.private_key)),
        Type::ValidationContext(it) => (bytes(it.trusted_ca), Vec::new()),
        other @ (Type::SessionTicketKeys(_) | Type::GenericSecret(_)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_certificate_is_waited_for_pushed_and_renewed() {
    let scene = scene().await;
    let mut stream = Sotw::open(&scene, &["default"]).await;
    assert!(stream.is_quiet().await, "an empty answer would be refused");
    let root = Root::new("root");
    let first = Arc::new(root.material());
    scene.held.send_replace(Some(first.clone()));
    let answer = stream.next().await;
    let expected = (first.chain.clone(), first.key.expose().clone());
    assert_eq!(content(&answer), expected);
    let acknowledge = |answer: &DiscoveryResponse| DiscoveryRequest {
        response_nonce: answer.nonce.clone(),
        version_info: answer.version_info.clone(),
        ..ask(&["default"])
    };
    stream.0.send(acknowledge(&answer)).unwrap();
    assert!(stream.is_quiet().await);
    let second = Arc::new(root.material());
    scene.held.send_replace(Some(second.clone()));
    let renewed = stream.next().await;
    assert_ne!(renewed.version_info, answer.version_info);
    assert_eq!(content(&renewed).0, second.chain);
    let refuse = DiscoveryRequest {
        error_detail: Some(rpc::Status::default()),
        ..acknowledge(&renewed)
    };
    stream.0.send(refuse).unwrap();
    assert!(
        stream.is_quiet().await,
        "what was refused is not sent again"
    );
}

#[tokio::test]
async fn roots_are_those_of_the_authority_and_of_the_mesh_each_once() {
    let scene = scene().await;
    let (root, other) = (Root::new("root"), Root::new("other"));
    scene.held.send_replace(Some(Arc::new(root.material())));
    let mut stream = Sotw::open(&scene, &["ROOTCA"]).await;
    let alone = content(&stream.next().await).0;
    assert_eq!(pem::parse_many(alone).unwrap().len(), 1);
    let both = format!("{}{}", other.pem, root.pem);
    scene.bundle.send_replace(Arc::from(both.as_bytes()));
    let merged = content(&stream.next().await).0;
    assert_eq!(pem::parse_many(&merged).unwrap().len(), 2);
    let turned = trusted::merged(both.as_bytes(), root.pem.as_bytes());
    assert_eq!(merged, turned, "the order of the sources does not count");
    scene.held.send_replace(Some(Arc::new(root.material())));
    assert!(
        stream.is_quiet().await,
        "another certificate, the same roots"
    );
}

#[tokio::test]
async fn whom_to_believe_is_pushed_without_another_certificate() {
    let scene = scene().await;
    let (root, partner) = (Root::new("root"), Root::new("partner"));
    scene.held.send_replace(Some(Arc::new(root.material())));
    let mut stream = Sotw::open(&scene, &["ROOTCA"]).await;
    assert_eq!(
        content(&stream.next().await).0,
        trusted::merged(root.pem.as_bytes(), &[])
    );
    let of = |trust| scene.trust.send_replace(Arc::new(trust));
    of(Trust {
        roots: partner.pem.clone().into_bytes(),
        ..Trust::default()
    });
    let both = content(&stream.next().await).0;
    assert_eq!(
        both,
        trusted::merged(partner.pem.as_bytes(), root.pem.as_bytes())
    );
    let domain = |pem: &str, mesh| Domain {
        roots: pem.as_bytes().to_vec(),
        mesh,
    };
    of(Trust {
        roots: both,
        domains: [
            ("td".parse().unwrap(), domain("", true)),
            ("partner".parse().unwrap(), domain(&partner.pem, false)),
        ]
        .into(),
    });
    let apart: EnvoySecret = unpack(&stream.next().await.resources[0]).unwrap();
    let Some(Type::ValidationContext(context)) = apart.r#type else {
        panic!("no validation context")
    };
    assert!(context.custom_validator_config.is_some() && context.trusted_ca.is_none());
}

#[tokio::test]
async fn files_are_served_and_followed() {
    let scene = scene().await;
    let root = Root::new("root");
    let of = |name: &str| scene.dir.path().join(name);
    let put = |material: &Material| {
        std::fs::write(of("key.pem"), material.key.expose()).unwrap();
        std::fs::write(of("chain.pem"), &material.chain).unwrap();
    };
    let name = format!(
        "file-cert:{}~{}",
        of("chain.pem").display(),
        of("key.pem").display()
    );
    let mut stream = Sotw::open(&scene, &[&name]).await;
    assert!(stream.is_quiet().await, "the files are not there yet");
    let (first, second) = (root.material(), root.material());
    put(&first);
    assert_eq!(content(&stream.next().await).0, first.chain);
    put(&second);
    assert_eq!(content(&stream.next().await).0, second.chain);
    std::fs::write(of("key.pem"), first.key.expose()).unwrap();
    assert!(stream.is_quiet().await, "a key without its certificate");
    std::fs::write(of("root.pem"), &root.pem).unwrap();
    let name = format!("file-root:{}", of("root.pem").display());
    let mut stream = Sotw::open(&scene, &[&name]).await;
    assert_eq!(content(&stream.next().await).0, root.pem.as_bytes());
}

#[tokio::test]
async fn incremental_streams_are_told_what_does_not_exist_and_nothing_twice() {
    let scene = scene().await;
    scene
        .held
        .send_replace(Some(Arc::new(Root::new("root").material())));
    let (sender, receiver) = unbounded_channel();
    let subscribe = |names: &[&str]| DeltaDiscoveryRequest {
        resource_names_subscribe: names.iter().copied().map(str::to_owned).collect(),
        ..DeltaDiscoveryRequest::default()
    };
    sender.send(subscribe(&["default", "nobody"])).unwrap();
    let mut client = Client::new(scene.channel.clone());
    let requests = UnboundedReceiverStream::new(receiver);
    let mut responses = client.delta_secrets(requests).await.unwrap().into_inner();
    let first = responses.message().await.unwrap().unwrap();
    assert_eq!(first.resources.len(), 1);
    assert_eq!(first.removed_resources, ["nobody"]);
    let version = first.resources[0].version.clone();
    let known = DeltaDiscoveryRequest {
        initial_resource_versions: [("default".to_owned(), version)].into(),
        ..subscribe(&["default"])
    };
    let again = UnboundedReceiverStream::new({
        let (sender, receiver) = unbounded_channel();
        sender.send(known).unwrap();
        std::mem::forget(sender);
        receiver
    });
    let mut responses = client.delta_secrets(again).await.unwrap().into_inner();
    let quiet = tokio::time::timeout(QUIET, responses.message()).await;
    assert!(quiet.is_err(), "what Envoy has is not sent again");
}
