//! Mesh mTLS towards endpoints: to whom it is spoken, as whom they must prove themselves, and the
//! sockets that a matcher chooses from.
//!
//! Automatic mTLS asks the endpoint's metadata; `ISTIO_MUTUAL` asks nobody. Within, what the HTTP
//! connection manager shared as filter state tells HTTP from bytes, since the server chooses its
//! filter chain by the ALPN offered. `istio-peer-exchange` is never offered: who negotiates it must
//! put a frame before the bytes. The surprise: clients know only what holds for a namespace, so a
//! policy for some workloads reaches them through the metadata of endpoints.

use super::discovery::Discovery;
use super::http_options::HttpVersion;
use super::plan::Spot;
use super::tls::{self, Sockets, Wanted};
use super::{ClusterInput, Outbound};
use crate::view::View;
use crate::{name, secret};
use meltemi_api::networking::destination_rule::ClientTlsSettings;
use meltemi_model::security::MtlsMode;
use meltemi_model::{ServiceEndpoints, TlsMode};
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::matching::common_inputs::transport_socket::v3 as inputs;
use meltemi_proto::envoy::extensions::matching::common_inputs::transport_socket::v3::endpoint_metadata_input::{
    PathSegment, path_segment::Segment,
};
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as envoy;
use meltemi_proto::google::protobuf::Struct;
use meltemi_proto::xds::core::v3::TypedExtensionConfig;
use meltemi_proto::xds::r#type::matcher::v3::Matcher;
use meltemi_proto::xds::r#type::matcher::v3::matcher::matcher_tree::{MatchMap, TreeType};
use meltemi_proto::xds::r#type::matcher::v3::matcher::{
    MatcherTree, MatcherType, OnMatch, on_match,
};
use meltemi_types::TrustDomain;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The metadata by which endpoints say that they speak it: filter, key, value.
pub(crate) const SPEAKS: (&str, &str, &str) = ("envoy.transport_socket_match", "tlsMode", "istio");

/// The socket for HTTP.
const HTTP: &str = "mtls-http";
/// The socket for anything else.
const TCP: &str = "mtls-tcp";

/// Mesh mTLS towards the endpoints of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MeshTls {
    /// To whom.
    pub whom: Whom,
    /// SPIFFE identities, and other names that the service has, of which a server must prove one;
    /// empty leaves it at the mesh's authorities.
    pub identities: Arc<[String]>,
}

/// To whom mesh mTLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whom {
    /// To every endpoint.
    All,
    /// To endpoints whose metadata says that they speak it.
    Able,
}

/// Decides it for a cluster; `None` where the client has no certificate, or speaks no mesh mTLS.
pub(crate) fn of(view: &View<'_>, spot: &Spot<'_>) -> Option<MeshTls> {
    if !view.key.certificates.exist() {
        return None;
    }
    let whom = match tls::wanted(&spot.policy, view.key.kind) {
        Wanted::Mesh(_) => Whom::All,
        Wanted::Unsaid => automatic(view, spot)?,
        Wanted::Plaintext | Wanted::Own(_) | Wanted::Impossible(_) => return None,
    };
    Some(MeshTls {
        whom,
        identities: identities(view, spot).into_iter().collect(),
    })
}

/// Automatic mTLS: the user has said nothing.
fn automatic(view: &View<'_>, spot: &Spot<'_>) -> Option<Whom> {
    let service = spot.service;
    let off = view.mesh().config.enable_auto_mtls == Some(false);
    let refused = || view.peers(service).mode == MtlsMode::Disable;
    if off || service.external || refused() {
        return None;
    }
    match spot.discovery {
        Discovery::Endpoints | Discovery::StrictDns | Discovery::LogicalDns => Some(Whom::Able),
        // Such clusters know no metadata: all endpoints of the service speak it, or none does.
        Discovery::Destination => {
            let endpoints = view.all_endpoints(service)?;
            speaks_as_one(endpoints).then_some(Whom::All)
        }
        Discovery::Requested | Discovery::Nowhere => None,
    }
}

/// True when there are endpoints and all of them speak mesh mTLS.
pub(crate) fn speaks_as_one(endpoints: &ServiceEndpoints) -> bool {
    let mut all = endpoints.ports.values().flat_map(|list| list.iter());
    let mut some = false;
    all.all(|endpoint| {
        some = true;
        endpoint.tls == TlsMode::Istio
    }) && some
}

