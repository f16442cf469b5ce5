//! Secrets that Envoy asks for by name, and what mesh mTLS is made of on both sides of a call.
//!
//! No key is ever in a resource: it names a secret, which the agent beside the proxy answers (SDS),
//! or the proxy's bootstrap holds. Names are Istio's, so that Istio's agent answers them too. The
//! surprise: without `initial_fetch_timeout: 0s` Envoy would serve without a certificate after 15s.

use crate::{name, wire};
use meltemi_api::mesh_config::{MeshConfig, TlsConfig, TlsConfigProtocol};
use meltemi_model::{Certificates, Mesh};
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use meltemi_proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use meltemi_types::TrustDomain;
use std::collections::BTreeSet;

/// The proxy's own certificate.
pub(crate) fn own(certificates: Certificates) -> tls::SdsSecretConfig {
    tls::SdsSecretConfig {
        name: name::OWN_CERTIFICATE.into(),
        sds_config: source(certificates),
    }
}

/// The check of the other side's certificate: signed by the mesh's authorities, and with one of
/// these names, if there are any.
pub(crate) fn peers(
    certificates: Certificates,
    names: Vec<tls::SubjectAltNameMatcher>,
) -> ValidationContextType {
    let authorities = tls::SdsSecretConfig {
        name: name::MESH_AUTHORITIES.into(),
        sds_config: source(certificates),
    };
    combined(authorities, names)
}

/// The check of the other side's certificate with authorities of a secret.
pub(crate) fn combined(
    authorities: tls::SdsSecretConfig,
    names: Vec<tls::SubjectAltNameMatcher>,
) -> ValidationContextType {
    ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
        default_validation_context: Some(tls::CertificateValidationContext {
            match_typed_subject_alt_names: names,
            ..tls::CertificateValidationContext::default()
        }),
        validation_context_sds_secret_config: Some(authorities),
        ..CombinedCertificateValidationContext::default()
    })
}

/// A secret that the agent beside the proxy answers, such as a certificate in files.
pub(crate) fn of_agent(name: String) -> tls::SdsSecretConfig {
    tls::SdsSecretConfig {
        name,
        sds_config: Some(agent()),
    }
}

/// A secret that the control plane answers. It may not exist, and must not hold up the rest, so
/// Envoy waits for it no longer than it does by default.
pub(crate) fn of_control_plane(name: String) -> tls::SdsSecretConfig {
    tls::SdsSecretConfig {
        name,
        sds_config: Some(core::ConfigSource {
            initial_fetch_timeout: None,
            ..wire::ads()
        }),
    }
}

/// Secrets of the bootstrap are found by their names alone.
fn source(certificates: Certificates) -> Option<core::ConfigSource> {
    match certificates {
        Certificates::Sds => Some(agent()),
        Certificates::None | Certificates::Bootstrap => None,
    }
}

/// "From the agent beside the proxy, and wait for it as long as it takes."
fn agent() -> core::ConfigSource {
    use core::grpc_service::{EnvoyGrpc, TargetSpecifier};
    let service = core::GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: name::SDS.into(),
            ..EnvoyGrpc::default()
        })),
        ..core::GrpcService::default()
    };
    let api = core::ApiConfigSource {
        api_type: core::api_config_source::ApiType::Grpc.into(),
        transport_api_version: core::ApiVersion::V3.into(),
        set_node_on_first_message_only: true,
        grpc_services: vec![service],
        ..core::ApiConfigSource::default()
    };
    core::ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::ApiConfigSource(api)),
        initial_fetch_timeout: Some(wire::zero()),
        resource_api_version: core::ApiVersion::V3.into(),
        ..core::ConfigSource::default()
    }
}

/// The trust domains whose workloads are let in: the mesh's own, its aliases, and those that mesh
/// configuration holds authorities for.
pub(crate) fn trust_domains(mesh: &Mesh) -> BTreeSet<TrustDomain> {
    let config = &mesh.config;
    let foreign = config.ca_certificates.iter().flat_map(|c| &c.trust_domains);
    let others = config.trust_domain_aliases.iter().chain(foreign);
    let others = others.filter_map(|text| text.parse().ok());
    others.chain([mesh.trust_domain.clone()]).collect()
}

/// A URI among the names of a certificate.
pub(crate) fn uri(pattern: MatchPattern) -> tls::SubjectAltNameMatcher {
    tls::SubjectAltNameMatcher {
        san_type: SanType::Uri.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(pattern),
            ignore_case: false,
        }),
        ..tls::SubjectAltNameMatcher::default()
    }
}

/// The TLS versions of mesh mTLS, with these cipher suites unless mesh configuration names some.
pub(crate) fn parameters(mesh: &MeshConfig, suites: &[&str]) -> tls::TlsParameters {
    let mut made = versions(mesh.mesh_mtls.as_ref());
    if made.cipher_suites.is_empty() {
        made.cipher_suites = suites.iter().map(|s| (*s).to_owned()).collect();
    }
    made
}

/// TLS versions, cipher suites and curves as configured.
pub(crate) fn versions(config: Option<&TlsConfig>) -> tls::TlsParameters {
    let default = TlsConfig::default();
    let TlsConfig {
        min_protocol_version,
        ecdh_curves,
        cipher_suites,
    } = config.unwrap_or(&default);
    let least = match min_protocol_version.unwrap_or_default() {
        TlsConfigProtocol::Auto | TlsConfigProtocol::V12 => TlsProtocol::TlSv12,
        TlsConfigProtocol::V13 => TlsProtocol::TlSv13,
    };
    tls::TlsParameters {
        tls_minimum_protocol_version: least.into(),
        // Envoy's clients stop at 1.2 unless told.
        tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
        cipher_suites: cipher_suites.clone(),
        ecdh_curves: ecdh_curves.clone(),
        ..tls::TlsParameters::default()
    }
}

/// A transport socket with its configuration.
pub(crate) fn socket<M: prost::Message + prost::Name>(
    name: &str,
    config: &M,
) -> core::TransportSocket {
    core::TransportSocket {
        name: name.into(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(
            meltemi_proto::any::pack(config),
        )),
    }
}

/// A file.
pub(crate) fn file(path: &str) -> core::DataSource {
    core::DataSource {
        specifier: Some(core::data_source::Specifier::Filename(path.into())),
        ..core::DataSource::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_bootstrap_have_no_source_and_those_of_the_agent_wait() {
        assert_eq!(own(Certificates::Bootstrap).sds_config, None);
        let waits = own(Certificates::Sds).sds_config.unwrap();
        assert_eq!(waits.initial_fetch_timeout, Some(wire::zero()));
        let credential = of_control_plane("kubernetes://c".into());
        assert_eq!(credential.sds_config.unwrap().initial_fetch_timeout, None);
    }

    #[test]
    fn trust_domains_are_the_own_one_its_aliases_and_those_with_authorities() {
        let config: MeshConfig = serde_yaml::from_str(
            "{trustDomain: td, trustDomainAliases: [old, \"Not One\"],
              caCertificates: [{pem: x, trustDomains: [partner, old]}]}",
        )
        .unwrap();
        let all = trust_domains(&Mesh::new(config, "cluster.local"));
        let all: Vec<&str> = all.iter().map(TrustDomain::as_str).collect();
        assert_eq!(all, ["old", "partner", "td"]);
    }
}
