//! What Envoy did with a connection, by its own counters.

use anyhow::Result;
use meltemi_testkit::envoy::admin::{Admin, Stats};
use meltemi_testkit::wait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

/// Under which names Envoy counts what.
#[derive(Debug, Default)]
pub struct Names {
    /// Listeners by name.
    pub listeners: BTreeMap<String, String>,
    /// Filter chains.
    pub chains: Vec<Chain>,
    /// Routes to one cluster.
    pub routes: Vec<Route>,
    /// What is left of a virtual host when no route of it matches.
    pub rests: Vec<Rest>,
    /// Clusters by name.
    pub clusters: BTreeMap<String, String>,
}

/// A route to one cluster.
#[derive(Debug)]
pub struct Route {
    /// Its virtual host.
    pub host: String,
    /// Its name; may be empty.
    pub name: String,
    /// Its cluster.
    pub cluster: String,
    /// Under which name Envoy counts it.
    pub stat: String,
}

/// A route behind all routes of a virtual host, which the configuration does not have: it tells
/// a virtual host without route from no virtual host, which Envoy counts alike.
#[derive(Debug)]
pub struct Rest {
    /// The virtual host.
    pub host: String,
    /// Under which name Envoy counts it.
    pub stat: String,
}

/// A filter chain.
#[derive(Debug)]
pub struct Chain {
    /// Its listener.
    pub listener: String,
    /// Its name; may be empty.
    pub name: String,
    /// Under which name Envoy counts it.
    pub stat: String,
}

/// How much a counter grew.
fn grown((before, after): (&Stats, &Stats), name: &str) -> u64 {
    after.get(name).saturating_sub(before.get(name))
}

/// Waits until Envoy is done with a connection or request that it was not done with `before`.
///
/// # Errors
/// It is not in time.
pub fn end(admin: &Admin, before: &Stats) -> Result<Stats> {
    let done = |stats: &Stats| -> u64 {
        let parts = [
            ("listener.", ".no_filter_chain_match"),
            ("listener.", "l.downstream_cx_destroy"),
            ("http.", "c.downstream_rq_completed"),
        ];
        parts
            .iter()
            .map(|(part, suffix)| stats.sum(part, suffix))
            .sum()
    };
    let was = done(before);
    wait::until("Envoy to be done with the call", PATIENCE, || {
        Ok((done(&admin.stats()?) > was).then_some(()))
    })?;
    // Counters are read one after the other while others grow: only now all of them are told.
    admin.stats()
}

/// Waits until no connection is open.
///
/// # Errors
/// One still is.
pub fn quiet(admin: &Admin) -> Result<()> {
    wait::until("the connections to end", PATIENCE, || {
        let open = admin.stats()?.sum("listener.", "l.downstream_cx_active");
        Ok((open == 0).then_some(()))
    })
}

