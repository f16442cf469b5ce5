//! A control plane that is upgraded and rolled back under traffic, and two revisions side by side:
//! each serves what is its own, a tag is another name of one, and a gateway moves between them.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::mesh::{self, GATEWAY, Mesh, SYSTEM};
use meltemi_e2e::shop::pieces;
use meltemi_e2e::{Target, calls, inventory};
use meltemi_testkit::cluster::access::Kubectl;

const SPACE: &str = "--namespace=shop";

/// A gateway of the other revision.
const EDGE: &str = "edge";

/// Found by both gateways.
const SHARED: &str = "--set=podLabels.edge=shared";

const ROUTES: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: everybodys, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [shop]
  http:
  - match: [{uri: {prefix: /both}}]
    route: [{destination: {host: echo}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: defaults, namespace: shop, labels: {istio.io/rev: default}}
spec:
  hosts: [shop.example]
  gateways: [shop]
  http:
  - match: [{uri: {exact: /own}}]
    directResponse: {status: 200, body: {string: of the default revision}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: canarys, namespace: shop, labels: {istio.io/rev: canary}}
spec:
  hosts: [shop.example]
  gateways: [shop]
  http:
  - match: [{uri: {exact: /own}}]
    directResponse: {status: 200, body: {string: of the canary}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tagged, namespace: shop, labels: {istio.io/rev: next}}
spec:
  hosts: [shop.example]
  gateways: [shop]
  http:
  - match: [{uri: {exact: /tagged}}]
    directResponse: {status: 200, body: {string: of the tag}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: elsewhere, namespace: elsewhere}
spec:
  hosts: [elsewhere.example]
  gateways: [shop/shop]
  http:
  - directResponse: {status: 200, body: {string: from elsewhere}}
";

/// A namespace that the other revision cares for, and one that it does not.
fn shop() -> String {
    pieces::all(&[
        pieces::namespace("shop", "mesh: canary"),
        pieces::namespace("elsewhere", ""),
        pieces::workload("echo", "app: echo", ""),
        pieces::service("echo", "app: echo"),
        pieces::shell("client", "shop"),
        pieces::gateway("edge: shared", "*"),
    ])
}

/// The pod that calls.
struct Client<'a>(&'a Kubectl);

impl Client<'_> {
    fn ask(&self, edge: &str, host: &str, path: &str) -> Result<String> {
        let url = format!("http://{edge}.{SYSTEM}{path}");
        let host = format!("Host: {host}");
        calls::call(self.0, &["client", SPACE], (&url, &[&host]))
    }

    /// Until a gateway answers a path of the shop with a text.
    fn answered(&self, edge: &str, path: &str, expected: &str) -> Result<()> {
        let ask = || self.ask(edge, "shop.example", path);
        calls::until(&format!("{path} of {edge}"), expected, ask)?;
        Ok(())
    }

    /// A route that is new reaches a gateway: its control plane is there.
    fn follows(&self, edge: &str, path: &str) -> Result<()> {
        let moved = ROUTES.replace(
            "{prefix: /both}}",
            &format!("{{prefix: /both}}}}, {{uri: {{prefix: {path}}}}}"),
        );
        ensure!(moved != ROUTES, "there is no /both");
        self.0.apply(&moved)?;
        self.answered(edge, path, "\"workload\"")
    }

    fn shell(&self, script: &str) -> Result<String> {
        self.0
            .run(&["exec", "client", SPACE, "--", "sh", "-c", script])
    }

    /// Starts calling without a pause.
    fn start(&self) -> Result<()> {
        let one = format!(
            "timeout 5 wget -qO- --header 'Host: shop.example' http://{GATEWAY}.{SYSTEM}/both"
        );
        let each =
            format!("{one} >/dev/null 2>/tmp/why && echo ok || echo failed: $(cat /tmp/why)");
        let all = format!("while [ ! -e /tmp/stop ]; do {each}; sleep 0.02; done");
        self.shell(&format!(
            "rm -f /tmp/stop; ({all}) >/tmp/calls 2>&1 </dev/null &"
        ))?;
        Ok(())
    }

    /// Ends that; every call must have been answered.
    fn stop(&self) -> Result<()> {
        let said = self.shell("touch /tmp/stop; sleep 0.5; cat /tmp/calls")?;
        let failed: Vec<_> = said.lines().filter(|line| *line != "ok").collect();
        let all = said.lines().count();
        eprintln!("{} of {all} calls failed", failed.len());
        ensure!(
            failed.is_empty() && all >= 50,
            "{} of {all} calls failed: {failed:?}",
            failed.len()
        );
        Ok(())
    }
}

/// The pods of a control plane.
fn pods(kubectl: &Kubectl, revision: &str) -> Result<Vec<String>> {
    let selector = format!("--selector=app=istiod,istio.io/rev={revision}");
    let namespace = ["--namespace", SYSTEM, &selector, "--output=name"];
    let said = kubectl.run(&[&["get", "pods"][..], &namespace].concat())?;
    Ok(said.lines().map(str::to_owned).collect())
}

