//! Traffic capture as values: the flags of `istio-iptables` in, firewall rules as text out.
//!
//! * [`Said`] is what flags and environment say, [`Settings`] what they mean, [`Errand`] what is to
//!   be done with them. A value that cannot be read is a [`Refused`].
//! * [`Plan`] is the rules, in the order in which Istio writes them: restore format for iptables
//!   and ip6tables, a script for nft, commands of `ip` for the routes of TPROXY.
//! * [`Saved`] is what a machine has already; the plan says whether that differs, and how one
//!   becomes the other in one transaction of each table.
//!
//! Nothing is run here: the agent does that.
#![deny(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test panics when it fails")
)]

mod errand;
mod flags;
mod iptables;
mod nft;
mod plan;
mod routing;
mod rule;
mod rules;
mod saved;
mod settings;
mod value;

pub use errand::{Binary, Errand};
pub use flags::{FLAGS, Flag, Kind, Said};
pub use iptables::Check;
pub use nft::NAMES as NFT_TABLES;
pub use plan::Plan;
pub use routing::{Routing, Step};
pub use rule::Family;
pub use saved::Saved;
pub use settings::{Dns, Groups, Inbound, Mode, Outbound, Read, Settings, Surroundings};
pub use value::{Nic, Refused};
