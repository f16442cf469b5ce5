//! What must hold for any bytes. Each target is a function that panics when it does not.
//!
//! `driver` feeds them from libFuzzer (`cargo xtask fuzz`); the corpus it kept is replayed by the
//! ordinary tests, so what was found once stays found.
#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a panic is how a target says that something does not hold"
)]

mod duration;
mod node;
mod regex;
mod review;
mod yaml;

/// A target: takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by name; its corpus lies in `corpus/NAME`.
pub const TARGETS: [(&str, Target); 5] = [
    ("yaml", yaml::objects),
    ("node", node::metadata),
    ("duration", duration::text),
    ("regex", regex::pattern),
    ("review", review::admission),
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, target)| *target)
}