/// The identities of a service: the accounts of its endpoints and of its annotations, in the
/// mesh's trust domain and each of its aliases, and the names that a ServiceEntry gives.
fn identities(view: &View<'_>, spot: &Spot<'_>) -> BTreeSet<String> {
    let service = spot.service;
    let mesh = view.mesh();
    let aliases = mesh.config.trust_domain_aliases.iter();
    let aliases: Vec<TrustDomain> = aliases.filter_map(|text| text.parse().ok()).collect();
    let domains = || aliases.iter().chain([&mesh.trust_domain]);
    let own = service.accounts.iter();
    let own = own.map(|account| (&service.key.namespace, account));
    let endpoints = view.all_endpoints(service);
    let theirs = endpoints.iter().flat_map(|all| all.accounts());
    own.chain(theirs)
        .flat_map(|(namespace, account)| {
            domains().map(move |domain| name::identity(domain, namespace, account))
        })
        .chain(
            service
                .subject_alt_names
                .iter()
                .map(|name| name.to_string()),
        )
        .collect()
}

/// Makes the sockets of a cluster.
pub(super) fn sockets(
    mesh: &MeshTls,
    settings: Option<&ClientTlsSettings>,
    version: HttpVersion,
    (input, role): (&ClusterInput, &Outbound),
) -> Sockets {
    let made = |alpn: &[&str]| {
        let context = context(mesh, settings, alpn, (input, role));
        secret::socket("envoy.transport_sockets.tls", &context)
    };
    let http = one_of(HTTP, made(http_alpn(version)));
    let tcp = made(&["istio"]);
    let by_content = matcher(carried(), [(name::CARRIED_HTTP, choose(HTTP))]);
    match mesh.whom {
        Whom::All => Sockets {
            socket: Some(tcp),
            matches: vec![http],
            matcher: Some(by_content),
        },
        Whom::Able => {
            let (_, _, value) = SPEAKS;
            let by_content = Matcher {
                on_no_match: Some(Box::new(choose(TCP))),
                ..by_content
            };
            let inner = OnMatch {
                on_match: Some(on_match::OnMatch::Matcher(Box::new(by_content))),
                ..OnMatch::default()
            };
            Sockets {
                socket: None,
                matches: vec![http, one_of(TCP, tcp)],
                matcher: Some(matcher(metadata(), [(value, inner)])),
            }
        }
    }
}

/// What is offered with HTTP. A protocol that is no invention of the mesh is negotiated, so it is
/// offered only where it is known to be the one spoken.
fn http_alpn(version: HttpVersion) -> &'static [&'static str] {
    match version {
        HttpVersion::Http1 => &["istio-http/1.1", "istio", "http/1.1"],
        HttpVersion::Http2 => &["istio-h2", "istio", "h2"],
        HttpVersion::Downstream => &["istio-http/1.1", "istio"],
    }
}

fn context(
    mesh: &MeshTls,
    settings: Option<&ClientTlsSettings>,
    alpn: &[&str],
    (input, role): (&ClusterInput, &Outbound),
) -> envoy::UpstreamTlsContext {
    let written = settings.map(|s| s.subject_alt_names.as_slice());
    let names = match written.unwrap_or_default() {
        [] => mesh.identities.iter(),
        written => written.iter(),
    };
    let names = names.map(|name| secret::san(name)).collect();
    let certificates = input.client.certificates;
    let subset = role.subset_rule().map_or("", |rule| &rule.subset.name);
    let sni = settings.and_then(|s| s.sni.clone());
    let sni = sni.filter(|sni| !sni.is_empty());
    envoy::UpstreamTlsContext {
        sni: sni.unwrap_or_else(|| name::sni(role.port, subset, &role.service.key.host)),
        common_tls_context: Some(envoy::CommonTlsContext {
            tls_params: Some(secret::parameters(&input.mesh.config, &[])),
            tls_certificate_sds_secret_configs: vec![secret::own(certificates)],
            alpn_protocols: alpn.iter().map(|name| (*name).to_owned()).collect(),
            validation_context_type: Some(secret::peers(certificates, names)),
            ..envoy::CommonTlsContext::default()
        }),
        ..envoy::UpstreamTlsContext::default()
    }
}

/// A socket that the matcher may choose; by itself it matches nothing.
fn one_of(name: &str, socket: core::TransportSocket) -> TransportSocketMatch {
    TransportSocketMatch {
        name: name.into(),
        r#match: Some(Struct::default()),
        transport_socket: Some(socket),
    }
}

fn choose(name: &str) -> OnMatch {
    let action = inputs::TransportSocketNameAction { name: name.into() };
    OnMatch {
        on_match: Some(on_match::OnMatch::Action(TypedExtensionConfig {
            name: "envoy.matching.action.transport_socket.name".into(),
            typed_config: Some(pack(&action)),
        })),
        ..OnMatch::default()
    }
}

fn matcher<const N: usize>(input: TypedExtensionConfig, map: [(&str, OnMatch); N]) -> Matcher {
    let map = map.map(|(value, then)| (value.to_owned(), then));
    Matcher {
        matcher_type: Some(MatcherType::MatcherTree(MatcherTree {
            input: Some(input),
            tree_type: Some(TreeType::ExactMatchMap(MatchMap {
                map: BTreeMap::from(map),
            })),
        })),
        on_no_match: None,
    }
}

