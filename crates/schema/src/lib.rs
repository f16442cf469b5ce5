//! What an API server and its webhook would say of an object, without either.
//!
//! * [`crd`]: the definitions of all mesh kinds, made from the API types and the rules beside them.
//! * [`judge`]: schema, unknown fields, list types, CEL rules and metadata of one object.
//! * [`validate`]: all of that and the field rules of the kind: a verdict with diagnostics.
#![deny(missing_docs)]

mod annotations;
mod constraint;
pub mod crd;
pub mod judge;
mod rules;
mod structural;
pub mod validate;

pub use judge::Judge;
pub use validate::{Judged, Validator, Verdict};
