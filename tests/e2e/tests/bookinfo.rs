//! The bookshop of `manifests/bookshop` behind a gateway, each of its pods with a stock Envoy that
//! the control plane configures: what is applied with kubectl is what calls meet.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::mesh::{self, GATEWAY, Mesh, SYSTEM};
use meltemi_e2e::{Target, calls, https};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::paths;
use meltemi_testkit::wait;
use std::time::{Duration, Instant};

const SPACE: &str = "--namespace=bookshop";

const STORY: Rules = Rules(
    "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stars, namespace: bookshop}
spec:
  hosts: [stars]
  http:
  - match: [{headers: {x-test: {exact: broken}}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: stars}}]
  - match: [{headers: {x-test: {exact: slow}}}]
    fault: {delay: {fixedDelay: 1s, percentage: {value: 100}}}
    route: [{destination: {host: stars}}]
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new, redirectCode: 308}
  - match: [{uri: {prefix: /cheap/}}]
    rewrite: {uri: /priced/}
    route:
    - destination: {host: stars}
      headers: {request: {set: {x-shop: bookshop}}}
  - match: [{uri: {prefix: /closed}}]
    directResponse: {status: 451, body: {string: closed}}
  - route: [{destination: {host: stars}}]
",
);

const PATIENCE: Rules = Rules(
    "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog, namespace: bookshop}
spec:
  hosts: [catalog]
  http:
  - match: [{headers: {x-test: {exact: hurried}}}]
    timeout: 300ms
    route: [{destination: {host: catalog}}]
  - match: [{headers: {x-test: {exact: stubborn}}}]
    retries: {attempts: 3, retryOn: 5xx, backoff: 1ms}
    route: [{destination: {host: catalog}}]
  - match: [{headers: {x-test: {exact: gives-up}}}]
    retries: {attempts: 0}
    route: [{destination: {host: catalog}}]
  - route: [{destination: {host: catalog}}]
    mirror: {host: stars}
    mirrorPercentage: {value: 100}
",
);

const LIBRARY: Rules = Rules(
    "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: library, namespace: bookshop}
spec:
  hosts: [library.example]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
  location: MESH_EXTERNAL
  endpoints: [{address: catalog.bookshop.svc.cluster.local, ports: {http: 9080}}]
",
);

const NARROW: Rules = Rules(
    "
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: bookshop}
spec:
  egress:
  - hosts: [./opinions.bookshop.svc.cluster.local, ./library.example]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
",
);

/// The stars once more, by services of all sorts, and a server of plain TCP that has no sidecar.
const SORTS: Rules = Rules(
    "
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: bookshop}
spec:
  clusterIP: None
  selector: {app: stars}
  ports: [{name: http, port: 9080}]
---
apiVersion: v1
kind: Service
metadata: {name: eighty, namespace: bookshop}
spec:
  selector: {app: stars}
  ports:
  - {name: http, port: 80, targetPort: 9080}
  - {name: http2-stars, port: 81, targetPort: 9080}
  - {name: unnamed, port: 82, targetPort: 9080}
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: bookshop}
spec:
  type: ExternalName
  externalName: stars.bookshop.svc.cluster.local
  ports: [{name: http, port: 9080}]
---
apiVersion: v1
kind: Pod
metadata: {name: bytes, namespace: bookshop, labels: {app: bytes}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: bytes
    image: docker.io/meltemi/echo:dev
    imagePullPolicy: IfNotPresent
    args: [--port=8080, --tcp-port=9000]
---
apiVersion: v1
kind: Service
metadata: {name: bytes, namespace: bookshop}
spec:
  selector: {app: bytes}
  ports: [{name: tcp, port: 9000}]
",
);

/// Objects of a namespace, as YAML.
struct Rules(&'static str);

/// The shell beside the storefront, whose calls go through the storefront's proxy.
struct Storefront<'a>(&'a Kubectl);

