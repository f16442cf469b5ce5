//! One call of a scenario: from its text to the simulator, and the verdict.

use super::judge;
use crate::scenario::{CallEntry, CallText, Mode, ProtocolText, TlsText};
use meltemi_simulate::{Call, CallError, Config, Direction, Outcome, Protocol, Tls};
use serde::Serialize;

/// What came of a call.
#[derive(Debug)]
pub(super) struct Called<'a> {
    /// Its place in the scenario, from 0.
    pub(super) index: usize,
    /// What the scenario says.
    pub(super) entry: &'a CallEntry,
    /// What became of it.
    pub(super) got: Outcome,
    /// Whether that was expected.
    pub(super) result: Verdict,
    /// Which fields differ.
    pub(super) mismatch: Vec<&'static str>,
}

/// The verdict over a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Pass,
    Fail,
    /// Nothing was expected.
    Unasked,
    /// The scenario says that its expectation is wrong.
    KnownBug,
}

/// Makes the call; without configuration nothing is known.
pub(super) fn run<'a>(index: usize, entry: &'a CallEntry, config: Option<&Config>) -> Called<'a> {
    let got = match config {
        Some(config) => config.simulate(&call(&entry.call)),
        None => Outcome {
            error: Some(CallError::Unsupported),
            unsupported: Some("a proxy of this kind".into()),
            ..Outcome::default()
        },
    };
    let mismatch = judge::call(entry.expect.as_ref(), &got);
    let result = match &entry.expect {
        None if got.error == Some(CallError::Unsupported) => Verdict::Fail,
        None => Verdict::Unasked,
        Some(expect) if expect.known_bug.is_some() => Verdict::KnownBug,
        Some(_) if mismatch.is_empty() => Verdict::Pass,
        Some(_) => Verdict::Fail,
    };
    Called {
        index,
        entry,
        got,
        result,
        mismatch,
    }
}

fn call(text: &CallText) -> Call {
    let default = Call::new(u32::from(text.port));
    Call {
        direction: match text.mode {
            Some(Mode::Inbound) => Direction::Inbound,
            Some(Mode::Gateway | Mode::Outbound) | None => Direction::Outbound,
        },
        address: text.address.unwrap_or(default.address),
        protocol: match text.protocol {
            Some(ProtocolText::Http) => Protocol::Http,
            Some(ProtocolText::Http2) => Protocol::Http2,
            Some(ProtocolText::Tcp) | None => Protocol::Tcp,
        },
        tls: match text.tls {
            Some(TlsText::Tls) => Tls::Tls,
            Some(TlsText::Mtls) => Tls::Mutual,
            Some(TlsText::Plaintext) | None => Tls::Plaintext,
        },
        alpn: text.alpn.clone().filter(|alpn| !alpn.is_empty()),
        sni: text.sni.clone().filter(|sni| !sni.is_empty()),
        host: text.host.clone().unwrap_or_default(),
        path: match text.path.as_deref() {
            None | Some("") => default.path,
            Some(path) => path.to_owned(),
        },
        mesh_secret: text.mtls_secret_name.clone().unwrap_or(default.mesh_secret),
        port: default.port,
        request: None,
    }
}