/// What the endpoint says of itself.
fn metadata() -> TypedExtensionConfig {
    let (filter, key, _) = SPEAKS;
    let input = inputs::EndpointMetadataInput {
        filter: filter.into(),
        path: vec![PathSegment {
            segment: Some(Segment::Key(key.into())),
        }],
    };
    TypedExtensionConfig {
        name: "envoy.matching.inputs.endpoint_metadata".into(),
        typed_config: Some(pack(&input)),
    }
}

/// What is carried, as the listener's HTTP filter told.
fn carried() -> TypedExtensionConfig {
    let input = inputs::FilterStateInput {
        key: name::CARRIED.into(),
    };
    TypedExtensionConfig {
        name: "envoy.matching.inputs.transport_socket_filter_state".into(),
        typed_config: Some(pack(&input)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{World, endpoint, origin, service, web};
    use meltemi_model::endpoint::EndpointWorkload;
    use meltemi_model::security::PeerPolicy;
    use meltemi_model::{Age, Endpoint, Resolution};
    use meltemi_proto::any::unpack;
    use meltemi_proto::envoy::config::cluster::v3::Cluster;
    use meltemi_proto::envoy::config::endpoint::v3::LbEndpoint;
    use meltemi_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
    use meltemi_types::{Protocol, Selector};

    fn account(name: &str) -> Endpoint {
        let endpoint = endpoint("10.0.0.1", "app=web");
        Endpoint {
            workload: Arc::new(EndpointWorkload {
                account: Some(name.parse().unwrap()),
                ..EndpointWorkload::clone(&endpoint.workload)
            }),
            ..endpoint
        }
    }

    fn plain() -> Endpoint {
        Endpoint {
            tls: TlsMode::Disabled,
            ..endpoint("10.0.0.2", "app=web")
        }
    }

    fn peer(mode: MtlsMode, app: Option<&str>) -> PeerPolicy {
        PeerPolicy {
            origin: origin("PeerAuthentication", "p"),
            age: Age {
                created: None,
                name: "p".parse().unwrap(),
                namespace: None,
            },
            namespace: "shop".parse().unwrap(),
            selector: app.map(|app| Selector::new([("app", app)].into_iter().collect())),
            mode: Some(mode),
            ports: BTreeMap::new(),
        }
    }

    fn context(socket: Option<&core::TransportSocket>) -> envoy::UpstreamTlsContext {
        use super::core::transport_socket::ConfigType;
        match socket.and_then(|s| s.config_type.as_ref()) {
            Some(ConfigType::TypedConfig(any)) => unpack(any).unwrap(),
            None => panic!("no configuration"),
        }
    }

    fn alpn(cluster: &Cluster) -> Vec<(&str, Vec<String>)> {
        let alpn = |m: &TransportSocketMatch| {
            let common = context(m.transport_socket.as_ref()).common_tls_context;
            common.unwrap().alpn_protocols
        };
        let all = cluster.transport_socket_matches.iter();
        all.map(|m| (m.name.as_str(), alpn(m))).collect()
    }

    fn able(world: &World) -> Vec<bool> {
        let groups = world.assigned(&web("")).message.endpoints;
        let able = |endpoint: &LbEndpoint| {
            let metadata = endpoint.metadata.as_ref();
            metadata.is_some_and(|m| m.filter_metadata.contains_key(SPEAKS.0))
        };
        let all = groups.iter().flat_map(|g| &g.lb_endpoints);
        all.map(able).collect()
    }

    #[test]
    fn a_client_without_a_certificate_speaks_none() {
        let world = World::web(Protocol::Http, vec![account("a")]);
        let cluster = world.cluster(&web(""));
        assert_eq!(cluster.transport_socket_matcher, None);
        assert_eq!(able(&world), [false]);
    }

    #[test]
    fn endpoints_that_can_are_spoken_to_with_it_and_others_in_clear() {
        let world = World::web(Protocol::Http, vec![account("a"), plain()]).certified();
        let cluster = world.cluster(&web(""));
        assert_eq!(cluster.transport_socket, None);
        assert!(cluster.transport_socket_matcher.is_some());
        let own = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let http = own(&["istio-http/1.1", "istio", "http/1.1"]);
        let expected = [("mtls-http", http), ("mtls-tcp", own(&["istio"]))];
        assert_eq!(alpn(&cluster), expected);
        let first = cluster.transport_socket_matches.first().unwrap();
        let context = context(first.transport_socket.as_ref());
        assert_eq!(context.sni, "outbound_.80_._.web.shop.svc.cluster.local");
        assert_eq!(able(&world), [true, false]);
    }

    #[test]
    fn what_is_spoken_decides_the_alpn() {
        let of = |protocol| {
            let world = World::web(protocol, vec![account("a")]).certified();
            let cluster = world.cluster(&web(""));
            let http = alpn(&cluster).remove(0).1;
            http.join(",")
        };
        assert_eq!(of(Protocol::Grpc), "istio-h2,istio,h2");
        assert_eq!(of(Protocol::Auto), "istio-http/1.1,istio");
    }

    #[test]
    fn a_rule_may_demand_it_or_forbid_it() {
        let of = |mode: &str| {
            let world = World::web(Protocol::Http, vec![account("a"), plain()]);
            world.certified().with_rule(&format!(
                "{{host: web.shop.svc.cluster.local, trafficPolicy: {{tls: {{mode: {mode}}}}}}}"
            ))
        };
        let demanded = of("ISTIO_MUTUAL, sni: own.example, subjectAltNames: [\"spiffe://x/y\"]");
        let cluster = demanded.cluster(&web(""));
        let context = context(cluster.transport_socket.as_ref());
        assert_eq!(context.sni, "own.example");
        assert_eq!(cluster.transport_socket_matches.len(), 1);
        assert_eq!(able(&demanded), [true, true]);
        let forbidden = of("DISABLE");
        let cluster = forbidden.cluster(&web(""));
        assert_eq!((cluster.transport_socket, alpn_len(&forbidden)), (None, 0));
        assert_eq!(able(&forbidden), [false, false]);
    }

    fn alpn_len(world: &World) -> usize {
        world.cluster(&web("")).transport_socket_matches.len()
    }

    #[test]
    fn a_namespace_that_refuses_it_is_not_offered_it_and_a_workload_says_so_itself() {
        let world = || World::web(Protocol::Http, vec![account("a")]).certified();
        let refused = world().with_peers(vec![peer(MtlsMode::Disable, None)]);
        assert_eq!((alpn_len(&refused), able(&refused)), (0, vec![false]));
        let one = world().with_peers(vec![peer(MtlsMode::Disable, Some("web"))]);
        assert_eq!((alpn_len(&one), able(&one)), (2, vec![false]));
        let other = world().with_peers(vec![peer(MtlsMode::Disable, Some("api"))]);
        assert_eq!((alpn_len(&other), able(&other)), (2, vec![true]));
    }

    #[test]
    fn automatic_mtls_can_be_switched_off_and_stays_inside_of_the_mesh() {
        let off = World::web(Protocol::Http, vec![account("a")]).certified();
        let off = off.with_mesh("{enableAutoMtls: false}");
        assert_eq!((alpn_len(&off), able(&off)), (0, vec![false]));
        let mut outside = service("web", Protocol::Http, Resolution::Endpoints);
        outside.external = true;
        let world = World::new(vec![(outside, vec![account("a")])]).certified();
        assert_eq!((alpn_len(&world), able(&world)), (0, vec![false]));
    }

    #[test]
    fn connections_that_keep_their_destination_have_it_when_every_endpoint_can() {
        let of = |endpoints| {
            let headless = service("web", Protocol::Tcp, Resolution::Passthrough);
            let world = World::new(vec![(headless, endpoints)]).certified();
            world.cluster(&web("")).transport_socket.is_some()
        };
        assert!(of(vec![account("a")]));
        assert!(!of(vec![account("a"), plain()]));
        assert!(!of(Vec::new()));
    }

    #[test]
    fn servers_prove_the_accounts_of_the_service_in_every_trust_domain() {
        use envoy::common_tls_context::ValidationContextType;
        let world = World::web(Protocol::Http, vec![account("b"), account("a")]);
        let world = world
            .certified()
            .with_mesh("{trustDomain: td, trustDomainAliases: [old]}");
        let cluster = world.cluster(&web(""));
        let first = cluster.transport_socket_matches.first().unwrap();
        let context = context(first.transport_socket.as_ref());
        let common = context.common_tls_context.unwrap();
        let Some(ValidationContextType::CombinedValidationContext(combined)) =
            common.validation_context_type
        else {
            panic!("a secret with authorities")
        };
        let names = combined.default_validation_context.unwrap();
        let names = names.match_typed_subject_alt_names.into_iter();
        let exact = |name: envoy::SubjectAltNameMatcher| {
            let MatchPattern::Exact(name) = name.matcher?.match_pattern? else {
                panic!("names are compared exactly")
            };
            Some(name)
        };
        let names: Vec<String> = names.filter_map(exact).collect();
        let expected =
            ["old", "td"].map(|d| ["a", "b"].map(|a| format!("spiffe://{d}/ns/shop/sa/{a}")));
        assert_eq!(names, expected.concat());
    }
}
