//! TLS towards endpoints: <https://istio.io/latest/docs/reference/config/networking/destination-rule/#ClientTLSSettings>.
//!
//! Everything about transport sockets is in this file, so that mesh mTLS (a matcher over named
//! sockets, chosen by endpoint metadata) is an addition here. What cannot be done fails closed,
//! with one exception: mesh mTLS that a rule asks for stays plaintext, with a warning, as long as
//! no proxy has a certificate and every inbound accepts plaintext.

use super::http_options::{AutoSni, HttpVersion};
use super::outbound::Problem;
use super::policy::Policy;
use meltemi_api::mesh_config::{MeshConfig, TlsConfig, TlsConfigProtocol};
use meltemi_api::networking::destination_rule::{
    ClientTlsSettings, ProxyProtocol, ProxyProtocolVersion, TlsMode,
};
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::config::core::v3::transport_socket::ConfigType;
use meltemi_proto::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
use meltemi_proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use meltemi_proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use meltemi_types::Code;
use std::net::IpAddr;

/// Where Debian, Ubuntu and the images made from them keep the authorities of the host.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What a policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// No TLS.
    Plaintext,
    /// The mesh's own TLS.
    Mesh,
    /// TLS to a server that need not be in the mesh.
    Own(Own<'a>),
    /// TLS that cannot be made: nothing may be sent.
    Impossible(Problem),
}

/// TLS that the user spells out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own<'a> {
    settings: &'a ClientTlsSettings,
    /// Files with the client's certificate and key.
    client: Option<(&'a str, &'a str)>,
}

/// What a policy asks for.
pub(super) fn wanted(settings: Option<&ClientTlsSettings>) -> Wanted<'_> {
    let Some(settings) = settings else {
        return Wanted::Plaintext;
    };
    let files = client_files(settings);
    match settings.mode.unwrap_or(TlsMode::Disable) {
        TlsMode::Disable => Wanted::Plaintext,
        TlsMode::IstioMutual => Wanted::Mesh,
        TlsMode::Simple | TlsMode::Mutual if text(settings.credential_name.as_ref()).is_some() => {
            Wanted::Impossible(Problem {
                field: "tls",
                code: Code::NotSupportedYet,
                fatal: true,
                message: "credentialName is not supported yet, so nothing is sent to the host",
                remedy: "name files with clientCertificate, privateKey and caCertificates",
            })
        }
        TlsMode::Mutual if files.is_none() => Wanted::Impossible(Problem {
            field: "tls",
            code: Code::Required,
            fatal: true,
            message: "mode MUTUAL without a client certificate, so nothing is sent to the host",
            remedy: "set clientCertificate and privateKey",
        }),
        TlsMode::Mutual => Wanted::Own(Own {
            settings,
            client: files,
        }),
        TlsMode::Simple => Wanted::Own(Own {
            settings,
            client: None,
        }),
    }
}

fn client_files(settings: &ClientTlsSettings) -> Option<(&str, &str)> {
    let certificate = text(settings.client_certificate.as_ref())?;
    Some((certificate, text(settings.private_key.as_ref())?))
}

/// How bytes get to the endpoints.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transport {
    /// The socket; `None` is plaintext.
    pub(super) socket: Option<core::TransportSocket>,
    /// True for TLS that the user spelled out: its ALPN is not the mesh's.
    pub(super) own: bool,
    /// Whether the server name comes from each request.
    pub(super) auto_sni: AutoSni,
    /// What the user should know.
    pub(super) problem: Option<Problem>,
}

