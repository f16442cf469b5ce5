//! The one inverted dependency: who knows what a client should have, and hears how it went.
//!
//! The server asks a [`Source`] once per stream and then watches one cell that always holds the
//! latest wanted state. A slow client misses states in between, never the last one.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::resource::Encoded;
use meltemi_types::{ProxyKind, TypeUrl};
use tokio::sync::watch;

use crate::Assignment;
use crate::caller::Identity;
use crate::question::{Answer, Question, Unanswered};

/// Names one stream for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// Who opened a stream.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// The stream.
    pub id: ClientId,
    /// Where it comes from; `None` when the transport does not say.
    pub peer: Option<SocketAddr>,
    /// Who it is proved to be.
    pub identity: Identity,
    /// What the first request said of the client. Its namespace, pod and service account are those
    /// of the identity when there is one; the rest is a claim.
    pub node: Node,
}

/// What an accepted client gets.
#[derive(Debug)]
pub struct Attachment {
    /// What people call the client: `POD.NAMESPACE`.
    pub key: Arc<str>,
    /// Decides which types it may ask for.
    pub kind: ProxyKind,
    /// The latest wanted state. The stream ends when the sender is dropped.
    pub updates: watch::Receiver<Arc<Assignment>>,
}

/// Why a client is turned away; becomes the status of its stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The node id or metadata cannot be read.
    #[error("{0}")]
    BadNode(String),
    /// Not everything has been read yet: try again.
    #[error("{0}")]
    NotReady(String),
    /// The client's identity does not allow it.
    #[error("{0}")]
    Denied(String),
    /// No client is taken on at the moment: try again.
    #[error("{0}")]
    Busy(String),
}

/// A resource that Envoy refused.
#[derive(Clone, Debug)]
pub struct Culprit {
    /// The refused resource, to be looked up for its origins by type, name and version.
    pub refused: Arc<Encoded>,
    /// The version that goes on serving; `None` when there is none.
    pub last_good: Option<Arc<str>>,
}

/// A type of which nothing is left to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The type.
    pub type_url: TypeUrl,
    /// What was refused and is wanted still: the client has an older version of it, or none.
    pub held_back: Vec<Arc<str>>,
}

/// What happened on a stream.
#[derive(Clone, Debug)]
pub enum Event {
    /// A response was accepted.
    Acked {
        /// The type.
        type_url: TypeUrl,
        /// The response.
        nonce: Arc<str>,
    },
    /// A response was refused.
    Nacked {
        /// The type.
        type_url: TypeUrl,
        /// The response.
        nonce: Arc<str>,
        /// What Envoy said.
        message: Arc<str>,
        /// Who is to blame; empty while it is still being found out.
        culprits: Vec<Culprit>,
    },
    /// Everything of that generation that had to be sent has been answered.
    Synced {
        /// The generation of the assignment.
        generation: u64,
    },
    /// Of these types the client has answered all that it asked for and that differed. A type is
    /// named again only after something of it has changed.
    Confirmed {
        /// The generation of the assignment.
        generation: u64,
        /// Which types; never empty.
        types: Vec<Confirmed>,
    },
    /// Of a type that is made for who asks (see [`XdsType::on_demand`](crate::types::XdsType)), the
    /// client now wants these names, all of them.
    Subscribed {
        /// The type.
        type_url: TypeUrl,
        /// The names; empty when it wants none any more.
        names: BTreeSet<Arc<str>>,
    },
    /// The client asked for a type it does not get.
    Refused {
        /// The type as the client wrote it.
        type_url: Arc<str>,
        /// Why it does not get it.
        reason: &'static str,
    },
    /// The stream has ended; nothing follows.
    Detached,
}

/// Knows what each client should have.
pub trait Source: Send + Sync + 'static {
    /// A client has sent its first request.
    ///
    /// # Errors
    /// When it is turned away.
    fn attach(&self, client: &ClientInfo) -> Result<Attachment, Refusal>;

    /// Something happened on the stream of an attached client. Called on the stream's task: it
    /// must not block.
    fn report(&self, client: ClientId, event: Event);

    /// Somebody asks about the control plane itself. Called on the stream's task.
    ///
    /// # Errors
    /// When there is no answer for whoever asks. Unless it says otherwise a source has none at all.
    fn answer(&self, question: &Question<'_>) -> Result<Answer, Unanswered> {
        let type_url = question.type_url;
        let why = format!("{type_url} is not answered here");
        Err(Unanswered::Denied(why))
    }
}
