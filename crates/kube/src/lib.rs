//! The only door to the API server: typed changes in; status, leases and token reviews out.
