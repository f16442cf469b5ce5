//! Signers of the stand-in: a CertificateSigningRequest that is approved is answered as the test says.

use super::{Request, Reviews, respond::refusal};
use anyhow::Result;
use serde_json::{Value, json};
use std::sync::Arc;

/// Where such requests are.
pub(super) const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests/";

/// What a signer says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It signs: certificates in PEM.
    Signed(String),
    /// It refuses, with this message.
    Failed(String),
    /// It says nothing.
    Silent,
}

/// Who says it: of the `spec` of a request.
type Say = dyn Fn(&Value) -> Verdict + Send + Sync;

/// A signer.
#[derive(Clone)]
pub(super) struct Signer(Arc<Say>);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Reviews {
    /// From now on requests that are approved are answered so.
    pub fn sign_with(&self, say: impl Fn(&Value) -> Verdict + Send + Sync + 'static) {
        self.state().signer = Some(Signer(Arc::new(say)));
    }

    /// The `spec` of each CertificateSigningRequest that was approved.
    #[must_use]
    pub fn approved(&self) -> Vec<Value> {
        self.state().approved.clone()
    }

    /// The names of those that are there now.
    #[must_use]
    pub fn open_requests(&self) -> Vec<String> {
        let state = self.state();
        let all = state.objects.keys();
        let names = all.filter_map(|path| path.strip_prefix(REQUESTS));
        names.map(str::to_owned).collect()
    }

    /// The approval of a request, by whoever may approve it.
    pub(super) fn approve(&self, path: &str, request: &Request) -> Result<(u16, Value)> {
        let body: Value = serde_json::from_slice(&request.body)?;
        let conditions = body.pointer("/status/conditions").cloned();
        let conditions = conditions.unwrap_or_else(|| json!([]));
        let approves = conditions.as_array().is_some_and(|all| {
            let approves = |one: &Value| one.get("type") == Some(&json!("Approved"));
            all.iter().any(approves)
        });
        let mut state = self.state();
        let Some(object) = state.objects.get(path).cloned() else {
            return Ok(refusal(404, "NotFound"));
        };
        if !approves {
            return Ok(refusal(422, "Invalid"));
        }
        let spec = object.get("spec").cloned().unwrap_or_default();
        state.approved.push(spec.clone());
        let signer = state.signer.clone();
        drop(state);
        let said = signer.map_or(Verdict::Silent, |signer| (signer.0)(&spec));
        let status = match said {
            Verdict::Silent => json!({"conditions": conditions}),
            Verdict::Signed(pem) => json!({
                "conditions": conditions, "certificate": super::mint::base64(pem.as_bytes()),
            }),
            Verdict::Failed(why) => json!({"conditions": [
                {"type": "Failed", "status": "True", "reason": "No", "message": why},
            ]}),
        };
        let mut answer = object.clone();
        let mut signed = object;
        if let (Some(answer), Some(signed)) = (answer.as_object_mut(), signed.as_object_mut()) {
            // The approval is answered before the signer has heard of it.
            answer.insert("status".to_owned(), json!({"conditions": conditions}));
            signed.insert("status".to_owned(), status);
        }
        self.state().objects.insert(path.to_owned(), signed);
        Ok((200, answer))
    }

    /// Takes an object away.
    pub(super) fn delete(&self, path: &str) -> (u16, Value) {
        match self.state().objects.remove(path) {
            Some(object) => (200, object),
            None => refusal(404, "NotFound"),
        }
    }
}
