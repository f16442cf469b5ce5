//! TLS towards endpoints: <https://istio.io/latest/docs/reference/config/networking/destination-rule/#ClientTLSSettings>.
//!
//! What a policy asks for, and TLS that the user spells out; mesh mTLS is in `mesh_tls.rs`. What
//! cannot be done fails closed, with one exception: mesh mTLS that a rule asks for stays plaintext,
//! with a warning, while the client's proxy has no certificate.

use super::http_options::{AutoSni, HttpVersion};
use super::outbound::Problem;
use super::policy::Policy;
use super::{ClusterInput, Outbound, mesh_tls};
use crate::{name, secret};
use meltemi_api::networking::destination_rule::{
    ClientTlsSettings, ProxyProtocol, ProxyProtocolVersion, TlsMode,
};
use meltemi_model::{Certificates, Service};
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
use meltemi_proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use meltemi_proto::xds::r#type::matcher::v3::Matcher;
use meltemi_types::{Code, ProxyKind};

/// Where Debian, Ubuntu and the images made from them keep the authorities of the host.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What authorities are called that are the host's.
const SYSTEM: &str = "system";

/// What a policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// Nothing: automatic mTLS, or plaintext.
    Unsaid,
    /// No TLS.
    Plaintext,
    /// The mesh's own TLS.
    Mesh(&'a ClientTlsSettings),
    /// TLS to a server that need not be in the mesh.
    Own(Own<'a>),
    /// TLS that cannot be made: nothing may be sent.
    Impossible(Problem),
}

/// TLS that the user spells out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own<'a> {
    settings: &'a ClientTlsSettings,
    /// The client's certificate.
    client: Option<Client<'a>>,
}

/// Where the client's certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client<'a> {
    /// In files: certificate and key.
    Files(&'a str, &'a str),
    /// In the secret of this name.
    Credential(&'a str),
}

/// What a policy asks for.
pub(super) fn wanted<'a>(policy: &Policy<'a>, kind: ProxyKind) -> Wanted<'a> {
    let Some(settings) = policy.tls else {
        return Wanted::Unsaid;
    };
    let credential = text(settings.credential_name.as_ref());
    let client = credential.map(Client::Credential);
    let client = client.or_else(|| client_files(settings));
    match settings.mode.unwrap_or(TlsMode::Disable) {
        TlsMode::Disable => Wanted::Plaintext,
        TlsMode::IstioMutual => Wanted::Mesh(settings),
        TlsMode::Simple | TlsMode::Mutual
            if credential.is_some_and(|name| !may_use(name, policy, kind)) =>
        {
            Wanted::Impossible(Problem {
                field: "tls",
                code: Code::InvalidValue,
                fatal: true,
                message: "credentialName needs a workloadSelector on sidecars, so nothing is sent \
                          to the host",
                remedy: "add a workloadSelector, or name files with clientCertificate, privateKey \
                         and caCertificates",
            })
        }
        TlsMode::Mutual if client.is_none() => Wanted::Impossible(Problem {
            field: "tls",
            code: Code::Required,
            fatal: true,
            message: "mode MUTUAL without a client certificate, so nothing is sent to the host",
            remedy: "set clientCertificate and privateKey, or credentialName",
        }),
        TlsMode::Mutual => Wanted::Own(Own { settings, client }),
        TlsMode::Simple => Wanted::Own(Own {
            settings,
            client: None,
        }),
    }
}

/// Secrets are for whom the user picked: gateways, and workloads that a rule selects.
fn may_use(credential: &str, policy: &Policy<'_>, kind: ProxyKind) -> bool {
    kind != ProxyKind::Sidecar || policy.selects || credential.starts_with("configmap://")
}

fn client_files(settings: &ClientTlsSettings) -> Option<Client<'_>> {
    let certificate = text(settings.client_certificate.as_ref())?;
    let key = text(settings.private_key.as_ref())?;
    Some(Client::Files(certificate, key))
}

