//! Whether a filter chain can talk to what arrives: plaintext, TLS, mutual TLS of the mesh.

use crate::call::{Call, Tls};
use crate::decode::open;
use crate::outcome::{CallError, Stop};
use meltemi_proto::envoy::config::core::v3::transport_socket::ConfigType;
use meltemi_proto::envoy::config::listener::v3::FilterChain;
use meltemi_proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;

/// Whether the chain ends TLS, or why the handshake fails.
pub(crate) fn accept(chain: &FilterChain, call: &Call) -> Result<bool, Stop> {
    let Some(socket) = &chain.transport_socket else {
        return Ok(false);
    };
    let Some(ConfigType::TypedConfig(config)) = &socket.config_type else {
        return Err(Stop::unsupported(format!(
            "transport socket {}",
            socket.name
        )));
    };
    if open::<RawBuffer>(config).is_some() {
        return Ok(false);
    }
    let Some(context) = open::<DownstreamTlsContext>(config) else {
        return Err(Stop::unsupported(format!(
            "transport socket {}",
            socket.name
        )));
    };
    let context = context.map_err(Stop::Unsupported)?;
    match call.tls {
        Tls::Plaintext => Err(CallError::TlsError.into()),
        Tls::Tls | Tls::Mutual if is_mesh(&context, call) == (call.tls == Tls::Mutual) => Ok(true),
        Tls::Tls | Tls::Mutual => Err(CallError::MtlsError.into()),
    }
}

/// True when the chain asks for a certificate of the mesh and shows one.
fn is_mesh(context: &DownstreamTlsContext, call: &Call) -> bool {
    let common = context.common_tls_context.as_ref();
    let secrets = common.map(|common| common.tls_certificate_sds_secret_configs.as_slice());
    let first = secrets.and_then(<[_]>::first);
    let required = context.require_client_certificate.as_ref();
    first.is_some_and(|secret| secret.name == call.mesh_secret)
        && required.is_some_and(|required| required.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use serde_json::{Value, json};

    fn result(secret: &str, required: bool, call: &Call) -> Result<bool, Stop> {
        let listener = testing::listener(json!({"name": "x", "filter_chains": [{
            "transport_socket": testing::tls(secret, required),
        }]}));
        accept(&listener.filter_chains[0], call)
    }

    fn call(tls: Tls) -> Call {
        Call {
            tls,
            ..Call::new(1)
        }
    }

    #[test]
    fn mutual_tls_is_told_by_the_name_of_the_certificate() {
        assert_eq!(result("default", true, &call(Tls::Mutual)), Ok(true));
        let wrong = Err(CallError::MtlsError.into());
        assert_eq!(result("default", true, &call(Tls::Tls)), wrong);
        assert_eq!(result("default", false, &call(Tls::Mutual)), wrong);
        assert_eq!(result("kubernetes://x", true, &call(Tls::Mutual)), wrong);
        assert_eq!(result("kubernetes://x", true, &call(Tls::Tls)), Ok(true));
        let named = Call {
            mesh_secret: "kubernetes://x".into(),
            ..call(Tls::Mutual)
        };
        assert_eq!(result("kubernetes://x", true, &named), Ok(true));
        let plain = Err(CallError::TlsError.into());
        assert_eq!(result("default", true, &call(Tls::Plaintext)), plain);
    }

    #[test]
    fn what_is_no_tls_is_said_or_let_through() {
        let of = |kind: &str| {
            let config: Value = json!({"@type": format!("type.googleapis.com/{kind}")});
            let listener = testing::listener(json!({"name": "x", "filter_chains": [{
                "transport_socket": {"name": "y", "typed_config": config},
            }]}));
            accept(&listener.filter_chains[0], &call(Tls::Plaintext))
        };
        let package = "envoy.extensions.transport_sockets";
        assert_eq!(of(&format!("{package}.raw_buffer.v3.RawBuffer")), Ok(false));
        let unknown = of(&format!("{package}.tls.v3.UpstreamTlsContext"));
        assert!(matches!(unknown, Err(Stop::Unsupported(_))), "{unknown:?}");
    }
}
