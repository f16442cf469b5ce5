//! `istio.v1.auth.IstioCertificateService` (platform.md 4.1): signs the key of a workload for the
//! identity that its token or certificate proves, and for no other.
//!
//! Who calls is known before the request is decoded. What a stranger is told is one sentence; the
//! reason goes to the log. Each certificate is a line of the audit.

use crate::callers::Callers;
use crate::clock;
use crate::registrar::Registrar;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use meltemi_ca::{Authority, Issued, Lifetimes, MAX_BYTES, Refused, Request};
use meltemi_proto::google::protobuf::value::Kind;
use meltemi_proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use meltemi_types::SpiffeId;
use meltemi_xds::{Credentials, Identity, Unary, Unknown};
use prost::Message;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::Status;

/// The one method.
const PATH: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
/// Whose lines are the audit; one of our names, so that they are logged unless somebody says else.
const AUDIT: &str = "meltemi_audit";
/// Under this key the proxy of a node asks for the certificate of a pod on it (reliability.md T13).
const IMPERSONATED: &str = "ImpersonatedIdentity";
/// Under this key a request names the signer of the cluster that it wants.
const SIGNER: &str = "CertSigner";
/// What a request may have beyond its signing request: a lifetime and metadata.
const REST: usize = 4 * 1024;

/// Signs.
#[derive(Clone)]
pub(crate) struct Issuing {
    pub(crate) callers: Arc<Callers>,
    pub(crate) signs: Signs,
    pub(crate) lifetimes: Lifetimes,
}

/// What signs.
#[derive(Clone)]
pub(crate) enum Signs {
    /// Our own authority; `None` until it is known.
    Own(watch::Receiver<Option<Arc<Authority>>>),
    /// A signer of the cluster.
    Cluster(Arc<Registrar>),
}

impl Unary for Issuing {
    fn knows(&self, path: &str) -> bool {
        path == PATH
    }

    fn longest(&self) -> usize {
        MAX_BYTES + REST
    }

    fn answer(
        &self,
        credentials: Credentials,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Status>> {
        let issuing = self.clone();
        async move { issuing.create(credentials, request).await }.boxed()
    }
}

impl Issuing {
    async fn create(&self, credentials: Credentials, request: Bytes) -> Result<Bytes, Status> {
        metrics::counter!("citadel_server_csr_count").increment(1);
        let peer = credentials.peer;
        let id = self.identify(credentials).await?;
        let request = IstioCertificateRequest::decode(request);
        let request = request.map_err(|_| Status::invalid_argument("the request is no message"))?;
        let IstioCertificateRequest {
            csr,
            validity_duration,
            metadata,
        } = request;
        let from = peer.map(tracing::field::display);
        // The metadata is the caller's word; it may choose among the signers that are offered.
        let metadata = metadata.map(|metadata| metadata.fields);
        let metadata = metadata.unwrap_or_default();
        if metadata.contains_key(IMPERSONATED) {
            return Err(Status::permission_denied(format!(
                "{id} asks in the name of another ({IMPERSONATED}); that is not supported, so ask \
                 as the workload itself"
            )));
        }
        let signer = metadata.get(SIGNER).and_then(|value| value.kind.as_ref());
        let signer = match signer {
            Some(Kind::StringValue(signer)) => Some(signer.as_str()),
            Some(_) | None => None,
        };
        let issued = self.issue((&csr, &id), validity_duration, signer).await;
        let issued = issued.inspect_err(|status| {
            let why = status.message();
            tracing::info!(target: AUDIT, %id, from, why, "certificate refused");
        })?;
        let until = clock::unix(issued.validity.until);
        tracing::info!(target: AUDIT, %id, from, serial = %issued.serial, until, "certificate issued");
        metrics::counter!("citadel_server_success_cert_issuance_count").increment(1);
        let cert_chain = issued.chain;
        Ok(IstioCertificateResponse { cert_chain }
            .encode_to_vec()
            .into())
    }

    /// For whom a certificate is.
    async fn identify(&self, credentials: Credentials) -> Result<SpiffeId, Status> {
        let peer = credentials.peer;
        let stranger = |why: &str| {
            metrics::counter!("citadel_server_authentication_failure_count").increment(1);
            let from = peer.map(tracing::field::display);
            tracing::info!(target: AUDIT, from, why, "certificate refused");
            Status::unauthenticated("request authenticate failure")
        };
        let account = match self
            .callers
            .know(credentials)
            .await
            .map(|caller| caller.identity)
        {
            Ok(Identity::Proxy { account, pod: _ }) => account,
            Ok(Identity::DebugOnly { account }) => {
                let why = "the token is bound to no pod";
                metrics::counter!("citadel_server_id_extraction_err_count").increment(1);
                tracing::debug!(?account, "a token without a pod asks for a certificate");
                return Err(stranger(why));
            }
            Ok(Identity::Unasked) => return Err(stranger("nobody was asked")),
            Err(Unknown::Unproved(why)) => return Err(stranger(&why)),
            Err(Unknown::Undecided(why)) => {
                tracing::warn!(?peer, why, "it cannot be told who asks for a certificate");
                return Err(Status::unavailable(
                    "it cannot be told who calls; try again",
                ));
            }
        };
        Ok(SpiffeId {
            trust_domain: self.callers.plane.snapshot().mesh.trust_domain.clone(),
            namespace: account.namespace,
            account: account.name,
        })
    }

    async fn issue(
        &self,
        (csr, id): (&str, &SpiffeId),
        wish: i64,
        signer: Option<&str>,
    ) -> Result<Issued, Status> {
        let lifetime = self.lifetimes.grant(wish);
        let lifetime = lifetime.map_err(|refused| status(&refused))?;
        match &self.signs {
            Signs::Own(authority) => {
                let request = Request::read(csr).map_err(|bad| {
                    metrics::counter!("citadel_server_csr_parsing_err_count").increment(1);
                    Status::invalid_argument(bad.to_string())
                })?;
                let authority = authority.borrow().clone();
                let Some(authority) = authority else {
                    return Err(Status::internal("there is no authority yet; try again"));
                };
                let issued = authority.issue((&request, id), (clock::wall(), lifetime));
                issued.map_err(|refused| status(&refused))
            }
            Signs::Cluster(registrar) => registrar.issue((csr, id), signer, lifetime).await,
        }
    }
}

fn status(refused: &Refused) -> Status {
    let error = match refused {
        Refused::TooLong { .. } => "TTL_ERROR",
        Refused::AuthorityKey => "CSR_ERROR",
        Refused::Ending { .. } => "CA_NOT_READY",
        Refused::Failed(_) => "CERT_GEN_ERROR",
    };
    metrics::counter!("citadel_server_csr_sign_err_count", "error" => error).increment(1);
    match refused.is_callers() {
        true => Status::invalid_argument(refused.to_string()),
        false => {
            tracing::error!(error = %refused, "no certificate can be signed");
            Status::internal(refused.to_string())
        }
    }
}
