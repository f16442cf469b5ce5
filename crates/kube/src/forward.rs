//! A connection to a port of a pod through the API server, as `kubectl port-forward` makes it, over
//! a web socket. The pod sees the call come from its own loopback, whatever it listens on.

use crate::pods::AskError;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// How long the API server and the kubelet may take to make the connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Opens a connection. That nothing listens on the port shows when it is read from: it ends.
pub(crate) async fn open(
    client: &Client,
    (namespace, pod): (&str, &str),
    port: u16,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, AskError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let asked = format!("port-forward to {namespace}/{pod}");
    let ports = [port];
    let mut forwarder = match timeout(CONNECT, api.portforward(pod, &ports)).await {
        Err(_elapsed) => return Err(AskError::silent(&asked)),
        Ok(Err(error)) => return Err(AskError::of(&asked, error)),
        Ok(Ok(forwarder)) => forwarder,
    };
    forwarder
        .take_stream(port)
        .ok_or_else(|| AskError::silent(&asked))
}
