//! Many equal proxies in one process, driven by commands on stdin, one JSON answer a line.
//!
//! * `connect N`: N more proxies, each until all it asked for is there.
//! * `expect R`: every proxy receives until it has R resources since the last `reset`.
//! * `peek MS`: every proxy takes what arrives within so many milliseconds.
//! * `reconnect`: every proxy opens a new stream and says what it holds.
//! * `reset`: counts start again. `state`: how many different states the proxies hold.
//!
//! Arguments: the address of the control plane, and the namespace of the proxies.

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use meltemi_bootstrap::{NodeFacts, XdsProtocol};
use meltemi_testkit::ads_client::{AdsClient, Counts, Keep};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);
/// How many proxies connect at the same time.
const AT_ONCE: usize = 8;

struct Proxy {
    client: AdsClient,
    /// The counts at the last reset.
    before: Counts,
}

impl Proxy {
    fn resources(&self) -> u64 {
        self.client.counts().resources - self.before.resources
    }
}

struct Load {
    server: SocketAddr,
    namespace: String,
    proxies: Vec<Proxy>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut arg = || {
        args.next()
            .context("usage: meltemi-xload ADDRESS NAMESPACE")
    };
    let mut load = Load {
        server: arg()?.parse()?,
        namespace: arg()?,
        proxies: Vec::new(),
    };
    for line in std::io::stdin().lock().lines() {
        let started = Instant::now();
        let mut answer = load.obey(&line?).await?;
        answer.insert("ms".into(), json!(started.elapsed().as_millis()));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", Value::Object(answer))?;
        out.flush()?;
    }
    Ok(())
}

impl Load {
    async fn obey(&mut self, line: &str) -> Result<Map<String, Value>> {
        let (command, number) = line.split_once(' ').unwrap_or((line, "0"));
        let number: u64 = number.parse().context("not a number")?;
        match command {
            "connect" => self.connect(usize::try_from(number)?).await?,
            "expect" => self.expect(number).await?,
            "peek" => self.peek(Duration::from_millis(number)).await?,
            "reconnect" => {
                try_join_all(self.proxies.iter_mut().map(|p| p.client.reconnect())).await?;
            }
            "reset" => self
                .proxies
                .iter_mut()
                .for_each(|p| p.before = p.client.counts()),
            "state" => return Ok(self.state()),
            _ => bail!("unknown command {command:?}"),
        }
        Ok(self.report())
    }

    async fn connect(&mut self, count: usize) -> Result<()> {
        let end = self.proxies.len() + count;
        while self.proxies.len() < end {
            let first = self.proxies.len();
            let last = (first + AT_ONCE).min(end);
            let clients = (first..last).map(|index| client(self.server, self.node(index)));
            let fresh = try_join_all(clients).await?;
            let before = Counts::default();
            self.proxies
                .extend(fresh.into_iter().map(|client| Proxy { client, before }));
        }
        Ok(())
    }

    async fn expect(&mut self, wanted: u64) -> Result<()> {
        let each = self.proxies.iter_mut().map(|proxy| async move {
            while proxy.resources() < wanted {
                proxy.client.next(DEADLINE).await?;
            }
            anyhow::Ok(())
        });
        try_join_all(each).await?;
        Ok(())
    }

    async fn peek(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let each = self.proxies.iter_mut().map(|proxy| async move {
            let left = || end.saturating_duration_since(Instant::now());
            while proxy.client.try_next(left()).await?.is_some() {}
            anyhow::Ok(())
        });
        try_join_all(each).await?;
        Ok(())
    }

    fn node(&self, index: usize) -> NodeFacts {
        let namespace = &self.namespace;
        let address = format!("10.200.{}.{}", index / 250, index % 250 + 1);
        let id =
            format!("sidecar~{address}~load-{index}.{namespace}~{namespace}.svc.cluster.local");
        let mut node = NodeFacts::new(id, format!("load.{namespace}"));
        node.metadata = Map::from_iter([
            ("CLUSTER_ID".to_owned(), json!("Kubernetes")),
            ("INSTANCE_IPS".to_owned(), json!(address)),
            ("LABELS".to_owned(), json!({"app": "load"})),
            ("NAMESPACE".to_owned(), json!(namespace)),
            ("SERVICE_ACCOUNT".to_owned(), json!("load")),
        ]);
        node
    }

    fn report(&self) -> Map<String, Value> {
        let since = |count: fn(&Counts) -> u64| {
            let each = self
                .proxies
                .iter()
                .map(|p| count(&p.client.counts()) - count(&p.before));
            each.sum::<u64>()
        };
        Map::from_iter([
            ("proxies".to_owned(), json!(self.proxies.len())),
            ("responses".to_owned(), json!(since(|c| c.responses))),
            ("resources".to_owned(), json!(since(|c| c.resources))),
            ("removed".to_owned(), json!(since(|c| c.removed))),
            ("bytes".to_owned(), json!(since(|c| c.bytes))),
            (
                "max".to_owned(),
                json!(self.proxies.iter().map(Proxy::resources).max()),
            ),
        ])
    }

    /// States by hash, each with the number of proxies that hold it.
    fn state(&self) -> Map<String, Value> {
        let mut states: BTreeMap<String, u64> = BTreeMap::new();
        for proxy in &self.proxies {
            let versions = proxy.client.versions();
            let mut hasher = DefaultHasher::new();
            versions.hash(&mut hasher);
            let name = format!("{} resources {:016x}", versions.len(), hasher.finish());
            *states.entry(name).or_default() += 1;
        }
        Map::from_iter([("states".to_owned(), json!(states))])
    }
}

async fn client(server: SocketAddr, node: NodeFacts) -> Result<AdsClient> {
    let mut client = AdsClient::envoy((server, XdsProtocol::Delta), &node, Keep::Versions).await?;
    client.sync(DEADLINE).await?;
    Ok(client)
}
