//! A client of the API server that notices a dead connection within half a minute.
//!
//! The kernel looks after idle connections (keepalive) and after those that do not acknowledge
//! (user timeout); nothing here waits for the minutes that TCP would.

use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tower::{BoxError, ServiceBuilder};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection may be idle before the kernel asks whether the other side is there.
const IDLE: Duration = Duration::from_secs(10);
/// How often it asks, and how many times.
const ASK: Duration = Duration::from_secs(5);
const TIMES: u32 = 3;
/// How long what was sent may go without acknowledgement.
const UNACKNOWLEDGED: Duration = Duration::from_secs(25);

/// How to get at the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// As the current context of a kubeconfig says.
    Kubeconfig(PathBuf),
    /// As a pod: by its ServiceAccount.
    Pod,
    /// As kubectl does: this kubeconfig, else those of KUBECONFIG, else `~/.kube/config`, else as
    /// a pod; with this context, else the current one.
    Person {
        /// What `--kubeconfig` says.
        kubeconfig: Option<PathBuf>,
        /// What `--context` says.
        context: Option<String>,
    },
}

/// The way to the API server is not known. That nobody answers there is no error here.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig cannot be read.
    #[error("kubeconfig {} cannot be used", path.display())]
    Kubeconfig {
        /// As the user named it.
        path: PathBuf,
        /// Why.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// Nothing says which cluster.
    #[error("no kubeconfig was found")]
    Nowhere,
    /// A kubeconfig found where kubectl looks, or its context, cannot be used.
    #[error("the kubeconfig cannot be used")]
    Found(#[source] kube::config::KubeconfigError),
    /// There is no usable ServiceAccount in this pod.
    #[error("this pod has no usable ServiceAccount; mount its token, or give --kubeconfig")]
    Pod(#[source] kube::config::InClusterError),
    /// Certificates or credentials cannot be used.
    #[error("the credentials for the API server cannot be used")]
    Credentials(#[source] Box<kube::Error>),
}

/// A client. Nothing is sent yet.
///
/// # Errors
/// The kubeconfig, ServiceAccount or credentials cannot be used.
pub async fn connect(access: &Access) -> Result<Client, ConnectError> {
    let config = match access {
        Access::Kubeconfig(path) => of_file(path, None).await?,
        Access::Pod => Config::incluster().map_err(ConnectError::Pod)?,
        Access::Person {
            kubeconfig: Some(path),
            context,
        } => of_file(path, context.clone()).await?,
        Access::Person {
            kubeconfig: None,
            context,
        } => of_person(context.clone()).await?,
    };
    client(&config).map_err(|error| ConnectError::Credentials(Box::new(error)))
}

async fn of_file(path: &Path, context: Option<String>) -> Result<Config, ConnectError> {
    let failed = |source| ConnectError::Kubeconfig {
        path: path.to_owned(),
        source,
    };
    let read = Kubeconfig::read_from(path).map_err(failed)?;
    of_context(read, context).await.map_err(failed)
}

async fn of_person(context: Option<String>) -> Result<Config, ConnectError> {
    let named = Kubeconfig::from_env().map_err(ConnectError::Found)?;
    let home = std::env::home_dir().map(|home| home.join(".kube/config"));
    let found = match (named, home.filter(|path| path.is_file())) {
        (Some(named), _) => named,
        (None, Some(path)) => return of_file(&path, context).await,
        (None, None) => return Config::incluster().map_err(|_| ConnectError::Nowhere),
    };
    of_context(found, context)
        .await
        .map_err(ConnectError::Found)
}

async fn of_context(
    read: Kubeconfig,
    context: Option<String>,
) -> Result<Config, kube::config::KubeconfigError> {
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(read, &options).await
}

fn client(config: &Config) -> Result<Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(IDLE));
    connector.set_keepalive_interval(Some(ASK));
    connector.set_keepalive_retries(Some(TIMES));
    connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(HttpClient::builder(TokioExecutor::new()).build(connector));
    Ok(Client::new(service, config.default_namespace.clone()))
}
