//! What is wrong with certificates and keys, and what to do about it.

/// Why an authority cannot be used, or does not sign.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part cannot be read.
    #[error("{part} cannot be read: {why}; put PEM there")]
    Unreadable {
        /// Which part, by the key of the Secret.
        part: &'static str,
        /// What the parser says.
        why: String,
    },
    /// The certificate may not sign certificates.
    #[error("ca-cert.pem may not sign: it is no CA certificate with the usage certSign")]
    NotAuthority,
    /// Key and certificate are not a pair.
    #[error("ca-key.pem is not the key of ca-cert.pem; replace both together")]
    NotPair,
    /// No root vouches for the certificate.
    #[error("no certificate of root-cert.pem has signed ca-cert.pem; add its root")]
    NoRoot,
    /// It does not count now.
    #[error("ca-cert.pem counts from {from} to {until} only (seconds since 1970); replace it")]
    NotNow {
        /// The first second.
        from: u64,
        /// The last second.
        until: u64,
    },
    /// Some files of a plugged-in authority, but not all.
    #[error(
        "{0} missing or empty; an authority of one's own needs all its files, put them there together"
    )]
    Half(String),
    /// It has no root in common with the authority in force.
    #[error(
        "no root of root-cert.pem is one that the mesh trusts now; put the old roots and the new \
         ones there together first, or restart the control plane to break with the old one"
    )]
    Stranger,
    /// A name of the certificate to be signed is none.
    #[error("{0:?} is no DNS name or IP address; correct the name that the control plane serves")]
    BadName(String),
    /// Signing failed.
    #[error("signing a certificate: {0}")]
    Signing(#[from] rcgen::Error),
    /// The TLS library refuses.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The TLS library refuses the roots.
    #[error("the roots of client certificates: {0}")]
    Roots(#[from] rustls::server::VerifierBuilderError),
}
