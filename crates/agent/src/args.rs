//! The command line: `pilot-agent`'s words and flags, so that scripts go on working.
//!
//! As there, `proxy` (and `init`, there `istio-iptables`) ignores flags that it does not know, with the word behind one when that is no
//! flag itself; what was ignored is logged.

use crate::capture::Flags;
use clap::{Args as _, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::time::Duration;

/// The agent of Meltemi: lives in the pod beside Envoy, starts it and says when it is ready.
#[derive(Debug, Parser)]
#[command(name = "meltemi-agent", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs Envoy and everything that it needs.
    Proxy(Proxy),
    /// Asks Envoy's admin interface (or another local door) and prints the answer.
    Request(Request),
    /// Waits until the proxy is ready.
    Wait(Wait),
    /// Puts the rules of traffic capture into the kernel of this pod.
    #[command(visible_alias = "istio-iptables")]
    Init(Flags),
    /// Prints the version.
    Version,
    /// Becomes PROGRAM, which dies with PARENT.
    #[command(hide = true)]
    Launch(Launch),
}

/// What the proxy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Stands beside one workload.
    Sidecar,
    /// Is a gateway.
    Router,
}

impl Role {
    /// Its name in node ids.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Router => "router",
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Proxy {
    /// What the proxy is for.
    #[arg(value_enum, default_value = "sidecar")]
    pub(crate) role: Role,
    /// The DNS domain of the proxy [default: NAMESPACE.svc.cluster.local].
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) domain: String,
    /// Mesh configuration whose `defaultConfig` counts.
    #[arg(long = "meshConfig", default_value = "./etc/istio/config/mesh")]
    pub(crate) mesh_config: String,
    /// Envoy's service cluster; `istio-proxy` takes it from the workload.
    #[arg(long = "serviceCluster", default_value = "istio-proxy")]
    pub(crate) service_cluster: String,
    /// Envoy's log level, which may bring levels of components: `warning,misc:error`.
    #[arg(long = "proxyLogLevel", default_value = "warning")]
    pub(crate) log_level: String,
    /// Log levels of Envoy's components: `upstream:debug,http:info`.
    #[arg(long = "proxyComponentLogLevel", default_value = "")]
    pub(crate) component_log_level: String,
    /// Envoy's worker threads; 0 leaves it to ProxyConfig and the CPU limit.
    #[arg(long, default_value = "0")]
    pub(crate) concurrency: u32,
    /// A file for Envoy's log of ejected hosts.
    #[arg(long = "outlierLogPath", default_value = "")]
    pub(crate) outlier_log: String,
    /// What the agent logs: `default:info` or `default:debug`.
    #[arg(long = "log_output_level", default_value = "default:info")]
    pub(crate) log_output_level: String,
    /// Log lines are JSON.
    #[arg(long = "log_as_json", num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true")]
    pub(crate) log_as_json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Request {
    /// GET, POST, ...
    pub(crate) method: String,
    /// Path and query, `stats` or `/config_dump?include_eds`.
    pub(crate) path: String,
    /// The port: Envoy's admin interface, 15020 (the agent) or 15021 (readiness).
    #[arg(long = "debug-port", default_value = "15000")]
    pub(crate) port: u16,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// How long at most.
    #[arg(long = "timeoutSeconds", default_value = "60")]
    pub(crate) timeout_seconds: u64,
    /// How long one question may take.
    #[arg(long = "requestTimeoutMillis", default_value = "500")]
    pub(crate) request_millis: u64,
    /// How long between two questions.
    #[arg(long = "periodMillis", default_value = "500")]
    pub(crate) period_millis: u64,
    /// What is asked.
    #[arg(long, default_value = "http://localhost:15021/healthz/ready")]
    pub(crate) url: String,
}

impl Wait {
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Launch {
    /// The process that is not to be outlived.
    pub(crate) parent: i32,
    /// What to become.
    pub(crate) program: OsString,
    /// Its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<OsString>,
}

/// Takes out of the words of `proxy` and `init` the flags that are not known; says which.
pub(crate) fn known(words: Vec<OsString>) -> (Vec<OsString>, Vec<String>) {
    let name = words.get(1).map(|word| word.to_string_lossy().into_owned());
    let empty = clap::Command::new("known");
    let command = match name.as_deref() {
        Some("proxy") => Proxy::augment_args(empty),
        Some("init" | "istio-iptables") => Flags::augment_args(empty),
        _ => return (words, Vec::new()),
    };
    let longs = command.get_arguments().filter_map(clap::Arg::get_long);
    let mut flags: Vec<String> = longs.map(str::to_owned).collect();
    flags.extend(["help".to_owned(), "version".to_owned()]);
    let (mut kept, mut ignored) = (Vec::new(), Vec::new());
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        let Some(flag) = text.strip_prefix("--") else {
            kept.push(word);
            continue;
        };
        let name = flag.split('=').next().unwrap_or(flag);
        if flags.iter().any(|known| known == name) {
            kept.push(word);
            continue;
        }
        if !flag.contains('=') {
            let value = |next: &OsString| !next.to_string_lossy().starts_with('-');
            words.next_if(value);
        }
        ignored.push(format!("--{name}"));
    }
    (kept, ignored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> (Proxy, Vec<String>) {
        let words = line.split(' ').map(OsString::from).collect();
        let (words, ignored) = known(words);
        let Command::Proxy(proxy) = Args::try_parse_from(words).unwrap().command else {
            panic!("{line} is another command");
        };
        (proxy, ignored)
    }

    #[test]
    fn the_command_line_of_the_injector_is_understood() {
        let line = "meltemi-agent proxy sidecar --domain shop.svc.cluster.local \
                    --proxyLogLevel=warning --proxyComponentLogLevel=misc:error \
                    --log_output_level=default:info --log_as_json";
        let (proxy, ignored) = parse(line);
        assert_eq!(proxy.role, Role::Sidecar);
        assert_eq!(proxy.component_log_level, "misc:error");
        assert!(proxy.log_as_json && ignored.is_empty());
    }

    #[test]
    fn unknown_flags_are_ignored_with_their_values() {
        let (proxy, ignored) = parse("pilot-agent proxy --stsPort 15463 --profiling=true router");
        assert_eq!(proxy.role, Role::Router);
        assert_eq!(ignored, ["--stsPort", "--profiling"]);
    }

    #[test]
    fn init_is_istio_iptables() {
        let line = [
            "pilot-agent",
            "istio-iptables",
            "-b",
            "*",
            "--gone",
            "5",
            "--dual-stack",
        ];
        let (words, ignored) = known(line.map(OsString::from).to_vec());
        assert_eq!(ignored, ["--gone"]);
        let command = Args::try_parse_from(words).unwrap().command;
        assert!(matches!(command, Command::Init(_)));
    }

    #[test]
    fn the_hold_of_applications_is_understood() {
        let words = ["pilot-agent", "wait", "--timeoutSeconds", "5"];
        let Command::Wait(wait) = Args::try_parse_from(words).unwrap().command else {
            panic!("no wait");
        };
        assert_eq!(wait.longest(), Duration::from_secs(5));
    }
}
