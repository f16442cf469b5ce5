//! What a proxy should be told: a snapshot and a proxy in, Envoy resources and diagnostics out.
//!
//! Each generator has two phases. `plan` joins: it reads a [`view::View`] (one class of proxies,
//! never a proxy) and lists inputs. `build` encodes: it reads one input and nothing else, so the
//! input is the cache key. [`compose::Translator`] runs them, keeps what did not change, checks
//! everything before it may leave, and holds the last good version of what fails the check.
//!
//! Pure: no I/O, no clock, no environment, no randomness, no logging. Total: every snapshot yields
//! resources for every proxy; mistakes are diagnostics.

pub mod by_id;
pub mod class;
pub mod cluster;
pub mod compose;
pub mod credential;
pub mod document;
pub mod endpoint;
mod format;
mod forward;
pub(crate) mod gateway;
pub mod http;
pub mod listener;
pub mod memo;
pub mod name;
pub mod name_table;
pub mod plan;
pub mod route;
pub(crate) mod secret;
#[cfg(test)]
mod testing_listener;
pub mod verify;
pub mod view;
pub mod wire;

pub use by_id::ById;
pub use class::{ClassKey, InboundKey};
pub use compose::{Assigned, Translator};
pub use plan::{Built, Item, Planned};
pub use view::View;
