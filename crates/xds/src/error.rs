//! What can go wrong between us and a client, and the gRPC status it becomes.

use tonic::{Code, Status};

use crate::caller::Unknown;
use crate::question::Unanswered;
use crate::source::Refusal;

/// A request that ends its stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// The first thing a stream asked for is nothing this server has.
    #[error("type {0:?} is not served here; ask for a type that this control plane knows")]
    UnknownType(String),
    /// The first thing a stream asked for is not for this kind of client.
    #[error("type {type_url:?} is not served to a {kind} proxy")]
    NotForClient {
        /// The type asked for.
        type_url: String,
        /// The kind of the client.
        kind: &'static str,
    },
    /// A later request names another node.
    #[error("this stream is of another node than {0:?}; open one for each node")]
    OtherNode(String),
    /// More names than one stream may hold.
    #[error("more than {limit} names of type {type_url:?} on one stream")]
    TooManyNames {
        /// The type.
        type_url: String,
        /// How many are allowed.
        limit: usize,
    },
}

impl From<Unacceptable> for Status {
    fn from(error: Unacceptable) -> Self {
        let code = match &error {
            Unacceptable::UnknownType(_) | Unacceptable::OtherNode(_) => Code::InvalidArgument,
            Unacceptable::NotForClient { .. } => Code::PermissionDenied,
            Unacceptable::TooManyNames { .. } => Code::ResourceExhausted,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::BadNode(_) => Code::InvalidArgument,
            Refusal::NotReady(_) => Code::Unavailable,
            Refusal::Denied(_) => Code::PermissionDenied,
            Refusal::Busy(_) => Code::ResourceExhausted,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<Unanswered> for Status {
    fn from(error: Unanswered) -> Self {
        let code = match &error {
            Unanswered::Unproved(_) => Code::Unauthenticated,
            Unanswered::Denied(_) => Code::PermissionDenied,
            Unanswered::Malformed(_) => Code::InvalidArgument,
            Unanswered::Failed(_) => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Unknown> for Status {
    fn from(unknown: Unknown) -> Self {
        let code = match &unknown {
            Unknown::Unproved(_) => Code::Unauthenticated,
            Unknown::Undecided(_) => Code::Unavailable,
        };
        Self::new(code, unknown.to_string())
    }
}

/// Why serving stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The transport failed.
    #[error("xds server: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The listening socket could not be used.
    #[error("xds listener: {0}")]
    Listener(#[from] std::io::Error),
}
