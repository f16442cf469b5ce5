//! A real Envoy as a child that dies with its owner, and what its admin port says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::desk::PATIENCE;

/// How long between two looks at the admin port.
const LOOK: Duration = Duration::from_millis(50);

/// A running Envoy.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    admin: SocketAddr,
    folder: PathBuf,
}

/// Counters and gauges by name.
pub type Stats = BTreeMap<String, u64>;

impl Proxy {
    /// Starts an Envoy that asks the control plane at `ads`; `api` is `GRPC` or `DELTA_GRPC`.
    ///
    /// # Errors
    /// When there is no Envoy or it does not come up.
    pub async fn start(ads: SocketAddr, api: &str) -> Result<Self> {
        let envoy = meltemi_testkit::envoy::find()?;
        let folder = std::env::temp_dir().join(format!("meltemi-xds-{api}-{}", ads.port()));
        std::fs::create_dir_all(&folder)?;
        let (config, admin) = (folder.join("bootstrap.json"), folder.join("admin"));
        std::fs::write(&config, bootstrap(ads, api).to_string())?;
        let log = std::fs::File::create(folder.join("log"))?;
        let child = Command::new(&envoy)
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin)
            .args(["--disable-hot-restart", "--concurrency", "1"])
            .args(["--log-level", "info", "--component-log-level"])
            .arg("config:debug,upstream:debug")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} does not run", envoy.display()))?;
        let mut proxy = Self {
            child,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder,
        };
        proxy.admin = proxy.admin_address().await?;
        Ok(proxy)
    }

    async fn admin_address(&mut self) -> Result<SocketAddr> {
        let path = self.folder.join("admin");
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                bail!("envoy ended with {status}: {}", self.log());
            }
            // Until Envoy has written it there is no file, or an empty one.
            let written = std::fs::read_to_string(&path).unwrap_or_default();
            if let Ok(address) = written.trim().parse() {
                return Ok(address);
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("envoy wrote no admin address: {}", self.log())
    }

    /// What it wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Counters and gauges.
    ///
    /// # Errors
    /// When the admin port does not answer.
    pub async fn stats(&self) -> Result<Stats> {
        let (_, text) = get(self.admin, "/stats").await?;
        let pairs = text.lines().filter_map(|line| line.split_once(": "));
        let numbers = pairs.filter_map(|(name, value)| {
            let value = value.trim().parse().ok()?;
            Some((name.to_owned(), value))
        });
        Ok(numbers.collect())
    }

    /// `LIVE` once everything asked for at the start has come.
    ///
    /// # Errors
    /// When the admin port does not answer.
    pub async fn state(&self) -> Result<String> {
        let (_, text) = get(self.admin, "/server_info").await?;
        let info: Value = serde_json::from_str(&text)?;
        let state = info.get("state").and_then(Value::as_str);
        Ok(state.unwrap_or_default().to_owned())
    }

    /// A page of the admin port.
    ///
    /// # Errors
    /// When the admin port does not answer.
    pub async fn page(&self, path: &str) -> Result<String> {
        Ok(get(self.admin, path).await?.1)
    }

    /// Waits until the statistics satisfy `enough`.
    ///
    /// # Errors
    /// When they do not in time.
    pub async fn until(&self, what: &str, enough: impl Fn(&Stats) -> bool) -> Result<Stats> {
        let end = Instant::now() + PATIENCE;
        loop {
            let stats = self.stats().await?;
            if enough(&stats) {
                return Ok(stats);
            }
            if Instant::now() > end {
                bail!("{what} did not happen: {stats:#?}\n{}", self.log());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until a request to `at` is answered with `status`.
    ///
    /// # Errors
    /// When it is not in time.
    pub async fn until_answered(&self, at: SocketAddr, status: u16) -> Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = get(at, "/").await;
            if let Ok((got, body)) = &answer
                && *got == status
            {
                return Ok(body.clone());
            }
            if Instant::now() > end {
                bail!("{at} answers {answer:?} and not {status}\n{}", self.log());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end or to wait for.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// One request on a connection of its own: status and body.
///
/// # Errors
/// When there is no whole answer.
pub(crate) async fn get(at: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(at).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("no whole answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let body = match head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        true => unchunk(body),
        false => body.to_owned(),
    };
    Ok((status, body))
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let (Some(chunk), Some(after)) = (rest.get(..size), rest.get(size + 2..)) else {
            break;
        };
        whole.push_str(chunk);
        body = after;
    }
    whole
}

fn bootstrap(ads: SocketAddr, api: &str) -> Value {
    let source = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    let host = |at: SocketAddr| json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}});
    json!({
        "node": {"id": "sidecar~127.0.0.1~web-0.shop~shop.svc.cluster.local", "cluster": "web.shop"},
        "admin": {"address": host(SocketAddr::from(([127, 0, 0, 1], 0)))},
        "dynamic_resources": {
            "ads_config": {
                "api_type": api,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "cds_config": source,
            "lds_config": source,
        },
        "static_resources": {"clusters": [{
            "name": "xds",
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "xds", "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": host(ads)}}]}
            ]},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                }
            },
        }]},
    })
}
