//! Where TLS ends at a gateway: its certificates, and which clients are let in.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/gateway/#ServerTLSSettings>.
//! Keys are never in a resource: a `credentialName` is a secret that the control plane answers, by
//! Istio's names. The surprise: a secret that does not exist resets connections, and blocks nothing.

use crate::listener::Traits;
use crate::listener::chain::Chain;
use crate::listener::server_tls::ServerTls;
use crate::{name, secret, wire};
use meltemi_api::mesh_config::{TlsConfig, TlsConfigProtocol};
use meltemi_api::networking::server_tls::{ServerTlsMode, ServerTlsSettings, TlsProtocol};
use meltemi_model::{Certificates, GatewayServer};
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::certificate_validation_context::TrustChainVerification;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol as Envoys;

/// The same chain, where TLS ends as the server says.
pub(super) fn terminated(chain: Chain, server: &GatewayServer) -> Chain {
    chain.ending(server.tls.clone().map(ServerTls::Gateway))
}

/// The context, but for the protocols that are offered.
pub(crate) fn context(settings: &ServerTlsSettings, traits: &Traits) -> tls::DownstreamTlsContext {
    let mode = settings.mode.unwrap_or_default();
    let mut common = tls::CommonTlsContext {
        tls_params: Some(parameters(settings, traits)),
        ..tls::CommonTlsContext::default()
    };
    if mode == ServerTlsMode::IstioMutual {
        common.tls_certificate_sds_secret_configs = vec![secret::own(own(traits))];
    } else {
        certificates(settings, traits, &mut common);
    }
    common.validation_context_type = match mode {
        ServerTlsMode::Simple | ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough => None,
        ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual | ServerTlsMode::IstioMutual => {
            Some(clients(settings, traits))
        }
    };
    let required = matches!(mode, ServerTlsMode::Mutual | ServerTlsMode::IstioMutual);
    tls::DownstreamTlsContext {
        require_client_certificate: Some(wire::bool(required)),
        common_tls_context: Some(common),
        ..tls::DownstreamTlsContext::default()
    }
}

/// Where the mesh's own certificate comes from; a gateway that says nothing has an agent.
fn own(traits: &Traits) -> Certificates {
    match traits.certificates {
        Certificates::None | Certificates::Sds => Certificates::Sds,
        Certificates::Bootstrap => Certificates::Bootstrap,
    }
}

fn text(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// The secrets with certificates that the control plane answers.
fn credentials(settings: &ServerTlsSettings) -> Vec<&str> {
    match text(settings.credential_name.as_ref()) {
        Some(name) => vec![name],
        None => settings
            .credential_names
            .iter()
            .map(String::as_str)
            .collect(),
    }
}

fn certificates(settings: &ServerTlsSettings, traits: &Traits, out: &mut tls::CommonTlsContext) {
    let credentials = credentials(settings);
    if !credentials.is_empty() {
        let secrets = credentials.into_iter().map(credential);
        out.tls_certificate_sds_secret_configs = secrets.collect();
        return;
    }
    let listed = settings.tls_certificates.iter();
    let listed = listed.map(|c| (c.server_certificate.as_ref(), c.private_key.as_ref()));
    let single = (
        settings.server_certificate.as_ref(),
        settings.private_key.as_ref(),
    );
    // Envoy has place for one certificate of each kind of key.
    for (certificate, key) in listed.chain([single]).take(2) {
        let (Some(certificate), Some(key)) = (text(certificate), text(key)) else {
            continue;
        };
        match traits.certificates {
            // An agent reads files anew when they change.
            Certificates::Sds => {
                let name = name::file_certificate(certificate, key);
                let secret = secret::of_agent(name);
                out.tls_certificate_sds_secret_configs.push(secret);
            }
            Certificates::None | Certificates::Bootstrap => {
                out.tls_certificates.push(tls::TlsCertificate {
                    certificate_chain: Some(secret::file(certificate)),
                    private_key: Some(secret::file(key)),
                    ..tls::TlsCertificate::default()
                });
            }
        }
    }
}

/// The secret of a credential; `builtin://` is the proxy's own.
fn credential(name: &str) -> tls::SdsSecretConfig {
    match name.starts_with("builtin://") {
        true => secret::own(Certificates::Sds),
        false => secret::of_control_plane(name::credential(name)),
    }
}

/// How a client's certificate is judged.
pub(crate) fn clients(settings: &ServerTlsSettings, traits: &Traits) -> ValidationContextType {
    let mut checks = tls::CertificateValidationContext {
        match_typed_subject_alt_names: settings
            .subject_alt_names
            .iter()
            .map(|name| secret::san(name))
            .collect(),
        verify_certificate_spki: settings.verify_certificate_spki.clone(),
        verify_certificate_hash: settings.verify_certificate_hash.clone(),
        crl: text(settings.ca_crl.as_ref()).map(secret::file),
        ..tls::CertificateValidationContext::default()
    };
    if settings.insecure_skip_verify == Some(true) {
        checks.trust_chain_verification = TrustChainVerification::AcceptUntrusted.into();
    }
    match authorities(settings, traits) {
        Authorities::Secret(secret) => {
            ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
                default_validation_context: Some(checks),
                validation_context_sds_secret_config: Some(*secret),
                ..CombinedCertificateValidationContext::default()
            })
        }
        Authorities::File(path) => {
            checks.trusted_ca = path.map(secret::file);
            ValidationContextType::ValidationContext(checks)
        }
    }
}

