//! Where the control plane is, and what proves it and us.
//!
//! A token is shown over TLS only, to a server whose root is pinned: no file with roots, or one
//! that is empty, keeps the agent from starting. The system's roots are never believed.

use super::Given;
use crate::env::Env;
use meltemi_agent::ads::Settings;
use meltemi_api::mesh_config::{AuthenticationPolicy, ProxyConfig};
use meltemi_bootstrap::{SecureServer, XdsServer};
use meltemi_types::Secret;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Says whether Envoy speaks to the control plane through the agent.
pub(super) const DIRECT: &str = "MELTEMI_XDS_PROXY=false";

/// The root that the control plane writes into every namespace.
const MOUNTED: &str = "./var/run/secrets/istio/root-cert.pem";
/// The roots of a machine.
const MACHINE: &str = "./etc/certs/root-cert.pem";
/// The projected token.
const TOKEN: &str = "./var/run/secrets/tokens/istio-token";
/// The name of the control plane's certificate where the address says nothing.
const NAME: &str = "istiod.istio-system.svc";

/// The settings of the conversation with the control plane.
pub(super) fn settings(
    given: &Given<'_>,
    proxy: &ProxyConfig,
    socket: PathBuf,
) -> Result<Settings, String> {
    let env = given.env;
    let address = proxy.discovery_address.clone().unwrap_or_default();
    if address
        .rsplit_once(':')
        .is_none_or(|(host, _)| host.is_empty())
    {
        return Err(format!(
            "ProxyConfig.discoveryAddress={address:?}: use HOST:PORT, as istiod.istio-system.svc:15012"
        ));
    }
    let plaintext = proxy.control_plane_auth_policy == Some(AuthenticationPolicy::None);
    let roots = match plaintext {
        true => None,
        false => Some(roots(given, "XDS_ROOT_CA")?),
    };
    let san = env.text("ISTIOD_SAN").map(str::to_owned);
    let local = address.contains("localhost").then(|| NAME.to_owned());
    let token = match plaintext {
        true => None,
        false => token(given)?,
    };
    Ok(Settings {
        socket,
        upstream: address,
        san: san.or(local),
        roots,
        token,
        headers: match plaintext {
            true => Vec::new(),
            false => {
                // Which API server knows the token.
                let cluster = env.text("ISTIO_META_CLUSTER_ID").unwrap_or("Kubernetes");
                let mut all = vec![("clusterid".to_owned(), Secret::new(cluster.to_owned()))];
                all.extend(headers(env, "XDS_HEADER_"));
                all
            }
        },
        name_table: false,
        trust: env.flag_or_on("PROXY_CONFIG_XDS_AGENT")?,
    })
}

/// The control plane itself, for an Envoy that speaks to it without the agent between.
pub(super) fn direct(settings: &Settings) -> Result<XdsServer, String> {
    let address = &settings.upstream;
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    match (&settings.roots, &settings.token) {
        (None, _) => {
            let wrong = || format!("{DIRECT}: {address} is no IP:PORT, which plaintext needs");
            let socket: SocketAddr = address.parse().map_err(|_| wrong())?;
            Ok(XdsServer::Tcp {
                address: socket.ip().to_string(),
                port: socket.port(),
            })
        }
        (Some(roots), Some(token)) => Ok(XdsServer::Secure(SecureServer {
            target: format!("{host}:{port}"),
            name: settings.san.clone().unwrap_or_else(|| host.to_owned()),
            roots: roots.display().to_string(),
            token: token.display().to_string(),
        })),
        (Some(_), None) => Err(format!("{DIRECT}: a token is needed; leave JWT_POLICY out")),
    }
}

/// Headers that variables set.
pub(super) fn headers(env: &Env, prefix: &str) -> Vec<(String, Secret<String>)> {
    let header =
        |(name, value): (&str, &str)| (name.to_ascii_lowercase(), Secret::new(value.to_owned()));
    env.with_prefix(prefix).map(header).collect()
}

/// The file with the token, which need not be there yet.
pub(super) fn token(given: &Given<'_>) -> Result<Option<PathBuf>, String> {
    match given.env.text("JWT_POLICY") {
        None | Some("third-party-jwt") => Ok(Some(TOKEN.into())),
        Some("none") => Ok(None),
        Some(other) => Err(format!(
            "JWT_POLICY={other:?}: use third-party-jwt, and mount the projected token"
        )),
    }
}

/// The file with the roots of a server's certificate, unless the variable names another one.
pub(super) fn roots(given: &Given<'_>, variable: &str) -> Result<PathBuf, String> {
    let env = given.env;
    let place = match env.text(variable) {
        Some("SYSTEM") => {
            return Err(format!(
                "{variable}=SYSTEM: the system's roots prove no control plane; name a file"
            ));
        }
        Some(path) => PathBuf::from(path),
        None if (given.read)(Path::new(MACHINE)).is_some() => MACHINE.into(),
        None => match env.text("PROV_CERT") {
            Some(dir) => Path::new(dir).join("root-cert.pem"),
            None => MOUNTED.into(),
        },
    };
    let at = place.display();
    match (given.read)(&place) {
        Some(text) if !text.trim().is_empty() => Ok(place),
        Some(_) => Err(format!(
            "{at}: the file with the control plane's root is empty; wait for the ConfigMap \
             istio-ca-root-cert, or name another file in {variable}"
        )),
        None => Err(format!(
            "{at}: there is no file with the control plane's root; mount the ConfigMap \
             istio-ca-root-cert there, or name another file in {variable}"
        )),
    }
}
