//! Lets a signer of the cluster sign for a caller who is known (`EXTERNAL_CA=ISTIOD_RA_KUBERNETES_API`,
//! platform.md 4.9). The request goes on as it is, since only its sender can make another one, so it
//! must ask for what was proved and nothing else; what comes back is checked as if a stranger sent it.

use crate::args::SignerNames;
use crate::clock;
use crate::plane::Plane;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_ca::{Forwarded, Issued};
use meltemi_kube::{Ask, Signing, SigningError};
use meltemi_types::SpiffeId;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tonic::Status;

/// Asks signers.
pub(crate) struct Registrar {
    pub(crate) signing: Signing,
    pub(crate) names: SignerNames,
    pub(crate) plane: Plane,
}

impl Registrar {
    /// A certificate for the key of a request, of the identity that its sender has proved. `wish` is
    /// the signer that the request names, if it does.
    pub(crate) async fn issue(
        &self,
        (csr, id): (&str, &SpiffeId),
        wish: Option<&str>,
        lifetime: Duration,
    ) -> Result<Issued, Status> {
        let request = Forwarded::read(csr, id).map_err(|bad| {
            metrics::counter!("citadel_server_csr_parsing_err_count").increment(1);
            Status::invalid_argument(bad.to_string())
        })?;
        let signer = signer(&self.names, wish).map_err(Status::invalid_argument)?;
        let ask = Ask {
            id: fresh(),
            signer: signer.clone(),
            request: request.pem().to_owned(),
            lifetime,
        };
        let answer = self
            .signing
            .sign(ask)
            .await
            .map_err(|error| refused(&error))?;
        let roots = roots(&self.plane.snapshot().mesh.config, &signer);
        let issued = request.accept((&answer, &roots), clock::wall());
        issued.map_err(|bad| {
            count();
            tracing::error!(error = %bad, signer, %id, "what a signer has signed is not handed out");
            Status::internal(format!("signer {signer}: {bad}"))
        })
    }
}

/// The signer that a request gets: the one that it names in the domain, else the default one.
fn signer(names: &SignerNames, wish: Option<&str>) -> Result<String, String> {
    let SignerNames { default, domain } = names;
    let wish = wish.filter(|wish| !wish.is_empty());
    match (wish, domain, default) {
        (Some(wish), Some(domain), _) if is_name(wish) => Ok(format!("{domain}/{wish}")),
        (Some(wish), Some(_), _) => Err(format!(
            "CertSigner {wish:?} is no name; use lower-case letters, digits, - and ."
        )),
        (Some(wish), None, _) => Err(format!(
            "CertSigner {wish:?}: no signer may be named here; set CERT_SIGNER_DOMAIN for that"
        )),
        (None, _, Some(default)) => Ok(default.clone()),
        (None, _, None) => Err(
            "name a signer (ISTIO_META_CERT_SIGNER); the control plane has none by default, since \
             K8S_SIGNER is not set"
                .to_owned(),
        ),
    }
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    text.len() <= 253 && text.chars().all(fits) && !text.starts_with(['-', '.'])
}

/// The roots that the mesh says this signer has.
fn roots(mesh: &MeshConfig, signer: &str) -> String {
    let of_signer = mesh
        .ca_certificates
        .iter()
        .filter(|one| one.cert_signers.iter().any(|name| name == signer));
    let pems = of_signer.filter_map(|one| one.pem.as_deref());
    pems.fold(String::new(), |all, pem| {
        format!("{all}{}\n", pem.trim_end())
    })
}

/// A name that nobody has used.
fn fresh() -> String {
    let random = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", random(), random())
}

fn count() {
    metrics::counter!("citadel_server_csr_sign_err_count", "error" => "CERT_GEN_ERROR")
        .increment(1);
}

fn refused(error: &SigningError) -> Status {
    count();
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, cause, "no certificate by a signer of the cluster");
    match error {
        SigningError::Refused { .. } | SigningError::NoText { .. } => {
            Status::internal(error.to_string())
        }
        SigningError::Api { .. } | SigningError::Silent { .. } | SigningError::Busy => {
            Status::unavailable(format!("{error}; try again"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_api::mesh_config::CertificateData;

    fn names(default: &str, domain: &str) -> SignerNames {
        let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        SignerNames {
            default: set(default),
            domain: set(domain),
        }
    }

    #[test]
    fn a_request_may_name_a_signer_of_the_domain_only() {
        let (one, any) = (names("a.b/c", ""), names("", "d.e"));
        assert_eq!(signer(&one, None).unwrap(), "a.b/c");
        assert_eq!(signer(&one, Some("")).unwrap(), "a.b/c");
        assert_eq!(signer(&any, Some("mesh")).unwrap(), "d.e/mesh");
        for (names, wish, words) in [
            (&one, Some("mesh"), "CERT_SIGNER_DOMAIN"),
            (&any, None, "K8S_SIGNER"),
            (&any, Some("../kube-apiserver-client"), "no name"),
            (&any, Some("a/b"), "no name"),
            (&any, Some("A"), "no name"),
        ] {
            let why = signer(names, wish).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn the_mesh_names_the_roots_of_a_signer() {
        let root = |pem: &str, signers: &[&str]| CertificateData {
            pem: Some(pem.to_owned()),
            cert_signers: signers.iter().map(|name| (*name).to_owned()).collect(),
            ..CertificateData::default()
        };
        let mut mesh = MeshConfig::defaults();
        mesh.ca_certificates = vec![
            root("A\n", &["a.b/c", "d.e/f"]),
            root("B", &["d.e/f"]),
            root("C", &[]),
        ];
        assert_eq!(roots(&mesh, "d.e/f"), "A\nB\n");
        assert_eq!(roots(&mesh, "a.b/c"), "A\n");
        assert_eq!(roots(&mesh, "x.y/z"), "");
        assert_ne!(fresh(), fresh());
    }
}
