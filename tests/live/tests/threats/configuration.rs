//! Whose configuration a caller gets: its own, and nothing of what it may not see.

use crate::ads::{Ads, NODE, expect_refused, first, node, pod};
use anyhow::{Result, ensure};
use meltemi_live::citadel::Citadel;
use meltemi_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use meltemi_proto::urls::{CLUSTER, ENDPOINT, NAME_TABLE, SECRET};
use meltemi_testkit::reviews::Token;
use tonic::Code;

const STRANGER: (Code, &str) = (Code::Unauthenticated, "");

/// A service that its namespace keeps to itself, and one of the caller's.
const BANK: &str = "apiVersion: v1
kind: Service
metadata:
  name: vault
  namespace: bank
  annotations:
    networking.istio.io/exportTo: .
spec:
  clusterIP: 10.96.3.3
  selector:
    app: vault
  ports:
  - name: http
    port: 80
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: vault-1
  namespace: bank
  labels:
    kubernetes.io/service-name: vault
addressType: IPv4
ports:
- name: http
  port: 8080
endpoints:
- addresses: [10.9.9.9]
---
apiVersion: v1
kind: Service
metadata:
  name: till
  namespace: shop
spec:
  clusterIP: 10.96.4.4
  ports:
  - name: http
    port: 80
";

fn clusters(id: &str, metadata: &[(&str, &str)]) -> Vec<DeltaDiscoveryRequest> {
    vec![first(node(id, metadata), CLUSTER, &[])]
}

#[tokio::test]
async fn t01_who_proves_nothing_gets_no_configuration() -> Result<()> {
    let citadel = Citadel::start("t01", &[], &[])?;
    let own = clusters(NODE, &[]);
    expect_refused((&citadel.caller(None)?, &[]), own.clone(), STRANGER).await?;
    for token in [
        Token {
            audience: "https://kubernetes.default.svc",
            ..pod()
        },
        Token {
            seconds: -60,
            ..pod()
        },
        Token {
            known: false,
            ..pod()
        },
    ] {
        let caller = citadel.caller(Some(&token))?;
        expect_refused((&caller, &[]), own.clone(), STRANGER).await?;
    }
    // By an authority that is nobody's here.
    let foreign = citadel.openssl.root("cluster.local")?;
    let csr = citadel.openssl.p256()?;
    let names = "extendedKeyUsage=clientAuth\n\
                 subjectAltName=URI:spiffe://cluster.local/ns/shop/sa/web";
    let shown = citadel.openssl.sign(&csr, &foreign, names)?;
    let caller = citadel.certified(&[shown, foreign.certificate], &csr.key)?;
    let got = match Ads::open(&caller, &[]).await {
        Ok(Ok(mut ads)) => {
            let _unheard = ads.say(own[0].clone());
            ads.next().await?.is_ok()
        }
        Ok(Err(_)) | Err(_) => false,
    };
    ensure!(!got, "a certificate of another authority is believed");
    // Who is somebody gets it.
    Ads::of(&citadel.caller(Some(&pod()))?).await?;
    Ok(())
}

#[tokio::test]
async fn t02_a_proxy_of_another_namespace_is_refused() -> Result<()> {
    let citadel = Citadel::start("t02", &[], &[])?;
    let caller = citadel.caller(Some(&pod()))?;
    let bank = "sidecar~127.0.0.1~web-0.bank~bank.svc.cluster.local";
    let other = "sidecar~127.0.0.1~web-1.shop~shop.svc.cluster.local";
    for (id, metadata, words) in [
        (bank, &[][..], "namespace \"bank\""),
        (other, &[], "pod \"web-1\""),
        (NODE, &[("NAMESPACE", "bank")], "namespace \"bank\""),
        (
            NODE,
            &[("SERVICE_ACCOUNT", "admin")],
            "service account \"admin\"",
        ),
        (NODE, &[("NAME", "web-1")], "pod \"web-1\""),
    ] {
        let refused = (Code::PermissionDenied, words);
        expect_refused((&caller, &[]), clusters(id, metadata), refused).await?;
    }
    Ok(())
}

#[tokio::test]
async fn t03_what_is_left_empty_is_what_is_proved() -> Result<()> {
    let citadel = Citadel::start("t03", &[], &[])?;
    std::fs::write(citadel.dir().join("config/bank.yaml"), BANK)?;
    citadel.wait_published("vault.bank")?;
    let caller = citadel.caller(Some(&pod()))?;
    let empty = [("NAMESPACE", ""), ("SERVICE_ACCOUNT", ""), ("NAME", "")];
    let mut ads = Ads::open(&caller, &[]).await??;
    ads.say(first(node(NODE, &empty), CLUSTER, &[]))?;
    let names: Vec<_> = ads
        .next()
        .await??
        .resources
        .into_iter()
        .map(|one| one.name)
        .collect();
    let sees = |host: &str| names.iter().any(|name| name.ends_with(host));
    ensure!(sees("reviews.shop.svc.cluster.local"), "{names:?}");
    ensure!(!sees("vault.bank.svc.cluster.local"), "{names:?}");
    for id in [
        "sidecar~127.0.0.1~~",
        "sidecar~127.0.0.1~web-0~shop.svc.cluster.local",
        "",
    ] {
        let status = match Ads::open(&caller, &[]).await? {
            Err(status) => status,
            Ok(mut ads) => {
                ads.say(first(node(id, &[]), CLUSTER, &[]))?;
                let next = ads.next().await?;
                next.err()
                    .ok_or_else(|| anyhow::anyhow!("{id:?} is somebody"))?
            }
        };
        let refused = [Code::InvalidArgument, Code::PermissionDenied];
        ensure!(refused.contains(&status.code()), "{id:?}: {status:?}");
    }
    Ok(())
}