/// The transport sockets of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sockets {
    /// The one that is used unless the matcher says otherwise; `None` is plaintext.
    pub(super) socket: Option<core::TransportSocket>,
    /// Those that the matcher chooses from.
    pub(super) matches: Vec<TransportSocketMatch>,
    /// Chooses.
    pub(super) matcher: Option<Matcher>,
}

impl Sockets {
    /// Puts them into a cluster.
    pub(super) fn set(self, cluster: &mut Cluster) {
        let Self {
            socket,
            matches,
            matcher,
        } = self;
        cluster.transport_socket = socket;
        cluster.transport_socket_matches = matches;
        cluster.transport_socket_matcher = matcher;
    }

    /// The same, each behind a header of the proxy protocol.
    fn behind(self, version: ProxyProtocolVersion) -> Self {
        let wrapped = |one: TransportSocketMatch| TransportSocketMatch {
            transport_socket: Some(proxy_protocol(version, one.transport_socket)),
            ..one
        };
        Self {
            socket: Some(proxy_protocol(version, self.socket)),
            matches: self.matches.into_iter().map(wrapped).collect(),
            matcher: self.matcher,
        }
    }
}

/// How bytes get to the endpoints.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transport {
    /// The sockets.
    pub(super) sockets: Sockets,
    /// True for TLS that the user spelled out: its ALPN is not the mesh's.
    pub(super) own: bool,
    /// Whether the server name comes from each request.
    pub(super) auto_sni: AutoSni,
    /// What the user should know.
    pub(super) problem: Option<Problem>,
}

/// Makes the transport sockets of a cluster.
pub(super) fn transport(
    policy: &Policy<'_>,
    version: HttpVersion,
    (input, role): (&ClusterInput, &Outbound),
) -> Transport {
    let mut made = Transport {
        sockets: Sockets::default(),
        own: false,
        auto_sni: AutoSni::Off,
        problem: None,
    };
    let mesh = |settings| {
        let mesh = role.mesh.as_ref()?;
        Some(mesh_tls::sockets(mesh, settings, version, (input, role)))
    };
    match wanted(policy, input.client.kind) {
        Wanted::Plaintext => {}
        Wanted::Unsaid => made.sockets = mesh(None).unwrap_or_default(),
        Wanted::Impossible(problem) => made.problem = Some(problem),
        Wanted::Mesh(settings) => match mesh(Some(settings)) {
            Some(sockets) => made.sockets = sockets,
            None => made.problem = Some(without_certificate()),
        },
        Wanted::Own(own) => {
            let names = names(own.settings, &role.service);
            made.sockets.socket = Some(tls_socket(&own, version, input, &names));
            made.own = true;
            made.auto_sni = auto_sni(own.settings, &names);
        }
    }
    if let Some(ProxyProtocol { version }) = policy.proxy_protocol {
        made.sockets = made.sockets.behind(version.unwrap_or_default());
    }
    made
}

fn without_certificate() -> Problem {
    Problem {
        field: "tls",
        code: Code::IgnoredField,
        fatal: false,
        message: "mode ISTIO_MUTUAL has no effect on proxies without a certificate: their traffic \
                  to the host is plaintext",
        remedy: "give the proxies certificates, and their Pods the label \
                 security.istio.io/tlsMode: istio",
    }
}

/// The names of which the server must prove one: of the rule, else of the ServiceEntry.
fn names<'a>(settings: &'a ClientTlsSettings, service: &'a Service) -> Vec<&'a str> {
    match settings.subject_alt_names.as_slice() {
        [] => service
            .subject_alt_names
            .iter()
            .map(|name| &**name)
            .collect(),
        written => written.iter().map(String::as_str).collect(),
    }
}

/// Without a server name of its own, TLS names the host of each request.
fn auto_sni(settings: &ClientTlsSettings, names: &[&str]) -> AutoSni {
    let unchecked = settings.insecure_skip_verify == Some(true);
    match text(settings.sni.as_ref()) {
        Some(_) => AutoSni::Off,
        None if unchecked || !names.is_empty() => AutoSni::On,
        None => AutoSni::Verified,
    }
}

