//! What the listener filters find out about a connection before a filter chain is chosen.

use crate::call::{Call, Protocol, Tls};
use crate::decode::open;
use crate::outcome::Stop;
use meltemi_proto::envoy::config::listener::v3 as envoy;
use meltemi_proto::envoy::config::listener::v3::listener_filter::ConfigType;
use meltemi_proto::envoy::config::listener::v3::listener_filter_chain_match_predicate::Rule;
use meltemi_proto::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use meltemi_proto::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use prost::{Message, Name};

/// What is known of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen<'a> {
    /// TLS would be recognised.
    pub(crate) looks_for_tls: bool,
    /// The application protocol; empty when unknown.
    pub(crate) alpn: &'a str,
}

/// Looks at the call with the filters of the listener.
pub(crate) fn inspect<'a>(listener: &envoy::Listener, call: &'a Call) -> Result<Seen<'a>, Stop> {
    let looks_for_tls = runs::<TlsInspector>(listener, call.port)?;
    let sniffed = match (call.tls, call.protocol) {
        (Tls::Plaintext, Protocol::Http) => Some("http/1.1"),
        (Tls::Plaintext, Protocol::Http2) => Some("h2c"),
        (Tls::Plaintext, Protocol::Tcp) | (Tls::Tls | Tls::Mutual, _) => None,
    };
    let offered = if looks_for_tls { call.offered() } else { "" };
    let alpn = match sniffed {
        Some(sniffed) if runs::<HttpInspector>(listener, call.port)? => sniffed,
        Some(_) | None => offered,
    };
    Ok(Seen {
        looks_for_tls,
        alpn,
    })
}

/// True when the listener has such a filter and it is not switched off for the port.
fn runs<T: Message + Name + Default>(listener: &envoy::Listener, port: u32) -> Result<bool, Stop> {
    for filter in &listener.listener_filters {
        let Some(ConfigType::TypedConfig(config)) = &filter.config_type else {
            continue;
        };
        if open::<T>(config).is_none() {
            continue;
        }
        let disabled = match &filter.filter_disabled {
            Some(predicate) => holds(predicate, port)?,
            None => false,
        };
        if !disabled {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds(predicate: &envoy::ListenerFilterChainMatchPredicate, port: u32) -> Result<bool, Stop> {
    match &predicate.rule {
        Some(Rule::OrMatch(set)) => {
            for rule in &set.rules {
                if holds(rule, port)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Some(Rule::AndMatch(set)) => {
            for rule in &set.rules {
                if !holds(rule, port)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Some(Rule::NotMatch(rule)) => Ok(!holds(rule, port)?),
        Some(Rule::AnyMatch(any)) => Ok(*any),
        Some(Rule::DestinationPortRange(range)) => {
            let port = i64::from(port);
            Ok(i64::from(range.start) <= port && port < i64::from(range.end))
        }
        None => Err(Stop::unsupported(
            "a listener filter is disabled by an empty rule",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::listener;
    use serde_json::json;

    fn call(port: u32, protocol: Protocol, tls: Tls) -> Call {
        Call {
            protocol,
            tls,
            ..Call::new(port)
        }
    }

    #[test]
    fn filters_can_be_switched_off_by_port() {
        let port = |port: u32| json!({"destination_port_range": {"start": port, "end": port + 1}});
        let inspector = |kind: &str, rule: &serde_json::Value| {
            json!({
                "name": kind,
                "typed_config": {"@type": format!("type.googleapis.com/envoy.extensions.filters.listener.{kind}")},
                "filter_disabled": rule,
            })
        };
        let listener = listener(json!({"name": "x", "listener_filters": [
            inspector("tls_inspector.v3.TlsInspector", &json!({"not_match": port(443)})),
            inspector("http_inspector.v3.HttpInspector",
                &json!({"or_match": {"rules": [port(443), {"and_match": {"rules": [{"any_match": true}, port(81)]}}]}})),
        ]}));
        let seen = |call: &Call| {
            let seen = inspect(&listener, call).unwrap();
            (seen.looks_for_tls, seen.alpn.to_owned())
        };
        let http = |port| call(port, Protocol::Http, Tls::Plaintext);
        assert_eq!(seen(&http(443)), (true, String::new()));
        assert_eq!(seen(&http(81)), (false, String::new()));
        assert_eq!(seen(&http(80)), (false, "http/1.1".into()));
        let h2c = call(80, Protocol::Http2, Tls::Plaintext);
        assert_eq!(seen(&h2c), (false, "h2c".into()));
        let mesh = |port| call(port, Protocol::Http2, Tls::Mutual);
        assert_eq!(seen(&mesh(443)), (true, "istio-h2".into()));
        assert_eq!(seen(&mesh(80)), (false, String::new()));
        assert_eq!(seen(&call(443, Protocol::Tcp, Tls::Mutual)).1, "istio");
        assert_eq!(seen(&call(443, Protocol::Http, Tls::Tls)).1, "http/1.1");
        assert_eq!(seen(&call(443, Protocol::Tcp, Tls::Tls)).1, "");
    }
}
