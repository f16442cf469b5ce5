//! The threats of reliability.md 1.2 to identity, configuration and authority, each as an attack on
//! the real address. The names of the tests are theirs; `cargo xtask guards` takes the guards away.

mod ads;
mod clusters;
mod configuration;
mod connections;
mod identity;
mod secrets;
mod webhook;
