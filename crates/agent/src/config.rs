//! Flags, environment and the files of the pod into one plain `Config`, before anything starts.
//!
//! Follows Istio's `pilot-agent`: where a setting can be made, and which place wins.

mod dns;
mod downward;
mod identity;
mod metadata;
mod network;
mod proxy;
mod upstream;

pub(crate) use downward::Pod;
pub(crate) use network::{LISTEN, Network};

use crate::args::{Proxy, Role};
use crate::env::Env;
use crate::envoy::{Command, Policy};
use crate::status::{Merge, Place, Probers};
use meltemi_agent::{ads, sds};
use meltemi_api::mesh_config::ProxyConfig;
use meltemi_bootstrap::{
    AdminAddress, AgentBootstrap, Doors, LogLines, Selection, XdsProtocol, XdsServer,
};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where certificates of the workload are asked for, relative to the working directory.
const SDS_DIRECTORY: &str = "./var/run/secrets/workload-spiffe-uds";

/// The list of revoked certificates, where there is one.
const REVOKED: &str = "./var/run/secrets/istio/crl/ca-crl.pem";

/// Where everything comes from.
pub(crate) struct Given<'a> {
    pub(crate) args: &'a Proxy,
    pub(crate) env: &'a Env,
    pub(crate) pod: &'a Pod,
    /// The text of a file; `None` when there is none.
    pub(crate) read: &'a dyn Fn(&Path) -> Option<String>,
}

/// Fixed facts of this process.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) bootstrap: AgentBootstrap,
    /// A bootstrap that the user wrote, instead of ours.
    pub(crate) own_bootstrap: Option<PathBuf>,
    pub(crate) envoy: Command,
    pub(crate) drain: Policy,
    /// Where the agent answers; `None`: nowhere.
    pub(crate) status: Option<SocketAddr>,
    pub(crate) probers: Probers,
    pub(crate) merge: Merge,
    pub(crate) ads: ads::Settings,
    pub(crate) sds: sds::Settings,
    /// `None`: the workload's DNS questions are not ours.
    pub(crate) dns: Option<meltemi_agent::dns::Settings>,
    /// `None`: the workload has no certificate, and its Envoy is told to do without.
    pub(crate) identity: Option<meltemi_agent::identity::Settings>,
    /// Things to tell the user, which keep nothing from starting.
    pub(crate) warnings: Vec<String>,
}

