//! What the tests of capture share: a pod of network namespaces, and calls within them.

pub mod calls;
pub mod pod;

pub use pod::{Backend, Pod, Version};