/// Makes the transport socket of a cluster.
pub(super) fn transport(policy: &Policy<'_>, version: HttpVersion, mesh: &MeshConfig) -> Transport {
    let plain = Transport {
        socket: None,
        own: false,
        auto_sni: AutoSni::Off,
        problem: None,
    };
    let mut made = match wanted(policy.tls) {
        Wanted::Plaintext => plain,
        Wanted::Impossible(problem) => Transport {
            problem: Some(problem),
            ..plain
        },
        Wanted::Mesh => Transport {
            problem: Some(Problem {
                field: "tls",
                code: Code::NotSupportedYet,
                fatal: false,
                message: "mode ISTIO_MUTUAL has no effect yet: traffic to the host is plaintext",
                remedy: "do not rely on it for confidentiality until mesh mTLS is served",
            }),
            ..plain
        },
        Wanted::Own(own) => Transport {
            socket: Some(tls_socket(&own, version, mesh)),
            own: true,
            auto_sni: auto_sni(own.settings),
            problem: None,
        },
    };
    if let Some(ProxyProtocol { version }) = policy.proxy_protocol {
        let inner = made.socket.take();
        made.socket = Some(proxy_protocol(version.unwrap_or_default(), inner));
    }
    made
}

/// Without a server name of its own, TLS names the host of each request.
fn auto_sni(settings: &ClientTlsSettings) -> AutoSni {
    let unchecked = settings.insecure_skip_verify == Some(true);
    match text(settings.sni.as_ref()) {
        Some(_) => AutoSni::Off,
        None if unchecked || !settings.subject_alt_names.is_empty() => AutoSni::On,
        None => AutoSni::Verified,
    }
}

fn tls_socket(own: &Own<'_>, version: HttpVersion, mesh: &MeshConfig) -> core::TransportSocket {
    let ClientTlsSettings {
        mode: _,               // `wanted`
        client_certificate: _, // `client_files`
        private_key: _,
        ca_certificates,
        credential_name: _, // `wanted`
        subject_alt_names,
        sni,
        insecure_skip_verify,
        ca_crl,
    } = own.settings;
    let authorities = match text(ca_certificates.as_ref()) {
        None | Some("system") => SYSTEM_ROOTS,
        Some(path) => path,
    };
    let validation = (*insecure_skip_verify != Some(true)).then(|| {
        ValidationContextType::ValidationContext(tls::CertificateValidationContext {
            trusted_ca: Some(file(authorities)),
            crl: text(ca_crl.as_ref()).map(file),
            match_typed_subject_alt_names: subject_alt_names.iter().map(|s| san(s)).collect(),
            ..tls::CertificateValidationContext::default()
        })
    });
    let certificates = own.client.map(|(certificate, key)| tls::TlsCertificate {
        certificate_chain: Some(file(certificate)),
        private_key: Some(file(key)),
        ..tls::TlsCertificate::default()
    });
    let alpn = match version {
        HttpVersion::Http2 => vec!["h2".to_owned()],
        HttpVersion::Http1 | HttpVersion::Downstream => Vec::new(),
    };
    let context = tls::UpstreamTlsContext {
        sni: text(sni.as_ref()).unwrap_or_default().to_owned(),
        common_tls_context: Some(tls::CommonTlsContext {
            tls_params: Some(parameters(mesh.tls_defaults.as_ref())),
            tls_certificates: certificates.into_iter().collect(),
            alpn_protocols: alpn,
            validation_context_type: validation,
            ..tls::CommonTlsContext::default()
        }),
        ..tls::UpstreamTlsContext::default()
    };
    socket("envoy.transport_sockets.tls", pack(&context))
}

fn parameters(config: Option<&TlsConfig>) -> tls::TlsParameters {
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

/// Istio compares with names of any type; Envoy wants the type, which the form tells.
fn san(name: &str) -> tls::SubjectAltNameMatcher {
    let kind = if name.contains("://") {
        SanType::Uri
    } else if name.parse::<IpAddr>().is_ok() {
        SanType::IpAddress
    } else if name.contains('@') {
        SanType::Email
    } else {
        SanType::Dns
    };
    tls::SubjectAltNameMatcher {
        san_type: kind.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(name.into())),
            ignore_case: false,
        }),
        ..tls::SubjectAltNameMatcher::default()
    }
}

