//! The application's probes, as the injector puts them into `ISTIO_KUBE_APP_PROBERS`: a map from
//! path to Kubernetes' own handler. What is wrong in it ends the agent at its start.

use crate::config::Network;
use crate::env::Env;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The variable.
const VARIABLE: &str = "ISTIO_KUBE_APP_PROBERS";

/// All probes, and where they go.
#[derive(Clone, Debug)]
pub(crate) struct Probers {
    probes: BTreeMap<String, Prober>,
    /// Where the application listens.
    pub(super) destination: IpAddr,
    /// What probes leave from, so that they are not captured.
    pub(super) from: Option<IpAddr>,
    /// HTTPS probes speak HTTP/2 where the application can.
    pub(super) http2: bool,
}

/// One probe.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prober {
    pub(super) handler: Handler,
    /// No limit when there is none, which is bounded by who asks.
    pub(super) timeout: Option<Duration>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Handler {
    Http(Http),
    Tcp(u16),
    Grpc { port: u16, service: String },
}

/// An HTTP question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Http {
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) tls: bool,
    /// The probe's own headers, `Host` among them.
    pub(super) headers: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dump {
    http_get: Option<DumpedHttp>,
    tcp_socket: Option<DumpedPort>,
    grpc: Option<DumpedGrpc>,
    #[serde(default)]
    timeout_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DumpedHttp {
    #[serde(default)]
    path: String,
    port: u16,
    #[serde(default)]
    scheme: String,
    #[serde(default)]
    http_headers: Vec<DumpedHeader>,
}

#[derive(Deserialize)]
struct DumpedHeader {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct DumpedPort {
    port: u16,
}

#[derive(Deserialize)]
struct DumpedGrpc {
    port: u16,
    service: Option<String>,
}

impl Probers {
    /// Reads the variable; without it there are none.
    pub(crate) fn of(env: &Env, network: &Network) -> Result<Self, String> {
        let text = env.text(VARIABLE).unwrap_or("{}");
        let dumps: BTreeMap<String, Dump> = serde_json::from_str(text).map_err(|e| {
            format!("{VARIABLE} is no map from paths to probes: {e}; inject the pod again")
        })?;
        let probes = dumps.into_iter().map(|(path, dump)| {
            let prober = prober(&path, dump)?;
            Ok((path, prober))
        });
        let first = network.own.first().copied();
        let destination = match env.flag("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION")? {
            true => network.local_ip(),
            false => first.unwrap_or(network.local_ip()),
        };
        let from = match destination {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6)),
        };
        Ok(Self {
            probes: probes.collect::<Result<_, String>>()?,
            destination,
            from: Some(from),
            http2: env.flag_or_on("ISTIO_ENABLE_HTTP2_PROBING")?,
        })
    }

    /// The probe of a path.
    pub(super) fn find(&self, path: &str) -> Option<&Prober> {
        self.probes.get(path)
    }

    /// The paths, sorted.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.probes.keys().map(String::as_str)
    }
}

fn prober(path: &str, dump: Dump) -> Result<Prober, String> {
    let Dump {
        http_get,
        tcp_socket,
        grpc,
        timeout_seconds,
    } = dump;
    if !is_probe(path) {
        return Err(format!(
            "{VARIABLE}: {path:?} is no path of a probe, as /app-health/CONTAINER/readyz; inject the pod again"
        ));
    }
    let handler = match (http_get, tcp_socket, grpc) {
        (Some(http), None, None) => Handler::Http(self::http(http)),
        (None, Some(tcp), None) => Handler::Tcp(tcp.port),
        (None, None, Some(grpc)) => Handler::Grpc {
            port: grpc.port,
            service: grpc.service.unwrap_or_default(),
        },
        (_, _, _) => {
            return Err(format!(
                "{VARIABLE}: {path:?} must have one of httpGet, tcpSocket and grpc; inject the pod again"
            ));
        }
    };
    Ok(Prober {
        handler,
        timeout: (timeout_seconds > 0).then(|| Duration::from_secs(timeout_seconds)),
    })
}

fn http(dump: DumpedHttp) -> Http {
    let path = match dump.path.starts_with('/') {
        true => dump.path,
        false => format!("/{}", dump.path),
    };
    let headers = dump.http_headers.into_iter();
    Http {
        port: dump.port,
        path,
        tls: dump.scheme.eq_ignore_ascii_case("https"),
        headers: headers.map(|h| (h.name, h.value)).collect(),
    }
}

/// `/app-health/CONTAINER/readyz` and its like.
fn is_probe(path: &str) -> bool {
    let mut parts = path.strip_prefix('/').unwrap_or_default().split('/');
    let kind = matches!(parts.next(), Some("app-health" | "app-lifecycle"));
    let container = parts.next().is_some_and(|name| !name.is_empty());
    let probe = matches!(
        parts.next(),
        Some("livez" | "readyz" | "startupz" | "prestopz" | "poststartz")
    );
    kind && container && probe && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probers(json: &str) -> Result<Probers, String> {
        let env = Env::from([("INSTANCE_IP", "127.0.1.9"), (VARIABLE, json)]);
        let network = Network::of(&env).unwrap();
        Probers::of(&env, &network)
    }

    #[test]
    fn every_kind_is_read() {
        let all = probers(
            r#"{"/app-health/a/livez": {"httpGet": {"path": "up", "port": 80, "scheme": "HTTPS",
                "httpHeaders": [{"name": "Host", "value": "x"}]}, "timeoutSeconds": 3},
              "/app-health/a/readyz": {"tcpSocket": {"port": 81}},
              "/app-lifecycle/b/prestopz": {"grpc": {"port": 82, "service": "s"}}}"#,
        )
        .unwrap();
        assert_eq!(all.paths().count(), 3);
        let http = all.find("/app-health/a/livez").unwrap();
        assert_eq!(http.timeout, Some(Duration::from_secs(3)));
        let Handler::Http(http) = &http.handler else {
            panic!("{http:?}");
        };
        assert!(http.tls && http.path == "/up" && http.headers.len() == 1);
        let tcp = all.find("/app-health/a/readyz").unwrap();
        assert_eq!((&tcp.handler, tcp.timeout), (&Handler::Tcp(81), None));
    }

    #[test]
    fn what_is_wrong_keeps_the_agent_from_starting() {
        for (json, wanted) in [
            ("{", "is no map from paths to probes"),
            (
                r#"{"/app-health/a/other": {"tcpSocket": {"port": 1}}}"#,
                "is no path of a probe",
            ),
            (
                r#"{"/app-health//livez": {"tcpSocket": {"port": 1}}}"#,
                "is no path of a probe",
            ),
            (r#"{"/app-health/a/livez": {}}"#, "must have one of"),
            (
                r#"{"/app-health/a/livez": {"tcpSocket": {"port": "http"}}}"#,
                "is no map",
            ),
        ] {
            let error = probers(json).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
