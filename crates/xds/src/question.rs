//! Questions about the control plane itself, which come as types of their own on an ADS stream.
//!
//! That is how istioctl asks: one request, one answer, nothing is watched. Who may ask what is for
//! the source to say; this package knows the three addresses only
//! ([`QUESTIONS`](crate::types::QUESTIONS)).

use std::net::SocketAddr;
use std::sync::Arc;

use meltemi_proto::resource::Encoded;
use meltemi_types::TypeUrl;

use crate::caller::Identity;
use crate::debug::Clients;

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is asked: one of [`QUESTIONS`](crate::types::QUESTIONS).
    pub type_url: TypeUrl,
    /// The names that it is asked about.
    pub names: &'a [String],
    /// Who asks.
    pub identity: &'a Identity,
    /// Where the question comes from; `None` when the transport does not say.
    pub peer: Option<SocketAddr>,
    /// Every stream there is.
    pub clients: &'a Clients,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Who answers; the identifier of the control plane in the response.
    pub control_plane: Arc<str>,
    /// What it says. The types of these differ from that of the question.
    pub resources: Vec<Arc<Encoded>>,
}

/// Why there is no answer; becomes the status of the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It is not proved who asks.
    #[error("{0}")]
    Unproved(String),
    /// Whoever asks may not know.
    #[error("{0}")]
    Denied(String),
    /// The question makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// The answer cannot be written: our own fault.
    #[error("{0}")]
    Failed(String),
}
