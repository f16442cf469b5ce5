//! The real istioctl against a control plane and a gateway: what its users type, and what they see.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::mesh::{self, Mesh, SYSTEM};
use meltemi_e2e::shop::pieces;
use meltemi_e2e::{Target, istioctl};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::{paths, wait};
use serde_json::Value;
use std::path::PathBuf;
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
  - route: [{destination: {host: reviews}}]
";

const SECURE: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: secure, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [books.example]
    tls: {mode: SIMPLE, credentialName: books-cert}
";

/// istioctl, where kubectl runs.
struct Istioctl<'a> {
    kubectl: &'a Kubectl,
    binary: PathBuf,
}

impl Istioctl<'_> {
    /// What it prints.
    fn run(&self, words: &[&str]) -> Result<String> {
        let args = [words, &["--istioNamespace", SYSTEM]].concat();
        let out = self.kubectl.beside(&self.binary, &args).output()?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let error = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "istioctl {words:?}: {said}{error}");
        Ok(said)
    }

    /// What it prints once it has these words in it.
    fn shows(&self, args: &[&str], words: &[&str]) -> Result<String> {
        let what = format!("istioctl {args:?} to show {words:?}");
        let mut last = String::new();
        let shown = wait::every(&what, (DEADLINE, LOOK), || {
            last = match self.run(args) {
                Ok(said) => said,
                Err(error) => format!("{error:#}"),
            };
            let all = words.iter().all(|word| last.contains(word));
            Ok(all.then(|| last.clone()))
        });
        shown.with_context(|| format!("last: {last}"))
    }
}

#[test]
fn istioctl_finds_and_reads_the_control_plane_and_its_proxies() -> Result<()> {
    let binary = istioctl::find()?;
    let target = Target::take("e2e-istioctl", &mesh::IMAGES)?;
    let kubectl = target.kubectl();
    let mut mesh = Mesh::install(&target, &[])?;
    mesh.add_gateway(&[])?;
    kubectl.apply(&pieces::all(&[
        pieces::namespace("shop", ""),
        pieces::service("reviews", ""),
        pieces::gateway("istio: ingressgateway", "shop.example"),
        ROUTE.to_owned(),
    ]))?;
    let istioctl = Istioctl { kubectl, binary };
    let jsonpath = "--output=jsonpath={.items[0].metadata.name}";
    let select = ["--namespace", SYSTEM, "--selector=istio=ingressgateway"];
    let pod = kubectl.run(&[&["get", "pods", jsonpath][..], &select].concat())?;
    let key = format!("{}.{SYSTEM}", pod.trim());

    version(&istioctl)?;
    status(&istioctl, &key)?;
    configuration(&istioctl, &key)?;
    debug(&istioctl, &key)?;
    certificates(&istioctl, &key)?;
    mesh.uninstall()?;
    kubectl.run(&["delete", "namespace", "shop", SYSTEM, "--ignore-not-found"])?;
    target.release()
}

/// A Secret that a Gateway names: missing, there, replaced.
fn certificates(istioctl: &Istioctl<'_>, key: &str) -> Result<()> {
    let kubectl = istioctl.kubectl;
    kubectl.apply(SECURE)?;
    let said = ["get", "gw", "secure", "--namespace=shop", "--output=yaml"];
    wait::every("the missing Secret", (DEADLINE, LOOK), || {
        let status = kubectl.run(&said)?;
        Ok(status.contains("MLT0601").then_some(()))
    })?;
    let certificates = paths::repository().join("tests/support/certificates");
    let put = |name: &str| {
        let file = |end: &str| {
            certificates
                .join(format!("{name}.{end}"))
                .display()
                .to_string()
        };
        let [cert, own] = [file("pem"), file("key")];
        let [cert, own] = [format!("--cert={cert}"), format!("--key={own}")];
        let create = ["create", "secret", "tls", "books-cert", &cert, &own];
        let made = ["--namespace", SYSTEM, "--dry-run=client", "--output=yaml"];
        kubectl.apply(&kubectl.run(&[&create[..], &made].concat())?)
    };
    let shown = || {
        let all = istioctl.run(&["proxy-config", "secret", key])?;
        let line = all
            .lines()
            .find(|line| line.contains("kubernetes://books-cert"));
        Ok::<_, anyhow::Error>(
            line.filter(|line| line.contains("ACTIVE"))
                .map(str::to_owned),
        )
    };
    put("reviews")?;
    let first = wait::every("the Secret at the gateway", (DEADLINE, LOOK), shown)?;
    put("client")?;
    wait::every("another certificate", (DEADLINE, LOOK), || {
        Ok(shown()?.filter(|line| *line != first))
    })?;
    let until = [
        "--for=condition=Programmed",
        "--namespace=shop",
        "--timeout=30s",
    ];
    kubectl.run(&[&["wait", "gw/secure"][..], &until].concat())?;
    kubectl.run(&["delete", "secret", "books-cert", "--namespace", SYSTEM])?;
    Ok(())
}

fn version(istioctl: &Istioctl<'_>) -> Result<()> {
    let version = istioctl.shows(&["version", "--output=json"], &["meshVersion"])?;
    let version: Value = serde_json::from_str(&version)?;
    let info = version.pointer("/meshVersion/0/Info").context("no info")?;
    ensure!(info["status"] == "Clean", "{version}");
    let number = info["version"].as_str().unwrap_or_default();
    ensure!(number.ends_with(env!("CARGO_PKG_VERSION")), "{version}");
    Ok(())
}

fn status(istioctl: &Istioctl<'_>, key: &str) -> Result<()> {
    let all = istioctl.shows(&["proxy-status"], &[key, "CDS,LDS,EDS,RDS"])?;
    ensure!(all.starts_with("NAME"), "{all}");
    wait::every("all to be in force", (DEADLINE, LOOK), || {
        let full = istioctl.shows(&["proxy-status", "--verbosity=1"], &[key, "SYNCED"])?;
        ensure!(!full.contains("STALE") && !full.contains("ERROR"), "{full}");
        Ok(Some(()))
    })?;
    let words = ["Clusters Match", "Listeners Match", "Routes Match"];
    istioctl.shows(&["proxy-status", key], &words)?;
    Ok(())
}

fn configuration(istioctl: &Istioctl<'_>, key: &str) -> Result<()> {
    let host = "reviews.shop.svc.cluster.local";
    istioctl.shows(&["proxy-config", "clusters", key], &["SERVICE FQDN", host])?;
    istioctl.shows(&["proxy-config", "listeners", key], &["Route: http."])?;
    let routes = ["shop.example", "reviews.shop"];
    istioctl.shows(&["proxy-config", "routes", key], &routes)?;
    istioctl.shows(&["proxy-config", "endpoints", key], &["HEALTHY"])?;
    Ok(())
}

fn debug(istioctl: &Istioctl<'_>, key: &str) -> Result<()> {
    let page = istioctl.run(&["experimental", "internal-debug", "syncz"])?;
    let page: Value = serde_json::from_str(&page)?;
    ensure!(
        page.pointer("/0/proxy") == Some(&Value::from(key)),
        "{page}"
    );
    let list = istioctl.run(&["experimental", "internal-debug", "nothing"])?;
    ensure!(
        list.contains("config_dump") && list.contains("syncz"),
        "{list}"
    );
    istioctl.run(&["analyze", "--namespace", "shop"])?;
    Ok(())
}