fn tls_socket(
    own: &Own<'_>,
    version: HttpVersion,
    input: &ClusterInput,
    names: &[&str],
) -> core::TransportSocket {
    let alpn = match version {
        HttpVersion::Http2 => vec!["h2".to_owned()],
        HttpVersion::Http1 | HttpVersion::Downstream => Vec::new(),
    };
    let mut common = tls::CommonTlsContext {
        tls_params: Some(secret::versions(input.mesh.config.tls_defaults.as_ref())),
        alpn_protocols: alpn,
        validation_context_type: validation(own.settings, input.client.certificates, names),
        ..tls::CommonTlsContext::default()
    };
    // An agent reads files anew when they change, and may stand in another file system.
    match (own.client, input.client.certificates) {
        (None, _) => {}
        (Some(Client::Credential(name)), _) => {
            let secret = secret::of_control_plane(name::credential(name));
            common.tls_certificate_sds_secret_configs = vec![secret];
        }
        (Some(Client::Files(certificate, key)), Certificates::Sds) => {
            let secret = secret::of_agent(name::file_certificate(certificate, key));
            common.tls_certificate_sds_secret_configs = vec![secret];
        }
        (Some(Client::Files(certificate, key)), Certificates::None | Certificates::Bootstrap) => {
            common.tls_certificates = vec![tls::TlsCertificate {
                certificate_chain: Some(secret::file(certificate)),
                private_key: Some(secret::file(key)),
                ..tls::TlsCertificate::default()
            }];
        }
    }
    let context = tls::UpstreamTlsContext {
        sni: text(own.settings.sni.as_ref())
            .unwrap_or_default()
            .to_owned(),
        common_tls_context: Some(common),
        ..tls::UpstreamTlsContext::default()
    };
    secret::socket("envoy.transport_sockets.tls", &context)
}

fn validation(
    settings: &ClientTlsSettings,
    certificates: Certificates,
    names: &[&str],
) -> Option<ValidationContextType> {
    let ClientTlsSettings {
        mode: _,               // `wanted`
        client_certificate: _, // `client_files`
        private_key: _,
        ca_certificates,
        credential_name,
        subject_alt_names: _, // `names`
        sni: _,               // `tls_socket`
        insecure_skip_verify,
        ca_crl,
    } = settings;
    if *insecure_skip_verify == Some(true) {
        return None;
    }
    let names = names.iter().map(|name| secret::san(name)).collect();
    let revoked = text(ca_crl.as_ref());
    let authorities = text(ca_certificates.as_ref()).unwrap_or(SYSTEM);
    if let Some(name) = text(credential_name.as_ref()) {
        let secret = secret::of_control_plane(name::credential_authorities(name));
        return Some(secret::combined(secret, names));
    }
    if certificates == Certificates::Sds && revoked.is_none() {
        let secret = secret::of_agent(name::file_authorities(authorities));
        return Some(secret::combined(secret, names));
    }
    let path = match authorities {
        SYSTEM => SYSTEM_ROOTS,
        path => path,
    };
    Some(ValidationContextType::ValidationContext(
        tls::CertificateValidationContext {
            trusted_ca: Some(secret::file(path)),
            crl: revoked.map(secret::file),
            match_typed_subject_alt_names: names,
            ..tls::CertificateValidationContext::default()
        },
    ))
}

fn proxy_protocol(
    version: ProxyProtocolVersion,
    inner: Option<core::TransportSocket>,
) -> core::TransportSocket {
    let version = match version {
        ProxyProtocolVersion::V1 => core::proxy_protocol_config::Version::V1,
        ProxyProtocolVersion::V2 => core::proxy_protocol_config::Version::V2,
    };
    let raw = || secret::socket("envoy.transport_sockets.raw_buffer", &RawBuffer {});
    let config = ProxyProtocolUpstreamTransport {
        config: Some(core::ProxyProtocolConfig {
            version: version.into(),
            ..core::ProxyProtocolConfig::default()
        }),
        transport_socket: Some(inner.unwrap_or_else(raw)),
        ..ProxyProtocolUpstreamTransport::default()
    };
    secret::socket("envoy.transport_sockets.upstream_proxy_protocol", &config)
}

