//! The words of `meltemi inject`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Add the proxy to workloads in files, as the control plane does to pods.
///
/// Objects that are no workloads pass as they are, and so do workloads that take no part; those
/// are named on stderr. What comes out can be injected again, and nothing changes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meltemi inject -f shop.yaml | kubectl apply -f -
  kubectl get deploy web -o yaml | meltemi inject -f - -o patch
  meltemi inject -f shop.yaml --set global.proxy.logLevel=debug --kubernetes-version v1.32.0")]
pub(crate) struct Inject {
    /// A file of YAML; - is standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE|-")]
    pub(crate) filename: PathBuf,
    /// A value of the charts, KEY=VALUE. May be repeated.
    #[arg(long, value_name = "K=V")]
    pub(crate) set: Vec<String>,
    /// Values of the charts. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) values: Vec<PathBuf>,
    /// An IstioOperator, of which values, hub, tag, revision, mesh config and CNI count.
    #[arg(long, value_name = "FILE")]
    pub(crate) operator_file: Option<PathBuf>,
    /// A switch of the control plane by Istio's internal name, for example
    /// EnableNativeSidecars=NativeSidecarModeDisabled. May be repeated.
    #[arg(long, value_name = "K=V")]
    pub(crate) feature: Vec<String>,
    /// Mesh configuration.
    #[arg(long, value_name = "FILE")]
    pub(crate) mesh_config: Option<PathBuf>,
    /// Mesh configuration laid over the other one.
    #[arg(long, value_name = "JSON")]
    pub(crate) mesh_config_overrides: Option<String>,
    /// A variable of the control plane, for example ENABLE_NATIVE_SIDECARS=false. May be repeated.
    #[arg(long, value_name = "K=V")]
    pub(crate) env: Vec<String>,
    /// The version of the oldest kubelet.
    #[arg(long, default_value = "v1.35.0", value_name = "VERSION")]
    pub(crate) kubernetes_version: String,
    /// The namespace of objects that name none, for the decision whether they take part.
    #[arg(short = 'n', long, default_value = "default", value_name = "NS")]
    pub(crate) namespace: String,
    /// Labels of the namespace: with --path webhook the selectors of the webhook are asked, too.
    #[arg(long, value_name = "K=V,...")]
    pub(crate) namespace_labels: Option<String>,
    /// The revision of the control plane.
    #[arg(long, value_name = "R")]
    pub(crate) revision: Option<String>,
    /// kube-inject looks at the workload only; webhook also at labels of the namespace, when given.
    #[arg(long, value_enum, default_value = "kube-inject", value_name = "PATH")]
    pub(crate) path: Path,
    /// How to print it. patch prints a JSON patch a line, for each workload that changes.
    #[arg(
        short = 'o',
        long,
        value_enum,
        default_value = "yaml",
        value_name = "FORMAT"
    )]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Path {
    Webhook,
    KubeInject,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Yaml,
    Json,
    Patch,
}