#[tokio::test]
async fn t04_a_stream_is_of_one_node() -> Result<()> {
    let citadel = Citadel::start("t04", &[], &[])?;
    let mut ads = Ads::of(&citadel.caller(Some(&pod()))?).await?;
    let other = "sidecar~127.0.0.1~web-1.shop~shop.svc.cluster.local";
    ads.say(first(node(other, &[]), ENDPOINT, &["a"]))?;
    let status = loop {
        if let Err(status) = ads.next().await? {
            break status;
        }
    };
    ensure!(status.code() == Code::InvalidArgument, "{status:?}");
    ensure!(status.message().contains("another node"), "{status:?}");
    Ok(())
}

#[tokio::test]
async fn t05_a_type_is_for_who_may_ask() -> Result<()> {
    let citadel = Citadel::start("t05", &[], &[])?;
    let caller = citadel.caller(Some(&pod()))?;
    let generator = [("GENERATOR", "api")];
    for type_url in [
        "networking.istio.io/v1/VirtualService",
        "type.googleapis.com/istio.workload.Address",
        "type.googleapis.com/istio.security.Authorization",
    ] {
        let says = vec![first(node(NODE, &generator), type_url, &[])];
        let refused = match Ads::open(&caller, &[]).await? {
            Err(status) => Some(status),
            Ok(mut ads) => {
                for request in says {
                    ads.say(request)?;
                }
                // Nothing at all is an answer, too; a resource is none.
                let next = tokio::time::timeout(std::time::Duration::from_secs(2), ads.next());
                match next.await {
                    Ok(next) => next?.err(),
                    Err(_silent) => continue,
                }
            }
        };
        ensure!(refused.is_some(), "{type_url} was answered");
    }
    // What it may ask is not another thing because it says so.
    let mut ads = Ads::open(&caller, &[]).await??;
    ads.say(first(node(NODE, &generator), CLUSTER, &[]))?;
    ensure!(ads.next().await??.type_url == CLUSTER);
    // Who is bound to no pod is a person with a tool.
    let person = citadel.caller(Some(&Token { pod: None, ..pod() }))?;
    let refused = (Code::PermissionDenied, "debug types only");
    expect_refused((&person, &[]), clusters(NODE, &[]), refused).await?;
    let secrets = vec![first(node(NODE, &[]), SECRET, &["kubernetes://tls"])];
    expect_refused((&person, &[]), secrets, refused).await
}

#[tokio::test]
async fn t22_unknown_and_forbidden_look_the_same() -> Result<()> {
    let citadel = Citadel::start("t22", &[], &[])?;
    std::fs::write(citadel.dir().join("config/bank.yaml"), BANK)?;
    citadel.wait_published("vault.bank")?;
    let caller = citadel.caller(Some(&pod()))?;
    let own = "outbound|9080||reviews.shop.svc.cluster.local";
    for type_url in [ENDPOINT, CLUSTER] {
        let mut answers = Vec::new();
        for host in ["vault.bank", "voult.bank"] {
            let mut ads = Ads::open(&caller, &[]).await??;
            let name = format!("outbound|80||{host}.svc.cluster.local");
            ads.say(first(node(NODE, &[]), type_url, &[&name, own]))?;
            let answer = ads.next().await??;
            let told = |name: &str| answer.resources.iter().any(|one| one.name == name);
            ensure!(told(own), "{answer:?}");
            // An endpoint's address would stand in it as text.
            let text = format!("{:?}", (&answer.resources, &answer.removed_resources));
            ensure!(!text.contains("10.9.9.9"), "{text}");
            answers.push(versionless(&text).replace(host, "HOST"));
        }
        ensure!(answers[0] == answers[1], "they differ: {answers:?}");
    }
    Ok(())
}

/// Without versions, which are hashes of the content and so of the name.
fn versionless(text: &str) -> String {
    let parts = text.split("version: \"");
    let rest = |part: &str| {
        part.split_once('"')
            .map_or(part, |(_, rest)| rest)
            .to_owned()
    };
    parts.map(rest).collect()
}

#[tokio::test]
async fn t23_names_are_told_to_who_may_see_them() -> Result<()> {
    let citadel = Citadel::start("t23", &[], &[])?;
    std::fs::write(citadel.dir().join("config/bank.yaml"), BANK)?;
    citadel.wait_published("vault.bank")?;
    let mut ads = Ads::open(&citadel.caller(Some(&pod()))?, &[]).await??;
    let captures = node(NODE, &[("DNS_CAPTURE", "true")]);
    ads.say(first(captures, NAME_TABLE, &[]))?;
    let table = ads.next().await??;
    ensure!(table.type_url == NAME_TABLE, "{}", table.type_url);
    let bytes: Vec<u8> = table
        .resources
        .into_iter()
        .filter_map(|one| one.resource)
        .flat_map(|any| any.value)
        .collect();
    let text = String::from_utf8_lossy(&bytes);
    ensure!(text.contains("till.shop"), "{text}");
    ensure!(!text.contains("vault"), "{text}");
    Ok(())
}
