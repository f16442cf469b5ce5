//! TLS towards a host.

use crate::message::{choice, message};

message! {
    /// TLS towards a host.
    pub struct ClientTlsSettings {
        /// Whether and how TLS is used. Default `DISABLE`.
        pub mode: Option<TlsMode>,
        /// File with the client's certificate. Required for `MUTUAL` without `credentialName`.
        pub client_certificate: Option<String>,
        /// File with the client's private key. Required for `MUTUAL` without `credentialName`.
        pub private_key: Option<String>,
        /// File with the authorities that may sign the server's certificate; `system` for the
        /// host's. Default: the host's.
        pub ca_certificates: Option<String>,
        /// Secret with certificate, key and authorities. Excludes the files.
        pub credential_name: Option<String>,
        /// Names of which the server's certificate must carry one. Default: the host.
        pub subject_alt_names: Vec<String>,
        /// The server name sent. Default: the request's host for external services.
        pub sni: Option<String>,
        /// Whether the server's certificate is accepted unchecked. Default false.
        pub insecure_skip_verify: Option<bool>,
        /// File with certificates that are revoked.
        pub ca_crl: Option<String>,
    }
}

choice! {
    /// Whether and how TLS is used towards a host.
    pub enum TlsMode {
        /// No TLS.
        Disable,
        /// TLS, without a client certificate.
        Simple,
        /// TLS with the given client certificate.
        Mutual,
        /// TLS with the workload's mesh certificate.
        IstioMutual,
    }
}
