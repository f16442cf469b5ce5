//! What an Envoy would do with the resources it was given: a call in, listener, filter chain,
//! route and cluster out.
//!
//! It reads the bytes that a proxy reads, so it cannot share a mistake with the generators. What
//! it does not know it calls [`CallError::Unsupported`]; it never guesses.
#![deny(missing_docs)]

mod call;
mod chain;
mod decode;
mod http;
mod inspect;
mod listener;
mod matching;
mod outcome;
mod request;
mod tables;
#[cfg(test)]
mod testing;
mod transport;

pub use call::{Call, Direction, Protocol, Request, Tls};
pub use decode::{Config, DecodeError};
pub use outcome::{CallError, Outcome, Weighted};
pub use tables::{EndpointWeight, Locality};
