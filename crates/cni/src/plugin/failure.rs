//! Errors as the CNI specification wants them: a code, a sentence, and what it is about.

use serde_json::{Value, json};

/// The specification's numbers; from 100 they are a plugin's own.
const INCOMPATIBLE: u32 = 1;
const ENVIRONMENT: u32 = 4;
const IO: u32 = 5;
const DECODE: u32 = 6;
const CONFIGURATION: u32 = 7;
const LATER: u32 = 11;
const UNAVAILABLE: u32 = 50;
const SETTINGS: u32 = 100;
const LOST: u32 = 101;

/// Why a call fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{msg}: {details}")]
pub(crate) struct Failure {
    pub(super) code: u32,
    msg: String,
    details: String,
}

impl Failure {
    fn new(code: u32, msg: impl Into<String>, details: impl Into<String>) -> Self {
        Self {
            code,
            msg: msg.into(),
            details: details.into(),
        }
    }

    /// A version of the specification that is not spoken here.
    pub(super) fn incompatible(version: &str, known: &str) -> Self {
        let details = format!("cniVersion is {version:?}; use one of {known}");
        Self::new(INCOMPATIBLE, "incompatible CNI version", details)
    }

    /// A variable that is missing or says nothing of use.
    pub(super) fn environment(details: impl Into<String>) -> Self {
        Self::new(ENVIRONMENT, "invalid environment variables", details)
    }

    /// A file, a tool or the kernel fails.
    pub(super) fn io(details: impl Into<String>) -> Self {
        Self::new(IO, "capture of traffic cannot be set up", details)
    }

    /// The configuration is no JSON.
    pub(super) fn decode(details: impl Into<String>) -> Self {
        Self::new(DECODE, "the network configuration cannot be read", details)
    }

    /// The configuration says what cannot be.
    pub(super) fn configuration(details: impl Into<String>) -> Self {
        Self::new(
            CONFIGURATION,
            "the network configuration is invalid",
            details,
        )
    }

    /// The pod is not known yet.
    pub(super) fn later(pod: &str, why: &str) -> Self {
        let msg = format!("pod {pod} cannot be read from the API server, so it gets no network");
        Self::new(LATER, msg, why)
    }

    /// This plugin cannot serve pods now.
    pub(super) fn unavailable(details: impl Into<String>) -> Self {
        Self::new(UNAVAILABLE, "the plugin is not ready", details)
    }

    /// What the pod says about capture cannot be used.
    pub(super) fn settings(pod: &str, why: &str) -> Self {
        let msg = format!("pod {pod} asks for a capture of traffic that cannot be");
        Self::new(SETTINGS, msg, why)
    }

    /// The rules are not there.
    pub(super) fn lost(pod: &str) -> Self {
        let msg = format!("the traffic of pod {pod} is not captured as it should be");
        Self::new(
            LOST,
            msg,
            "rules are missing or were changed; make the pod again",
        )
    }

    /// The specification's form.
    pub(super) fn json(&self, version: &str) -> Value {
        let Self { code, msg, details } = self;
        json!({"cniVersion": version, "code": code, "msg": msg, "details": details})
    }
}
