//! Who may be whom: the authority's key and certificates, and what it signs.
//!
//! * [`Authority`]: a root of our own, or one that is read; signs the control plane's certificate.
//! * [`Request`]: the key of a workload, proved to be its own; [`Authority::issue`] signs it for the
//!   identity that was proved, and for nothing else.
//! * [`Forwarded`]: a request that somebody else signs, and what comes back.
//! * [`Succession`]: from one authority to the next, without anybody being distrusted on the way.
//! * [`Renewal`]: the self-signed root gets another end.
//! * [`Validity`]: when a certificate counts, and when it is to be renewed. The clock is an argument.
//! * [`Tls`]: what a TLS server shows and whom it believes, replaced while it serves.
//! * [`Mounted`]: such a server's certificate that somebody else has signed.
//! * [`listen`]: connections after their handshake, with limits on those that never finish it.
//! * [`credential`]: whether what a user gives as a certificate is one.
//! * [`development`]: an authority in a directory, and [`TokenKey`], for a laptop.
//! * [`directory`]: an authority of one's own in a directory.
//! * [`jwt`]: tokens of another issuer than the API server.
//! * [`domains`]: which roots vouch for which trust domains.
//! * [`SpiffeBundle`]: the roots of a trust domain, as its owner publishes them.
//! * [`caller`]: the identity in a certificate that a client has proved to own.
#![deny(missing_docs)]

mod authority;
pub mod caller;
pub mod credential;
pub mod development;
pub mod directory;
pub mod domains;
mod error;
mod forwarded;
mod issue;
pub mod jwt;
pub mod listen;
mod mounted;
pub mod names;
mod path;
mod plugged;
mod renewal;
mod request;
mod revoked;
mod spiffe_bundle;
mod succession;
mod tls;
mod token;
mod validity;

pub use authority::{Authority, AuthorityPem, Leaf, ROOT_LIFETIME, SERVING_LIFETIME};
pub use error::Error;
pub use forwarded::{BadAnswer, Forwarded};
pub use issue::{Issued, Lifetimes, Refused, Serial};
pub use listen::{Connection, Limits};
pub use mounted::Mounted;
pub use plugged::Files;
pub use renewal::Renewal;
pub use request::{BadRequest, KeyKind, MAX_BYTES, Request};
pub use revoked::Revoked;
pub use spiffe_bundle::SpiffeBundle;
pub use succession::Succession;
pub use tls::{Asks, Tls, Trust};
pub use token::{BadToken, Bearer, LONGEST_LIFE, TokenKey};
pub use validity::Validity;
