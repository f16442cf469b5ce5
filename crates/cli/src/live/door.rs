//! A way to somebody who speaks HTTP: an address, or a port of a pod through the API server.

use super::http::{self, Response};
use super::unanswered;
use crate::failure::{Failure, UNREACHABLE};
use ::http::Method;
use meltemi_kube::Pods;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const CONNECT: Duration = Duration::from_secs(5);

/// A way to somebody.
#[derive(Clone)]
pub(crate) enum Door {
    /// `HOST:PORT`.
    Address(String),
    /// A port of a pod.
    Pod {
        pods: Pods,
        namespace: String,
        name: String,
        port: u16,
    },
}

impl Door {
    /// Whom it leads to, for messages.
    fn whom(&self) -> String {
        match self {
            Self::Address(address) => address.clone(),
            Self::Pod {
                namespace,
                name,
                port,
                ..
            } => format!("port {port} of pod {namespace}/{name}"),
        }
    }

    /// Asks, whatever the answer is.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn send(&self, method: &Method, path: &str) -> Result<Response, Failure> {
        let answer = match self {
            Self::Address(address) => match timeout(CONNECT, TcpStream::connect(address)).await {
                Err(_elapsed) => Err("no connection in 5 s".to_owned()),
                Ok(Err(error)) => Err(error.to_string()),
                Ok(Ok(stream)) => http::ask(stream, method, path).await,
            },
            Self::Pod {
                pods,
                namespace,
                name,
                port,
            } => {
                let stream = pods.open((namespace, name), *port).await;
                let stream = stream.map_err(|error| unanswered(&error))?;
                http::ask(stream, method, path).await
            }
        };
        answer.map_err(|why| {
            let whom = self.whom();
            let message = format!("no answer from {whom}: {why}; is it up, and the port right?");
            Failure::new(UNREACHABLE, message)
        })
    }

    /// The body of the answer to GET.
    ///
    /// # Errors
    /// There is no answer, or another status than 200.
    pub(crate) async fn get(&self, path: &str) -> Result<Response, Failure> {
        let response = self.send(&Method::GET, path).await?;
        match response.status {
            200 => Ok(response),
            _ => Err(self.refused(path, &response)),
        }
    }

    /// An answer that is of no use.
    pub(crate) fn refused(&self, path: &str, response: &Response) -> Failure {
        let text = response.text();
        let message = format!(
            "{} answered {} to {path}: {}",
            self.whom(),
            response.status,
            text.trim().lines().next().unwrap_or_default()
        );
        Failure::new(UNREACHABLE, message)
    }
}