impl Config {
    /// Puts everything together; an error says what is wrong and what to do.
    pub(crate) fn of(given: &Given<'_>) -> Result<Self, String> {
        let Given { args, env, pod, .. } = *given;
        if env.flag("DISABLE_ENVOY")? {
            return Err(
                "DISABLE_ENVOY=true: workloads without a proxy are not served; remove it".into(),
            );
        }
        let (proxy, mut warnings) = proxy::effective(given)?;
        let network = Network::of(env)?;
        let directory = PathBuf::from(proxy.config_path.as_deref().unwrap_or("./etc/istio/proxy"));
        let dns = dns::settings(given, &proxy, &network)?;
        let mut ads = upstream::settings(given, &proxy, directory.join("XDS"))?;
        ads.name_table = dns.is_some();
        let sds = sds::Settings {
            socket: Path::new(SDS_DIRECTORY).join(socket_name(env)?),
            revoked: Some(REVOKED.into()),
        };
        let identity = identity::settings(given, &ads)?;
        let admin = port("proxyAdminPort", proxy.proxy_admin_port)?;
        let status = port("statusPort", proxy.status_port)?;
        let until_idle = env.flag("EXIT_ON_ZERO_ACTIVE_CONNECTIONS")?;
        let mut doors = doors(env, &network, status)?;
        if identity.is_none() {
            warnings.extend(without_certificate(&mut doors));
        }
        let mut own_ports = vec![doors.health, doors.stats, status, admin];
        let secure = [doors.secure_stats, doors.secure_merged];
        own_ports.extend(secure.into_iter().filter(|port| *port != 0));
        let place = Place {
            role: args.role,
            local: network.local_ip(),
            admin,
            reserved: reserved(status),
        };
        let bootstrap = AgentBootstrap {
            node: metadata::node(given, &proxy, (&network, identity.is_some()))?,
            xds: match env.flag_or_on("MELTEMI_XDS_PROXY")? {
                true => XdsServer::Uds(ads.socket.display().to_string()),
                false => upstream::direct(&ads)?,
            },
            protocol: match env.flag_or_on("ISTIO_DELTA_XDS")? {
                true => XdsProtocol::Delta,
                false => XdsProtocol::Sotw,
            },
            admin: AdminAddress {
                address: network.local(),
                port: admin,
            },
            doors,
            sds: sds.socket.display().to_string(),
            sds_files: None,
            stats: selection(&proxy, pod, until_idle),
            log: match args.log_as_json {
                true => LogLines::Json,
                false => LogLines::Text,
            },
            runtime: proxy.runtime_values.clone(),
            connections: connections(&proxy),
            statsd: proxy::statsd(&proxy, &mut warnings),
        };
        Ok(Self {
            own_bootstrap: proxy.custom_config_file.as_deref().map(PathBuf::from),
            envoy: command(given, &proxy, &network)?,
            drain: Policy {
                inbound_only: args.role == Role::Sidecar,
                pause: std_duration(proxy.termination_drain_duration, Duration::from_secs(5)),
                minimum: env.duration("MINIMUM_DRAIN_DURATION", Duration::from_secs(5))?,
                until_idle,
                own_ports,
            },
            status: (status != 0).then(|| network.door(status)),
            probers: Probers::of(env, &network)?,
            merge: Merge::of(env, &place)?,
            bootstrap,
            ads,
            sds,
            dns,
            identity,
            warnings,
        })
    }
}

/// The name of the socket of the workload's certificates: a bare file name.
fn socket_name(env: &Env) -> Result<&str, String> {
    let name = env
        .text("WORKLOAD_IDENTITY_SOCKET_FILE")
        .unwrap_or("socket");
    match name.contains('/') || name == ".." {
        true => Err(format!(
            "WORKLOAD_IDENTITY_SOCKET_FILE={name:?}: use the name of a file in {SDS_DIRECTORY}"
        )),
        false => Ok(name),
    }
}

fn port(field: &str, number: Option<i64>) -> Result<u16, String> {
    let number = number.unwrap_or_default();
    let number = u16::try_from(number);
    number.map_err(|_| format!("ProxyConfig.{field}: use a port, 0 to 65535"))
}

/// Ports that an application cannot have, as Istio reserves them.
fn reserved(status: u16) -> Vec<u16> {
    let mut ports = vec![
        15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090,
    ];
    ports.push(status);
    ports
}

fn doors(env: &Env, network: &Network, status: u16) -> Result<Doors, String> {
    let local = env.flag("METRICS_LOCALHOST_ACCESS_ONLY")?;
    Ok(Doors {
        addresses: network.everywhere(),
        health: match status {
            0 => 0,
            _ => env.port("ENVOY_STATUS_PORT", 15021)?,
        },
        stats: env.port("ENVOY_PROMETHEUS_PORT", 15090)?,
        stats_addresses: local.then(|| vec![network.local()]),
        secure_stats: env.port("ENVOY_SECURE_METRICS_PORT", 0)?,
        // Without the agent's own door there is nothing to pass on.
        secure_merged: match status {
            0 => 0,
            _ => env.port("ENVOY_SECURE_MERGED_METRICS_PORT", 0)?,
        },
        compressed: true,
        agent: AdminAddress {
            address: network.local(),
            port: status,
        },
    })
}

/// Shuts the doors that need a certificate; says so where one was asked for.
fn without_certificate(doors: &mut Doors) -> Option<String> {
    let asked = [doors.secure_stats, doors.secure_merged];
    (doors.secure_stats, doors.secure_merged) = (0, 0);
    let is_asked = asked.iter().any(|port| *port != 0);
    is_asked.then(|| {
        "ENVOY_SECURE_METRICS_PORT and ENVOY_SECURE_MERGED_METRICS_PORT have no effect: this workload \
         has no certificate"
            .to_owned()
    })
}

