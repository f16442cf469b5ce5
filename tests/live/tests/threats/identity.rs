//! Whose identity a caller gets: its own, on a good key, for as long as it may.

use crate::ads::{Ads, NODE, expect_refused, first, node, pod};
use anyhow::{Context, Result, ensure};
use meltemi_live::citadel::Citadel;
use meltemi_proto::envoy::service::discovery::v3::Resource;
use meltemi_proto::google::protobuf::value::Kind;
use meltemi_proto::google::protobuf::{Struct, Value};
use meltemi_proto::istio::v1::auth::IstioCertificateRequest;
use meltemi_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use meltemi_proto::urls::CLUSTER;
use meltemi_testkit::caller::Caller;
use meltemi_testkit::openssl::{Openssl, P256};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::reviews::Token;
use serde_json::json;
use std::time::Duration;
use tonic::{Code, Request, Status};

const ID: &str = "URI:spiffe://cluster.local/ns/shop/sa/web";

async fn refused(caller: &Caller, (csr, seconds): (&str, i64)) -> Result<Status> {
    let answer = caller.sign(csr, seconds).await?;
    answer.err().context("a certificate was issued")
}

#[tokio::test]
async fn t09_nothing_comes_from_the_request_but_the_key() -> Result<()> {
    let citadel = Citadel::start("t09", &[], &[])?;
    let caller = citadel.caller(Some(&pod()))?;
    let greedy = [
        "-subj",
        "/CN=admin",
        "-addext",
        "subjectAltName=URI:spiffe://cluster.local/ns/bank/sa/admin",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=keyCertSign",
    ];
    let csr = citadel.openssl.csr(P256, &greedy)?;
    let chain = caller.sign(&csr.request, 0).await??;
    citadel.openssl.verify(&chain)?;
    let text = citadel.openssl.text(chain.first().context("no leaf")?)?;
    ensure!(text.contains(ID) && text.contains("CA:FALSE"), "{text}");
    for other in ["admin", "CA:TRUE", "Certificate Sign"] {
        ensure!(!text.contains(other), "{other} in {text}");
    }
    // Whose key it is must be shown: the signature of the request is by it.
    let mut lines: Vec<&str> = csr.request.lines().collect();
    let last = lines.len().checked_sub(2).context("too short")?;
    let tail: String = lines[last].chars().rev().collect();
    lines[last] = &tail;
    let stolen = refused(&caller, (&lines.join("\n"), 0)).await?;
    ensure!(stolen.code() == Code::InvalidArgument, "{stolen:?}");
    Ok(())
}

/// Requests by Go and by Java's keytool; see `crates/ca/src/request/tests.rs`.
const FOREIGN: [&str; 4] = [
    include_str!("../../../../crates/ca/testdata/requests/go-p256.pem"),
    include_str!("../../../../crates/ca/testdata/requests/go-rsa.pem"),
    include_str!("../../../../crates/ca/testdata/requests/java-p256.pem"),
    include_str!("../../../../crates/ca/testdata/requests/java-rsa.pem"),
];

