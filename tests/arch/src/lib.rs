//! Reads the repository for the tests beside it: which files there are, which of them make up the
//! packages, and what in them is code, text or test.

mod code;
mod modules;
mod tree;

pub use code::{Literal, blank, literals, strip_tests};
pub use modules::{Module, modules};
pub use tree::{files, read, root};
