//! What the installer tells: readiness for the kubelet, metrics for Prometheus.

use super::args::Args;
use super::{Failure, UNAVAILABLE};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use meltemi_runtime::drain::Drain;
use meltemi_runtime::metrics::{Family, Metrics, Shape};
use metrics::{counter, gauge};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::watch;

const INSTALLS: &str = "istio_cni_installs_total";
const READY: &str = "istio_cni_install_ready";

/// The metrics, of Istio's names.
pub(super) const FAMILIES: [Family; 2] = [
    Family {
        name: INSTALLS,
        help: "Looks at the node that changed something or failed, by result.",
        shape: Shape::Counter,
    },
    Family {
        name: READY,
        help: "Whether the plugin is installed on this node.",
        shape: Shape::Gauge,
    },
];

/// Why it is not ready; none when it is.
type Missing = Option<String>;

/// Where others ask how it is.
pub(super) struct Door(watch::Sender<Missing>);

impl Door {
    /// Listens.
    pub(super) async fn open(
        args: &Args,
        metrics: Metrics,
        drain: &Drain,
    ) -> Result<Self, Failure> {
        let (tell, told) = watch::channel(Some("nothing is installed yet".to_owned()));
        let health = Router::new()
            .route("/readyz", get(ready))
            .route("/healthz", get(StatusCode::OK))
            .with_state(told);
        let render = metrics.clone();
        let scraped = Router::new().route("/metrics", get(|| async move { render.render() }));
        for (address, pages) in [(args.http_addr, health), (args.monitoring_addr, scraped)] {
            let socket = bind(address).await?;
            let mut drain = drain.clone();
            let served = axum::serve(socket, pages)
                .with_graceful_shutdown(async move { drain.started().await });
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    tracing::error!(%error, %address, "nobody can ask any more");
                }
            });
        }
        tokio::spawn(metrics.run(drain.clone()));
        Ok(Self(tell))
    }

    /// Tells what a look at the node has come to.
    pub(super) fn tell(&mut self, pass: Result<Vec<String>, String>) {
        let missing = match pass {
            Ok(changed) => {
                for path in &changed {
                    tracing::info!(path, "installed");
                }
                if !changed.is_empty() {
                    counter!(INSTALLS, "result" => "SUCCESS").increment(1);
                }
                None
            }
            Err(reason) => {
                counter!(INSTALLS, "result" => "FAILURE").increment(1);
                Some(reason)
            }
        };
        gauge!(READY).set(if missing.is_none() { 1.0 } else { 0.0 });
        self.0.send_if_modified(|last| {
            let is_new = *last != missing;
            match &missing {
                Some(reason) if is_new => tracing::warn!(reason, "not ready"),
                None if is_new => tracing::info!("the plugin is installed"),
                Some(_) | None => {}
            }
            *last = missing;
            is_new
        });
    }

    /// Not ready any more.
    pub(super) fn close(&mut self) {
        self.0.send_replace(Some("it is ending".to_owned()));
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let socket = TcpListener::bind(address).await;
    socket.map_err(|e| (UNAVAILABLE, format!("the port {address}: {e}; free it")))
}

async fn ready(State(told): State<watch::Receiver<Missing>>) -> Response {
    match &*told.borrow() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