fn connections(proxy: &ProxyConfig) -> Option<u32> {
    let settings = proxy.connection_settings.as_ref()?;
    u32::try_from(settings.global_downstream_connection_limit?).ok()
}

/// Istio's selection, what ProxyConfig adds, then what the pod's annotations add.
fn selection(proxy: &ProxyConfig, pod: &Pod, until_idle: bool) -> Selection {
    let matcher = proxy.proxy_stats_matcher.clone().unwrap_or_default();
    let more = |name: &str| -> Vec<String> {
        let key = format!("sidecar.istio.io/statsInclusion{name}");
        let text = pod.annotations.get(&key).map_or("", String::as_str);
        let items = text.split(',').map(str::trim);
        items
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let mut suffixes = matcher.inclusion_suffixes;
    if until_idle {
        suffixes.insert(0, "downstream_cx_active".to_owned());
    }
    suffixes.extend(more("Suffixes"));
    let (mut prefixes, mut regexes) = (matcher.inclusion_prefixes, matcher.inclusion_regexps);
    prefixes.extend(more("Prefixes"));
    regexes.extend(more("Regexps"));
    let mut tags = proxy.extra_stat_tags.clone();
    let annotated = pod.annotations.get("sidecar.istio.io/extraStatTags");
    let annotated = annotated.map_or("", String::as_str).split(',');
    tags.extend(annotated.filter(|tag| !tag.is_empty()).map(str::to_owned));
    Selection {
        prefixes,
        suffixes,
        regexes,
        tags,
    }
}

/// How Envoy is called.
fn command(given: &Given<'_>, proxy: &ProxyConfig, network: &Network) -> Result<Command, String> {
    let Given { args, env, .. } = *given;
    let directory = proxy.config_path.as_deref().unwrap_or("./etc/istio/proxy");
    let program = proxy
        .binary_path
        .as_deref()
        .unwrap_or("/usr/local/bin/envoy");
    let drain = std_duration(proxy.drain_duration, Duration::from_secs(45));
    let flush = std_duration(proxy.file_flush_interval, Duration::from_secs(1));
    Ok(Command {
        program: program.into(),
        bootstrap: Path::new(directory).join("envoy-rev.json"),
        drain,
        flush,
        flush_kilobytes: proxy.file_flush_min_size_kb,
        v6: network.is_v6_only(),
        level: args.log_level.clone(),
        components: args.component_log_level.clone(),
        skip_deprecated: env.flag_or_on("ENVOY_SKIP_DEPRECATED_LOGS")?,
        core_dump: env.flag("ISTIO_ENVOY_ENABLE_CORE_DUMP")?,
        concurrency: proxy::concurrency(given, proxy)?,
        overlay: overlay(given)?,
    })
}

/// What the user lays over the bootstrap, as JSON.
fn overlay(given: &Given<'_>) -> Result<Option<String>, String> {
    let Some(path) = given.env.text("ISTIO_BOOTSTRAP_OVERRIDE") else {
        return Ok(None);
    };
    let wrong = |why: String| format!("ISTIO_BOOTSTRAP_OVERRIDE={path:?}: {why}");
    let text = (given.read)(Path::new(path));
    let text = text.ok_or_else(|| wrong("there is no such file; mount it".into()))?;
    let host = given.env.text("HOST_IP").unwrap_or_default();
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    let text = text.replace("$(HOST_IP)", &host);
    let parsed: Result<serde_json::Value, _> = serde_yaml::from_str(&text);
    let parsed = parsed.map_err(|e| wrong(format!("it is no YAML: {e}")))?;
    Ok(Some(parsed.to_string()))
}

fn std_duration(given: Option<meltemi_api::duration::Duration>, default: Duration) -> Duration {
    given
        .and_then(meltemi_api::duration::Duration::to_std)
        .unwrap_or(default)
}

#[cfg(test)]
mod tests;
