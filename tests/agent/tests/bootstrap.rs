//! The bootstrap beside an agent, as a file to read (`BLESS=1` writes it again), and judged by Envoy.

use anyhow::{Context, Result, ensure};
use meltemi_bootstrap::{
    AdminAddress, AgentBootstrap, Doors, LogLines, NodeFacts, Selection, XdsProtocol, XdsServer,
};
use meltemi_testkit::envoy;
use meltemi_testkit::paths::{Scratch, repository};
use serde_json::json;
use std::collections::BTreeMap;

fn sidecar() -> AgentBootstrap {
    let local = |port| AdminAddress {
        address: "127.0.0.1".into(),
        port,
    };
    let id = "sidecar~10.1.2.3~a-1.shop~shop.svc.cluster.local";
    let mut node = NodeFacts::new(id.into(), "a.shop".into());
    node.metadata.insert("NAMESPACE".into(), json!("shop"));
    AgentBootstrap {
        node,
        xds: XdsServer::Uds("./etc/istio/proxy/XDS".into()),
        protocol: XdsProtocol::Delta,
        admin: local(15000),
        doors: Doors {
            addresses: vec!["0.0.0.0".into()],
            health: 15021,
            stats: 15090,
            stats_addresses: None,
            secure_stats: 0,
            secure_merged: 0,
            compressed: true,
            agent: local(15020),
        },
        sds: "./var/run/secrets/workload-spiffe-uds/socket".into(),
        sds_files: None,
        stats: Selection::default(),
        log: LogLines::Text,
        runtime: BTreeMap::new(),
        connections: None,
        statsd: None,
    }
}

/// Everything that a user can add, on both families of addresses.
fn everything() -> AgentBootstrap {
    let mut facts = sidecar();
    facts.protocol = XdsProtocol::Sotw;
    facts.doors.addresses.push("::".into());
    facts.doors.stats_addresses = Some(vec!["127.0.0.1".into()]);
    facts.doors.compressed = false;
    facts.doors.secure_stats = 15091;
    facts.doors.secure_merged = 15092;
    facts.statsd = Some(([10, 0, 0, 9], 9125).into());
    facts.sds_files = Some("./var/run/secrets/credential-uds/files-socket".into());
    facts.stats = Selection {
        prefixes: vec!["http.mine".into()],
        suffixes: vec!["downstream_cx_active".into()],
        regexes: vec!["^upstream_.*_rq$".into()],
        tags: vec!["my.tag".into()],
    };
    facts.log = LogLines::Json;
    facts.runtime = BTreeMap::from([
        ("mine".into(), "true".into()),
        ("re2.max_program_size.error_level".into(), "1000".into()),
    ]);
    facts.connections = Some(50_000);
    facts
}

fn judged(name: &str, facts: &AgentBootstrap) -> Result<()> {
    let found = facts.to_json();
    let text = format!("{found:#}\n");
    let path = repository().join(format!("tests/agent/testdata/{name}.json"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text)?;
    }
    let wanted = std::fs::read_to_string(&path);
    let wanted = wanted.with_context(|| format!("{} (BLESS=1 writes it)", path.display()))?;
    ensure!(
        wanted == text,
        "{} differs (BLESS=1 writes it):\n{text}",
        path.display()
    );
    let scratch = Scratch::new(name)?;
    envoy::validate(&envoy::find()?, &found, scratch.path())
}

#[test]
fn a_sidecar_starts_as_istios_does() -> Result<()> {
    judged("bootstrap-sidecar", &sidecar())
}

#[test]
fn what_users_add_is_accepted_by_envoy() -> Result<()> {
    judged("bootstrap-everything", &everything())
}
