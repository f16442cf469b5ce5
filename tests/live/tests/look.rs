//! `meltemi proxy-status`, `proxy-config` and `version` without a cluster: against a real control
//! plane and real Envoys.
#![allow(
    clippy::indexing_slicing,
    reason = "an absent field of JSON is null, and no index of another kind is used"
)]

use anyhow::{Context, Result, ensure};
use meltemi_bootstrap::XdsProtocol;
use meltemi_live::scene::{SOON, Scene, run};
use meltemi_live::shop::{self, Servers};
use meltemi_testkit::mesh::{Plan, Workload};
use meltemi_testkit::{paths, wait};
use serde_json::Value;
use std::process::Command;

/// What came of a run of the tool.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn expect(&self, code: i32, parts: &[&str]) -> Result<()> {
        let Self { out, err, .. } = self;
        ensure!(self.code == code, "exit code {}: {out}{err}", self.code);
        for part in parts {
            ensure!(out.contains(part), "{part:?} is not in {out}{err}");
        }
        Ok(())
    }

    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{}{}", self.out, self.err))
    }

    /// The lines of a table, each squeezed to single spaces.
    fn lines(&self) -> Vec<String> {
        let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        self.out.lines().map(squeeze).collect()
    }
}

fn meltemi(words: &[&str]) -> Result<Said> {
    let mut command = Command::new(paths::binary("meltemi")?);
    // No cluster of the machine is meant.
    command
        .args(words)
        .env_remove("KUBECONFIG")
        .env("HOME", "/nonexistent");
    let output = command.output()?;
    Ok(Said {
        code: output.status.code().context("it was killed")?,
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

fn admin(scene: &Scene, name: &str) -> Result<String> {
    Ok(scene.mesh.member(name)?.envoy.admin_address().to_string())
}

/// The shop, of which every Envoy has a certificate.
fn plan() -> Plan {
    let mut plan = shop::plan(XdsProtocol::Delta, Servers::One);
    let all = std::mem::take(&mut plan.workloads).into_iter();
    plan.workloads = all.map(Workload::certified).collect();
    plan
}

#[test]
fn the_tool_shows_what_proxies_have_and_whether_it_is_right() -> Result<()> {
    run("look", &plan(), |scene| {
        status(scene)?;
        compared(scene)?;
        clusters_and_routes(scene)?;
        listeners_and_endpoints(scene)?;
        secrets(scene)?;
        loggers(scene)?;
        saved(scene)?;
        versions(scene)
    })
}

fn status(scene: &Scene) -> Result<()> {
    let plane = scene.mesh.plane.http()?.to_string();
    let all = wait::until("every proxy to be in sync", SOON, || {
        let said = meltemi(&["ps", "--address", &plane])?;
        let lines = said.lines();
        let synced = lines
            .iter()
            .skip(1)
            .filter(|line| line.contains("SYNCED SYNCED"));
        let settled = synced.count() == 2 && !said.out.contains("STALE");
        Ok(settled.then_some(said))
    })?;
    all.expect(0, &["client.shop", "v1.shop", "sidecar"])?;
    let head = "NAME NODE TYPE CLUSTER ISTIOD VERSION CDS LDS EDS RDS ECDS";
    ensure!(
        all.lines().first().is_some_and(|line| line == head),
        "{}",
        all.out
    );
    // Two control planes that are one: every proxy twice; and one that is away is a note.
    let merged = meltemi(&["ps", "--address", &plane, "--address", &plane, "-o", "json"])?;
    let merged = merged.json()?;
    ensure!(
        merged["proxies"]
            .as_array()
            .is_some_and(|all| all.len() == 4),
        "{merged}"
    );
    let half = meltemi(&["ps", "--address", &plane, "--address", "127.0.0.1:1"])?;
    half.expect(0, &["client.shop"])?;
    ensure!(
        half.err.contains("no answer from 127.0.0.1:1"),
        "{}",
        half.err
    );
    let none = meltemi(&["ps", "--address", "127.0.0.1:1"])?;
    none.expect(69, &[])?;
    ensure!(none.out.is_empty() && none.err.contains("no answer from 127.0.0.1:1"));
    let nowhere = meltemi(&["ps"])?;
    nowhere.expect(69, &[])?;
    ensure!(
        nowhere.err.contains("--address HOST:PORT"),
        "{}",
        nowhere.err
    );
    Ok(())
}

fn compared(scene: &Scene) -> Result<()> {
    let plane = scene.mesh.plane.http()?.to_string();
    let (client, server) = (admin(scene, "client")?, admin(scene, "v1")?);
    for (pod, at) in [("client.shop", &client), ("v1.shop", &server)] {
        let words = ["ps", pod, "--address", &plane, "--admin", at];
        let parts = [
            "Clusters Match (",
            "Listeners Match (",
            "Routes Match (",
            "Endpoints Match (",
        ];
        meltemi(&words)?.expect(0, &parts)?;
    }
    let words = ["ps", "client.shop", "--address", &plane, "--admin", &server];
    let parts = [
        "Clusters Don't Match",
        "--- Istiod Clusters: outbound|9080",
        "+++ Envoy",
    ];
    meltemi(&words)?.expect(1, &parts)?;
    let words = [&words[..], &["-o", "json"]].concat();
    let document = meltemi(&words)?.json()?;
    ensure!(document["types"][0]["match"] == false, "{document}");
    let gone = meltemi(&["ps", "nobody.shop", "--address", &plane, "--admin", &server])?;
    gone.expect(1, &[])?;
    ensure!(
        gone.err.contains("nobody.shop is not connected"),
        "{}",
        gone.err
    );
    Ok(())
}

fn clusters_and_routes(scene: &Scene) -> Result<()> {
    let at = admin(scene, "client")?;
    let all = meltemi(&["pc", "cluster", "--admin", &at])?;
    let host = "reviews.shop.svc.cluster.local";
    all.expect(0, &[host, "details.shop.svc.cluster.local"])?;
    let line = |subset: &str| {
        let found = all.lines().into_iter().map(|line| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            words
        });
        found.into_iter().any(|words| {
            words.first().is_some_and(|first| first == host)
                && words.get(2).is_some_and(|word| word == subset)
                && words.get(4).is_some_and(|kind| kind == "EDS")
        })
    };
    ensure!(line("v1") && line("-"), "{}", all.out);
    let one = meltemi(&["pc", "c", "--admin", &at, "--fqdn", host, "--subset", "v1"])?;
    ensure!(one.lines().len() == 2, "{}", one.out);
    let none = meltemi(&["pc", "c", "--admin", &at, "--direction", "sideways"])?;
    none.expect(0, &[])?;
    ensure!(
        none.out.is_empty() && none.err.contains("note: "),
        "{}",
        none.err
    );
    let routes = meltemi(&["pc", "route", "--admin", &at])?;
    routes.expect(0, &["VIRTUAL SERVICE", "reviews.shop", "details.shop"])?;
    let document = meltemi(&["pc", "r", "--admin", &at, "-o", "json"])?.json()?;
    ensure!(document["kind"] == "ProxyConfig" && document["type"] == "route");
    let resources = document["resources"].as_array().context("resources")?;
    ensure!(
        resources.iter().any(|one| !one["virtual_hosts"].is_null()),
        "{document}"
    );
    Ok(())
}

fn listeners_and_endpoints(scene: &Scene) -> Result<()> {
    let at = admin(scene, "client")?;
    let door = scene.door()?;
    let address = door.ip().to_string();
    let listeners = meltemi(&["pc", "listener", "--admin", &at, "--address", &address])?;
    let row = format!("{address} {} ALL Route: ", door.port());
    ensure!(
        listeners.lines().iter().any(|line| line.starts_with(&row)),
        "{}",
        listeners.out
    );
    let tcp = meltemi(&[
        "pc",
        "l",
        "--admin",
        &at,
        "--type",
        "tcp",
        "--address",
        &address,
    ])?;
    ensure!(tcp.out.is_empty(), "{}", tcp.out);
    let endpoints = meltemi(&["pc", "endpoint", "--admin", &at, "--status", "healthy"])?;
    endpoints.expect(0, &["OUTLIER CHECK", "|v1|reviews.shop.svc.cluster.local"])?;
    let start = meltemi(&["pc", "bootstrap", "--admin", &at, "-o", "table"])?;
    start.expect(0, &["sidecar~", "client.shop", "envoy version", "1.40."])?;
    Ok(())
}

fn secrets(scene: &Scene) -> Result<()> {
    let at = admin(scene, "client")?;
    let secrets = meltemi(&["pc", "secret", "--admin", &at])?;
    secrets.expect(0, &["Cert Chain", "CA", "true", "ACTIVE"])?;
    for words in [["pc", "secret"], ["pc", "all"]] {
        let words = [&words[..], &["--admin", &at, "-o", "json"]].concat();
        let whole = meltemi(&words)?;
        whole.expect(0, &["[redacted]"])?;
        ensure!(!whole.out.contains("PRIVATE KEY"), "a key is shown");
    }
    Ok(())
}

fn loggers(scene: &Scene) -> Result<()> {
    let at = admin(scene, "client")?;
    let set = meltemi(&["pc", "log", "--admin", &at, "--level", "info,rbac:debug"])?;
    let has = |said: &Said, line: &str| said.lines().iter().any(|found| found == line);
    ensure!(
        has(&set, "rbac debug") && has(&set, "admin info"),
        "{}",
        set.out
    );
    ensure!(has(&meltemi(&["pc", "log", "--admin", &at])?, "rbac debug"));
    let reset = meltemi(&["pc", "log", "--admin", &at, "--reset"])?;
    ensure!(has(&reset, "rbac warning"), "{}", reset.out);
    meltemi(&["pc", "log", "--admin", &at, "--level", "loud"])?.expect(64, &[])
}

/// A saved dump says the same as the proxy that it was taken from.
fn saved(scene: &Scene) -> Result<()> {
    let at = admin(scene, "client")?;
    let member = scene.mesh.member("client")?;
    let dump = member.envoy.admin().get("/config_dump?include_eds")?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("dump.json");
    std::fs::write(&file, dump)?;
    let file = file.to_str().context("a path that is text")?;
    for what in ["cluster", "listener", "route", "secret"] {
        let from_file = meltemi(&["pc", what, "--file", file])?;
        ensure!(
            from_file.out == meltemi(&["pc", what, "--admin", &at])?.out,
            "{what}"
        );
    }
    meltemi(&["pc", "endpoint", "--file", file])?.expect(0, &["HEALTHY"])?;
    meltemi(&["pc", "cluster", "--file", "/nonexistent"])?.expect(66, &[])
}

fn versions(scene: &Scene) -> Result<()> {
    let plane = scene.mesh.plane.http()?.to_string();
    let said = meltemi(&["version", "--address", &plane])?;
    said.expect(
        0,
        &["meltemi 0.", "control plane version: 0.", "(2 proxies)"],
    )?;
    let document = meltemi(&["version", "--address", &plane, "-o", "json"])?.json()?;
    ensure!(
        document["controlPlanes"][0]["version"] == document["version"],
        "{document}"
    );
    let alone = meltemi(&["version"])?;
    alone.expect(0, &["meltemi 0."])?;
    ensure!(alone.err.lines().count() == 1, "{}", alone.err);
    let alone = meltemi(&["version", "--remote=false"])?;
    alone.expect(0, &["meltemi 0."])?;
    ensure!(
        alone.err.is_empty() && alone.out.lines().count() == 1,
        "{}",
        alone.err
    );
    Ok(())
}
