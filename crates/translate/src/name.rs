//! The only place where an Envoy name is formatted or parsed. The names are Istio's: istioctl,
//! Kiali and dashboards read them.

use meltemi_types::{HostPattern, Namespace, Port, ServiceAccount, TrustDomain};
use std::fmt::Display;
use std::sync::Arc;

/// Traffic to nowhere.
pub const BLACK_HOLE: &str = "BlackHoleCluster";
/// Outbound traffic to where the connection was going anyway.
pub const PASSTHROUGH: &str = "PassthroughCluster";
/// Inbound traffic to ports that no service declares.
pub const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";
/// The one resource of NDS.
pub const NAME_TABLE: &str = "nametable";
/// A cluster that does not exist: stands for destinations that cannot be.
pub const UNKNOWN_SERVICE: &str = "UnknownService";
/// The route configuration of HTTP proxy listeners.
pub const HTTP_PROXY: &str = "http_proxy";
/// The virtual host of a gateway's port where nothing is served.
pub const NO_HOST: &str = "blackhole";
/// The listener that captured outbound connections arrive at.
pub const VIRTUAL_OUTBOUND: &str = "virtualOutbound";
/// The listener that captured inbound connections arrive at.
pub const VIRTUAL_INBOUND: &str = "virtualInbound";

/// The cluster of the bootstrap that leads to the secret discovery service beside the proxy.
pub const SDS: &str = "sds-grpc";
/// The secret with the proxy's own certificate.
pub const OWN_CERTIFICATE: &str = "default";
/// The secret with the mesh's authorities.
pub const MESH_AUTHORITIES: &str = "ROOTCA";
/// The filter state by which a cluster knows what is carried.
pub const CARRIED: &str = "io.meltemi.carried";
/// The value of [`CARRIED`] for HTTP requests.
pub const CARRIED_HTTP: &str = "http";

/// The secret with a certificate and its key in files.
#[must_use]
pub fn file_certificate(certificate: &str, key: &str) -> String {
    format!("file-cert:{certificate}~{key}")
}

/// The secret with authorities in a file; `system` is the host's.
#[must_use]
pub fn file_authorities(path: &str) -> String {
    format!("file-root:{path}")
}

/// The secret that the control plane has for a `credentialName`, which may say where it is from.
#[must_use]
pub fn credential(name: &str) -> String {
    match name.contains("://") {
        true => name.to_owned(),
        false => format!("kubernetes://{name}"),
    }
}

/// The secret with the authorities that belong to a `credentialName`.
#[must_use]
pub fn credential_authorities(name: &str) -> String {
    credential(&format!("{name}-cacert"))
}

/// The credential with the authorities that belong to another one.
#[must_use]
pub fn authorities_of(credential: &str) -> String {
    format!("{credential}-cacert")
}

/// What the identities of a trust domain start with.
#[must_use]
pub fn trust_domain_prefix(domain: &TrustDomain) -> String {
    format!("spiffe://{domain}/")
}

/// The identity of a service account.
#[must_use]
pub fn identity(domain: &TrustDomain, namespace: &Namespace, account: &ServiceAccount) -> String {
    format!("spiffe://{domain}/ns/{namespace}/sa/{account}")
}

/// `outbound|<port>|<subset>|<host>`; an empty subset is the whole service.
#[must_use]
pub fn outbound_cluster(port: Port, subset: &str, host: &HostPattern) -> Arc<str> {
    format!("outbound|{port}|{subset}|{host}").into()
}

/// `inbound|<target port>||`.
#[must_use]
pub fn inbound_cluster(target: Port) -> Arc<str> {
    format!("inbound|{target}||").into()
}

/// The port, subset and host of an outbound cluster's name.
#[must_use]
pub fn parse_outbound(name: &str) -> Option<(Port, &str, &str)> {
    let mut parts = name.split('|');
    let (direction, port, subset, host) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (direction == "outbound" && parts.next().is_none())
        .then(|| Some((port.parse().ok()?, subset, host)))?
}

/// The SNI of mesh mTLS to a cluster: `outbound_.<port>_.<subset>_.<host>`.
#[must_use]
pub fn sni(port: Port, subset: &str, host: &HostPattern) -> String {
    format!("outbound_.{port}_.{subset}_.{host}")
}

/// `<address>_<port>`.
#[must_use]
pub fn listener(address: impl Display, port: Port) -> Arc<str> {
    format!("{address}_{port}").into()
}

/// The route configuration of sidecars for all HTTP services of a port: `<port>`.
#[must_use]
pub fn route(port: Port) -> Arc<str> {
    port.to_string().into()
}

/// The route configuration of one sniffed service port: `<host>:<port>`.
#[must_use]
pub fn sniffed_route(host: &HostPattern, port: Port) -> Arc<str> {
    format!("{host}:{port}").into()
}

/// The route configuration of a gateway's plaintext port: `http.<port>[.<bind>]`.
#[must_use]
pub fn http_route(port: Port, bind: Option<&str>) -> Arc<str> {
    format!("http.{port}{}", suffix(bind)).into()
}

/// The route configuration of a gateway's HTTPS server:
/// `https.<port>.<port name>.<gateway>.<namespace>[.<bind>]`.
#[must_use]
pub fn https_route((port, name): (Port, &str), gateway: &str, bind: Option<&str>) -> Arc<str> {
    format!("https.{port}.{name}.{gateway}{}", suffix(bind)).into()
}

fn suffix(bind: Option<&str>) -> String {
    bind.map(|bind| format!(".{bind}")).unwrap_or_default()
}

/// The virtual host of a host at a port: `<host>:<port>`.
#[must_use]
pub fn virtual_host(host: impl Display, port: Port) -> Arc<str> {
    format!("{host}:{port}").into()
}

/// The one virtual host of an inbound route: `inbound|http|<service port>`.
#[must_use]
pub fn inbound_virtual_host(port: impl Display) -> Arc<str> {
    format!("inbound|http|{port}").into()
}

/// What ends a name inside of a statistic, so that names with dots can be told apart.
#[must_use]
pub fn stat(name: &str) -> String {
    format!("{name};")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_names_are_istios_and_read_back() {
        let host: HostPattern = "reviews.shop.svc.cluster.local".parse().unwrap();
        let port = Port::new(80).unwrap();
        let name = outbound_cluster(port, "v1", &host);
        assert_eq!(&*name, "outbound|80|v1|reviews.shop.svc.cluster.local");
        assert_eq!(parse_outbound(&name), Some((port, "v1", host.as_str())));
        assert_eq!(parse_outbound("inbound|80||"), None);
        assert_eq!(
            sni(port, "", &host),
            "outbound_.80_._.reviews.shop.svc.cluster.local"
        );
        assert_eq!(&*inbound_cluster(port), "inbound|80||");
    }
}