/// What changes the pods of the control plane, and its traces in what a gateway does.
fn replaced(
    (kubectl, client): (&Kubectl, &Client<'_>),
    path: &str,
    change: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let before = pods(kubectl, "default")?;
    change()?;
    for pod in &before {
        let gone = ["wait", "--for=delete", pod, "--namespace", SYSTEM];
        kubectl.run(&[&gone[..], &["--timeout=60s"]].concat())?;
    }
    let now = pods(kubectl, "default")?;
    ensure!(!now.is_empty(), "no pod of the control plane is left");
    ensure!(
        now.iter().all(|pod| !before.contains(pod)),
        "{before:?} {now:?}"
    );
    client.follows(GATEWAY, path)
}

/// Upgraded in place, and back again.
fn upgraded_and_rolled_back(mesh: &Mesh<'_>, at: (&Kubectl, &Client<'_>)) -> Result<()> {
    replaced(at, "/upgraded", || {
        mesh.upgrade_control_plane("istiod", &["--set=podAnnotations.step=two"])
    })?;
    replaced(at, "/rolled-back", || {
        mesh.helm(&["rollback", "istiod", "1", "--wait", "--timeout=90s"])?;
        Ok(())
    })
}

/// A second revision, whose mesh is another set of namespaces, and a gateway that finds it by a tag.
fn side_by_side(mesh: &mut Mesh<'_>, client: &Client<'_>) -> Result<()> {
    let canary = [
        "--set=revision=canary",
        "--set=revisionTags={next}",
        "--set=meshConfig.discoverySelectors[0].matchLabels.mesh=canary",
    ];
    mesh.add_control_plane("istiod-canary", &canary)?;
    let address =
        format!("--set=proxy.discoveryAddress=istiod-revision-tag-next.{SYSTEM}.svc:15012");
    mesh.add_edge(EDGE, &["--set=revision=canary", SHARED, &address])?;
    for (edge, own) in [
        (GATEWAY, "of the default revision"),
        (EDGE, "of the canary"),
    ] {
        client.answered(edge, "/both", "\"workload\"")?;
        client.answered(edge, "/own", own)?;
    }
    client.answered(EDGE, "/tagged", "of the tag")?;
    client.answered(GATEWAY, "/tagged", " 404 ")?;
    let there = client.ask(GATEWAY, "elsewhere.example", "/")?;
    ensure!(there.contains("from elsewhere"), "{there}");
    let hidden = client.ask(EDGE, "elsewhere.example", "/")?;
    ensure!(hidden.contains(" 404 "), "{hidden}");
    Ok(())
}

/// The gateway moves to the other revision, and the first one goes.
fn moved(mesh: &mut Mesh<'_>, kubectl: &Kubectl, client: &Client<'_>) -> Result<()> {
    mesh.upgrade_edge(GATEWAY, &[SHARED, "--set=revision=canary"])?;
    client.answered(GATEWAY, "/own", "of the canary")?;
    mesh.remove("istiod")?;
    let left = kubectl.run(&["get", "configmap", "istio-ca-root-cert", SPACE]);
    left.context("the root certificate is gone with one of two revisions")?;
    client.follows(GATEWAY, "/canary-alone")?;
    client.follows(EDGE, "/edge-too")
}

#[test]
fn upgrades_rollbacks_and_revisions_cost_no_call() -> Result<()> {
    let target = Target::take("e2e-upgrade", &mesh::IMAGES)?;
    let kubectl = target.kubectl();
    let before = inventory::objects(kubectl)?;
    let mut mesh = Mesh::install(&target, &[])?;
    kubectl.apply(&shop())?;
    mesh.add_gateway(&[SHARED])?;
    let ready = ["wait", "pods", "--all", "--for=condition=Ready", SPACE];
    kubectl.run(&[&ready[..], &["--timeout=60s"]].concat())?;
    kubectl.apply(ROUTES)?;
    let client = Client(kubectl);
    client.answered(GATEWAY, "/both", "\"workload\"")?;

    client.start()?;
    upgraded_and_rolled_back(&mesh, (kubectl, &client))?;
    side_by_side(&mut mesh, &client)?;
    moved(&mut mesh, kubectl, &client)?;
    client.stop()?;

    mesh.uninstall()?;
    let spaces = ["delete", "namespace", "shop", "elsewhere", SYSTEM];
    kubectl.run(&[&spaces[..], &["--ignore-not-found"]].concat())?;
    let after = inventory::objects(kubectl)?;
    let left: Vec<_> = after.difference(&before).collect();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    let gone: Vec<_> = before.difference(&after).collect();
    ensure!(gone.is_empty(), "taken away: {gone:#?}");
    target.release()
}
