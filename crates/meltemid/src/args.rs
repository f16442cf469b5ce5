//! Flags, in our spelling and in istiod's, and the environment, into one plain `Config`.

mod external;
mod identity;
mod jwt;
mod switches;
mod webhook;

use crate::callers::JwtRule;
use clap::{Parser, ValueEnum};
use external::ExternalArgs;
use identity::IdentityArgs;
use meltemi_kube::Access;
use meltemi_runtime::trace::Format;
use meltemi_types::{ClusterId, Namespace};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use switches::SwitchArgs;
pub(crate) use switches::Switches;
use webhook::WebhookArgs;

pub(crate) use external::{Serving, ServingFiles, Signer, SignerNames};
pub(crate) use identity::Signing;
pub(crate) use webhook::Injection;

/// The control plane of Meltemi, an Istio-compatible service mesh for stock Envoy.
///
/// Reads mesh and Kubernetes objects, from a cluster's API server (as a pod of the cluster, or
/// with --kubeconfig) or from directories of YAML, and serves each proxy its configuration over
/// ADS. With --config-dir it needs no cluster.
#[derive(Debug, Parser)]
#[command(name = "meltemid", version, max_term_width = 100)]
#[command(after_help = "meltemid cleanup --help: what an uninstallation takes away.")]
pub(crate) struct Args {
    /// A directory of YAML to read and watch, as [CLUSTER=]DIR; may be repeated.
    #[arg(long = "config-dir", alias = "configDir", value_name = "[CLUSTER=]DIR")]
    config_dir: Vec<String>,
    /// A kubeconfig whose current context is the cluster to read. In a pod the default is the
    /// pod's own cluster, unless there is a --config-dir.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where to serve plaintext xDS; empty (the default) is nowhere. Use loopback only; nobody gets
    /// keys of Secrets there.
    #[arg(
        long = "grpcAddr",
        alias = "grpc-addr",
        default_value = "",
        value_name = "ADDR"
    )]
    grpc_addr: String,
    /// Where to serve xDS and certificates over TLS, to callers that are known [default: :15012;
    /// nowhere without an API server]. Without one, `DIR/.meltemi` of the first --config-dir holds a
    /// development authority, made when it is missing; `meltemi token` makes tokens for it.
    #[arg(
        long = "secureGRPCAddr",
        alias = "secure-grpc-addr",
        value_name = "ADDR"
    )]
    secure_grpc_addr: Option<String>,
    /// Where to serve health and debug pages [default: :8080; 127.0.0.1:0 outside of a cluster].
    #[arg(long = "httpAddr", alias = "http-addr", value_name = "ADDR")]
    http_addr: Option<String>,
    #[command(flatten)]
    webhook: WebhookArgs,
    /// Where to serve metrics [default: :15014; 127.0.0.1:0 outside of a cluster].
    #[arg(
        long = "monitoringAddr",
        alias = "monitoring-addr",
        value_name = "ADDR"
    )]
    monitoring_addr: Option<String>,
    /// File of mesh configuration, followed; without it the ConfigMap `istio` (`istio-REVISION`) of the
    /// root namespace counts, and is followed.
    #[arg(long = "meshConfig", alias = "mesh-config", value_name = "FILE")]
    mesh_config: Option<PathBuf>,
    /// Mesh networks, followed and checked. They have no effect yet beside what is said of them.
    #[arg(
        long = "networksConfig",
        alias = "networks-config",
        value_name = "FILE"
    )]
    networks_config: Option<PathBuf>,
    /// The DNS suffix of Kubernetes services.
    #[arg(long, default_value = "cluster.local")]
    domain: String,
    /// The id of this cluster.
    #[arg(
        long = "clusterID",
        alias = "cluster-id",
        env = "CLUSTER_ID",
        default_value = "Kubernetes"
    )]
    cluster_id: String,
    /// How long streams may take to end after SIGTERM.
    #[arg(
        long = "shutdownDuration",
        alias = "shutdown-duration",
        default_value = "10s"
    )]
    shutdown_duration: String,
    /// A file to write the addresses to, as JSON, once everything listens.
    #[arg(long = "port-file", value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// How log lines look.
    #[arg(long = "log-format", value_enum, default_value = "text")]
    log_format: LogFormat,
    /// `default` behaves as Istio does. `strict` asks who calls the debug pages on loopback, too;
    /// the rest of it comes later. istiod's `true|false` is ignored.
    #[arg(long, default_value = "default")]
    profile: String,
    /// The port on loopback where log levels are shown and set; 0 is nowhere [default: 9876 in a
    /// pod, else nowhere].
    #[arg(long = "ctrlz_port", alias = "ctrlz-port", value_name = "PORT")]
    ctrlz_port: Option<u16>,
    /// The audiences of which a token must have one, separated by commas.
    #[arg(long, env = "TOKEN_AUDIENCES", hide = true, default_value = "istio-ca")]
    token_audiences: String,
    /// Another issuer whose tokens count, as JSON of a JWTRule.
    #[arg(long, env = "JWT_RULE", hide = true, default_value = "")]
    jwt_rule: String,
    /// The roots that servers of keys and of bundles are believed by.
    #[arg(long, env = "SSL_CERT_FILE", hide = true)]
    ssl_cert_file: Option<String>,
    /// What is logged, for example `warn,meltemi=debug`.
    #[arg(long, env = "MELTEMI_LOG", hide = true)]
    log: Option<String>,
    /// A quiet time before changes are used, instead of the adaptive one.
    #[arg(long, env = "PILOT_DEBOUNCE_AFTER", hide = true)]
    debounce_after: Option<String>,
    /// The longest a change may wait.
    #[arg(long, env = "PILOT_DEBOUNCE_MAX", hide = true)]
    debounce_max: Option<String>,
    /// The pod's name.
    #[arg(long, env = "POD_NAME", hide = true, default_value = "meltemid")]
    pod_name: String,
    /// The pod's namespace: the root namespace.
    #[arg(
        long,
        env = "POD_NAMESPACE",
        hide = true,
        default_value = "istio-system"
    )]
    pod_namespace: String,
    /// The revision.
    #[arg(long, env = "REVISION", hide = true, default_value = "default")]
    revision: String,
    /// Further names of the revision, separated by commas.
    #[arg(long, env = "MELTEMI_REVISION_TAGS", hide = true, default_value = "")]
    revision_tags: String,
    /// Further names in the serving certificate, separated by commas.
    #[arg(long, env = "ISTIOD_CUSTOM_HOST", hide = true, default_value = "")]
    custom_host: String,
    /// Set inside of a pod.
    #[arg(long, env = "KUBERNETES_SERVICE_HOST", hide = true)]
    kubernetes_service_host: Option<String>,
    #[command(flatten)]
    switches: SwitchArgs,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    external: ExternalArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Fixed facts of this process.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) directories: Vec<(ClusterId, PathBuf)>,
    /// The API server that is read and that knows callers; `None` is a laptop.
    pub(crate) access: Option<Access>,
    pub(crate) mesh_config: Option<PathBuf>,
    pub(crate) mesh_networks: Option<PathBuf>,
    pub(crate) grpc: Option<SocketAddr>,
    pub(crate) secure_grpc: Option<SocketAddr>,
    /// The injection webhook; only where there is a certificate for it.
    pub(crate) injection: Option<Injection>,
    /// Further names of the serving certificate.
    pub(crate) hosts: Vec<String>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) monitoring: Option<SocketAddr>,
    /// On loopback.
    pub(crate) controlz: Option<SocketAddr>,
    /// The audiences that tokens must have one of, separated by commas.
    pub(crate) audience: String,
    /// Another issuer whose tokens count.
    pub(crate) issuer: Option<JwtRule>,
    /// A file with whom to believe beyond the cluster; `None`: one of the system's.
    pub(crate) web_roots: Option<String>,
    /// Who signs certificates of workloads.
    pub(crate) signer: Signer,
    /// Which certificate is shown beside an authority of our own.
    pub(crate) serving: Serving,
    /// How certificates of workloads are signed.
    pub(crate) signing: Signing,
    /// The strict profile.
    pub(crate) strict: bool,
    pub(crate) port_file: Option<PathBuf>,
    pub(crate) domain: String,
    pub(crate) cluster: ClusterId,
    pub(crate) namespace: Namespace,
    pub(crate) revision: String,
    /// Further names of the revision.
    pub(crate) tags: Vec<String>,
    pub(crate) pod_name: String,
    pub(crate) shutdown: Duration,
    pub(crate) debounce: Option<(Duration, Duration)>,
    pub(crate) switches: Switches,
    pub(crate) log_format: Format,
    pub(crate) log_filter: Option<String>,
    pub(crate) warnings: Vec<String>,
}

