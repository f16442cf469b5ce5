//! What became of a call.

use meltemi_types::Origin;
use serde::Serialize;
use std::fmt;

/// Why a call ends nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallError {
    /// No listener takes the connection.
    NoListener,
    /// The listener has no filter chain for it.
    NoFilterChain,
    /// Several filter chains fit equally well. Envoy refuses such listeners.
    MultipleFilterChains,
    /// No virtual host has the host.
    NoVirtualHost,
    /// No route of the virtual host matches.
    NoRoute,
    /// The virtual host redirects to HTTPS.
    TlsRedirect,
    /// The chain reads something else than what is sent.
    ProtocolError,
    /// The chain wants TLS and there is none.
    TlsError,
    /// The chain wants mutual TLS of the mesh and there is none, or the other way round.
    MtlsError,
    /// The simulator does not know what Envoy would do.
    Unsupported,
}

impl CallError {
    /// The word for it, the same as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoListener => "no_listener",
            Self::NoFilterChain => "no_filter_chain",
            Self::MultipleFilterChains => "multiple_filter_chains",
            Self::NoVirtualHost => "no_virtual_host",
            Self::NoRoute => "no_route",
            Self::TlsRedirect => "tls_redirect",
            Self::ProtocolError => "protocol_error",
            Self::TlsError => "tls_error",
            Self::MtlsError => "mtls_error",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A share of a call that is split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Weighted {
    /// The cluster.
    pub cluster: String,
    /// Its weight.
    pub weight: u32,
}

/// What became of a call. Names are empty where it did not come so far, or where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Why it ended nowhere.
    pub error: Option<CallError>,
    /// The listener.
    pub listener: String,
    /// The filter chain.
    pub filter_chain: String,
    /// The route configuration, when it is a resource of its own.
    pub route_config: String,
    /// The virtual host.
    pub virtual_host: String,
    /// The route.
    pub route: String,
    /// The cluster, when there is one and only one.
    pub cluster: String,
    /// The clusters among which it is split.
    pub weighted: Vec<Weighted>,
    /// The objects that decided, the nearest to the end first.
    pub origins: Vec<Origin>,
    /// What the simulator does not know, for [`CallError::Unsupported`].
    pub unsupported: Option<String>,
}

/// Why the simulation stops: an error of the call, or something unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Error(CallError),
    Unsupported(String),
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Error(error)
    }
}

impl Stop {
    /// Something that the simulator does not know.
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }
}
