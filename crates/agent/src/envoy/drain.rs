//! How a proxy takes its leave: listeners drain, then a pause, or until no connection is left.

use crate::exchange::{self, Target};
use std::net::SocketAddr;
use std::time::Duration;

/// How long one question to the admin interface may take.
const ASK: Duration = Duration::from_secs(5);
/// Errors in a row after which counting is given up.
const ERRORS: u32 = 5;
/// The longest answer that is read.
const MOST: usize = 4 << 20;

/// Envoy's admin interface.
#[derive(Clone, Debug)]
pub(crate) struct Admin(pub(crate) SocketAddr);

impl Admin {
    /// The text behind a path, by GET.
    pub(crate) async fn get(&self, path: &str) -> Result<String, exchange::Failed> {
        self.ask(http::Method::GET, path).await
    }

    /// The answer to a POST, which is how things are changed.
    pub(crate) async fn post(&self, path: &str) -> Result<String, exchange::Failed> {
        self.ask(http::Method::POST, path).await
    }

    async fn ask(&self, method: http::Method, path: &str) -> Result<String, exchange::Failed> {
        let (status, body) =
            exchange::text(&Target::plain(self.0), (method, path), (ASK, MOST)).await?;
        match status.is_success() {
            true => Ok(body),
            false => Err(exchange::Failed::Status(status.as_u16())),
        }
    }
}

/// What the user wants of a drain.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Inbound listeners only: the application still calls out.
    pub(crate) inbound_only: bool,
    /// The pause between the drain and the end.
    pub(crate) pause: Duration,
    /// The pause before connections are counted.
    pub(crate) minimum: Duration,
    /// Waits until no connection is left, instead of the pause.
    pub(crate) until_idle: bool,
    /// Ports whose connections do not count.
    pub(crate) own_ports: Vec<u16>,
}

/// Whether Envoy may close listeners when the time to drain is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It may: the process ends soon.
    Close,
    /// It may not: the process ends when the kubelet says so.
    Serve,
}

impl Policy {
    /// Tells Envoy to drain its listeners.
    pub(crate) async fn start(&self, admin: &Admin, after: After) -> Result<(), exchange::Failed> {
        admin.post(&self.path(after)).await.map(drop)
    }

    fn path(&self, after: After) -> String {
        let inbound = if self.inbound_only {
            "inboundonly&"
        } else {
            ""
        };
        let skip = match after {
            After::Close => "",
            After::Serve => "&skip_exit",
        };
        format!("/drain_listeners?{inbound}graceful{skip}")
    }

    /// Ends when Envoy may end.
    pub(crate) async fn finish(&self, admin: &Admin) {
        if !self.until_idle {
            return tokio::time::sleep(self.pause).await;
        }
        tokio::time::sleep(self.minimum).await;
        let mut errors = 0;
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        while errors < ERRORS {
            tick.tick().await;
            let path = "/stats?usedonly&filter=downstream_cx_active$";
            match admin.get(path).await.map(|text| self.active(&text)) {
                Ok(None | Some(0)) => return,
                Ok(Some(left)) => {
                    errors = 0;
                    tracing::info!(left, "waiting for connections to end");
                }
                Err(error) => {
                    errors += 1;
                    tracing::warn!(%error, "cannot count connections");
                }
            }
        }
        tracing::warn!("gave up counting connections");
    }

    /// Connections of clients; `None` when Envoy counts none.
    fn active(&self, stats: &str) -> Option<u64> {
        let counts = stats.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(": ")?;
            self.is_counted(name).then(|| value.trim().parse().ok())?
        });
        counts.reduce(|a: u64, b| a.saturating_add(b))
    }

    fn is_counted(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix("listener.") else {
            return false;
        };
        let own = |port: &u16| rest.contains(&format!("_{port}."));
        !(rest.contains("worker_")
            || rest.starts_with("envoy_internal_")
            || rest.starts_with("admin.")
            || self.own_ports.iter().any(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            inbound_only: true,
            pause: Duration::ZERO,
            minimum: Duration::ZERO,
            until_idle: true,
            own_ports: vec![15021, 15090],
        }
    }

    #[test]
    fn only_connections_of_clients_count() {
        let stats = "listener.admin.downstream_cx_active: 1\n\
                     listener.0.0.0.0_15021.downstream_cx_active: 1\n\
                     listener.0.0.0.0_15006.downstream_cx_active: 2\n\
                     listener.0.0.0.0_15006.worker_0.downstream_cx_active: 2\n\
                     listener.envoy_internal_x.downstream_cx_active: 5\n\
                     listener.10.0.0.1_80.downstream_cx_active: 3\n\
                     http.x.downstream_cx_active: 9\n";
        assert_eq!(policy().active(stats), Some(5));
        assert_eq!(policy().active("http.x.downstream_cx_active: 9\n"), None);
    }

    #[test]
    fn gateways_drain_everything_and_the_kubelet_may_wait() {
        let sidecar = policy();
        let path = "/drain_listeners?inboundonly&graceful";
        assert_eq!(sidecar.path(After::Close), path);
        let router = Policy {
            inbound_only: false,
            ..policy()
        };
        let path = "/drain_listeners?graceful&skip_exit";
        assert_eq!(router.path(After::Serve), path);
    }
}
