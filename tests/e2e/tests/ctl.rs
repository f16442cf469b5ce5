//! `meltemi` on a real cluster: control planes and proxies are found through the API server and
//! asked through its port-forwards.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::Target;
use meltemi_e2e::mesh::{self, GATEWAY, Mesh, SYSTEM};
use meltemi_e2e::shop::pieces;
use meltemi_testkit::{paths, wait};
use std::process::Command;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

const ROUTE: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [shop]
  http:
  - match: [{uri: {prefix: /new}}]
    route: [{destination: {host: reviews}}]
";

/// A user without any rights.
const NOBODY: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: nobody, namespace: shop}
";

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(mut command: Command) -> Result<Said> {
    let output = command.output()?;
    Ok(Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

impl Said {
    fn expect(&self, code: i32, parts: &[&str]) -> Result<()> {
        let all = format!("{}{}", self.out, self.err);
        ensure!(self.code == Some(code), "exit code {:?}: {all}", self.code);
        for part in parts {
            ensure!(all.contains(part), "{part:?} is not in {all}");
        }
        Ok(())
    }
}

#[test]
fn the_tool_finds_control_planes_and_proxies_of_a_cluster() -> Result<()> {
    let target = Target::take("e2e-ctl", &mesh::IMAGES)?;
    let program = paths::binary("meltemi")?;
    let program = program.to_str().context("a path that is text")?;
    let meltemi = |words: &[&str]| run(target.kubectl().beside(program, words));
    meltemi(&["ps"])?.expect(69, &["no control plane", "istio-system"])?;
    meltemi(&["version"])?.expect(0, &["meltemi 0.", "note: "])?;

    let mut mesh = Mesh::install(&target, &[])?;
    mesh.add_gateway(&[])?;
    target.kubectl().apply(&pieces::all(&[
        pieces::namespace("shop", ""),
        pieces::service("reviews", ""),
        pieces::gateway("istio: ingressgateway", "shop.example"),
        ROUTE.to_owned(),
    ]))?;
    let gateway = format!("deploy/{GATEWAY}.{SYSTEM}");
    wait::every("the route of the gateway", (DEADLINE, LOOK), || {
        let said = meltemi(&["pc", "route", &gateway])?;
        Ok(said.out.contains("reviews.shop").then_some(()))
    })?;

    let status = meltemi(&["ps"])?;
    status.expect(0, &[GATEWAY, "router", "istiod-", "SYNCED"])?;
    // Endpoints may be on their way.
    wait::every(
        "what is sent and what runs to match",
        (DEADLINE, LOOK),
        || {
            let each = ["Clusters", "Listeners", "Routes", "Endpoints"];
            let words = each.map(|each| format!("{each} Match ("));
            let words = words.each_ref().map(String::as_str);
            meltemi(&["ps", &gateway])?.expect(0, &words).map(Some)
        },
    )?;
    meltemi(&["pc", "listener", &gateway, "--type", "HTTP"])?.expect(0, &["ALL", "Route: http"])?;
    let cluster = ["pc", "cluster", &gateway, "--fqdn", "reviews.shop"];
    meltemi(&cluster)?.expect(0, &["reviews.shop.svc.cluster.local", "outbound"])?;
    let version = meltemi(&["version"])?;
    version.expect(0, &["control plane version: 0.", "(1 proxy)"])?;

    let wrong = meltemi(&["pc", "route", GATEWAY, "-n", SYSTEM])?;
    wrong.expect(
        1,
        &[
            "no pod",
            "1 pod starts with that name",
            "try: istio-ingressgateway-",
        ],
    )?;
    target.kubectl().apply(NOBODY)?;
    let token = target
        .kubectl()
        .run(&["create", "token", "nobody", "--namespace=shop"])?;
    let mut config = target
        .kubectl()
        .run(&["config", "view", "--raw", "--flatten"])?;
    let users = config.find("users:").context("a kubeconfig has users")?;
    let name = target
        .kubectl()
        .run(&["config", "view", "-o=jsonpath={.users[0].name}"])?;
    config.truncate(users);
    config.push_str(&format!(
        "users:\n- name: {name}\n  user:\n    token: {}\n",
        token.trim()
    ));
    let dir = paths::Scratch::new("ctl")?;
    let file = dir.path().join("nobody");
    std::fs::write(&file, config)?;
    let file = file.to_str().context("a path that is text")?;
    meltemi(&["ps", "--kubeconfig", file])?.expect(77, &["nobody", "pods", "ask for a role"])?;

    mesh.uninstall()?;
    target
        .kubectl()
        .run(&["delete", "namespace", "shop", SYSTEM, "--ignore-not-found"])?;
    target.release()
}
