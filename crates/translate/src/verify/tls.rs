//! TLS contexts, as far as they stand in the resource; what comes over SDS is not here.

use super::report::Report;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, common_tls_context::ValidationContextType,
};

const MAX_PROTOCOL: usize = 255;
const MAX_PROTOCOLS: usize = 65_535;

/// What both sides have in common.
#[expect(deprecated, reason = "Envoy still reads match_subject_alt_names")]
pub(super) fn common(context: &CommonTlsContext, report: &mut Report) {
    if let Some(ValidationContextType::ValidationContext(validation)) =
        &context.validation_context_type
    {
        let matches_names = !validation.match_typed_subject_alt_names.is_empty()
            || !validation.match_subject_alt_names.is_empty();
        let has_trust = validation.trusted_ca.is_some()
            || validation.ca_certificate_provider_instance.is_some()
            || validation.custom_validator_config.is_some();
        if matches_names && !has_trust {
            report.at("validation_context", |report| {
                report.add(
                    "must have a trusted_ca: subject names prove nothing when every certificate \
                     is trusted",
                );
            });
        }
    }
    let total: usize = context
        .alpn_protocols
        .iter()
        .map(|name| name.len() + 1)
        .sum();
    let longest = context.alpn_protocols.iter().map(String::len).max();
    if longest > Some(MAX_PROTOCOL) || total > MAX_PROTOCOLS {
        report.at("alpn_protocols", |report| {
            report.add(format!("must have names of at most {MAX_PROTOCOL} bytes"));
        });
    }
}

/// A server proves who it is.
#[expect(deprecated, reason = "Envoy still reads the certificate providers")]
pub(super) fn downstream(context: &DownstreamTlsContext, report: &mut Report) {
    let has_certificate = context.common_tls_context.as_ref().is_some_and(|common| {
        !common.tls_certificates.is_empty()
            || !common.tls_certificate_sds_secret_configs.is_empty()
            || common.tls_certificate_provider_instance.is_some()
            || common.custom_tls_certificate_selector.is_some()
            || common.tls_certificate_certificate_provider.is_some()
            || common
                .tls_certificate_certificate_provider_instance
                .is_some()
    });
    if context.common_tls_context.is_some() && !has_certificate {
        report.at("common_tls_context", |report| {
            report.add("must have a certificate: a server cannot do TLS without one");
        });
    }
}
