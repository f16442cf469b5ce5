//! The agent of Meltemi, in the pod beside Envoy: writes its bootstrap, holds its identity, stands
//! between it and the control plane, and says when it is ready.

// So that the modules of the program find them where those of the library do.
#[allow(unused_imports, reason = "the modules of the program use them")]
use meltemi_agent::{ads, files, identity, sds, upstream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {}
