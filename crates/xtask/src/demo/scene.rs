//! The running shop: who plays in it, and the frontend's calls.

use super::pair::{self, Pair};
use anyhow::{Context, Result, bail};
use meltemi_testkit::envoy::admin::Stats;
use meltemi_testkit::http::{Client, Request, Response};
use meltemi_testkit::mesh::{Mesh, Workload};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The ports of the services, as written in the manifests.
pub(crate) const PORTS: [u16; 3] = [9000, REVIEWS.1, RATINGS.1];
/// The service whose traffic is split.
pub(crate) const REVIEWS: Service = ("reviews", 9080);
/// The service with limits and faults.
pub(crate) const RATINGS: Service = ("ratings", 9090);

/// How many requests are under way at the same time when many are sent.
const CALLERS: u64 = 4;
const FRONTEND: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 11);

/// Name and port.
pub(crate) type Service = (&'static str, u16);

/// The workloads, as written in the manifests.
pub(crate) fn workloads() -> Vec<Workload> {
    let at = |last: u8| (Ipv4Addr::new(127, 0, 1, last), 18070 + u16::from(last));
    vec![
        Workload::new("frontend", ("frontend", ""), at(11)),
        Workload::new("reviews-v1", ("reviews", "v1"), at(12)),
        Workload::new("reviews-v2", ("reviews", "v2"), at(13)),
        Workload::new("ratings", ("ratings", ""), at(14)),
    ]
}

/// The mesh and a client that stands where the frontend's application stands.
pub(crate) struct Scene {
    mesh: Mesh,
    client: Client,
    pair: Option<Pair>,
    /// How long the mesh took from the first process to healthy Envoys.
    pub(crate) start: Duration,
}

impl Scene {
    pub(crate) fn new(mesh: Mesh, start: Duration) -> Self {
        Self {
            mesh,
            client: Client::new(Duration::from_secs(10)),
            pair: None,
            start,
        }
    }

    /// The same with two pods that have an identity.
    pub(crate) fn joined(self, pair: Pair) -> Self {
        Self {
            pair: Some(pair),
            ..self
        }
    }

    /// The pods that have an identity.
    pub(crate) fn pair(&self) -> Result<&Pair> {
        self.pair.as_ref().context("nobody has an identity here")
    }

    pub(crate) fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// Where the frontend reaches a service: a port that its own Envoy has bound.
    pub(crate) fn door(&self, (_, port): Service) -> Result<SocketAddr> {
        self.mesh.at(FRONTEND, port)
    }

    /// The frontend calls a service.
    pub(crate) fn call(
        &self,
        service: Service,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response> {
        let request = Request::get(self.door(service)?, service.0, path);
        self.client.send(&Request { headers, ..request })
    }

    /// Calls several times, from a few threads, and counts who answered.
    pub(crate) fn count(
        &self,
        (times, service): (u64, Service),
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<BTreeMap<String, u64>> {
        let callers = if times < CALLERS * 50 { 1 } else { CALLERS };
        let call = |first: u64| {
            let calls = (first..times).step_by(callers as usize);
            calls
                .map(|_| Ok(who(&self.call(service, path, headers)?)))
                .collect()
        };
        let answers = std::thread::scope(|scope| {
            let running: Vec<_> = (0..callers).map(|n| scope.spawn(move || call(n))).collect();
            let joined = running.into_iter().map(std::thread::ScopedJoinHandle::join);
            let all: Vec<Result<Vec<String>>> = joined
                .map(|all| all.unwrap_or_else(|_| bail!("a caller panicked")))
                .collect();
            all.into_iter().collect::<Result<Vec<_>>>()
        })?;
        let mut counts = BTreeMap::new();
        for answer in answers.into_iter().flatten() {
            *counts.entry(answer).or_default() += 1;
        }
        Ok(counts)
    }

    /// The counters of the frontend's Envoy.
    pub(crate) fn stats(&self) -> Result<Stats> {
        self.mesh.member("frontend")?.envoy.admin().stats()
    }

    /// Says what to try now.
    pub(crate) fn invite(&self) {
        let admin = |name: &str| {
            let member = self.mesh.member(name);
            member.map_or_else(
                |_| String::new(),
                |member| member.envoy.admin_address().to_string(),
            )
        };
        let pages = self
            .mesh
            .plane
            .http()
            .map(|at| at.to_string())
            .unwrap_or_default();
        let door = self
            .door(REVIEWS)
            .map(|at| at.to_string())
            .unwrap_or_default();
        eprintln!("\nThe mesh stays up. Try:");
        eprintln!("  curl -i -H 'Host: reviews' http://{door}/");
        if let Some(Pair { till, .. }) = &self.pair {
            eprintln!(
                "  curl -i -H 'Host: orders' http://{}/",
                till.at(pair::HTTP)
            );
        }
        eprintln!("edit a file, the change is live when it is saved:");
        for name in ["reviews.yaml", pair::PEERS] {
            eprintln!("  {}/{name}", self.mesh.config().display());
        }
        eprintln!("look inside:");
        eprintln!("  control plane  http://{pages}/debug/syncz /debug/diagnosticz /metrics");
        for member in &self.mesh.members {
            let name = &member.workload.name;
            eprintln!(
                "  {name:<13}  http://{}/config_dump (its Envoy)",
                admin(name)
            );
        }
        for pod in self.pair.iter().flat_map(Pair::pods) {
            let (name, at) = (pod.name, pod.admin_address());
            eprintln!("  {name:<13}  http://{at}/certs (its Envoy)");
        }
        eprintln!("stop with Ctrl-C\n");
    }

    /// Ends everything; the control plane must end in good order.
    pub(crate) fn end(self) -> Result<()> {
        let Self { mesh, pair, .. } = self;
        let Mesh {
            mut plane, members, ..
        } = mesh;
        drop((members, pair));
        plane.stop()
    }
}

/// The workload that answered, or the status when Envoy answered itself.
pub(crate) fn who(answer: &Response) -> String {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let name = body
        .as_ref()
        .and_then(|body| body.get("workload"))
        .and_then(Value::as_str);
    match (answer.status, name) {
        (200, Some(name)) => name.to_owned(),
        (status, _) => status.to_string(),
    }
}

/// The share of one answer among all.
pub(crate) fn share(counts: &BTreeMap<String, u64>, name: &str) -> f64 {
    let all: u64 = counts.values().sum();
    let one = counts.get(name).copied().unwrap_or_default();
    if all == 0 {
        0.0
    } else {
        one as f64 / all as f64
    }
}

/// A counter of the stats that is there and not zero.
pub(crate) fn counted(stats: &Stats, part: &str, suffix: &str) -> Result<u64> {
    let count = stats.sum(part, suffix);
    let found = (count > 0).then_some(count);
    found.with_context(|| format!("Envoy's counter ...{part}...{suffix} is still 0"))
}