#[tokio::test]
async fn t09_requests_of_other_libraries_are_signed_for_who_asks() -> Result<()> {
    let citadel = Citadel::start("t09-foreign", &[], &[])?;
    // They name the account `web`, who is somebody else.
    let caller = citadel.caller(Some(&Token::of("shop", "till", "till-0")))?;
    for request in FOREIGN {
        let chain = caller.sign(request, 0).await??;
        citadel.openssl.verify(&chain)?;
        let text = citadel.openssl.text(chain.first().context("no leaf")?)?;
        ensure!(text.contains("ns/shop/sa/till"), "{text}");
        ensure!(!text.contains("sa/web"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn t10_a_certificate_has_one_name() -> Result<()> {
    let citadel = Citadel::start("t10", &[], &[])?;
    let (signer, roots) = (citadel.signer()?, citadel.roots()?);
    let csr = citadel.openssl.p256()?;
    for names in [
        "URI:spiffe://cluster.local/ns/shop/sa/web,URI:spiffe://cluster.local/ns/bank/sa/admin",
        "URI:spiffe://cluster.local/ns/shop/sa/web%2Cspiffe://cluster.local/ns/bank/sa/admin",
        "URI:spiffe://cluster.local/ns/shop/sa/web/../admin",
        "URI:SPIFFE://cluster.local/ns/shop/sa/web",
        "DNS:istiod.istio-system.svc",
    ] {
        let extensions = format!(
            "extendedKeyUsage=clientAuth\nbasicConstraints=CA:FALSE\nsubjectAltName={names}"
        );
        let shown = citadel.openssl.sign(&csr, &signer, &extensions)?;
        let caller = citadel.certified(&[shown, roots.clone()], &csr.key)?;
        let status = refused(&caller, (&csr.request, 0)).await.context(names)?;
        ensure!(
            status.code() == Code::Unauthenticated,
            "{names}: {status:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn t11_weak_keys_are_not_signed() -> Result<()> {
    let citadel = Citadel::start("t11", &[], &[])?;
    let caller = citadel.caller(Some(&pod()))?;
    for kind in [
        "rsa:1024",
        "rsa:2048 -pkeyopt rsa_keygen_pubexp:3",
        "ec -pkeyopt ec_paramgen_curve:secp224r1",
        "ed448",
    ] {
        let csr = citadel.openssl.csr(kind, &[])?;
        let status = refused(&caller, (&csr.request, 0)).await.context(kind)?;
        ensure!(status.code() == Code::InvalidArgument, "{kind}: {status:?}");
    }
    let good = citadel.openssl.p256()?;
    caller.sign(&good.request, 0).await??;
    Ok(())
}

#[tokio::test]
async fn t12_a_life_has_bounds() -> Result<()> {
    let citadel = Citadel::start("t12", &[("MAX_WORKLOAD_CERT_TTL", "48h")], &[])?;
    let caller = citadel.caller(Some(&pod()))?;
    let csr = citadel.openssl.p256()?;
    for long in [48 * 3600 + 1, i64::MAX] {
        let status = refused(&caller, (&csr.request, long)).await?;
        ensure!(status.code() == Code::InvalidArgument, "{status:?}");
    }
    for none in [0, -1, i64::MIN] {
        let chain = caller.sign(&csr.request, none).await??;
        citadel.openssl.verify(&chain)?;
    }
    Ok(())
}

/// Asks with metadata, as a node's proxy does for the pods on its node.
async fn sign_for(caller: &Caller, csr: &str, whom: &str) -> Result<Result<Vec<String>, Status>> {
    let value = Value {
        kind: Some(Kind::StringValue(whom.to_owned())),
    };
    let mut request = Request::new(IstioCertificateRequest {
        csr: csr.to_owned(),
        validity_duration: 0,
        metadata: Some(Struct {
            fields: [("ImpersonatedIdentity".to_owned(), value)].into(),
        }),
    });
    let token = caller.token.as_deref().context("no token")?;
    let bearer = format!("Bearer {token}").parse()?;
    request.metadata_mut().insert("authorization", bearer);
    let mut client = IstioCertificateServiceClient::new(caller.connect().await?);
    let answer = client.create_certificate(request).await;
    Ok(answer.map(|answer| answer.into_inner().cert_chain))
}

#[tokio::test]
async fn t13_nobody_asks_for_others() -> Result<()> {
    let citadel = Citadel::start("t13", &[], &[])?;
    let node = Token::of("istio-system", "ztunnel", "ztunnel-0");
    for token in [pod(), node] {
        let caller = citadel.caller(Some(&token))?;
        let csr = citadel.openssl.p256()?;
        let whom = "spiffe://cluster.local/ns/bank/sa/admin";
        let status = sign_for(&caller, &csr.request, whom).await?;
        let status = status.err().context("it got somebody's certificate")?;
        ensure!(status.code() == Code::PermissionDenied, "{status:?}");
        ensure!(
            status.message().contains("ImpersonatedIdentity"),
            "{status:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn t14_a_token_is_for_us_and_of_a_pod() -> Result<()> {
    let citadel = Citadel::start("t14", &[], &[])?;
    let csr = citadel.openssl.p256()?;
    for token in [
        Token {
            audience: "vault",
            ..pod()
        },
        Token {
            audience: "",
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
        Token { pod: None, ..pod() },
    ] {
        let caller = citadel.caller(Some(&token))?;
        let status = refused(&caller, (&csr.request, 0)).await;
        let status = status.with_context(|| format!("{token:?}"))?;
        ensure!(
            status.code() == Code::Unauthenticated,
            "{token:?}: {status:?}"
        );
    }
    // The cluster that a header names is not one of ours: nobody there is asked.
    let own = vec![first(node(NODE, &[]), CLUSTER, &[])];
    let caller = citadel.caller(Some(&pod()))?;
    let elsewhere = [("clusterid", "elsewhere")];
    expect_refused((&caller, &elsewhere), own, (Code::Unauthenticated, "")).await?;
    let audiences = citadel.reviews.audiences();
    ensure!(!audiences.is_empty(), "no review");
    let ours = audiences.iter().all(|asked| *asked == json!(["istio-ca"]));
    ensure!(ours, "reviews were for {audiences:?}");
    Ok(())
}

#[tokio::test]
async fn t16_a_header_is_no_certificate() -> Result<()> {
    let citadel = Citadel::start("t16", &[], &[])?;
    let caller = citadel.caller(None)?;
    let forged = "By=spiffe://cluster.local/ns/istio-system/sa/istiod;Hash=ab;\
                  URI=spiffe://cluster.local/ns/shop/sa/web";
    let headers = [("x-forwarded-client-cert", forged)];
    let own = vec![first(node(NODE, &[]), CLUSTER, &[])];
    expect_refused((&caller, &headers), own, (Code::Unauthenticated, "")).await
}

#[tokio::test]
async fn t17_a_stream_ends_with_its_proof() -> Result<()> {
    let citadel = Citadel::start("t17", &[], &[])?;
    let csr = citadel.openssl.p256()?;
    let chain = citadel
        .caller(Some(&pod()))?
        .sign(&csr.request, 6)
        .await??;
    let mut ads = Ads::of(&citadel.certified(&chain, &csr.key)?).await?;
    let status = loop {
        if let Err(status) = ads.next().await.context("6 s, and 5 s after them")? {
            break status;
        }
    };
    ensure!(status.code() == Code::Unavailable, "{status:?}");
    Ok(())
}

#[tokio::test]
async fn t17_a_stream_ends_when_its_proof_is_taken_back() -> Result<()> {
    let scratch = Scratch::new("t17-keys")?;
    let root = Openssl::new(scratch.path()).root("A")?;
    let files = [
        ("ca-cert.pem", root.certificate.as_str()),
        ("ca-key.pem", &root.key),
        ("cert-chain.pem", &root.certificate),
        ("root-cert.pem", &root.certificate),
    ];
    let citadel = Citadel::start("t17-revoked", &[("MELTEMI_ROOT_SETTLE", "1s")], &files)?;
    let by_token = citadel.caller(Some(&pod()))?;
    let (bad, good) = (citadel.openssl.p256()?, citadel.openssl.p256()?);
    let bad_chain = by_token.sign(&bad.request, 3600).await??;
    let good_chain = by_token.sign(&good.request, 3600).await??;
    let mut revoked = Ads::of(&citadel.certified(&bad_chain, &bad.key)?).await?;
    let mut other = Ads::of(&citadel.certified(&good_chain, &good.key)?).await?;

    let leaf = bad_chain.first().context("no leaf")?;
    let number = citadel.openssl.serial(leaf)?;
    let list = citadel.openssl.crl(&root, &[&number])?;
    citadel.plug(&[&files[..], &[("ca-crl.pem", list.as_str())]].concat())?;
    citadel.wait_said("another list of revoked certificates counts")?;
    let ends = async {
        loop {
            if let Err(status) = revoked.next().await? {
                return anyhow::Ok(status);
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(5), ends).await;
    let status = status.context("it goes on for longer than 5 s")??;
    ensure!(status.code() == Code::Unavailable, "{status:?}");
    ensure!(status.message().contains("taken back"), "{status:?}");
    // The other one goes on, with what is new.
    let till = "apiVersion: v1\nkind: Service\nmetadata: {name: till, namespace: shop}\n\
                spec:\n  ports: [{name: http, port: 80}]\n";
    std::fs::write(citadel.dir().join("config/till.yaml"), till)?;
    let told = |one: &Resource| one.name.contains("till.shop");
    while !other.next().await??.resources.iter().any(told) {}
    Ok(())
}

#[tokio::test]
async fn t18_a_trust_domain_is_ours_or_it_is_not() -> Result<()> {
    let citadel = Citadel::start("t18", &[], &[])?;
    let (signer, roots) = (citadel.signer()?, citadel.roots()?);
    let csr = citadel.openssl.p256()?;
    let sign = |domain: &str| {
        let extensions = format!(
            "extendedKeyUsage=clientAuth\nbasicConstraints=CA:FALSE\n\
             subjectAltName=URI:spiffe://{domain}/ns/shop/sa/web"
        );
        let shown = citadel.openssl.sign(&csr, &signer, &extensions)?;
        citadel.certified(&[shown, roots.clone()], &csr.key)
    };
    for domain in [
        "evil.cluster.local",
        "cluster.local.evil",
        "CLUSTER.LOCAL",
        "cluster",
        "*",
    ] {
        let status = refused(&sign(domain)?, (&csr.request, 0)).await;
        let status = status.context(domain.to_owned())?;
        ensure!(
            status.code() == Code::Unauthenticated,
            "{domain}: {status:?}"
        );
    }
    // One that the mesh calls its own.
    sign("old.example")?.sign(&csr.request, 0).await??;
    Ok(())
}

#[tokio::test]
async fn t19_no_machine_joins_a_group() -> Result<()> {
    let citadel = Citadel::start("t19", &[], &[])?;
    let caller = citadel.caller(Some(&pod()))?;
    let joins = node(NODE, &[("AUTO_REGISTER_GROUP", "vault")]);
    let refused = (Code::PermissionDenied, "AUTO_REGISTER_GROUP");
    let says = vec![first(joins, CLUSTER, &[])];
    expect_refused((&caller, &[]), says, refused).await?;
    // Nothing else was wrong with it.
    tokio::time::timeout(Duration::from_secs(20), Ads::of(&caller)).await??;
    Ok(())
}
