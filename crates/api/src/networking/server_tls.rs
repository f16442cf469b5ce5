//! TLS termination, as Gateway servers and Sidecar ingress listeners configure it.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/gateway/#ServerTLSSettings>.

use crate::message::{choice, message};

message! {
    /// TLS termination on a listener.
    pub struct ServerTlsSettings {
        /// Whether plain HTTP is answered with a redirect to HTTPS. Default false.
        pub https_redirect: Option<bool>,
        /// Whether and how TLS is terminated. Default `PASSTHROUGH`.
        pub mode: Option<ServerTlsMode>,
        /// File with the server's certificate chain.
        pub server_certificate: Option<String>,
        /// File with the server's private key.
        pub private_key: Option<String>,
        /// File with the authorities that may sign client certificates.
        pub ca_certificates: Option<String>,
        /// File with certificates that are revoked.
        pub ca_crl: Option<String>,
        /// Secret with certificate and key. Excludes the files.
        pub credential_name: Option<String>,
        /// Secrets with certificates and keys, one or two. Excludes `credentialName`.
        pub credential_names: Vec<String>,
        /// Certificates and keys in files, one or two.
        pub tls_certificates: Vec<TlsCertificate>,
        /// Secret or config map with the authorities that may sign client certificates.
        pub ca_cert_credential_name: Option<String>,
        /// Names of which a client's certificate must carry one.
        pub subject_alt_names: Vec<String>,
        /// SHA-256 hashes of public keys, in base64, of which a client must show one.
        pub verify_certificate_spki: Vec<String>,
        /// SHA-256 hashes of certificates, in hexadecimal, of which a client must show one.
        pub verify_certificate_hash: Vec<String>,
        /// The lowest TLS version. Default TLS 1.2.
        pub min_protocol_version: Option<TlsProtocol>,
        /// The highest TLS version. Default TLS 1.3.
        pub max_protocol_version: Option<TlsProtocol>,
        /// Cipher suites allowed, in OpenSSL's names. Default: Envoy's list.
        pub cipher_suites: Vec<String>,
        /// Whether client certificates that do not verify are let through. Default false.
        pub insecure_skip_verify: Option<bool>,
    }
}

/// The cipher suites that Envoy knows; it refuses a listener with any other.
const CIPHERS: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
];

impl ServerTlsSettings {
    /// True for a cipher suite that Envoy knows.
    #[must_use]
    pub fn is_cipher(name: &str) -> bool {
        CIPHERS.contains(&name)
    }

    /// The cipher suites that Envoy knows, in order, each once.
    #[must_use]
    pub fn ciphers(&self) -> Vec<&str> {
        let mut known: Vec<&str> = Vec::new();
        for name in &self.cipher_suites {
            if Self::is_cipher(name) && !known.contains(&name.as_str()) {
                known.push(name);
            }
        }
        known
    }
}

message! {
    /// A certificate in files.
    pub struct TlsCertificate {
        /// File with the certificate chain. Required.
        pub server_certificate: Option<String>,
        /// File with the private key. Required.
        pub private_key: Option<String>,
        /// File with the authorities that may sign client certificates.
        pub ca_certificates: Option<String>,
    }
}

choice! {
    /// Whether and how TLS is terminated.
    pub enum ServerTlsMode {
        /// Not at all: connections are routed by server name.
        Passthrough,
        /// With a server certificate.
        Simple,
        /// With a server certificate, asking for a client certificate.
        Mutual,
        /// Not at all: the server name holds the destination.
        AutoPassthrough,
        /// With the workload's mesh certificate.
        IstioMutual,
        /// As `MUTUAL`, but clients without a certificate are let in.
        OptionalMutual,
    }
}

/// A TLS version.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub enum TlsProtocol {
    /// Envoy's choice.
    #[default]
    #[serde(rename = "TLS_AUTO")]
    Auto,
    /// TLS 1.0.
    #[serde(rename = "TLSV1_0")]
    V1_0,
    /// TLS 1.1.
    #[serde(rename = "TLSV1_1")]
    V1_1,
    /// TLS 1.2.
    #[serde(rename = "TLSV1_2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "TLSV1_3")]
    V1_3,
}
