//! The words of the commands that ask a running mesh. Names and flags are istioctl's, so that hands
//! and scripts that know them keep working; what a machine without a cluster needs is added.

use super::TextFormat;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Which cluster, and where in it.
#[derive(Clone, Debug, Default, Args)]
#[group(skip)]
pub(crate) struct Cluster {
    /// The kubeconfig; else those of KUBECONFIG, else ~/.kube/config, else the pod's account.
    #[arg(long, help_heading = "Cluster", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long, help_heading = "Cluster", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The namespace of a POD without one; else the context's.
    #[arg(short = 'n', long, help_heading = "Cluster", value_name = "NS")]
    pub(crate) namespace: Option<String>,
    /// The namespace of the control plane.
    #[arg(
        short = 'i',
        long = "istioNamespace",
        alias = "istio-namespace",
        help_heading = "Cluster",
        value_name = "NS",
        default_value = "istio-system"
    )]
    pub(crate) istio_namespace: String,
    /// Only control planes of this revision.
    #[arg(long, help_heading = "Cluster", value_name = "REV")]
    pub(crate) revision: Option<String>,
}

/// Which control planes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Planes {
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    /// The http or monitoring address of a control plane, instead of those of a cluster. May be
    /// repeated.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Vec<String>,
}

/// Say which proxies are connected, and whether they have what they should have.
///
/// Without POD: a line for each proxy of all control planes, per type SYNCED, STALE (an answer is
/// awaited), NOT SENT, or ERROR (it refused). With POD: what the control plane wants it to have
/// against what its Envoy runs. The exit code is 1 when a proxy refuses, or differs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meltemi ps
  meltemi ps -o wide
  meltemi ps istio-ingressgateway-6f5-x2p4t.istio-system
  meltemi ps deploy/reviews-v1 -n shop
  meltemi ps --address 127.0.0.1:8080
  meltemi ps frontend.shop --address 127.0.0.1:8080 --admin 127.0.0.1:15000")]
pub(crate) struct ProxyStatus {
    /// Compare this proxy: POD, POD.NAMESPACE, deploy/NAME, svc/NAME, ...
    #[arg(value_name = "POD[.NS]")]
    pub(crate) pod: Option<String>,
    #[command(flatten)]
    pub(crate) planes: Planes,
    /// The admin address of the proxy, instead of port 15000 of its pod.
    #[arg(long, value_name = "HOST:PORT", requires = "pod")]
    pub(crate) admin: Option<String>,
    /// A saved /config_dump?include_eds of the proxy, instead of asking it; - is standard input.
    #[arg(
        short = 'f',
        long,
        value_name = "FILE",
        requires = "pod",
        conflicts_with = "admin"
    )]
    pub(crate) file: Option<PathBuf>,
    /// How to print it.
    #[arg(
        short = 'o',
        long,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub(crate) output: StatusFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFormat {
    Table,
    /// More columns: further types, ages, addresses.
    Wide,
    Json,
    Yaml,
}

/// Show what a proxy runs: Envoy's own view of its configuration.
///
/// Asks the admin interface of the proxy. Private keys are never printed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meltemi pc cluster deploy/reviews-v1.shop --direction outbound
  meltemi pc listener istio-ingressgateway-6f5-x2p4t -n istio-system --port 80
  meltemi pc route svc/frontend -n shop --name 9080 -o json
  meltemi pc endpoint --admin 127.0.0.1:15000
  meltemi pc all --file config_dump.json
  meltemi pc log deploy/reviews-v1 --level http:debug,rbac:debug")]
pub(crate) struct ProxyConfig {
    #[command(subcommand)]
    pub(crate) what: What,
}

/// Whose configuration.
#[derive(Clone, Debug, Args)]
pub(crate) struct Whose {
    /// The proxy: POD, POD.NAMESPACE, deploy/NAME, svc/NAME, ...
    #[arg(
        value_name = "POD[.NS]",
        required_unless_present_any = ["admin", "file"],
        conflicts_with_all = ["admin", "file"]
    )]
    pub(crate) pod: Option<String>,
    /// The admin address of an Envoy, instead of a pod's.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) admin: Option<String>,
    /// A saved /config_dump (or, for endpoint, /clusters?format=json); - is standard input.
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "admin")]
    pub(crate) file: Option<PathBuf>,
    /// The port of Envoy's admin interface in the pod.
    #[arg(long, value_name = "PORT", default_value = "15000")]
    pub(crate) proxy_admin_port: u16,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
}