/// How Envoy differs from what the simulator got.
#[must_use]
pub fn differences(names: &Names, stats: (&Stats, &Stats), got: &Value) -> Vec<String> {
    let text = |key: &str| got.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut wrong = Vec::new();
    let mut want = |what: String, holds: bool| {
        if !holds {
            wrong.push(what);
        }
    };
    let listener = text("listener");
    let counter = names.listeners.get(listener).cloned().unwrap_or_default();
    let at_listener = |name: &str| grown(stats, &format!("listener.{counter}.{name}"));
    let chains = chains(names, stats);
    let clusters = clusters(names, stats);
    let is_served = chains.contains(&(listener, text("filterChain")));
    let seen = format!("Envoy: chains {chains:?}, clusters {clusters:?}");
    match text("error") {
        "" => {
            want(
                format!("chain {:?} of {listener}; {seen}", text("filterChain")),
                is_served,
            );
            let cluster = text("cluster");
            let right = cluster.is_empty() || clusters == [cluster];
            want(format!("cluster {cluster}; {seen}"), right);
            let host = text("virtualHost");
            let routes = routes(names, stats);
            let right =
                host.is_empty() || cluster.is_empty() || routes.contains(&(host, text("route")));
            want(
                format!("route {:?} of {host}; Envoy: {routes:?}", text("route")),
                right,
            );
        }
        "no_listener" => {
            let none = grown(stats, "listener.entry.no_filter_chain_match");
            want(format!("no listener; {seen}"), none == 1);
        }
        "no_filter_chain" => {
            want(
                format!("no chain of {listener}; {seen}"),
                at_listener("no_filter_chain_match") == 1,
            );
        }
        "no_route" => {
            let rests = rests(names, stats);
            let host = text("virtualHost");
            want(
                format!("no route of {host}; hosts without route {rests:?}; {seen}"),
                is_served && rests == [host],
            );
        }
        "no_virtual_host" | "tls_redirect" | "protocol_error" => {
            let suffix = match text("error") {
                "tls_redirect" => "downstream_rq_3xx",
                "protocol_error" => "downstream_cx_protocol_error",
                _ => "no_route",
            };
            let named =
                |chain: &&Chain| chain.listener == listener && chain.name == text("filterChain");
            let all = names.chains.iter().filter(named);
            let count: u64 = all
                .map(|c| grown(stats, &format!("http.{}.{suffix}", c.stat)))
                .sum();
            want(
                format!("{} in {listener}; {seen}", text("error")),
                count == 1 && clusters.is_empty(),
            );
        }
        // A TCP proxy connects to its cluster while the handshake still goes on, so that the cluster
        // was asked says nothing.
        "tls_error" | "mtls_error" => {
            let failed =
                at_listener("ssl.connection_error") + at_listener("ssl.fail_verify_no_cert");
            want(
                format!("a failed handshake at {listener}, {failed} of them; {seen}"),
                failed > 0,
            );
        }
        other => want(format!("{other} cannot be compared"), false),
    }
    wrong
}

/// Listener and name of the chains that took something.
fn chains<'a>(names: &'a Names, stats: (&Stats, &Stats)) -> Vec<(&'a str, &'a str)> {
    let took = |chain: &&Chain| {
        let stat = &chain.stat;
        let tcp = grown(stats, &format!("tcp.{stat}.downstream_cx_total"));
        let http = grown(stats, &format!("http.{stat}.downstream_cx_total"));
        tcp + http > 0
    };
    let chains = names.chains.iter().filter(took);
    chains
        .map(|chain| (chain.listener.as_str(), chain.name.as_str()))
        .collect()
}

fn is_asked(stats: (&Stats, &Stats), stat: &str) -> bool {
    grown(stats, &format!("cluster.{stat}.upstream_cx_total")) > 0
}

fn clusters<'a>(names: &'a Names, stats: (&Stats, &Stats)) -> Vec<&'a str> {
    let direct = names
        .clusters
        .iter()
        .filter(|(_, stat)| is_asked(stats, stat));
    let routed = names
        .routes
        .iter()
        .filter(|route| is_asked(stats, &route.stat));
    let direct = direct.map(|(name, _)| name.as_str());
    direct
        .chain(routed.map(|route| route.cluster.as_str()))
        .collect()
}

/// The virtual hosts of which no route matched.
fn rests<'a>(names: &'a Names, stats: (&Stats, &Stats)) -> Vec<&'a str> {
    let taken = names
        .rests
        .iter()
        .filter(|rest| is_asked(stats, &rest.stat));
    taken.map(|rest| rest.host.as_str()).collect()
}

fn routes<'a>(names: &'a Names, stats: (&Stats, &Stats)) -> Vec<(&'a str, &'a str)> {
    let taken = names
        .routes
        .iter()
        .filter(|route| is_asked(stats, &route.stat));
    taken
        .map(|route| (route.host.as_str(), route.name.as_str()))
        .collect()
}
