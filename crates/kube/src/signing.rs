//! Certificates by a signer of the cluster (platform.md 4.9): the request of a workload becomes a
//! CertificateSigningRequest, is approved, is looked at until it is answered, and is taken away.
//!
//! Nothing is judged here: what may be asked for, and whether the answer is of use, is for others to
//! say. Objects are taken away whatever happens, also when nobody waits for the answer any more.

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

/// What the objects of this use are named by.
const PREFIX: &str = "csr-workload-";
/// The shortest lifetime that the API server takes.
const SHORTEST: Duration = Duration::from_secs(600);
/// What a certificate of a workload is for.
const USAGES: [&str; 4] = [
    "digital signature",
    "key encipherment",
    "server auth",
    "client auth",
];
/// Marks what a control plane has made.
const MADE_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "meltemid");

/// How long a signer may take, and how many are asked at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningPace {
    /// How long the whole may take.
    pub answer: Duration,
    /// The first pause between two looks; each is longer, up to ten times that.
    pub look: Duration,
    /// How many requests are open at once.
    pub open: usize,
}

impl Default for SigningPace {
    fn default() -> Self {
        Self {
            // Less than a caller of ours waits.
            answer: Duration::from_secs(8),
            look: Duration::from_millis(50),
            open: 64,
        }
    }
}

/// What a signer is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What the object is named by; nobody else may use it.
    pub id: String,
    /// The signer: `DOMAIN/PATH`.
    pub signer: String,
    /// The signing request, in PEM.
    pub request: String,
    /// How long the certificate should count.
    pub lifetime: Duration,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The API server refuses or is away.
    #[error("CertificateSigningRequest {name}: {step}: {source}")]
    Api {
        /// Which one.
        name: String,
        /// What it was to do.
        step: &'static str,
        /// What it says.
        #[source]
        source: Box<kube::Error>,
    },
    /// The signer does not want to.
    #[error("signer {signer} refuses: {why}")]
    Refused {
        /// Which one.
        signer: String,
        /// What it says.
        why: String,
    },
    /// Nobody answers.
    #[error(
        "signer {signer} does not answer within {after:?}; is it installed, and its name right?"
    )]
    Silent {
        /// Which one.
        signer: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// What it signs is no text.
    #[error("signer {signer} answers with something that is no PEM")]
    NoText {
        /// Which one.
        signer: String,
    },
    /// Too many wait already.
    #[error("too many certificates are waited for")]
    Busy,
}

/// Asks signers.
#[derive(Clone)]
pub struct Signing {
    client: Client,
    pace: SigningPace,
    seats: Arc<Semaphore>,
}

impl Signing {
    /// Asks the signers of one API server.
    #[must_use]
    pub fn new(client: Client, pace: SigningPace) -> Self {
        Self {
            client,
            seats: Arc::new(Semaphore::new(pace.open)),
            pace,
        }
    }

    /// The certificates that the signer answers with, in PEM, as they are.
    ///
    /// # Errors
    /// There are none.
    pub async fn sign(&self, ask: Ask) -> Result<String, SigningError> {
        let seat = self.seats.clone().try_acquire_owned();
        let seat = seat.map_err(|_full| SigningError::Busy)?;
        let signing = self.clone();
        // In a task of its own: who waits may go away, the object may not stay.
        let task = tokio::spawn(async move {
            let _seat = seat;
            let api: Api<CertificateSigningRequest> = Api::all(signing.client.clone());
            let name = format!("{PREFIX}{}", ask.id);
            let deadline = Instant::now() + signing.pace.answer;
            let answer = timeout_at(deadline, signing.answer(&api, (&name, &ask))).await;
            let how = DeleteParams::default();
            let gone = api.delete(&name, &how);
            let gone = tokio::time::timeout(signing.pace.answer, gone).await;
            if !matches!(gone, Ok(Ok(_))) {
                tracing::warn!(name, "a CertificateSigningRequest may be left behind");
            }
            answer.unwrap_or_else(|_late| {
                Err(SigningError::Silent {
                    signer: ask.signer,
                    after: signing.pace.answer,
                })
            })
        });
        task.await.unwrap_or(Err(SigningError::Busy))
    }

