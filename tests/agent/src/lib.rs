//! What the tests of the agent share.

pub mod app;
pub mod pod;
pub mod relayed;
