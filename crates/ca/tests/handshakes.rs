//! Handshakes over loopback: what is shown, what is replaced, who is believed, who is cut off.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test panics when it fails"
)]

use meltemi_ca::{Authority, Connection, Leaf, Limits, SERVING_LIFETIME, Tls, caller, listen};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "istiod.istio-system.svc";
const SOON: Duration = Duration::from_secs(20);

fn authority() -> Authority {
    let now = SystemTime::now();
    let pem = Authority::self_signed(&"cluster.local".parse().unwrap(), now).unwrap();
    Authority::read(pem, now).unwrap()
}

fn leaf(authority: &Authority) -> Leaf {
    let names = [NAME.to_owned()];
    let when = (SystemTime::now(), SERVING_LIFETIME);
    authority.sign_serving(&names, when).unwrap()
}

/// A running listener.
struct Server {
    address: SocketAddr,
    tls: Arc<Tls>,
    connections: mpsc::Receiver<io::Result<Connection>>,
}

impl Server {
    async fn start(authority: &Authority, limits: Limits) -> Self {
        let tls = Arc::new(Tls::new(&leaf(authority), authority).unwrap());
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (ready, connections) = mpsc::channel(8);
        tokio::spawn(listen::listen(socket, (tls.clone(), limits), ready));
        Self {
            address,
            tls,
            connections,
        }
    }

    async fn next(&mut self) -> Connection {
        let next = tokio::time::timeout(SOON, self.connections.recv());
        next.await.unwrap().unwrap().unwrap()
    }
}

/// A certificate of a client that `authority` vouches for, with its key.
type Certificate = (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>);

fn certificate(authority: &Authority, uri: &str) -> Certificate {
    let key = KeyPair::from_pem(authority.pem().key.expose()).unwrap();
    let issuer = Issuer::from_ca_cert_der(&authority.roots()[0], key).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    let own = KeyPair::generate().unwrap();
    let signed = params.signed_by(&own, &issuer).unwrap();
    (signed.der().clone(), own.serialize_der().into())
}

async fn connect(
    address: SocketAddr,
    authority: &Authority,
    own: Option<Certificate>,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.roots()[0].clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        Some((chain, key)) => builder
            .with_client_auth_cert(vec![chain], key.into())
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from(NAME).unwrap();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart() {
    let authority = authority();
    let mut server = Server::start(&authority, Limits::default()).await;
    let mut first = connect(server.address, &authority, None).await.unwrap();
    let mut taken = server.next().await;
    assert!(taken.certificates().is_empty(), "the client showed none");
    server.tls.show(&leaf(&authority)).unwrap();
    let second = connect(server.address, &authority, None).await.unwrap();
    assert_ne!(shown(&first), shown(&second));
    first.write_all(b"still open").await.unwrap();
    let mut read = [0; 10];
    taken.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"still open");
}

#[tokio::test]
async fn a_client_certificate_is_believed_or_ends_the_connection() {
    let (ours, other) = (authority(), authority());
    let domains = ["cluster.local".parse().unwrap()];
    let mut server = Server::start(&ours, Limits::default()).await;
    let uri = "spiffe://cluster.local/ns/shop/sa/reviews";
    let good = Some(certificate(&ours, uri));
    let _open = connect(server.address, &ours, good).await.unwrap();
    let shown = server.next().await.certificates();
    let accepted = caller::Accepted {
        domains: &domains,
        revoked: ours.revoked(),
        now: SystemTime::now(),
    };
    let who = caller::identify(&shown[0], accepted).unwrap();
    assert_eq!(who.id.to_string(), uri);

    let foreign = Some(certificate(&other, uri));
    let refused = async {
        let mut stream = connect(server.address, &ours, foreign).await?;
        stream.read_exact(&mut [0]).await
    };
    assert!(refused.await.is_err(), "another root vouches for it");

    server.tls.believe(&other).unwrap();
    let foreign = Some(certificate(&other, uri));
    let _open = connect(server.address, &ours, foreign).await.unwrap();
    assert_eq!(server.next().await.certificates().len(), 1);
}

#[tokio::test]
async fn who_does_not_finish_is_cut_off() {
    let authority = authority();
    let limits = Limits {
        handshake: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Server::start(&authority, limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let end = tokio::time::timeout(SOON, silent.read(&mut [0])).await;
    assert_eq!(end.unwrap().unwrap(), 0, "the server closes");
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_gets_them_back() {
    let authority = authority();
    let limits = Limits {
        per_address: 1,
        ..Limits::default()
    };
    let mut server = Server::start(&authority, limits).await;
    let open = connect(server.address, &authority, None).await.unwrap();
    let taken = server.next().await;
    assert!(connect(server.address, &authority, None).await.is_err());
    drop(taken);
    drop(open);
    let again = connect(server.address, &authority, None).await;
    assert!(again.is_ok(), "the seat is free: {again:?}");
}
