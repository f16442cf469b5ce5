//! What the tests of capture share.