fn proxy_protocol(
    version: ProxyProtocolVersion,
    inner: Option<core::TransportSocket>,
) -> core::TransportSocket {
    let version = match version {
        ProxyProtocolVersion::V1 => core::proxy_protocol_config::Version::V1,
        ProxyProtocolVersion::V2 => core::proxy_protocol_config::Version::V2,
    };
    let raw = || socket("envoy.transport_sockets.raw_buffer", pack(&RawBuffer {}));
    let config = ProxyProtocolUpstreamTransport {
        config: Some(core::ProxyProtocolConfig {
            version: version.into(),
            ..core::ProxyProtocolConfig::default()
        }),
        transport_socket: Some(inner.unwrap_or_else(raw)),
        ..ProxyProtocolUpstreamTransport::default()
    };
    socket(
        "envoy.transport_sockets.upstream_proxy_protocol",
        pack(&config),
    )
}

fn socket(name: &str, config: meltemi_proto::google::protobuf::Any) -> core::TransportSocket {
    core::TransportSocket {
        name: name.into(),
        config_type: Some(ConfigType::TypedConfig(config)),
    }
}

fn file(path: &str) -> core::DataSource {
    core::DataSource {
        specifier: Some(Specifier::Filename(path.into())),
        ..core::DataSource::default()
    }
}

fn text(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_proto::any::unpack;

    fn made(yaml: &str, version: HttpVersion) -> Transport {
        let settings: ClientTlsSettings = serde_yaml::from_str(yaml).unwrap();
        let policy = Policy {
            tls: Some(&settings),
            ..Policy::default()
        };
        transport(&policy, version, &MeshConfig::defaults())
    }

    fn context(transport: &Transport) -> tls::UpstreamTlsContext {
        match transport.socket.as_ref().unwrap().config_type.as_ref() {
            Some(ConfigType::TypedConfig(any)) => unpack(any).unwrap(),
            None => panic!("no configuration"),
        }
    }

    #[test]
    fn simple_tls_checks_the_server_with_the_authorities_of_the_host() {
        let transport = made("{mode: SIMPLE}", HttpVersion::Http2);
        let common = context(&transport).common_tls_context.unwrap();
        assert_eq!(common.alpn_protocols, ["h2"]);
        let Some(ValidationContextType::ValidationContext(validation)) =
            common.validation_context_type
        else {
            panic!("no validation");
        };
        assert_eq!(validation.trusted_ca, Some(file(SYSTEM_ROOTS)));
        assert_eq!(transport.auto_sni, AutoSni::Verified);
        assert!(transport.own);
    }

    #[test]
    fn an_unchecked_server_has_no_validation_at_all() {
        let yaml = "{mode: SIMPLE, insecureSkipVerify: true, sni: a.b, subjectAltNames: [c.d]}";
        let transport = made(yaml, HttpVersion::Http1);
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
            assert!(
                matches!(wanted(Some(&settings)), Wanted::Impossible(_)),
                "{yaml}"
            );
        }
    }

    #[test]
    fn mesh_tls_is_plaintext_with_a_warning_for_now() {
        let transport = made("{mode: ISTIO_MUTUAL}", HttpVersion::Http1);
        assert_eq!(transport.socket, None);
        assert!(!transport.problem.unwrap().fatal);
    }

    #[test]
    fn the_proxy_protocol_wraps_whatever_is_there() {
        let header = ProxyProtocol::default();
        let policy = Policy {
            proxy_protocol: Some(&header),
            ..Policy::default()
        };
        let made = transport(&policy, HttpVersion::Http1, &MeshConfig::defaults());
        let socket = made.socket.unwrap();
        let Some(ConfigType::TypedConfig(any)) = &socket.config_type else {
            panic!("no configuration");
        };
        let wrapped: ProxyProtocolUpstreamTransport = unpack(any).unwrap();
        let inner = wrapped.transport_socket.unwrap();
        assert_eq!(inner.name, "envoy.transport_sockets.raw_buffer");
    }
}
