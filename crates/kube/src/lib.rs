//! The only door to the API server: typed changes in; status, leases and token reviews out.
//!
//! * [`connect()`]: a client with the timeouts that a control plane needs.
//! * [`Source`]: watches that become the same [`meltemi_api::Change`]s as a directory's files.
//! * [`TokenReviewer`]: who shows a service account's token.
//! * [`AccessReviewer`]: whether an account may read Secrets.
//! * [`secret`]: the authority's key, which all replicas share.
//! * [`Signing`]: certificates by a signer of the cluster.
//! * [`Cleanup`]: what an uninstallation takes away.
//! * [`Campaign`]: which replica does what only one may do.
//! * [`StatusWriter`]: what became of an object, in its status and as events.
//! * [`RootPublisher`]: the root certificate and the list of revoked ones, put where workloads find
//!   them.
//! * [`InjectorSource`]: what the charts tell the injector, and what kubelets there are.
//! * [`BundlePatcher`]: the roots, in the webhooks that the API server calls.
//! * [`Pods`]: what a person's tool asks: which pods there are, and a connection to a port of one.
//!
//! What the source decides is pure and tested without a server: `wire` takes bytes apart,
//! `course` says what to ask next after each fault, `cache` turns events into changes. What
//! waits and sends is `follow`; one task for each kind.
#![deny(missing_docs)]

mod access_review;
mod backoff;
mod bundle;
mod cache;
mod cleanup;
mod connect;
mod course;
mod credentials;
mod decode;
mod elect;
mod follow;
mod forward;
mod injector;
mod lead;
mod lock;
mod pods;
mod print;
mod probe;
mod remote;
mod request;
mod roots;
pub mod secret;
mod shared;
mod signing;
mod source;
mod status;
mod target;
mod token;
mod token_review;
mod tuning;
mod wire;

pub use access_review::{AccessReviewer, NoAnswer};
pub use bundle::BundlePatcher;
pub use cleanup::{Cleanup, CleanupError};
pub use connect::{Access, ConnectError, connect};
pub use credentials::Needed;
pub use elect::Candidate;
pub use injector::{InjectorSource, Told};
pub use kube::Client;
pub use lead::{Campaign, Fence};
pub use lock::Lock;
pub use pods::{AskError, Pod, Pods, Workload};
pub use roots::{Notice, RootPublisher};
pub use signing::{Ask, Signing, SigningError, SigningPace};
pub use source::{Options, Source, SourceError};
pub use status::{Allocated, Pace, Proxies, Seen, StatusWriter, Verdict, Word, Words, Writing};
pub use token::{BoundPod, TokenError, TokenUser};
pub use token_review::{Patience, TokenReviewer};
pub use tuning::Tuning;
