//! What kubectl says of objects: whether they are in force, on how many proxies, and why not.

use anyhow::{Result, ensure};
use meltemi_e2e::Target;
use meltemi_e2e::mesh::{self, Mesh, SYSTEM};
use meltemi_e2e::shop::pieces;
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::wait;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);
const SHOP: &str = "--namespace=shop";

const OBJECTS: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: good, namespace: shop}
spec:
  hosts: [good.example]
  gateways: [shop]
  http:
  - route: [{destination: {host: reviews, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bad, namespace: shop}
spec:
  hosts: [bad.example]
  gateways: [shop]
  http:
  - route: [{destination: {host: reviews, subset: v9}}]
";

const OUTSIDE: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: shop}
spec:
  hosts: [a.example.com, b.example.com]
  ports: [{number: 443, name: tls, protocol: TLS}]
  location: MESH_EXTERNAL
  resolution: DNS
";

/// A ServiceEntry without addresses is given one of each family for each host, which stay.
fn has_addresses(kubectl: &Kubectl) -> Result<()> {
    let form = "--output=jsonpath={range .status.addresses[*]}{.host} {.value}{\"\\n\"}{end}";
    let given = wait::every("addresses", (DEADLINE, LOOK), || {
        let said = kubectl.run(&["get", "se/outside", SHOP, form])?;
        Ok((!said.is_empty()).then_some(said))
    })?;
    let shape = |line: &str| {
        let (host, ip) = line.split_once(' ')?;
        let family = ip.starts_with("240.240.") || ip.starts_with("2001:2::f0f0:");
        family.then(|| host.to_owned())
    };
    let hosts: Vec<_> = given.lines().filter_map(shape).collect();
    let expected = [
        "a.example.com",
        "a.example.com",
        "b.example.com",
        "b.example.com",
    ];
    ensure!(hosts == expected, "{given}");
    // What says so already is not written again, and conditions come from another owner.
    is(kubectl, "se/outside", "Accepted")?;
    let labelled = OUTSIDE.replace("name: outside,", "name: outside, labels: {team: a},");
    kubectl.apply(&labelled)?;
    let after = kubectl.run(&["get", "se/outside", SHOP, form])?;
    ensure!(after == given, "{after} and not {given}");
    Ok(())
}

/// Waits as users do.
fn is(kubectl: &Kubectl, object: &str, condition: &str) -> Result<()> {
    let condition = format!("--for=condition={condition}");
    let waited = kubectl.run(&["wait", object, SHOP, &condition, "--timeout=30s"]);
    waited.map(drop).map_err(|error| {
        let object = kubectl.run(&["get", object, SHOP, "--output=yaml"]);
        error.context(format!("{object:?}"))
    })
}

/// The message of a condition.
fn message(kubectl: &Kubectl, object: &str, condition: &str) -> Result<String> {
    let path = format!("jsonpath={{.status.conditions[?(@.type==\"{condition}\")].message}}");
    kubectl.run(&["get", object, SHOP, "--output", &path])
}

fn described(kubectl: &Kubectl, object: &str, words: &[&str]) -> Result<()> {
    wait::every(
        &format!("{object} to say {words:?}"),
        (DEADLINE, LOOK),
        || {
            let text = kubectl.run(&["describe", object, SHOP])?;
            Ok(words.iter().all(|word| text.contains(word)).then_some(()))
        },
    )?;
    Ok(())
}

#[test]
fn kubectl_says_what_became_of_an_object() -> Result<()> {
    let target = Target::take("e2e-status", &mesh::IMAGES)?;
    let kubectl = target.kubectl();
    let mut mesh = Mesh::install(&target, &[])?;
    mesh.add_gateway(&[])?;
    kubectl.apply(&pieces::all(&[
        pieces::namespace("shop", ""),
        pieces::service("reviews", "app: reviews"),
        pieces::gateway("istio: ingressgateway", "*.example"),
        OBJECTS.to_owned(),
        OUTSIDE.to_owned(),
    ]))?;

    is(kubectl, "vs/good", "Programmed")?;
    wait::every("all proxies to have it", (DEADLINE, LOOK), || {
        let said = message(kubectl, "vs/good", "Programmed")?;
        ensure!(said.starts_with("1 of 1 proxies of "), "{said}");
        Ok(Some(()))
    })?;
    is(kubectl, "gw/shop", "Programmed")?;
    is(kubectl, "dr/reviews", "Accepted")?;

    has_addresses(kubectl)?;

    is(kubectl, "vs/bad", "Accepted=False")?;
    let said = message(kubectl, "vs/bad", "Accepted")?;
    ensure!(
        said.starts_with("MLT0201: spec.http[0]") && said.contains("v9"),
        "{said}"
    );
    described(kubectl, "vs/bad", &["Warning", "UnknownSubset", "MLT0201"])?;

    kubectl.apply(&OBJECTS.replace("v9", "v1"))?;
    is(kubectl, "vs/bad", "Programmed")?;
    described(kubectl, "vs/bad", &["Normal", "well again"])?;
    let columns = "jsonpath={.metadata.generation} {.status.observedGeneration}";
    let seen = kubectl.run(&["get", "vs/bad", SHOP, "--output", columns])?;
    ensure!(seen == "2 2", "{seen}");

    // A node of the test's own goes away with everything on it.
    if target.node().is_none() {
        mesh.uninstall()?;
        kubectl.run(&["delete", "namespace", "shop", SYSTEM, "--ignore-not-found"])?;
    }
    target.release()
}
