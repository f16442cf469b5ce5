//! Mesh-wide settings of requests: paths, ids, and the headers that proxies add.
//!
//! Follows <https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig-ProxyHeaders>.

use super::{HttpInput, Side};
use crate::wire;
use hcm::http_connection_manager as manager;
use meltemi_api::mesh_config::{
    ForwardClientCertDetails, NormalizationType, ProxyHeaders, SetCurrentClientCertDetails,
};
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use meltemi_proto::envoy::extensions::http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig;
use meltemi_proto::envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig;

fn headers<'a>(input: &HttpInput<'a>) -> Option<&'a ProxyHeaders> {
    input.traits.settings.headers.as_ref()
}

/// Fills in everything that mesh configuration says about requests.
pub(super) fn settings(input: &HttpInput<'_>, out: &mut hcm::HttpConnectionManager) {
    let headers = headers(input);
    paths(input, out);
    out.request_id_extension = Some(request_ids());
    if headers.and_then(|h| h.request_id.as_ref()?.disabled) == Some(true) {
        out.generate_request_id = Some(wire::bool(false));
    }
    let port = headers.and_then(|h| h.x_forwarded_port.as_ref()?.enabled);
    out.append_x_forwarded_port = port == Some(true);
    server(input, out);
    match input.spec.side {
        Side::Outbound => {}
        Side::Inbound => client_certificate(headers, out),
        Side::Gateway => edge(input, out),
    }
}

fn paths(input: &HttpInput<'_>, out: &mut hcm::HttpConnectionManager) {
    use manager::PathWithEscapedSlashesAction as Escaped;
    let (normalize, merge, escaped) = match input.traits.mesh.config.normalization() {
        NormalizationType::None => (false, false, Escaped::KeepUnchanged),
        NormalizationType::Default | NormalizationType::Base => {
            (true, false, Escaped::KeepUnchanged)
        }
        NormalizationType::MergeSlashes => (true, true, Escaped::KeepUnchanged),
        NormalizationType::DecodeAndMergeSlashes => (true, true, Escaped::UnescapeAndForward),
    };
    out.normalize_path = Some(wire::bool(normalize));
    out.merge_slashes = merge;
    out.path_with_escaped_slashes_action = escaped.into();
}

fn request_ids() -> hcm::RequestIdExtension {
    let config = UuidRequestIdConfig {
        use_request_id_for_trace_sampling: Some(wire::bool(true)),
        ..UuidRequestIdConfig::default()
    };
    hcm::RequestIdExtension {
        typed_config: Some(pack(&config)),
    }
}

fn server(input: &HttpInput<'_>, out: &mut hcm::HttpConnectionManager) {
    let server = headers(input).and_then(|h| h.server.as_ref());
    if server.and_then(|s| s.disabled) == Some(true) {
        out.server_header_transformation = manager::ServerHeaderTransformation::PassThrough.into();
    }
    let custom = server.and_then(|s| s.value.as_deref());
    match (input.spec.side, custom.filter(|v| !v.is_empty())) {
        (_, Some(value)) => out.server_name = value.into(),
        (Side::Inbound | Side::Gateway, None) => out.server_name = "istio-envoy".into(),
        (Side::Outbound, None) => {}
    }
}

/// What a gateway tells of its clients, and how many proxies in front of it are believed.
fn edge(input: &HttpInput<'_>, out: &mut hcm::HttpConnectionManager) {
    let headers = headers(input);
    client_certificate(headers, out);
    let topology = input.traits.settings.topology.as_ref();
    out.xff_num_trusted_hops = topology
        .and_then(|t| t.num_trusted_proxies)
        .unwrap_or_default();
    let wanted = topology.and_then(|t| t.forward_client_cert_details);
    let wanted = wanted.filter(|d| *d != ForwardClientCertDetails::Undefined);
    let wanted = wanted.or(headers.and_then(|h| h.forwarded_client_cert));
    let wanted = wanted.unwrap_or(ForwardClientCertDetails::SanitizeSet);
    out.forward_client_cert_details = forwarded(wanted).into();
    let shown = headers.and_then(|h| h.set_current_client_cert_details.as_ref());
    if let (None, Some(details)) = (shown, &mut out.set_current_client_cert_details) {
        details.cert = true;
    }
}

fn client_certificate(headers: Option<&ProxyHeaders>, out: &mut hcm::HttpConnectionManager) {
    let details = headers.and_then(|h| h.forwarded_client_cert);
    out.forward_client_cert_details = forwarded(details.unwrap_or_default()).into();
    let shown = headers
        .and_then(|h| h.set_current_client_cert_details.clone())
        .unwrap_or_default();
    let SetCurrentClientCertDetails {
        subject,
        cert,
        chain,
        dns,
        uri,
    } = shown;
    out.set_current_client_cert_details = Some(manager::SetCurrentClientCertDetails {
        subject: Some(wire::bool(subject.unwrap_or(true))),
        cert: cert.unwrap_or(false),
        chain: chain.unwrap_or(false),
        dns: dns.unwrap_or(true),
        uri: uri.unwrap_or(true),
        ..manager::SetCurrentClientCertDetails::default()
    });
}

fn forwarded(details: ForwardClientCertDetails) -> manager::ForwardClientCertDetails {
    use manager::ForwardClientCertDetails as Forward;
    match details {
        ForwardClientCertDetails::Undefined | ForwardClientCertDetails::AppendForward => {
            Forward::AppendForward
        }
        ForwardClientCertDetails::Sanitize => Forward::Sanitize,
        ForwardClientCertDetails::ForwardOnly => Forward::ForwardOnly,
        ForwardClientCertDetails::SanitizeSet => Forward::SanitizeSet,
        ForwardClientCertDetails::AlwaysForwardOnly => Forward::AlwaysForwardOnly,
    }
}

/// The formatter that keeps the case of HTTP/1.1 header names, where a proxy is told to; towards
/// clients and towards servers, or the one would undo the other.
pub(crate) fn keep_case(wanted: bool) -> Option<core::http1_protocol_options::HeaderKeyFormat> {
    use core::http1_protocol_options::{HeaderKeyFormat, header_key_format::HeaderFormat};
    wanted.then(|| HeaderKeyFormat {
        header_format: Some(HeaderFormat::StatefulFormatter(
            core::TypedExtensionConfig {
                name: "preserve_case".into(),
                typed_config: Some(pack(&PreserveCaseFormatterConfig::default())),
            },
        )),
    })
}

/// True when Envoy's `x-envoy-*` headers are not to be added.
pub(super) fn hides_debug_headers(input: &HttpInput<'_>) -> bool {
    headers(input).and_then(|h| h.envoy_debug_headers.as_ref()?.disabled) == Some(true)
}
