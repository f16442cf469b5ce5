//! A pod whose disk is full: an agent that cannot write its Envoy's bootstrap says which file and why.
//! That renewals go on in memory is shown beside their code.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::agent::{Options, PORTS};
use meltemi_testkit::lease::Lease;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::process::{Process, Spec};
use meltemi_testkit::{envoy, wait};
use serde_json::json;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

/// Everything behind a mount of a few pages that are all taken. Who is not root may mount in a user
/// namespace of their own.
fn on_a_full_disk(spec: Spec, place: &str) -> Spec {
    let script = "mkdir -p \"$1\"; mount -t tmpfs -o size=8k none \"$1\"\n\
                  cat /dev/zero > \"$1/rest\" 2>/dev/null || true\n\
                  shift; exec \"$@\"";
    let Spec {
        name,
        program,
        args,
        env,
        dir,
    } = spec;
    let mut full = Spec::new(&name, "/usr/bin/unshare".as_ref(), &dir)
        .option("--map-root-user", "--mount")
        .arg("sh")
        .option("-ec", script)
        .arg("sh")
        .arg(place)
        .arg(program);
    full.args.extend(args);
    full.env = env;
    full
}

#[test]
fn a_full_disk_is_named_and_nothing_half_written_is_started() -> Result<()> {
    let scratch = Scratch::new("agent-full")?;
    let lease = Lease::take(&PORTS)?;
    let root = scratch.path().join("root");
    std::fs::create_dir_all(&root)?;
    let options = Options {
        program: paths::binary("meltemi-agent")?,
        envoy: envoy::find()?,
        name: "shop".into(),
        address: lease.address(),
        plane: "127.0.0.1:9".into(),
        config: json!({"controlPlaneAuthPolicy": "NONE"}),
        env: Vec::new(),
        root: root.clone(),
    };
    let place = root.join("etc/istio/proxy");
    let place = place
        .to_str()
        .context("the path of the scratch directory")?;
    let mut agent = Process::start(&on_a_full_disk(options.spec(), place))?;
    let status = wait::until("the agent to end", SOON, || agent.ended())?;
    let said = agent.tail();
    ensure!(!status.success(), "{status}: {said}");
    for word in ["etc/istio/proxy/envoy-rev.json", "No space left on device"] {
        ensure!(said.contains(word), "no {word:?} in {said}");
    }
    Ok(())
}