impl Storefront<'_> {
    /// What a call ends with: the answer's head and body.
    fn call(&self, url: &str, headers: &[&str]) -> Result<String> {
        let pod = ["deployment/storefront-v1", SPACE, "--container=shell"];
        calls::call(self.0, &pod, (url, headers))
    }

    /// Until a call ends with a text.
    fn until(&self, url: &str, headers: &[&str], expected: &str) -> Result<String> {
        calls::until(&format!("{url} {headers:?}"), expected, || {
            self.call(url, headers)
        })
    }

    /// A call that must end with a text at once.
    fn now(&self, url: &str, headers: &[&str], expected: &str) -> Result<String> {
        let said = self.call(url, headers)?;
        ensure!(
            said.contains(expected),
            "{url} {headers:?}: no {expected}: {said}"
        );
        Ok(said)
    }

    /// A number that the proxy beside it has counted.
    fn counted(&self, name: &str) -> Result<u64> {
        let url = format!("http://127.0.0.1:15000/stats?filter={name}");
        let said = self.call(&url, &[])?;
        let lines = said
            .lines()
            .filter(|line| line.contains("upstream_rq_completed"));
        let counts = lines.filter_map(|line| line.rsplit(": ").next()?.parse::<u64>().ok());
        Ok(counts.max().unwrap_or_default())
    }
}

/// The samples as they are in the repository.
fn samples(kubectl: &Kubectl, shop: &Storefront<'_>) -> Result<()> {
    for name in ["gateway", "routes"] {
        let path = paths::repository().join(format!("manifests/bookshop/{name}.yaml"));
        let path = path.to_str().context("the path of the repository")?;
        kubectl.run(&["apply", "--filename", path])?;
    }
    let edge = format!("http://{GATEWAY}.{SYSTEM}/shop/1");
    shop.until(
        &edge,
        &["Host: books.example.com"],
        "\"workload\":\"storefront-v1\"",
    )?;
    let other = edge.replace("/shop/1", "/elsewhere");
    shop.now(&other, &["Host: books.example.com"], "404 Not Found")?;
    shop.now(&edge, &["Host: toys.example.com"], "404 Not Found")?;

    let opinions = "http://opinions:9080/opinions/1";
    shop.until(
        opinions,
        &["end-user: staff-ann"],
        "\"workload\":\"opinions-v3\"",
    )?;
    let split = "for i in $(seq 100); do timeout 5 wget -qO- http://opinions:9080/; done";
    let exec = [
        "exec",
        "deployment/storefront-v1",
        SPACE,
        "--container=shell",
        "--",
    ];
    let said = kubectl.run(&[&exec[..], &["sh", "-c", split]].concat())?;
    let by = |version: &str| {
        said.matches(&format!("\"workload\":\"opinions-{version}\""))
            .count()
    };
    let (first, second) = (by("v1"), by("v2"));
    ensure!(first + second == 100, "{first} and {second} of 100");
    ensure!(
        (70..100).contains(&first),
        "{first} of 100 are by v1, not about 90"
    );
    // Both proxies had it in their hands.
    let out = shop.counted("outbound.9080.v1.opinions")?;
    ensure!(out >= 70, "the storefront's proxy counted {out}");
    let pod = ["deployment/opinions-v1", SPACE, "--container=shell"];
    let page = "http://127.0.0.1:15000/stats?filter=inbound.9080.*upstream_rq_completed";
    let inbound = calls::call(kubectl, &pod, (page, &[]))?;
    let counted = inbound
        .lines()
        .filter_map(|line| line.rsplit(": ").next()?.parse::<u64>().ok());
    ensure!(
        counted.max() >= Some(70),
        "the proxy of opinions-v1 counted: {inbound}"
    );
    Ok(())
}

