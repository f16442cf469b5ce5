//! HTTPS at the gateway: the certificate of a Secret, and the one that takes its place.

use crate::calls;
use crate::mesh::{GATEWAY, SYSTEM};
use anyhow::{Result, ensure};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::openssl::{Openssl, Signer};
use meltemi_testkit::paths::Scratch;

const HOST: &str = "books.example.com";
const SECRET: &str = "books-cert";

const DOOR: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: locked, namespace: bookshop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [books.example.com]
    tls: {mode: SIMPLE, credentialName: books-cert}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: locked, namespace: bookshop}
spec:
  hosts: [books.example.com]
  gateways: [locked]
  http: [{route: [{destination: {host: storefront, port: {number: 9080}}}]}]
";

/// Serves the bookshop over HTTPS: nothing without the Secret, its certificate when it is there,
/// and the next one when it is replaced. `pod` is what `kubectl exec` is told.
///
/// # Errors
/// A call ends in another way.
pub fn serves(kubectl: &Kubectl, pod: &[&str]) -> Result<()> {
    let scratch = Scratch::new("https")?;
    let maker = Openssl::new(scratch.path());
    let (root, other) = (maker.root("books")?, maker.root("others")?);
    kubectl.apply(DOOR)?;
    let status = ["get", "gw/locked", "--namespace=bookshop", "--output=yaml"];
    calls::until("the status", "MLT0601", || kubectl.run(&status))?;

    let first = certify(kubectl, &maker, &root)?;
    let ask = |root: &Signer| {
        let script = asking();
        let shell = ["--", "sh", "-c", &script, &root.certificate];
        kubectl.run(&[&["exec"], pod, &shell].concat())
    };
    // Two connections: the certificate may have come between them.
    calls::until("HTTPS", "certified", || {
        let said = ask(&root)?;
        let answered = said.contains("\"workload\":\"storefront-v1\"");
        let certified = answered && said.contains(&first);
        Ok(if certified {
            "certified".to_owned()
        } else {
            said
        })
    })?;
    let doubted = ask(&other)?;
    let refused = doubted.contains("verify error") && !doubted.contains("\"workload\"");
    ensure!(refused, "another root vouches for it, too: {doubted}");

    let second = certify(kubectl, &maker, &root)?;
    calls::until("the next certificate", &second, || ask(&root))?;
    kubectl.run(&["delete", "secret", SECRET, "--namespace", SYSTEM])?;
    Ok(())
}

/// Puts a new certificate into the Secret; its serial number.
fn certify(kubectl: &Kubectl, maker: &Openssl, root: &Signer) -> Result<String> {
    let csr = maker.p256()?;
    let names = format!("subjectAltName=DNS:{HOST}");
    let certificate = maker.sign(&csr, root, &names)?;
    let secret = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": SECRET, "namespace": SYSTEM},
        "stringData": {"tls.crt": certificate, "tls.key": csr.key},
    });
    kubectl.apply(&secret.to_string())?;
    maker.serial(&certificate)
}

/// A request by `openssl`, which trusts the root in `$0` alone: first the number of the certificate
/// that was shown, then the answer.
fn asking() -> String {
    let to = format!("-connect {GATEWAY}.{SYSTEM}:443 -servername {HOST}");
    let client = format!("timeout 8 openssl s_client {to} -CAfile /tmp/root.pem");
    let request =
        format!("GET /shop/1 HTTP/1.1\\r\\nHost: {HOST}\\r\\nConnection: close\\r\\n\\r\\n");
    format!(
        "export OPENSSL_CONF=/dev/null; printf %s \"$0\" > /tmp/root.pem; \
         {client} </dev/null 2>/dev/null | openssl x509 -noout -serial; \
         printf '{request}' | {client} -verify_return_error -quiet 2>&1 || true"
    )
}