impl Args {
    /// Reads the flags; the message of an error says which flag is wrong.
    pub(crate) fn config(self) -> Result<Config, String> {
        let Args {
            config_dir,
            kubeconfig,
            grpc_addr,
            secure_grpc_addr,
            http_addr,
            webhook,
            monitoring_addr,
            mesh_config,
            networks_config,
            domain,
            cluster_id,
            shutdown_duration,
            port_file,
            log_format,
            profile,
            ctrlz_port,
            token_audiences,
            jwt_rule,
            ssl_cert_file,
            log,
            debounce_after,
            debounce_max,
            switches,
            pod_name,
            pod_namespace,
            revision,
            revision_tags,
            custom_host,
            kubernetes_service_host,
            identity,
            external,
        } = self;
        let in_pod = kubernetes_service_host.is_some_and(|host| !host.is_empty());
        let access = access(kubeconfig, in_pod && config_dir.is_empty());
        // Without an API server, the authority of a directory serves whom that is asked for.
        let secure = access.as_ref().map_or("", |_| ":15012");
        let secure_grpc = secure_grpc_addr.unwrap_or_else(|| secure.into());
        let secure_grpc = address("--secureGRPCAddr", &secure_grpc)?;
        let (injection, unused) = webhook.read(in_pod && access.is_some(), secure_grpc)?;
        something(&config_dir, access.as_ref())?;
        let cluster = own_cluster(&cluster_id)?;
        let in_cluster = in_pod || access.is_some();
        let local = |address: &'static str| if in_cluster { address } else { "127.0.0.1:0" };
        let (signer, serving) = external.read(access.is_some())?;
        Ok(Config {
            directories: directories(&config_dir, &cluster)?,
            signer,
            serving,
            access,
            mesh_config,
            mesh_networks: networks_config,
            controlz: controlz(ctrlz_port, in_pod),
            audience: token_audiences,
            issuer: jwt::read(&jwt_rule, ssl_cert_file.as_deref())?,
            web_roots: ssl_cert_file,
            signing: identity.read()?,
            strict: profile == "strict",
            injection,
            secure_grpc,
            hosts: listed(&custom_host),
            grpc: address("--grpcAddr", &grpc_addr)?,
            http: address("--httpAddr", http_addr.as_deref().unwrap_or(local(":8080")))?,
            monitoring: address(
                "--monitoringAddr",
                monitoring_addr.as_deref().unwrap_or(local(":15014")),
            )?,
            port_file,
            domain,
            cluster,
            namespace: own_namespace(&pod_namespace)?,
            revision,
            tags: listed(&revision_tags),
            pod_name,
            shutdown: duration("--shutdownDuration", &shutdown_duration)?,
            debounce: quiet(debounce_after.as_deref(), debounce_max.as_deref())?,
            switches: switches.read()?,
            log_format: log_format.into(),
            log_filter: log,
            warnings: unused.into_iter().chain(read_profile(&profile)?).collect(),
        })
    }
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

fn own_cluster(id: &str) -> Result<ClusterId, String> {
    id.parse().map_err(|e| format!("--clusterID: {e}"))
}

fn own_namespace(name: &str) -> Result<Namespace, String> {
    name.parse().map_err(|e| format!("POD_NAMESPACE: {e}"))
}

/// There must be something to read.
fn something(directories: &[String], access: Option<&Access>) -> Result<(), String> {
    match directories.is_empty() && access.is_none() {
        true => Err("nothing to read: give --config-dir [CLUSTER=]DIR or --kubeconfig FILE".into()),
        false => Ok(()),
    }
}

/// How long it must be quiet before changes are used, and the longest that they wait.
fn quiet(after: Option<&str>, max: Option<&str>) -> Result<Option<(Duration, Duration)>, String> {
    let max = duration("PILOT_DEBOUNCE_MAX", max.unwrap_or("10s"))?;
    let after = after.map(|after| duration("PILOT_DEBOUNCE_AFTER", after));
    Ok(after.transpose()?.map(|after| (after, max)))
}

/// The names that a list with commas holds.
fn listed(list: &str) -> Vec<String> {
    let names = list.split(',').map(str::trim);
    names.filter(|h| !h.is_empty()).map(str::to_owned).collect()
}

/// The way to the API server, if one is to be read.
fn access(kubeconfig: Option<PathBuf>, own_cluster: bool) -> Option<Access> {
    match kubeconfig {
        Some(path) => Some(Access::Kubeconfig(path)),
        None => own_cluster.then_some(Access::Pod),
    }
}

/// Where log levels are shown and set.
fn controlz(port: Option<u16>, in_pod: bool) -> Option<SocketAddr> {
    let port = port.or_else(|| in_pod.then_some(9876))?;
    (port != 0).then(|| SocketAddr::from(([127, 0, 0, 1], port)))
}

fn read_profile(profile: &str) -> Result<Option<String>, String> {
    match profile {
        "default" => Ok(None),
        "true" | "false" => Ok(Some(
            "--profile true|false is istiod's pprof switch and is ignored here".into(),
        )),
        "strict" => Ok(Some(
            "--profile strict guards the debug pages; the rest of it is not there yet".into(),
        )),
        other => Err(format!(
            "--profile {other:?} is unknown; use default or strict"
        )),
    }
}

/// Each of several `[CLUSTER=]DIR`.
fn directories(texts: &[String], own: &ClusterId) -> Result<Vec<(ClusterId, PathBuf)>, String> {
    texts.iter().map(|text| directory(text, own)).collect()
}

/// `[CLUSTER=]DIR`.
fn directory(text: &str, own: &ClusterId) -> Result<(ClusterId, PathBuf), String> {
    match text.split_once('=') {
        Some((cluster, dir)) if !cluster.contains('/') => {
            let cluster = cluster.parse().map_err(|e| format!("--config-dir: {e}"))?;
            Ok((cluster, dir.into()))
        }
        Some(_) | None => Ok((own.clone(), text.into())),
    }
}

/// `host:port`, `:port` (all addresses), or empty for none.
fn address(flag: &str, text: &str) -> Result<Option<SocketAddr>, String> {
    let full = match text.strip_prefix(':') {
        _ if text.is_empty() => return Ok(None),
        Some(port) => format!("0.0.0.0:{port}"),
        None => text.replace("localhost:", "127.0.0.1:"),
    };
    full.parse()
        .map(Some)
        .map_err(|_| format!("{flag} {text:?} is no address; use IP:PORT, :PORT, or \"\" for none"))
}

fn duration(flag: &str, text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse::<meltemi_api::duration::Duration>()
        .ok()
        .and_then(|d| d.to_std());
    parsed.ok_or_else(|| format!("{flag} {text:?} is no duration; use for example 10s or 100ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Config, String> {
        let args = std::iter::once("meltemid").chain(args.iter().copied());
        Args::try_parse_from(args)
            .map_err(|e| e.to_string())?
            .config()
    }

    #[test]
    fn directories_may_name_their_cluster() {
        let config = read(&["--config-dir", "/a", "--configDir", "east=/b"]).unwrap();
        let names: Vec<String> = config.directories.iter().map(|d| d.0.to_string()).collect();
        assert_eq!(names, ["Kubernetes", "east"]);
    }

    #[test]
    fn outside_of_a_cluster_everything_is_on_loopback() {
        let config = read(&["--config-dir", "/a"]).unwrap();
        assert!(
            config.grpc.is_none(),
            "plaintext xDS is off unless asked for"
        );
        assert!(config.http.unwrap().ip().is_loopback());
        assert!(config.monitoring.unwrap().ip().is_loopback());
    }

    #[test]
    fn tls_is_served_where_an_api_server_knows_the_callers() {
        let laptop = read(&["--config-dir", "/a"]).unwrap();
        assert!(laptop.secure_grpc.is_none());
        let asked = read(&["--config-dir", "/a", "--secureGRPCAddr", ":1"]).unwrap();
        assert_eq!(asked.secure_grpc.unwrap().port(), 1);
        let cluster = read(&["--config-dir", "/a", "--kubeconfig", "/k"]).unwrap();
        assert_eq!(cluster.secure_grpc.unwrap().port(), 15012);
        assert_eq!(cluster.http.unwrap().port(), 8080);
        let off = [
            "--config-dir",
            "/a",
            "--kubeconfig",
            "/k",
            "--secureGRPCAddr",
            "",
        ];
        assert!(read(&off).unwrap().secure_grpc.is_none());
    }

    #[test]
    fn wrong_flags_are_named() {
        for (args, flag) in [
            (&["--config-dir", "/a", "--grpcAddr", "x"][..], "--grpcAddr"),
            (
                &["--config-dir", "/a", "--shutdownDuration", "soon"],
                "--shutdownDuration",
            ),
            (&["--config-dir", "/a", "--profile", "lax"], "--profile"),
            (&[], "--config-dir"),
        ] {
            assert!(read(args).unwrap_err().contains(flag), "{args:?}");
        }
    }

    #[test]
    fn a_cluster_is_read_where_there_is_one() {
        let config = read(&["--config-dir", "/a", "--kubeconfig", "/k"]).unwrap();
        assert_eq!(config.access, Some(Access::Kubeconfig("/k".into())));
        assert_eq!(read(&["--config-dir", "/a"]).unwrap().access, None);
        assert_eq!(access(None, true), Some(Access::Pod));
    }

    #[test]
    fn istiods_pprof_switch_is_ignored_with_a_warning() {
        let config = read(&["--config-dir", "/a", "--profile", "true"]).unwrap();
        assert_eq!(config.warnings.len(), 1);
    }
}
