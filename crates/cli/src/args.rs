//! The words of the command line. What is fixed in them is fixed for scripts: flags are added,
//! never changed.

pub(crate) mod inject;
pub(crate) mod live;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Looks into the mesh: what a proxy is told, and why.
///
/// Reads the same objects as the control plane and translates them with the same code, offline; and
/// asks a running mesh what its proxies have.
#[derive(Debug, Parser)]
#[command(
    name = "meltemi",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 fine, 1 a negative answer, 64 wrong usage, 65 unreadable input, \
                  66 no such file or directory, 69 unreachable, 70 a bug of meltemi, 77 not allowed."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Translate(Box<Translate>),
    Test(Test),
    Validate(Validate),
    Inject(Box<inject::Inject>),
    ExplainCode(ExplainCode),
    #[command(visible_alias = "ps")]
    ProxyStatus(Box<live::ProxyStatus>),
    #[command(visible_alias = "pc")]
    ProxyConfig(Box<live::ProxyConfig>),
    Token(Token),
    Version(Box<live::Version>),
    Completion(live::Completion),
}

/// Print what a proxy is told by the control plane, made from files.
///
/// Findings about the objects are printed to stderr, one a line, and are part of the answer.
/// An error among them makes the exit code 1; the answer is whole all the same.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("who").required(true).args(["proxy", "node", "scenario"]),
    after_help = "Examples:
  meltemi translate -f manifests/demo --proxy pod/shop/frontend
  meltemi translate -f manifests/demo --proxy pod/shop/frontend --type route -o json
  meltemi translate -f mesh/ -f extra.yaml \\
      --proxy sidecar~10.1.0.7~web-0.shop~shop.svc.cluster.local --type cluster
  kubectl get vs,dr,svc,pod,endpointslice -A -o yaml | meltemi translate -f - --proxy pod/shop/web-0
  meltemi translate -f mesh/ --node node.json --form static -o json > envoy.json
  envoy --mode validate -c envoy.json"
)]
pub(crate) struct Translate {
    /// Files or directories of YAML; - is standard input. May be repeated.
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE|DIR|-",
        num_args = 1..,
        required_unless_present = "scenario"
    )]
    pub(crate) filename: Vec<PathBuf>,
    /// Whose configuration: a node id TYPE~IP~POD.NAMESPACE~DOMAIN (TYPE is sidecar or router),
    /// or pod/NAMESPACE/NAME for a Pod among the files.
    #[arg(long, value_name = "NODE_ID|pod/NS/NAME")]
    pub(crate) proxy: Option<String>,
    /// Whose configuration: Envoy's node (core.v3.Node) as JSON, with its metadata.
    #[arg(long, value_name = "FILE")]
    pub(crate) node: Option<PathBuf>,
    /// The proxy and the objects of a scenario file, as `meltemi test` reads it.
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// Print one type of resources only (secret and extension come later).
    #[arg(long = "type", value_enum, default_value = "all", value_name = "TYPE")]
    pub(crate) kind: Kind,
    /// Print only resources of this name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// resources: what ADS sends, each with version and origin. static: a whole bootstrap with
    /// everything in place, as `envoy --mode validate` takes it.
    #[arg(long, value_enum, default_value = "resources", value_name = "FORM")]
    pub(crate) form: Form,
    /// Mesh configuration; a ConfigMap `istio` of namespace istio-system among the files does
    /// as well.
    #[arg(long, value_name = "FILE")]
    pub(crate) mesh_config: Option<PathBuf>,
    /// Mesh networks; come later.
    #[arg(long, value_name = "FILE")]
    pub(crate) mesh_networks: Option<PathBuf>,
    /// How to print it.
    #[arg(
        short = 'o',
        long,
        value_enum,
        default_value = "yaml",
        value_name = "FORMAT"
    )]
    pub(crate) output: Format,
}

/// Test traffic scenarios: where does each call end, and was that expected?
///
/// The objects of a scenario go through the registry and the translator of the control plane; the
/// encoded resources are decoded again, and each call is followed through them as Envoy would.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meltemi test scenario.yaml
  meltemi test scenarios/ --filter 'gateway.*redirect'
  meltemi test -o json scenarios/")]
