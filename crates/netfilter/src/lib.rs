//! Puts the rules of capture into the kernel of the network namespace that this thread is in.
//!
//! What the rules are, `meltemi-capture` decides; here the tools of the machine are run: iptables of
//! either kind, nft, `ip`. Rules that are as wanted are left alone, rules that differ are replaced.
#![deny(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test panics when it fails")
)]

mod kernel;
mod machine;
mod native;
mod tables;
mod tool;

pub use kernel::{apply, holds};
pub use machine::{enter, may_change_rules, surroundings};

/// Why the rules are not as wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A tool or a namespace that is needed is not there, or refuses.
    #[error("{0}")]
    Unavailable(String),
    /// A right that is needed is missing.
    #[error("{0}")]
    NotPermitted(String),
}