/// The control plane says of what it was given that proxies run it, and that does not show in what
/// a user compares.
fn reported(kubectl: &Kubectl) -> Result<()> {
    for object in ["gw/bookshop", "vs/storefront", "vs/opinions"] {
        let until = ["--for=condition=Programmed", SPACE, "--timeout=30s"];
        kubectl.run(&[&["wait", object][..], &until].concat())?;
    }
    let folder = paths::repository().join("manifests/bookshop");
    let [gateway, routes] = ["gateway", "routes"].map(|name| folder.join(format!("{name}.yaml")));
    let mut diff = kubectl.command(&["diff"]);
    let out = diff.arg("-f").arg(gateway).arg("-f").arg(routes).output()?;
    let said = String::from_utf8_lossy(&out.stdout);
    ensure!(
        out.status.success() && said.is_empty(),
        "kubectl diff: {said}"
    );
    Ok(())
}

/// Services of all sorts, and a pod by its address.
fn sorts(kubectl: &Kubectl, shop: &Storefront<'_>) -> Result<()> {
    kubectl.apply(SORTS.0)?;
    let ready = ["wait", "pod/bytes", "--for=condition=Ready", SPACE];
    kubectl.run(&[&ready[..], &["--timeout=60s"]].concat())?;
    let by = "\"workload\":\"stars-v1\"";
    for url in [
        "http://headless:9080/",
        "http://eighty/",
        "http://eighty:82/",
        "http://alias:9080/",
    ] {
        shop.until(url, &[], by)?;
    }
    // The name of the port decides what the application is spoken to in.
    let said = shop.until("http://eighty:81/", &[], by)?;
    ensure!(said.contains("\"protocol\":\"HTTP/2\""), "{said}");
    let address = ["get", "pods", "--selector=app=stars", SPACE];
    let address = kubectl.run(
        &[
            &address[..],
            &["--output=jsonpath={.items[0].status.podIP}"],
        ]
        .concat(),
    )?;
    shop.now(&format!("http://{address}:9080/"), &[], by)?;
    let pod = [
        "exec",
        "deployment/storefront-v1",
        SPACE,
        "--container=shell",
        "--",
    ];
    let echo = [
        "sh",
        "-c",
        "echo and back | timeout 5 nc bytes 9000 || true",
    ];
    calls::until("bytes by TCP", "and back", || {
        kubectl.run(&[&pod[..], &echo].concat())
    })?;
    Ok(())
}

/// Faults, redirects, rewrites.
fn story(kubectl: &Kubectl, shop: &Storefront<'_>) -> Result<()> {
    kubectl.apply(STORY.0)?;
    let stars = "http://stars:9080";
    shop.until(stars, &["x-test: broken"], " 418 ")?;
    let begun = Instant::now();
    shop.now(stars, &["x-test: slow"], "\"workload\":\"stars-v1\"")?;
    let took = begun.elapsed();
    ensure!(
        took >= Duration::from_secs(1),
        "a delay of 1 s took {took:?}"
    );
    shop.now(&format!("{stars}/closed"), &[], " 451 ")?;
    let cheap = shop.now(&format!("{stars}/cheap/1"), &[], "\"path\":\"/priced/1\"")?;
    ensure!(cheap.contains("\"x-shop\":\"bookshop\""), "{cheap}");
    // wget follows it.
    let moved = shop.now(&format!("{stars}/old/1"), &[], "\"path\":\"/new\"")?;
    ensure!(moved.contains(" 308 "), "{moved}");
    Ok(())
}

/// Timeouts, retries, a mirror.
fn patience(kubectl: &Kubectl, shop: &Storefront<'_>) -> Result<()> {
    kubectl.apply(PATIENCE.0)?;
    let catalog = "http://catalog:9080/books/1";
    shop.until(catalog, &["x-test: hurried", "x-echo-delay: 2s"], " 504 ")?;
    let ails = |key: &str| {
        [
            format!("x-echo-key: {key}"),
            "x-echo-fail-first: 2".to_owned(),
        ]
    };
    let [key, fails] = ails("retried");
    let said = shop.now(
        catalog,
        &["x-test: stubborn", &key, &fails],
        "\"workload\":\"catalog-v1\"",
    )?;
    ensure!(said.contains("\"x-envoy-attempt-count\":\"3\""), "{said}");
    let [key, fails] = ails("once");
    shop.now(catalog, &["x-test: gives-up", &key, &fails], " 503 ")?;

    for _ in 0..5 {
        shop.now(
            catalog,
            &["x-echo-key: mirrored"],
            "\"workload\":\"catalog-v1\"",
        )?;
    }
    let seen = "http://stars:9080/seen?key=mirrored";
    shop.until(seen, &[], "{\"seen\":5}")?;
    Ok(())
}

