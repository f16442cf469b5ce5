//! Tells the cluster that HTTP is carried, so that it offers the server the ALPN of HTTP inside of
//! mesh mTLS. Istio's own filter for that is not in core Envoy; filter state shared with the
//! upstream, and a matcher there (`cluster/mesh_tls.rs`), do the same.

use super::{HttpInput, Side, filter as one};
use crate::name;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::filters::common::set_filter_state::v3 as state;
use meltemi_proto::envoy::extensions::filters::http::set_filter_state::v3::Config;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;

/// The filter, where the proxy has a certificate and so may speak mesh mTLS.
pub(super) fn filter(input: &HttpInput<'_>) -> Vec<HttpFilter> {
    let outbound = match input.spec.side {
        Side::Outbound => true,
        Side::Inbound => false,
    };
    match outbound && input.traits.certificates.exist() {
        true => vec![one("envoy.filters.http.set_filter_state", &config())],
        false => Vec::new(),
    }
}

fn config() -> Config {
    use core::substitution_format_string::Format;
    let text = core::DataSource {
        specifier: Some(core::data_source::Specifier::InlineString(
            name::CARRIED_HTTP.into(),
        )),
        ..core::DataSource::default()
    };
    let value = core::SubstitutionFormatString {
        format: Some(Format::TextFormatSource(text)),
        ..core::SubstitutionFormatString::default()
    };
    Config {
        on_request_headers: vec![state::FilterStateValue {
            key: Some(state::filter_state_value::Key::ObjectKey(
                name::CARRIED.into(),
            )),
            factory_key: "envoy.string".into(),
            value: Some(state::filter_state_value::Value::FormatString(value)),
            shared_with_upstream: state::filter_state_value::SharedWithUpstream::Once.into(),
            ..state::FilterStateValue::default()
        }],
        ..Config::default()
    }
}
