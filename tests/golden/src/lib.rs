//! Goldens: what a user applies in, what Envoy gets out, judged by a real Envoy.
//!
//! * [`case`]: a directory with an `input.yaml`: a proxy, what to show, and a user's objects.
//! * [`mod@compose`]: the product's own pipeline, from changes to resources, in one place.
//! * [`sample`]: what a user applies to try a mesh out, with Pods.
//! * [`show`]: picks resources and fields and writes them as YAML.
//! * [`judge`]: `envoy --mode validate`, and a live Envoy that takes one case after the other.

pub mod case;
pub mod compose;
pub mod judge;
pub mod sample;
pub mod show;

pub use case::Case;
pub use compose::{Composed, compose};
