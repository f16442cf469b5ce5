//! TLS that ends at an inbound port: the mesh's mTLS, or what a Sidecar's ingress listener says.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/gateway/#ServerTLSSettings>.
//! `istio-peer-exchange` is never negotiated: who does, puts a frame of its own before the bytes.

use super::Traits;
use super::chain::Handler;
use super::gateway;
use crate::{name, secret};
use meltemi_api::networking::server_tls::{ServerTlsMode, ServerTlsSettings, TlsProtocol};
use meltemi_model::Certificates;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol as Envoys;
use meltemi_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use std::sync::Arc;

/// What the mesh's servers accept, unless mesh configuration names suites.
const SUITES: [&str; 6] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
];

/// How TLS ends at a chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ServerTls {
    /// The mesh's mTLS: both sides show certificates of the mesh.
    Mesh,
    /// With a certificate in files, for clients outside of the mesh.
    Files(ServerFiles),
    /// As a gateway's server says.
    Gateway(Arc<ServerTlsSettings>),
}

/// A certificate in files, and which clients are let in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServerFiles {
    certificate: Arc<str>,
    key: Arc<str>,
    clients: Clients,
    settings: Arc<ServerTlsSettings>,
}

/// What is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Clients {
    /// Nothing.
    Anybody,
    /// A certificate that the authorities of the settings signed, if they show one.
    Optional,
    /// A certificate that the authorities of the settings signed.
    Proven,
}

/// What an inbound port does with TLS of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnTls {
    /// Nobody spoke of it, or it passes to the workload.
    Passes,
    /// It ends here.
    Ends(ServerFiles),
    /// It is to end here and cannot.
    Broken,
}

impl OwnTls {
    /// What a Sidecar's ingress listener asks for.
    pub(super) fn of(settings: Option<&ServerTlsSettings>) -> Self {
        match settings {
            None => Self::Passes,
            Some(tls) if tls.mode == Some(ServerTlsMode::Passthrough) => Self::Passes,
            Some(tls) => ServerFiles::of(tls).map_or(Self::Broken, Self::Ends),
        }
    }
}

impl ServerFiles {
    /// What a Sidecar's ingress listener asks for; `None` when a file is missing or its mode ends
    /// no TLS.
    pub(crate) fn of(settings: &ServerTlsSettings) -> Option<Self> {
        let path = |text: &Option<String>| {
            let text = text.as_deref().filter(|t| !t.is_empty());
            text.map(Arc::<str>::from)
        };
        let clients = match settings.mode.unwrap_or_default() {
            ServerTlsMode::Simple => Clients::Anybody,
            ServerTlsMode::Mutual => {
                path(&settings.ca_certificates)?;
                Clients::Proven
            }
            ServerTlsMode::OptionalMutual => {
                path(&settings.ca_certificates)?;
                Clients::Optional
            }
            ServerTlsMode::Passthrough
            | ServerTlsMode::AutoPassthrough
            | ServerTlsMode::IstioMutual => return None,
        };
        Some(Self {
            certificate: path(&settings.server_certificate)?,
            key: path(&settings.private_key)?,
            clients,
            settings: Arc::new(settings.clone()),
        })
    }
}

impl ServerTls {
    /// The transport socket of a chain.
    pub(super) fn socket(&self, handler: &Handler, traits: &Traits) -> core::TransportSocket {
        let mut context = match self {
            Self::Mesh => mesh(traits),
            Self::Files(files) => of_files(files, traits),
            Self::Gateway(settings) => gateway::tls::context(settings, traits),
        };
        if let Some(common) = &mut context.common_tls_context {
            common.alpn_protocols = alpn(self, handler);
        }
        secret::socket("envoy.transport_sockets.tls", &context)
    }
}

/// Clients of the mesh also carry bytes that look like HTTP to servers that they know as such.
fn alpn(tls: &ServerTls, handler: &Handler) -> Vec<String> {
    match (tls, handler) {
        (ServerTls::Mesh, _) | (_, Handler::Http(_)) => vec!["h2".into(), "http/1.1".into()],
        (ServerTls::Gateway(settings), Handler::Tcp(_))
            if settings.mode == Some(ServerTlsMode::IstioMutual) =>
        {
            vec!["h2".into(), "http/1.1".into()]
        }
        (ServerTls::Files(_) | ServerTls::Gateway(_), Handler::Tcp(_)) => Vec::new(),
    }
}

fn mesh(traits: &Traits) -> tls::DownstreamTlsContext {
    let prefix = |domain| {
        let prefix = MatchPattern::Prefix(name::trust_domain_prefix(domain));
        secret::uri(prefix)
    };
    let names = secret::trust_domains(&traits.mesh);
    let names = names.iter().map(prefix).collect();
    tls::DownstreamTlsContext {
        require_client_certificate: Some(crate::wire::bool(true)),
        common_tls_context: Some(tls::CommonTlsContext {
            tls_params: Some(secret::parameters(&traits.mesh.config, &SUITES)),
            tls_certificate_sds_secret_configs: vec![secret::own(traits.certificates)],
            validation_context_type: Some(secret::peers(traits.certificates, names)),
            ..tls::CommonTlsContext::default()
        }),
        ..tls::DownstreamTlsContext::default()
    }
}

fn of_files(files: &ServerFiles, traits: &Traits) -> tls::DownstreamTlsContext {
    let ServerFiles {
        certificate,
        key,
        clients,
        settings,
    } = files;
    let mut common = tls::CommonTlsContext {
        tls_params: Some(parameters(settings)),
        ..tls::CommonTlsContext::default()
    };
    // An agent reads files anew when they change, and may stand in another file system.
    match traits.certificates {
        Certificates::Sds => {
            let name = name::file_certificate(certificate, key);
            common.tls_certificate_sds_secret_configs = vec![secret::of_agent(name)];
        }
        Certificates::None | Certificates::Bootstrap => {
            common.tls_certificates = vec![tls::TlsCertificate {
                certificate_chain: Some(secret::file(certificate)),
                private_key: Some(secret::file(key)),
                ..tls::TlsCertificate::default()
            }];
        }
    }
    let required = match clients {
        Clients::Anybody => false,
        Clients::Optional | Clients::Proven => {
            common.validation_context_type = Some(gateway::tls::clients(settings, traits));
            *clients == Clients::Proven
        }
    };
    tls::DownstreamTlsContext {
        require_client_certificate: Some(crate::wire::bool(required)),
        common_tls_context: Some(common),
        ..tls::DownstreamTlsContext::default()
    }
}

fn parameters(settings: &ServerTlsSettings) -> tls::TlsParameters {
    let version = |version: Option<TlsProtocol>, default: Envoys| match version.unwrap_or_default()
    {
        TlsProtocol::Auto => default,
        TlsProtocol::V1_0 => Envoys::TlSv10,
        TlsProtocol::V1_1 => Envoys::TlSv11,
        TlsProtocol::V1_2 => Envoys::TlSv12,
        TlsProtocol::V1_3 => Envoys::TlSv13,
    };
    tls::TlsParameters {
        tls_minimum_protocol_version: version(settings.min_protocol_version, Envoys::TlSv12).into(),
        tls_maximum_protocol_version: version(settings.max_protocol_version, Envoys::TlSv13).into(),
        cipher_suites: settings.cipher_suites.clone(),
        ..tls::TlsParameters::default()
    }
}