    async fn answer(
        &self,
        api: &Api<CertificateSigningRequest>,
        (name, ask): (&str, &Ask),
    ) -> Result<String, SigningError> {
        let failed = |step: &'static str| {
            let name = name.to_owned();
            move |source| SigningError::Api {
                name,
                step,
                source: Box::new(source),
            }
        };
        let made = api.create(&PostParams::default(), &object(name, ask)).await;
        let mut object = made.map_err(failed("create"))?;
        let status = object.status.get_or_insert_default();
        status.conditions.get_or_insert_default().push(approval());
        let post = PostParams::default();
        let approved = api.replace_subresource("approval", name, &post, &object);
        let mut object = approved.await.map_err(failed("approve"))?;
        let mut pause = self.pace.look;
        loop {
            if let Some(answer) = answered(&object, &ask.signer) {
                return answer;
            }
            sleep(pause).await;
            pause = (pause * 2).min(self.pace.look * 10);
            object = api.get(name).await.map_err(failed("get"))?;
        }
    }
}

fn object(name: &str, ask: &Ask) -> CertificateSigningRequest {
    let seconds = ask.lifetime.max(SHORTEST).as_secs();
    let (label, by) = MADE_BY;
    CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([(label.to_owned(), by.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(ask.request.as_bytes().to_vec()),
            signer_name: ask.signer.clone(),
            usages: Some(USAGES.map(str::to_owned).into()),
            expiration_seconds: i32::try_from(seconds).ok(),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

fn approval() -> CertificateSigningRequestCondition {
    CertificateSigningRequestCondition {
        type_: "Approved".to_owned(),
        status: "True".to_owned(),
        reason: Some("IdentityProved".to_owned()),
        message: Some("the caller has proved the identity that it asks for".to_owned()),
        ..CertificateSigningRequestCondition::default()
    }
}

/// What the signer says; `None` while it says nothing.
fn answered(
    object: &CertificateSigningRequest,
    signer: &str,
) -> Option<Result<String, SigningError>> {
    let status = object.status.as_ref()?;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let no = conditions
        .iter()
        .find(|it| it.status == "True" && matches!(&*it.type_, "Denied" | "Failed"));
    if let Some(no) = no {
        let why = no.message.as_ref().or(no.reason.as_ref());
        return Some(Err(SigningError::Refused {
            signer: signer.to_owned(),
            why: why.unwrap_or(&no.type_).clone(),
        }));
    }
    let certificate = status.certificate.as_ref();
    let certificate = certificate.filter(|certificate| !certificate.0.is_empty())?;
    let text = String::from_utf8(certificate.0.clone());
    Some(text.map_err(|_| SigningError::NoText {
        signer: signer.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(seconds: u64) -> Ask {
        Ask {
            id: "1a".to_owned(),
            signer: "example.com/mesh".to_owned(),
            request: "PEM".to_owned(),
            lifetime: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn the_object_is_as_istios() {
        let made = object("csr-workload-1a", &ask(3600));
        let made = serde_json::to_value(made).unwrap();
        assert_eq!(made["metadata"]["name"], "csr-workload-1a");
        assert_eq!(made["spec"]["signerName"], "example.com/mesh");
        assert_eq!(made["spec"]["expirationSeconds"], 3600);
        assert_eq!(made["spec"]["request"], "UEVN");
        assert_eq!(made["spec"]["usages"], json!(USAGES));
        // The API server takes no less than that.
        let short = serde_json::to_value(object("a", &ask(1))).unwrap();
        assert_eq!(short["spec"]["expirationSeconds"], 600);
    }

    #[test]
    fn an_answer_is_a_certificate_or_a_refusal() {
        let says = |status: serde_json::Value| {
            let mut made = object("a", &ask(3600));
            made.status = serde_json::from_value(status).unwrap();
            answered(&made, "s").map(|answer| answer.map_err(|error| error.to_string()))
        };
        assert_eq!(says(json!(null)), None);
        assert_eq!(
            says(json!({"conditions": [{"type": "Approved", "status": "True"}]})),
            None
        );
        assert_eq!(
            says(json!({"certificate": "UEVN"})),
            Some(Ok("PEM".to_owned()))
        );
        let denied = json!({
            "certificate": "UEVN",
            "conditions": [{"type": "Denied", "status": "True", "message": "not you"}],
        });
        assert_eq!(
            says(denied),
            Some(Err("signer s refuses: not you".to_owned()))
        );
        let failed = json!({"conditions": [{"type": "Failed", "status": "True"}]});
        assert_eq!(
            says(failed),
            Some(Err("signer s refuses: Failed".to_owned()))
        );
        let bytes = says(json!({"certificate": "/w=="})).unwrap().unwrap_err();
        assert!(bytes.contains("no PEM"), "{bytes}");
    }
}
