//! Two pods that join the shop: the till, which calls, and orders, which is called. Their objects are
//! those of `manifests/identity`, laid into the directory of the running mesh.

use super::pod::{Kit, Pod};
use anyhow::{Context, Result, ensure};
use meltemi_testkit::agent::PORTS;
use meltemi_testkit::http::{Client, Request, Response};
use meltemi_testkit::lease::Lease;
use meltemi_testkit::mesh::{self, Mesh, Plan};
use meltemi_testkit::process::Process;
use meltemi_testkit::rewrite::Rewrite;
use meltemi_testkit::{http2, paths};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// The port of orders that declares HTTP.
pub(crate) const HTTP: u16 = 9060;
/// The port of orders that declares nothing.
pub(crate) const UNDECLARED: u16 = 9061;
/// The file with the mode of orders.
pub(crate) const PEERS: &str = "peers.yaml";

const ORDERS: &str = "orders";
const TILL: &str = "till";
/// Addresses and port as written.
const WRITTEN: [&str; 3] = ["127.0.1.15", "127.0.1.16", "18085"];
const PATIENCE: Duration = Duration::from_secs(5);

/// Both, and the application behind orders. Dropping it kills all of them.
pub(crate) struct Pair {
    /// Who calls.
    pub(crate) till: Pod,
    /// Who is called.
    pub(crate) orders: Pod,
    /// How long it took from the first process to ready pods.
    pub(crate) start: Duration,
    client: Client,
    _app: Process,
}

/// What orders has seen of a request.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The protocol.
    pub(crate) protocol: String,
    /// `x-forwarded-client-cert`: who its Envoy has proved the caller to be; empty for nobody.
    pub(crate) xfcc: String,
}

impl Seen {
    fn of(body: &[u8]) -> Result<Self> {
        let body: Value = serde_json::from_slice(body).context("not the answer of orders")?;
        let text = |at: &str| {
            let text = body.pointer(at).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        ensure!(text("/workload") == ORDERS, "another one answered: {body}");
        Ok(Self {
            protocol: text("/protocol"),
            xfcc: text("/headers/x-forwarded-client-cert"),
        })
    }

    /// One part of `x-forwarded-client-cert`, or "".
    pub(crate) fn part(&self, name: &str) -> &str {
        let parts = self.xfcc.split(';').filter_map(|part| part.split_once('='));
        let mut found = parts.filter(|(key, _)| *key == name);
        found.next().map_or("", |(_, value)| value)
    }

    /// True when both sides are proved.
    pub(crate) fn is_mutual(&self) -> bool {
        self.part("By").ends_with("/ns/shop/sa/orders")
            && self.part("URI").ends_with("/ns/shop/sa/till")
    }
}

impl Pair {
    /// Starts both in the mesh, and waits until they are ready.
    pub(crate) fn join(mesh: &Mesh, (kit, echo): (&Kit, &Path)) -> Result<Self> {
        let started = Instant::now();
        let ports = [&PORTS[..], &[HTTP, UNDECLARED]].concat();
        let (till, orders) = (Lease::take(&ports)?, Lease::take(&ports)?);
        let (app, port) = mesh::app(echo, (ORDERS, orders.address()), &kit.dir)?;
        let mut rewrite = Rewrite::default();
        let found = [
            till.address().to_string(),
            orders.address().to_string(),
            port.to_string(),
        ];
        for (written, found) in WRITTEN.into_iter().zip(found) {
            rewrite.add(written, found);
        }
        for (name, text) in Plan::read(&paths::repository().join("manifests/identity"))? {
            mesh::replace(mesh.config(), &name, &rewrite.apply(&text))?;
        }
        let plane = (mesh.plane.secure()?, mesh.config());
        let mut pair = Self {
            till: Pod::start(kit, (TILL, till), plane)?,
            orders: Pod::start(kit, (ORDERS, orders), plane)?,
            start: Duration::ZERO,
            client: Client::new(PATIENCE),
            _app: app,
        };
        pair.till.wait_ready()?;
        pair.orders.wait_ready()?;
        pair.start = started.elapsed();
        Ok(pair)
    }

    /// Both pods.
    pub(crate) fn pods(&self) -> [&Pod; 2] {
        [&self.till, &self.orders]
    }

    /// The till's application calls orders by its name, through the till's Envoy.
    pub(crate) fn call(&self, port: u16) -> Result<Seen> {
        let answer = self
            .client
            .send(&Request::get(self.till.at(port), ORDERS, "/"))?;
        read(&answer)
    }

    /// The same over HTTP/2.
    pub(crate) fn call_http2(&self, port: u16) -> Result<Seen> {
        let body = http2::get(self.till.at(port), (ORDERS, "/"), PATIENCE)?;
        Seen::of(body.as_bytes())
    }

    /// The till sends bytes that are no HTTP; what comes back.
    pub(crate) fn send_bytes(&self, port: u16, bytes: &[u8]) -> Result<Vec<u8>> {
        exchange(self.till.at(port), bytes)
    }

    /// Somebody outside of the mesh calls the Envoy of orders in clear, on a connection of its own.
    pub(crate) fn call_in_clear(&self, port: u16) -> Result<Seen> {
        let address = self.orders.at(port);
        let client = Client::new(PATIENCE);
        read(&client.send(&Request::get(address, ORDERS, "/"))?)
    }

    /// The same with bytes that are no HTTP.
    pub(crate) fn send_bytes_in_clear(&self, port: u16, bytes: &[u8]) -> Result<Vec<u8>> {
        exchange(self.orders.at(port), bytes)
    }
}

/// Writes the mode of orders into the directory.
pub(crate) fn set_mode(mesh: &Mesh, mode: &str) -> Result<()> {
    let path = mesh.config().join(PEERS);
    let old = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let line = |line: &str| match line.split_once("mode: ") {
        Some((before, _)) if before.trim().is_empty() => format!("{before}mode: {mode}\n"),
        Some(_) | None => format!("{line}\n"),
    };
    let new: String = old.lines().map(line).collect();
    mesh::replace(mesh.config(), PEERS, &new)
}

fn read(answer: &Response) -> Result<Seen> {
    ensure!(answer.status == 200, "it answers with {}", answer.status);
    Seen::of(&answer.body)
}

fn exchange(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    Ok(back)
}