fn text(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Role;
    use crate::cluster::testing::{World, web};
    use meltemi_proto::any::unpack;
    use meltemi_proto::envoy::config::core::v3::transport_socket::ConfigType;
    use meltemi_types::Protocol;

    fn made(policy: &Policy<'_>, version: HttpVersion) -> Transport {
        let input = World::web(Protocol::Http, Vec::new()).cluster_input(&web(""));
        let Role::Outbound(role) = &input.role else {
            panic!("outbound");
        };
        transport(policy, version, (&input, role))
    }

    fn asked(yaml: &str, version: HttpVersion) -> Transport {
        let settings: ClientTlsSettings = serde_yaml::from_str(yaml).unwrap();
        let policy = Policy {
            tls: Some(&settings),
            ..Policy::default()
        };
        made(&policy, version)
    }

    fn context(transport: &Transport) -> tls::UpstreamTlsContext {
        match transport
            .sockets
            .socket
            .as_ref()
            .unwrap()
            .config_type
            .as_ref()
        {
            Some(ConfigType::TypedConfig(any)) => unpack(any).unwrap(),
            None => panic!("no configuration"),
        }
    }

    #[test]
    fn simple_tls_checks_the_server_with_the_authorities_of_the_host() {
        let transport = asked("{mode: SIMPLE}", HttpVersion::Http2);
        let common = context(&transport).common_tls_context.unwrap();
        assert_eq!(common.alpn_protocols, ["h2"]);
        let Some(ValidationContextType::ValidationContext(validation)) =
            common.validation_context_type
        else {
            panic!("no validation");
        };
        assert_eq!(validation.trusted_ca, Some(secret::file(SYSTEM_ROOTS)));
        assert_eq!(transport.auto_sni, AutoSni::Verified);
        assert!(transport.own);
    }

    #[test]
    fn an_unchecked_server_has_no_validation_at_all() {
        let yaml = "{mode: SIMPLE, insecureSkipVerify: true, sni: a.b, subjectAltNames: [c.d]}";
        let transport = asked(yaml, HttpVersion::Http1);
        let context = context(&transport);
        let common = context.common_tls_context.unwrap();
        assert_eq!(common.validation_context_type, None);
        assert_eq!(
            (context.sni.as_str(), transport.auto_sni),
            ("a.b", AutoSni::Off)
        );
    }

    #[test]
    fn what_cannot_be_made_is_impossible_and_not_plaintext() {
        for yaml in [
            "{mode: SIMPLE, credentialName: c}",
            "{mode: MUTUAL, credentialName: c}",
            "{mode: MUTUAL}",
        ] {
            let settings: ClientTlsSettings = serde_yaml::from_str(yaml).unwrap();
            let policy = Policy {
                tls: Some(&settings),
                ..Policy::default()
            };
            let wanted = wanted(&policy, ProxyKind::Sidecar);
            assert!(matches!(wanted, Wanted::Impossible(_)), "{yaml}");
        }
    }

    #[test]
    fn mesh_tls_without_a_certificate_is_plaintext_with_a_warning() {
        let transport = asked("{mode: ISTIO_MUTUAL}", HttpVersion::Http1);
        assert_eq!(transport.sockets, Sockets::default());
        assert!(!transport.problem.unwrap().fatal);
    }

    #[test]
    fn the_proxy_protocol_wraps_whatever_is_there() {
        let header = ProxyProtocol::default();
        let policy = Policy {
            proxy_protocol: Some(&header),
            ..Policy::default()
        };
        let made = made(&policy, HttpVersion::Http1);
        let socket = made.sockets.socket.unwrap();
        let Some(ConfigType::TypedConfig(any)) = &socket.config_type else {
            panic!("no configuration");
        };
        let wrapped: ProxyProtocolUpstreamTransport = unpack(any).unwrap();
        let inner = wrapped.transport_socket.unwrap();
        assert_eq!(inner.name, "envoy.transport_sockets.raw_buffer");
    }
}