/// What is outside, and what is out of sight.
fn scope(kubectl: &Kubectl, shop: &Storefront<'_>) -> Result<()> {
    // Documentation addresses: nobody is there, so it is the Host that decides.
    let library = ("http://192.0.2.9/", ["Host: library.example"]);
    kubectl.apply(LIBRARY.0)?;
    shop.until(library.0, &library.1, "\"workload\":\"catalog-v1\"")?;
    kubectl.apply(NARROW.0)?;
    let stars = "http://stars:9080/";
    shop.until(stars, &[], " 502 ")?;
    shop.now(library.0, &library.1, "\"workload\":\"catalog-v1\"")?;
    let opinions = "http://opinions:9080/";
    shop.now(
        opinions,
        &["end-user: staff-ann"],
        "\"workload\":\"opinions-v3\"",
    )?;
    kubectl.run(&["delete", "sidecar.networking.istio.io", "default", SPACE])?;
    shop.until(stars, &[], "\"workload\":\"stars-v1\"")?;
    Ok(())
}

/// A workload that goes takes its endpoint along, and a subset without endpoints answers 503.
fn gone(kubectl: &Kubectl, shop: &Storefront<'_>) -> Result<()> {
    let (opinions, staff) = ("http://opinions:9080/", ["end-user: staff-ann"]);
    let scale = |to| kubectl.run(&["scale", "deployment/opinions-v3", SPACE, to]);
    scale("--replicas=0")?;
    shop.until(opinions, &staff, " 503 ")?;
    scale("--replicas=1")?;
    shop.until(opinions, &staff, "\"workload\":\"opinions-v3\"")?;
    Ok(())
}

#[test]
fn a_bookshop_of_hand_made_sidecars_does_what_its_yaml_says() -> Result<()> {
    let target = Target::take("e2e-bookshop", &mesh::IMAGES)?;
    let kubectl = target.kubectl();
    let mut mesh = Mesh::install(&target, &[])?;
    kubectl.run(&["create", "namespace", "bookshop"])?;
    let root = ["get", "configmap", "istio-ca-root-cert", SPACE];
    let wanted = (Duration::from_secs(30), Duration::from_millis(200));
    wait::every("the root certificate", wanted, || {
        Ok(kubectl.run(&root).ok())
    })?;
    let chart = paths::repository().join("tests/e2e/charts/bookshop");
    let chart = chart.to_str().context("the path of the repository")?;
    let install = ["install", "bookshop", chart, SPACE];
    target.helm().run(&install)?;
    mesh.add_gateway(&[])?;
    let ready = ["wait", "pods", "--all", "--for=condition=Ready", SPACE];
    kubectl.run(&[&ready[..], &["--timeout=90s"]].concat())?;

    let shop = Storefront(kubectl);
    samples(kubectl, &shop)?;
    reported(kubectl)?;
    let pod = ["deployment/storefront-v1", SPACE, "--container=shell"];
    https::serves(kubectl, &pod)?;
    sorts(kubectl, &shop)?;
    story(kubectl, &shop)?;
    patience(kubectl, &shop)?;
    scope(kubectl, &shop)?;
    gone(kubectl, &shop)?;

    target.helm().run(&["uninstall", "bookshop", SPACE])?;
    mesh.uninstall()?;
    kubectl.run(&[
        "delete",
        "namespace",
        "bookshop",
        SYSTEM,
        "--ignore-not-found",
    ])?;
    target.release()
}
