//! Who may be whom: the authority's key and certificates, and what it signs.
//!
//! * [`Authority`]: a root of our own, or one that is read; signs the control plane's certificate.
//! * [`Validity`]: when a certificate counts, and when it is to be renewed. The clock is an argument.
//! * [`Tls`]: what a TLS server shows and whom it believes, replaced while it serves.
//! * [`listen`]: connections after their handshake, with limits on those that never finish it.
//! * [`credential`]: whether what a user gives as a certificate is one.
//! * [`caller`]: the identity in a certificate that a client has proved to own.
#![deny(missing_docs)]

mod authority;
pub mod caller;
pub mod credential;
mod error;
pub mod listen;
pub mod names;
mod tls;
mod validity;

pub use authority::{Authority, AuthorityPem, Leaf, ROOT_LIFETIME, SERVING_LIFETIME};
pub use error::Error;
pub use listen::{Connection, Limits};
pub use tls::Tls;
pub use validity::Validity;