/// Who may have signed a client's certificate.
enum Authorities<'a> {
    Secret(Box<tls::SdsSecretConfig>),
    File(Option<&'a str>),
}

fn authorities<'a>(settings: &'a ServerTlsSettings, traits: &Traits) -> Authorities<'a> {
    if settings.mode == Some(ServerTlsMode::IstioMutual) {
        return Authorities::Secret(Box::new(secret::authorities(own(traits))));
    }
    if let Some(name) = text(settings.ca_cert_credential_name.as_ref()) {
        return Authorities::Secret(Box::new(secret::of_control_plane(name::credential(name))));
    }
    if let Some(name) = credentials(settings).first() {
        let name = name::credential(&name::authorities_of(name));
        return Authorities::Secret(Box::new(secret::of_control_plane(name)));
    }
    let mut listed = settings.tls_certificates.iter();
    let path = text(settings.ca_certificates.as_ref())
        .or_else(|| listed.find_map(|c| text(c.ca_certificates.as_ref())));
    match (traits.certificates, path) {
        (Certificates::Sds, Some(path)) if text(settings.ca_crl.as_ref()).is_none() => {
            Authorities::Secret(Box::new(secret::of_agent(name::file_authorities(path))))
        }
        (_, path) => Authorities::File(path),
    }
}

/// TLS versions and suites: the server's, else the mesh's.
fn parameters(settings: &ServerTlsSettings, traits: &Traits) -> tls::TlsParameters {
    let default = TlsConfig::default();
    let TlsConfig {
        min_protocol_version,
        ecdh_curves,
        cipher_suites,
    } = traits.mesh.config.tls_defaults.as_ref().unwrap_or(&default);
    let least = match min_protocol_version.unwrap_or_default() {
        TlsConfigProtocol::Auto | TlsConfigProtocol::V12 => Envoys::TlSv12,
        TlsConfigProtocol::V13 => Envoys::TlSv13,
    };
    let version = |version: Option<TlsProtocol>, default| match version.unwrap_or_default() {
        TlsProtocol::Auto => default,
        TlsProtocol::V1_0 => Envoys::TlSv10,
        TlsProtocol::V1_1 => Envoys::TlSv11,
        TlsProtocol::V1_2 => Envoys::TlSv12,
        TlsProtocol::V1_3 => Envoys::TlSv13,
    };
    let own = settings.ciphers();
    tls::TlsParameters {
        tls_minimum_protocol_version: version(settings.min_protocol_version, least).into(),
        tls_maximum_protocol_version: version(settings.max_protocol_version, Envoys::TlsAuto)
            .into(),
        cipher_suites: match own.is_empty() {
            true => cipher_suites.clone(),
            false => own.into_iter().map(str::to_owned).collect(),
        },
        ecdh_curves: ecdh_curves.clone(),
        ..tls::TlsParameters::default()
    }
}
