//! Authorization. So far only the refusal of everything, for workloads whose policies are not
//! understood: HTTP is answered with 403, TCP connections are closed.

use super::{Access, HttpInput, filter as one};
use crate::listener::Traits;
use crate::listener::chain::network_filter;
use crate::listener::tcp_proxy::TcpSpec;
use meltemi_proto::envoy::config::listener::v3::Filter;
use meltemi_proto::envoy::config::rbac::v3 as envoy;
use meltemi_proto::envoy::extensions::filters::http::rbac::v3 as http_rbac;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use meltemi_proto::envoy::extensions::filters::network::rbac::v3 as network_rbac;
use std::collections::BTreeMap;

/// The HTTP filter.
pub(super) fn http(input: &HttpInput<'_>) -> Vec<HttpFilter> {
    match input.spec.access {
        Access::Open => Vec::new(),
        Access::Denied => {
            let rbac = http_rbac::Rbac {
                rules: Some(deny_everything()),
                ..http_rbac::Rbac::default()
            };
            vec![one("envoy.filters.http.rbac", &rbac)]
        }
    }
}

/// The network filter of TCP chains.
pub(crate) fn network(spec: &TcpSpec, _: &Traits) -> Vec<Filter> {
    match spec.access {
        Access::Open => Vec::new(),
        Access::Denied => {
            let rbac = network_rbac::Rbac {
                rules: Some(deny_everything()),
                stat_prefix: "tcp.".into(),
                ..network_rbac::Rbac::default()
            };
            vec![network_filter("envoy.filters.network.rbac", &rbac)]
        }
    }
}

fn deny_everything() -> envoy::Rbac {
    let policy = envoy::Policy {
        permissions: vec![envoy::Permission {
            rule: Some(envoy::permission::Rule::Any(true)),
        }],
        principals: vec![envoy::Principal {
            identifier: Some(envoy::principal::Identifier::Any(true)),
        }],
        ..envoy::Policy::default()
    };
    envoy::Rbac {
        action: envoy::rbac::Action::Deny.into(),
        policies: BTreeMap::from([("policy-not-understood".into(), policy)]),
        ..envoy::Rbac::default()
    }
}
