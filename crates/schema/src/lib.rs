//! What an API server would say of an object.
