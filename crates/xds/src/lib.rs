//! How configuration is served: ADS, `SotW` and delta, ACK and NACK, subscriptions.
//!
//! * [`types`]: the table of xDS types, as data.
//! * [`Authenticator`]: who knows who calls. [`Identity`]: what is proved of a caller.
//! * [`Assignment`]: what one proxy should have now. [`Source`]: who knows that.
//! * [`session`]: one stream as a state machine without I/O; every protocol rule is there.
//! * [`server`]: tonic glue, limits, metrics. [`debug`]: what each stream holds.
#![deny(missing_docs)]

mod assignment;
pub mod caller;
pub mod debug;
mod error;
mod question;
pub mod server;
pub mod session;
mod source;
pub mod types;

pub use assignment::{Assignment, Layer};
pub use caller::{Account, Authenticator, Caller, Credentials, Guest, Identity, Peer, Unknown};
pub use error::{ServeError, Unacceptable};
pub use question::{Answer, Question, Unanswered};
pub use server::unary::Unary;
pub use server::{Limits, Server};
pub use source::{Attachment, ClientId, ClientInfo, Confirmed, Culprit, Event, Refusal, Source};
