//! Somebody who calls the control plane over TLS, as an agent does: with a token, with a client
//! certificate, with both or with nothing. One connection for each call, unless it is kept.

use anyhow::{Context, Result};
use hyper_util::rt::TokioIo;
use meltemi_bootstrap::NodeFacts;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3 as discovery;
use meltemi_proto::google::protobuf::{Struct, Value, value::Kind};
use meltemi_proto::istio::v1::auth::IstioCertificateRequest;
use meltemi_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use meltemi_proto::urls::CLUSTER;
use prost::Message;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::codec::Streaming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

/// Whom the server must prove to be.
const NAME: &str = "istiod.istio-system.svc";

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The control plane's secure address.
    pub server: SocketAddr,
    /// Whom to believe, in PEM.
    pub roots: String,
    /// A bearer token.
    pub token: Option<String>,
    /// A certificate with its chain, and its key, in PEM.
    pub certificate: Option<(String, String)>,
}

/// An open stream of configuration.
#[derive(Debug)]
pub struct Stream {
    requests: UnboundedSender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Caller {
    /// A connection, after its handshake.
    ///
    /// # Errors
    /// What is to be shown cannot be read, nobody listens, or the server is not believed.
    pub async fn connect(&self) -> Result<Channel> {
        let config = Arc::new(self.config()?);
        let server = self.server;
        let connect = tower::service_fn(move |_uri| {
            let connector = TlsConnector::from(config.clone());
            async move {
                let stream = TcpStream::connect(server).await?;
                stream.set_nodelay(true)?;
                let name = ServerName::try_from(NAME).map_err(std::io::Error::other)?;
                connector.connect(name, stream).await.map(TokioIo::new)
            }
        });
        let endpoint = Endpoint::from_shared(format!("https://{NAME}:15012"))?;
        let channel = endpoint.connect_with_connector(connect).await;
        channel.with_context(|| format!("cannot connect to {server}"))
    }

    fn config(&self) -> Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(self.roots.as_bytes()) {
            store.add(root?)?;
        }
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store);
        let mut config = match &self.certificate {
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
                config.with_client_auth_cert(chain.collect::<Result<_, _>>()?, key)?
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn request<T>(&self, message: T) -> Result<Request<T>> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {token}").parse()?;
            request.metadata_mut().insert("authorization", bearer);
        }
        Ok(request)
    }

    /// Asks for a certificate for so many seconds: the chain, or why not.
    ///
    /// # Errors
    /// No connection.
    pub async fn sign(&self, csr: &str, seconds: i64) -> Result<Result<Vec<String>, Status>> {
        self.sign_on(self.connect().await?, (csr, seconds)).await
    }

    /// The same on a connection that is open.
    ///
    /// # Errors
    /// The token is no header.
    pub async fn sign_on(
        &self,
        channel: Channel,
        (csr, seconds): (&str, i64),
    ) -> Result<Result<Vec<String>, Status>> {
        self.sign_by(channel, (csr, seconds), None).await
    }

    /// The same by a signer of the cluster, if one is named.
    ///
    /// # Errors
    /// The token is no header.
    pub async fn sign_by(
        &self,
        channel: Channel,
        (csr, seconds): (&str, i64),
        signer: Option<&str>,
    ) -> Result<Result<Vec<String>, Status>> {
        let metadata = signer.map(|signer| {
            let kind = Some(Kind::StringValue(signer.to_owned()));
            Struct {
                fields: BTreeMap::from([("CertSigner".to_owned(), Value { kind })]),
            }
        });
        let request = self.request(IstioCertificateRequest {
            csr: csr.to_owned(),
            validity_duration: seconds,
            metadata,
        })?;
        let mut client = IstioCertificateServiceClient::new(channel);
        let answer = client.create_certificate(request).await;
        Ok(answer.map(|answer| answer.into_inner().cert_chain))
    }

    /// Opens a stream of clusters on a connection, as the proxy `node`.
    ///
    /// # Errors
    /// It is refused.
    pub async fn stream_on(&self, channel: Channel, node: &NodeFacts) -> Result<Stream> {
        self.stream_of(CLUSTER, (channel, node)).await
    }

    /// Opens a stream of resources of a type on a connection, as the proxy `node`.
    ///
    /// # Errors
    /// It is refused.
    pub async fn stream_of(
        &self,
        type_url: &str,
        (channel, node): (Channel, &NodeFacts),
    ) -> Result<Stream> {
        let bytes = meltemi_proto::pool::from_json("envoy.config.core.v3.Node", &node.to_json())?;
        let (requests, receiver) = unbounded_channel();
        requests.send(DeltaDiscoveryRequest {
            node: Some(Node::decode(bytes.as_slice())?),
            type_url: type_url.to_owned(),
            ..DeltaDiscoveryRequest::default()
        })?;
        let request = self.request(UnboundedReceiverStream::new(receiver))?;
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let responses = client.delta_aggregated_resources(request).await?;
        Ok(Stream {
            requests,
            responses: responses.into_inner(),
        })
    }
}

impl Stream {
    /// The names in the next response.
    ///
    /// # Errors
    /// Why the stream has ended.
    pub async fn names(&mut self) -> Result<Vec<String>, Status> {
        let names = self.next().await?.resources.into_iter();
        Ok(names.map(|one| one.name).collect())
    }

    /// The next response, which is accepted.
    ///
    /// # Errors
    /// Why the stream has ended.
    pub async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let ended = || Status::ok("the stream has ended");
        let response = self.responses.message().await?.ok_or_else(ended)?;
        let accept = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        };
        // If it is closed, the next response says so.
        let _ = self.requests.send(accept);
        Ok(response)
    }

    /// Why the stream ends, once it does.
    pub async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.names().await {
                return status;
            }
        }
    }
}
