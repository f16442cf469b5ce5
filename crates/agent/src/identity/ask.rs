//! Asks an authority to sign a new key (platform.md 4.1). The token is read for each request, and sent
//! only after the handshake.

use super::key::{self, Algorithm};
use super::material::{Material, Unusable};
use super::mounted::Mounted;
use super::schedule::Grace;
use crate::upstream::{Upstream, UpstreamError};
use meltemi_proto::google::protobuf::{Struct, Value, value::Kind};
use meltemi_proto::istio::v1::auth::IstioCertificateRequest;
use meltemi_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use meltemi_types::SpiffeId;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use tonic::Request;

/// How long the authority has for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer, in bytes.
const LIMIT: usize = 1 << 20;

/// Who signs what, and for how long.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Where it is and what it is shown; the header `clusterid` belongs to it.
    pub upstream: Upstream,
    /// A certificate that proves the workload instead of a token, while it counts: `PROV_CERT`.
    pub proof: Option<Mounted>,
    /// The identity that is asked for. The authority decides by what it is shown.
    pub id: SpiffeId,
    /// What kind of key is made.
    pub algorithm: Algorithm,
    /// How long the certificate should count: `SECRET_TTL`, a day.
    pub lifetime: Duration,
    /// When it is renewed.
    pub grace: Grace,
    /// `ISTIO_META_CERT_SIGNER`; empty for the authority's own choice.
    pub signer: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("no key: {0}")]
    Key(#[from] rcgen::Error),
    #[error("the maker of keys ended: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("{address} refuses: {} ({:?})", .status.message(), .status.code())]
    Refused {
        address: String,
        status: Box<tonic::Status>,
    },
    #[error("{address} does not answer within {PATIENCE:?}")]
    Silent { address: String },
    #[error("{address} answers with {0} entries; a certificate and the roots are expected", address = .1)]
    Short(usize, String),
    #[error("what {address} answers is of no use: {why}")]
    Unusable { address: String, why: Unusable },
}

impl Authority {
    /// A certificate on a new key.
    pub(super) async fn ask(&self) -> Result<Material, AskError> {
        let made = self.made().await?;
        let proof = self.proof();
        let channel = self.upstream.connect(proof.as_ref()).await?;
        let mut client =
            IstioCertificateServiceClient::new(channel).max_decoding_message_size(LIMIT);
        let mut request = Request::new(self.request(made.csr));
        self.upstream.tell(request.metadata_mut())?;
        let address = || self.upstream.address.clone();
        let answer = tokio::time::timeout(PATIENCE, client.create_certificate(request)).await;
        let answer = answer.map_err(|_| AskError::Silent { address: address() })?;
        let answer = answer.map_err(|status| AskError::Refused {
            address: address(),
            status: Box::new(status),
        })?;
        let (chain, roots) = split(answer.into_inner().cert_chain)
            .map_err(|entries| AskError::Short(entries, address()))?;
        Material::new(chain, made.key, roots).map_err(|why| AskError::Unusable {
            address: address(),
            why,
        })
    }

    /// A new key. Only an RSA key takes so long that everybody would wait for it.
    async fn made(&self) -> Result<key::Request, AskError> {
        let algorithm = self.algorithm;
        if algorithm.is_quick() {
            return Ok(algorithm.request(&self.id)?);
        }
        let id = self.id.clone();
        Ok(tokio::task::spawn_blocking(move || algorithm.request(&id)).await??)
    }

    /// The certificate that proves us, while it counts.
    fn proof(&self) -> Option<Material> {
        let material = self.proof.as_ref()?.read();
        let material = material.inspect_err(|error| {
            tracing::warn!(%error, "the token alone is shown to the authority");
        });
        material.ok().filter(|it| SystemTime::now() < it.not_after)
    }

    fn request(&self, csr: String) -> IstioCertificateRequest {
        let signer = Value {
            kind: Some(Kind::StringValue(self.signer.clone())),
        };
        IstioCertificateRequest {
            csr,
            validity_duration: i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX),
            metadata: Some(Struct {
                fields: BTreeMap::from([("CertSigner".to_owned(), signer)]),
            }),
        }
    }
}

/// The chain, and the roots, which are the last entry; or how many entries there are.
fn split(mut entries: Vec<String>) -> Result<(Vec<u8>, Vec<u8>), usize> {
    let count = entries.len();
    let roots = entries.pop().filter(|_| count > 1).ok_or(count)?;
    let mut chain = String::new();
    for entry in entries {
        chain.push_str(entry.trim_end());
        chain.push('\n');
    }
    Ok((chain.into_bytes(), roots.into_bytes()))
}