pub(crate) struct Test {
    /// Scenario files, or directories of them.
    #[arg(value_name = "FILE|DIR", required = true, num_args = 1..)]
    pub(crate) files: Vec<PathBuf>,
    /// json prints one object a line: calls, tables, diagnostics, and a summary at the end.
    #[arg(
        short = 'o',
        long,
        value_enum,
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) output: LinesFormat,
    /// Only scenarios whose name, or calls whose SCENARIO/CALL, matches this regular expression.
    #[arg(long, value_name = "RE")]
    pub(crate) filter: Option<String>,
}

/// Find the mistakes in files before a cluster does.
///
/// Each object is judged as the API server and its webhook would: schema, unknown fields, CEL
/// rules, names, then the field rules of its kind. Kinds of other people are valid, unchecked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meltemi validate -f mesh/
  meltemi validate -f mesh/ -f extra.yaml --fail-on warning
  meltemi validate -f mesh.yaml --as MeshConfig
  helm template shop | meltemi validate -f - -o json")]
pub(crate) struct Validate {
    /// Files or directories of YAML; - is standard input. May be repeated.
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE|DIR|-",
        num_args = 1..,
        required = true
    )]
    pub(crate) filename: Vec<PathBuf>,
    /// What the files hold when they are no objects.
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) r#as: Option<MeshDocument>,
    /// What makes the exit code 1.
    #[arg(long, value_enum, default_value = "error", value_name = "SEVERITY")]
    pub(crate) fail_on: FailOn,
    /// How to print it.
    #[arg(
        short = 'o',
        long,
        value_enum,
        default_value = "text",
        value_name = "FORMAT"
    )]
    pub(crate) output: ValidateFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MeshDocument {
    #[value(name = "MeshConfig")]
    MeshConfig,
    #[value(name = "MeshNetworks")]
    MeshNetworks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    Error,
    Warning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ValidateFormat {
    Text,
    Json,
}

/// Say what a diagnostic code means, what the mesh does meanwhile, and what to do.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meltemi explain-code MLT0201
  meltemi explain-code MLT0201 -o json
  meltemi explain-code --all")]
pub(crate) struct ExplainCode {
    /// The code, for example MLT0201.
    #[arg(value_name = "CODE", required_unless_present = "all")]
    pub(crate) code: Option<String>,
    /// All codes; as text this is the page docs/codes.md.
    #[arg(long, conflicts_with = "code")]
    pub(crate) all: bool,
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

/// Make a token for a workload on a laptop, where no kubelet projects one.
///
/// The token is signed by the development key in `DIR/.meltemi`, which `meltemid --config-dir DIR
/// --secureGRPCAddr ADDR` makes; only a control plane on that directory believes it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  meltemi token --config-dir mesh/ -n shop --service-account web --pod web-0 > istio-token
  meltemi token --config-dir mesh/ -n shop --service-account web --lifetime 10m")]
pub(crate) struct Token {
    /// The directory of YAML that the control plane reads.
    #[arg(long, value_name = "DIR")]
    pub(crate) config_dir: PathBuf,
    /// The namespace of the workload.
    #[arg(short = 'n', long, default_value = "default", value_name = "NS")]
    pub(crate) namespace: String,
    /// What it runs as.
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub(crate) service_account: String,
    /// The pod that it is. Without one, the token is for debug pages only.
    #[arg(long, value_name = "NAME")]
    pub(crate) pod: Option<String>,
    /// Whom the token is for.
    #[arg(long, default_value = "istio-ca", value_name = "WHO")]
    pub(crate) audience: String,
    /// How long it counts, at most 24h.
    #[arg(long, default_value = "1h", value_name = "TIME")]
    pub(crate) lifetime: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Listener,
    Route,
    Cluster,
    Endpoint,
    Secret,
    Extension,
    Nametable,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Resources,
    Static,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Yaml,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LinesFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextFormat {
    Text,
    Json,
    Yaml,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_words_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
