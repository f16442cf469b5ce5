//! The other side: calls instead of answering, at a steady rate, each call on a connection of its own.
//! Slow answers do not make it slower, until very many are open: who cannot keep up is not drowned.
//! Every second, and at the end, one line of JSON says what came back so far.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// After how long a call has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many calls may be open at the same time.
const OPEN: usize = 64;
/// How many failures are told in words.
const TOLD: usize = 20;
/// From one line to the next.
const LINE: Duration = Duration::from_secs(1);

/// What to call, and how often.
#[derive(clap::Args)]
pub(crate) struct Calls {
    /// Calls this instead of serving; of several one after the other. A name is looked up once.
    #[arg(long, value_name = "URL")]
    pub(crate) call: Vec<Uri>,
    /// Calls a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Ends after so many calls, with 1 when one has failed; 0 goes on for ever.
    #[arg(long, default_value_t = 0)]
    times: u64,
    /// `NAME: VALUE`, sent with each call.
    #[arg(long)]
    header: Vec<String>,
    /// Sent with each call, as a POST.
    #[arg(long, default_value = "")]
    body: String,
}

/// What came back so far.
#[derive(Default, Serialize)]
struct Tally {
    /// Calls that have ended.
    ended: u64,
    /// Those of them that were not answered with 200.
    failed: u64,
    /// Why the first of those failed, and when it was.
    why: Vec<String>,
    /// Answers, by the workload that gave them.
    by: BTreeMap<String, u64>,
    /// The slowest answer, in milliseconds.
    slowest: u128,
    /// The last answer.
    last: String,
}

/// One call, ready to be sent again and again.
struct Target {
    address: SocketAddr,
    request: Request<Full<Bytes>>,
}

/// Calls, until all was called.
///
/// # Errors
/// A flag cannot be used, a name is not found, or a call has failed.
pub(crate) async fn run(flags: &Calls) -> Result<()> {
    let mut targets = Vec::new();
    for uri in &flags.call {
        targets.push(Arc::new(Target::new(uri, flags).await?));
    }
    let tally = Arc::new(Mutex::new(Tally::default()));
    let telling = Arc::clone(&tally);
    tokio::spawn(async move {
        let mut ticks = interval(LINE);
        loop {
            ticks.tick().await;
            tell(&telling);
        }
    });
    let mut calls = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / flags.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    for (index, target) in (0_u64..).zip(targets.iter().cycle()) {
        if flags.times > 0 && index == flags.times {
            break;
        }
        ticks.tick().await;
        while calls.try_join_next().is_some() {}
        if calls.len() >= OPEN {
            calls.join_next().await;
        }
        calls.spawn(one(Arc::clone(target), begun, Arc::clone(&tally)));
    }
    calls.join_all().await;
    tell(&tally);
    let failed = lock(&tally).failed;
    ensure!(failed == 0, "{failed} calls failed");
    Ok(())
}

async fn one(target: Arc<Target>, begun: Instant, tally: Arc<Mutex<Tally>>) {
    let asked = Instant::now();
    let late = || anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs());
    let answer = timeout(PATIENCE, target.call()).await;
    let answer = answer.unwrap_or_else(|_elapsed| Err(late()));
    let mut tally = lock(&tally);
    tally.ended += 1;
    tally.slowest = tally.slowest.max(asked.elapsed().as_millis());
    match answer {
        Ok((workload, text)) => {
            *tally.by.entry(workload).or_default() += 1;
            tally.last = text;
        }
        Err(error) => {
            tally.failed += 1;
            if tally.why.len() < TOLD {
                let at = asked.duration_since(begun).as_secs_f32();
                tally.why.push(format!("after {at:.2} s: {error:#}"));
            }
        }
    }
}

impl Target {
    async fn new(uri: &Uri, flags: &Calls) -> Result<Self> {
        let host = uri.host().context("a URL has a host")?;
        let port = uri.port_u16().unwrap_or(80);
        let mut found = tokio::net::lookup_host((host, port)).await;
        let address = found.as_mut().ok().and_then(Iterator::next);
        let address = address.with_context(|| format!("{host} is not found"))?;
        let authority = uri.authority().context("a URL has a host")?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder()
            .method(if flags.body.is_empty() { "GET" } else { "POST" })
            .uri(path)
            .header("connection", "close");
        let given = flags.header.iter().map(|header| header.split_once(": "));
        let mut names_host = false;
        for header in given {
            let (name, value) = header.context("a header is NAME: VALUE")?;
            names_host |= name.eq_ignore_ascii_case("host");
            request = request.header(name, value);
        }
        if !names_host {
            request = request.header("host", authority.as_str());
        }
        let request = request.body(Full::from(flags.body.clone()))?;
        Ok(Self { address, request })
    }

    /// Who answered, and what.
    async fn call(&self) -> Result<(String, String)> {
        let stream = TcpStream::connect(self.address).await.context("connect")?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(self.request.clone()).await?;
        let status = answer.status();
        let workload = answer.headers().get("x-workload").cloned();
        let body = answer.into_body().collect().await.context("its body")?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        connection.abort();
        ensure!(status == 200, "{status} {text}");
        let workload = workload.as_ref().and_then(|name| name.to_str().ok());
        Ok((workload.unwrap_or_default().to_owned(), text))
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(tally: &Mutex<Tally>) {
    println!(
        "{}",
        serde_json::to_string(&*lock(tally)).unwrap_or_default()
    );
}