/// Whose, and how to print it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Look {
    #[command(flatten)]
    pub(crate) whose: Whose,
    /// How to print it; bootstrap is json when nothing is said.
    #[arg(short = 'o', long, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<LookFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LookFormat {
    #[value(alias = "short")]
    Table,
    Json,
    Yaml,
}

#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Clusters: where requests can go.
    #[command(visible_aliases = ["clusters", "c"])]
    Cluster {
        #[command(flatten)]
        look: Look,
        #[command(flatten)]
        only: OnlyClusters,
    },
    /// Listeners: what it accepts, and what becomes of it.
    #[command(visible_aliases = ["listeners", "l"])]
    Listener {
        #[command(flatten)]
        look: Look,
        #[command(flatten)]
        only: OnlyListeners,
    },
    /// Routes: which requests go to which cluster.
    #[command(visible_aliases = ["routes", "r"])]
    Route {
        #[command(flatten)]
        look: Look,
        /// Only the route configuration of this name.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Endpoints: the hosts of each cluster and their health.
    #[command(visible_aliases = ["endpoints", "ep"])]
    Endpoint {
        #[command(flatten)]
        look: Look,
        #[command(flatten)]
        only: OnlyEndpoints,
    },
    /// How it was started.
    #[command(visible_alias = "b")]
    Bootstrap {
        #[command(flatten)]
        look: Look,
    },
    /// The levels of its loggers; --level sets them.
    #[command(visible_alias = "o")]
    Log {
        #[command(flatten)]
        look: Look,
        /// A level for all loggers, or LOGGER:LEVEL,... Levels are trace, debug, info, warning,
        /// error, critical, off.
        #[arg(long, value_name = "[LOGGER:]LEVEL,...", value_delimiter = ',')]
        level: Vec<String>,
        /// Set all loggers to warning, with which a proxy starts.
        #[arg(short = 'r', long, conflicts_with = "level")]
        reset: bool,
    },
    /// Certificates and authorities, without private keys.
    #[command(visible_aliases = ["secrets", "s"])]
    Secret {
        #[command(flatten)]
        look: Look,
    },
    /// Filters that come apart from their listeners.
    Ecds {
        #[command(flatten)]
        look: Look,
    },
    /// Everything; as json the whole dump.
    #[command(visible_alias = "a")]
    All {
        #[command(flatten)]
        look: Look,
    },
}

/// Which clusters to show.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct OnlyClusters {
    /// Only clusters whose service host contains this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) fqdn: Option<String>,
    /// Only clusters of this port.
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Only clusters whose subset contains this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) subset: Option<String>,
    /// Only clusters of this direction: inbound, outbound, ...
    #[arg(long, value_name = "DIRECTION")]
    pub(crate) direction: Option<String>,
}

/// Which listeners to show.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct OnlyListeners {
    /// Only listeners on this address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// Only listeners on this port.
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Only listeners of this type: HTTP, TCP, HTTP+TCP, UNKNOWN.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
}

/// Which endpoints to show.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct OnlyEndpoints {
    /// Only endpoints of this address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// Only endpoints on this port.
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Only endpoints of the cluster of this name.
    #[arg(long = "cluster", value_name = "NAME")]
    pub(crate) of: Option<String>,
    /// Only endpoints with this status: healthy, unhealthy, ...
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
}

/// Print the versions of this program, of the control planes, and of the proxies.
///
/// Where no cluster can be asked, only the version of this program is printed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meltemi version
  meltemi version --remote=false
  meltemi version -s --remote=false
  meltemi version -o json
  meltemi version --address 127.0.0.1:8080")]
pub(crate) struct Version {
    /// Ask the control planes too.
    #[arg(
        long,
        value_name = "BOOL",
        default_value_t = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    pub(crate) remote: bool,
    /// Only numbers, no revisions and names.
    #[arg(short = 's', long)]
    pub(crate) short: bool,
    #[command(flatten)]
    pub(crate) planes: Planes,
    /// How to print it.
    #[arg(
        short = 'o',
        long,
        value_enum,
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) output: TextFormat,
}

/// Print a script that completes the words of this program in a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  source <(meltemi completion bash)
  meltemi completion fish > ~/.config/fish/completions/meltemi.fish")]
pub(crate) struct Completion {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}
