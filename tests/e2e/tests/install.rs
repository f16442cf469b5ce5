//! An installation by helm: proxies are configured from what is applied, and what is uninstalled
//! leaves nothing but what it should.

use anyhow::{Result, ensure};
use meltemi_e2e::mesh::{self, GATEWAY, Mesh, SYSTEM};
use meltemi_e2e::shop::pieces;
use meltemi_e2e::{Target, inventory};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::wait;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

const ROUTES: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [shop]
  http:
  - match: [{uri: {prefix: /new}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v1}}]
";

/// A service in two versions, behind a gateway.
fn two_versions() -> String {
    let version = |version: &str| {
        let (name, labels) = (
            format!("reviews-{version}"),
            format!("app: reviews, version: {version}"),
        );
        pieces::workload(&name, &labels, "")
    };
    pieces::all(&[
        pieces::namespace("shop", ""),
        version("v1"),
        version("v2"),
        pieces::service("reviews", "app: reviews"),
        pieces::shell("client", "shop"),
        pieces::gateway("istio: ingressgateway", "shop.example"),
    ])
}

/// What the gateway answers to a path.
fn ask(kubectl: &Kubectl, path: &str) -> Result<String> {
    let url = format!("http://{GATEWAY}.{SYSTEM}{path}");
    kubectl.run(&[
        "exec",
        "client",
        "--namespace=shop",
        "--",
        // Not wget's own limit: with it busybox 1.35 dies.
        "timeout",
        "5",
        "wget",
        "-qO-",
        "--header=Host: shop.example",
        &url,
    ])
}

fn answered(kubectl: &Kubectl, path: &str, by: &str) -> Result<()> {
    wait::every(
        &format!("{path} to be answered by {by}"),
        (DEADLINE, LOOK),
        || Ok(ask(kubectl, path).ok().filter(|text| text.contains(by))),
    )?;
    Ok(())
}

#[test]
fn what_is_applied_is_what_a_gateway_does_and_nothing_is_left_afterwards() -> Result<()> {
    let target = Target::take("e2e-install", &mesh::IMAGES)?;
    let kubectl = target.kubectl();
    let before = inventory::objects(kubectl)?;
    let mut mesh = Mesh::install(&target, &[])?;
    mesh.add_gateway(&[])?;
    kubectl.apply(&two_versions())?;
    let shop = "--namespace=shop";
    let wait = ["wait", "pods", "--all", "--for=condition=Ready", shop];
    kubectl.run(&[&wait[..], &["--timeout=60s"]].concat())?;

    kubectl.apply(ROUTES)?;
    answered(kubectl, "/old", "v1")?;
    answered(kubectl, "/new", "v2")?;
    // A change reaches the gateway, and an object that is refused changes nothing.
    kubectl.apply(&ROUTES.replace("prefix: /new", "prefix: /newer"))?;
    answered(kubectl, "/new", "v1")?;
    answered(kubectl, "/newer", "v2")?;
    let refused = kubectl.apply(&ROUTES.replace("hosts: [shop.example]", "hosts: 7"));
    ensure!(refused.is_err(), "the schema refuses it: {refused:?}");
    answered(kubectl, "/newer", "v2")?;
    // What was applied is what is stored.
    let same = kubectl.apply(&ROUTES.replace("prefix: /new", "prefix: /newer"))?;
    ensure!(
        same.lines().all(|line| line.ends_with("unchanged")),
        "{same}"
    );
    // The columns that users know.
    let shown = kubectl.run(&["get", "vs", shop])?;
    ensure!(shown.starts_with("NAME"), "{shown}");
    for column in [
        "GATEWAYS",
        "HOSTS",
        "AGE",
        "[\"shop\"]",
        "[\"shop.example\"]",
    ] {
        ensure!(shown.contains(column), "{column} is not shown: {shown}");
    }

    mesh.uninstall()?;
    kubectl.run(&["delete", "namespace", "shop", SYSTEM, "--ignore-not-found"])?;
    let after = inventory::objects(kubectl)?;
    let left: Vec<_> = after.difference(&before).collect();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    let gone: Vec<_> = before.difference(&after).collect();
    ensure!(gone.is_empty(), "taken away: {gone:#?}");
    target.release()
}
