//! Flags of the installer. Each has a variable, of Istio's name where Istio's installer has one.

use crate::plugin::KUBECONFIG;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Installs the plugin on this node and keeps it there.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the node's network configurations, as this container sees it.
    #[arg(
        long,
        env = "MOUNTED_CNI_NET_DIR",
        default_value = "/host/etc/cni/net.d"
    )]
    pub(super) conf_dir: PathBuf,
    /// The folder of the node's plugins, as this container sees it.
    #[arg(long, env = "MOUNTED_CNI_BIN_DIR", default_value = "/host/opt/cni/bin")]
    pub(super) bin_dir: PathBuf,
    /// The folder for what the plugin needs, under the same path here and on the node.
    #[arg(long, env = "CNI_AGENT_RUN_DIR", default_value = "/var/run/istio-cni")]
    pub(super) run_dir: PathBuf,
    /// The configuration to use; empty is the first one that is valid, as runtimes choose.
    #[arg(long, env = "CNI_CONF_NAME", default_value = "")]
    pub(super) conf_name: String,
    /// Join a chain; false writes a configuration of its own, for Multus.
    #[arg(long, env = "CHAINED_CNI_PLUGIN", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) chained: bool,
    /// Namespaces whose pods are left alone without asking, separated by commas.
    #[arg(long, env = "EXCLUDE_NAMESPACES", value_delimiter = ',')]
    pub(super) exclude_namespaces: Vec<String>,
    /// Use nft in place of iptables.
    #[arg(long, env = "NATIVE_NFTABLES", default_value_t = false, action = clap::ArgAction::Set)]
    pub(super) native_nftables: bool,
    /// What the plugin logs: debug, info, warn, error or none.
    #[arg(long, env = "PLUGIN_LOG_LEVEL", default_value = "info")]
    pub(super) plugin_log_level: String,
    /// The namespace of this pod.
    #[arg(long, env = "POD_NAMESPACE", default_value = "")]
    pub(super) pod_namespace: String,
    /// The DaemonSet of this pod; its pods are never captured, and while it stays so does the plugin.
    #[arg(long, env = "DAEMONSET_NAME", default_value = "")]
    pub(super) daemon_set: String,
    /// The address of the API server, as the node reaches it; empty is https at
    /// KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.
    #[arg(long, env = "MELTEMI_API_SERVER", default_value = "")]
    pub(super) api_server: String,
    /// The folder of the token and the certificate that the plugin gets.
    #[arg(long, default_value = "/var/run/secrets/kubernetes.io/serviceaccount")]
    pub(super) account_dir: PathBuf,
    /// Where readiness is told.
    #[arg(long, default_value = "0.0.0.0:8000")]
    pub(super) http_addr: SocketAddr,
    /// Where metrics are told.
    #[arg(long, default_value = "0.0.0.0:15014")]
    pub(super) monitoring_addr: SocketAddr,
    /// What the installer logs: LEVEL or TARGET=LEVEL, separated by commas.
    #[arg(long, env = "MELTEMI_LOG")]
    pub(super) log: Option<String>,
}

impl Args {
    /// The file that leads the plugin to the API server.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.run_dir.join(KUBECONFIG)
    }

    /// Where changes matter.
    pub(super) fn folders(&self) -> [PathBuf; 4] {
        [
            &self.conf_dir,
            &self.bin_dir,
            &self.run_dir,
            &self.account_dir,
        ]
        .map(Clone::clone)
    }
}
