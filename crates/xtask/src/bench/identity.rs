//! `bench identity`: certificates of workloads a second, through TLS and the whole of gRPC.
//!
//! A release build on one core, asked by `meltemi-csrload` on another over 32 connections. Requests
//! are made by openssl before the clock starts. The authority signs with P-256; an RSA request costs
//! what its verification costs. An API server's stand-in reviews each token once. What counts is the
//! CPU that the control plane itself has used (schedstat of its threads), not that of who asks.
//!
//! Then an agent is started again and again beside its Envoy, until the kubelet would call it ready.

mod agents;

use super::cost::{self, Cost};
use super::load;
use super::table::Table;
use crate::shell::say;
use anyhow::{Context, Result};
use meltemi_testkit::openssl::{Openssl, P256};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::reviews::{Reviews, Token};
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const CONNECTIONS: usize = 32;
const SECONDS: u64 = 10;
/// Different requests of a kind.
const REQUESTS: usize = 8;
/// Certificates for P-256 keys, a second of one core.
const P256_RATE: f64 = 5000.0;
const RSA: &str = "rsa:2048";
const DOORS: [&str; 3] = ["--secureGRPCAddr", "--httpAddr", "--monitoringAddr"];
const DEADLINE: Duration = Duration::from_secs(20);
const ROOT: &str = "/api/v1/namespaces/istio-system/configmaps/istio-ca-root-cert";

/// True when the bound holds.
pub(crate) fn run() -> Result<bool> {
    say("certificates for P-256 and RSA keys over 32 TLS connections, control plane on one core");
    let dir = super::release()?;
    let mut table = Table::default();
    table.note("load average of the last minute", &cost::load_average()?);
    certificates(&dir, &mut table)?;
    agents::measure(&dir, &mut table)?;
    Ok(table.end())
}

/// Certificates a second.
fn certificates(dir: &Path, table: &mut Table) -> Result<()> {
    let scratch = Scratch::new("bench-identity")?;
    let reviews = Reviews::start(&["istio-system"])?;
    let plane = load::plane((dir, &scratch), &reviews, &DOORS)?;
    let map = wait::until(
        "the root certificate",
        DEADLINE,
        || Ok(reviews.object(ROOT)),
    )?;
    let roots = map.pointer("/data/root-cert.pem").context("no root")?;
    let tokens: Vec<String> = (0..CONNECTIONS)
        .map(|index| reviews.mint(&Token::of("shop", "web", &format!("web-{index}"))))
        .collect();
    let openssl = Openssl::new(scratch.path());
    for (what, kind) in [("P-256", P256), ("RSA 2048", RSA)] {
        let csrs = (0..REQUESTS).map(|_| Ok(openssl.csr(kind, &[])?.request));
        let csrs: Vec<String> = csrs.collect::<Result<_>>()?;
        let work = json!({
            "server": plane.secure()?, "roots": roots, "tokens": tokens, "csrs": csrs,
            "connections": CONNECTIONS, "seconds": SECONDS,
        });
        let before = Cost::of(plane.pid())?;
        let done = load::run((dir, "meltemi-csrload"), &work)?;
        let after = Cost::of(plane.pid())?;
        let number = |name: &str| done.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let (signed, seconds) = (number("signed"), number("seconds"));
        table.exactly(&format!("{what}: refused"), number("refused") as u64, 0);
        let rate = signed / after.since(&before).as_secs_f64();
        let row = format!("{what}: certificates a second of CPU");
        match kind {
            P256 => table.holds(&row, &format!("{rate:.0}"), rate >= P256_RATE),
            _ => table.note(&row, &format!("{rate:.0}")),
        }
        let row = format!("{what}: certificates a second, one core each side");
        table.note(&row, &format!("{:.0}", signed / seconds));
        let each = after.since(&before).as_secs_f64() * 1e6 / signed;
        let row = format!("{what}: CPU of the control plane for each");
        table.note(&row, &format!("{each:.0} us"));
    }
    let resident = Cost::of(plane.pid())?.resident_mib();
    table.note("resident memory afterwards", &format!("{resident:.2} MiB"));
    Ok(())
}
