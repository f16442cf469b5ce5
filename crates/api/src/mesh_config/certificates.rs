//! Certificates, authorities and TLS versions of the mesh.

use crate::duration::Duration;
use crate::message::{choice, message};
use crate::networking::destination_rule::ClientTlsSettings;

message! {
    /// A root certificate for workloads. One of `pem` and `spiffeBundleUrl` is set.
    pub struct CertificateData {
        /// The certificate, in PEM.
        pub pem: Option<String>,
        /// Where a SPIFFE bundle is fetched.
        pub spiffe_bundle_url: Option<String>,
        /// The Kubernetes signers that it is for. Default: all.
        pub cert_signers: Vec<String>,
        /// The trust domains that it is for. Default: the own one and its aliases.
        pub trust_domains: Vec<String>,
    }
}

message! {
    /// An external authority that signs workload certificates.
    pub struct Ca {
        /// Its address, `HOST:PORT`. Required.
        pub address: Option<String>,
        /// TLS towards it.
        pub tls_settings: Option<ClientTlsSettings>,
        /// How long a request may take. Default 10s.
        pub request_timeout: Option<Duration>,
        /// Whether the control plane asks for the workloads. Default true.
        pub istiod_side: Option<bool>,
    }
}

message! {
    /// A DNS certificate to provision.
    pub struct Certificate {
        /// The secret to keep it in.
        pub secret_name: Option<String>,
        /// The names in it.
        pub dns_names: Vec<String>,
    }
}

message! {
    /// TLS versions and algorithms.
    pub struct TlsConfig {
        /// The lowest version. Default TLS 1.2.
        pub min_protocol_version: Option<TlsConfigProtocol>,
        /// Curves for the key exchange. Default: Envoy's. Not for `meshMTLS`.
        pub ecdh_curves: Vec<String>,
        /// Cipher suites up to TLS 1.2, in OpenSSL's names. Default: Istio's list.
        pub cipher_suites: Vec<String>,
    }
}

choice! {
    /// The lowest TLS version.
    pub enum TlsConfigProtocol {
        /// TLS 1.2.
        #[serde(rename = "TLS_AUTO")]
        Auto,
        /// TLS 1.2.
        #[serde(rename = "TLSV1_2")]
        V12,
        /// TLS 1.3.
        #[serde(rename = "TLSV1_3")]
        V13,
    }
}
