//! What an Envoy would do with the resources it was given.
