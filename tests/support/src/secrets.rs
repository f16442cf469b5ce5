//! Certificates of two workloads, made once and valid for long: keys of tests, worth nothing.
//!
//! One authority signed `spiffe://cluster.local/ns/shop/sa/client` and `.../reviews`. They stand in
//! an Envoy's bootstrap, under the names that the control plane asks for, since there is no agent.

use anyhow::{Result, bail};
use serde_json::{Value, json};

/// The authority, in PEM.
pub const AUTHORITY: &str = include_str!("../certificates/ca.pem");
/// The certificate of `client`, in PEM.
pub const CLIENT: &str = include_str!("../certificates/client.pem");
/// The key of `client`, in PEM.
pub const CLIENT_KEY: &str = include_str!("../certificates/client.key");
/// The certificate of `reviews`, in PEM.
pub const REVIEWS: &str = include_str!("../certificates/reviews.pem");
/// The key of `reviews`, in PEM.
pub const REVIEWS_KEY: &str = include_str!("../certificates/reviews.key");

/// The static resources of a bootstrap with the certificate of a service account and the mesh's
/// authority.
///
/// # Errors
/// There is no certificate for the account.
pub fn of(account: &str) -> Result<Value> {
    let (certificate, key) = match account {
        "client" => (CLIENT, CLIENT_KEY),
        "reviews" => (REVIEWS, REVIEWS_KEY),
        other => bail!("there is no certificate for {other:?}"),
    };
    let text = |text: &str| json!({"inline_string": text});
    Ok(json!({"secrets": [
        {"name": "default", "tls_certificate":
            {"certificate_chain": text(certificate), "private_key": text(key)}},
        {"name": "ROOTCA", "validation_context": {"trusted_ca": text(AUTHORITY)}},
    ]}))
}
