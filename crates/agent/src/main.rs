//! The agent of Meltemi, in the pod beside Envoy: writes its bootstrap, holds its identity, stands
//! between it and the control plane, and says when it is ready.

mod ads;
mod identity;
mod sds;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {}
