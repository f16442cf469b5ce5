//! What the tests of the agent share.
