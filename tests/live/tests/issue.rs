//! Certificates of workloads through the real address: whose they are, what is refused, and what a
//! certificate is good for afterwards. Keys and requests are made by openssl, which also verifies.

use anyhow::{Context, Result, ensure};
use meltemi_live::citadel::{Citadel, web};
use meltemi_testkit::caller::Caller;
use meltemi_testkit::openssl::{Csr, P256};
use meltemi_testkit::reviews::Token;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tonic::Code;

const DAY: i64 = 24 * 3600;
const ID: &str = "URI:spiffe://cluster.local/ns/shop/sa/web";

fn pod() -> Token<'static> {
    Token::of("shop", "web", "web-0")
}

/// What the caller is answered: refused with this code, and these words.
async fn expect_refused(
    caller: &Caller,
    (csr, seconds): (&Csr, i64),
    (code, words): (Code, &str),
) -> Result<()> {
    match caller.sign(&csr.request, seconds).await? {
        Ok(chain) => anyhow::bail!("{words:?} was to be refused: {chain:?}"),
        Err(status) => {
            let fits = status.code() == code && status.message().contains(words);
            ensure!(fits, "{code:?} with {words:?} was expected: {status:?}");
            Ok(())
        }
    }
}

#[tokio::test]
async fn a_pod_gets_a_certificate_of_its_identity_and_nothing_else() -> Result<()> {
    let citadel = Citadel::start("issue", &[], &[])?;
    let greedy = [
        "-subj",
        "/CN=admin",
        "-addext",
        "subjectAltName=URI:spiffe://cluster.local/ns/bank/sa/admin,DNS:istiod.istio-system.svc",
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=keyCertSign",
        "-addext",
        "extendedKeyUsage=codeSigning",
    ];
    let caller = citadel.caller(Some(&pod()))?;
    for (kind, more) in [(P256, &greedy[..]), (P256, &[]), ("rsa:2048", &greedy)] {
        let csr = citadel.openssl.csr(kind, more)?;
        let chain = caller.sign(&csr.request, 3600).await??;
        citadel.openssl.verify(&chain)?;
        let leaf = chain.first().context("no leaf")?;
        let text = citadel.openssl.text(leaf)?;
        let names: Vec<&str> = text.lines().filter(|line| line.contains("URI:")).collect();
        ensure!(names.len() == 1 && text.contains(ID), "{text}");
        for other in [
            "admin",
            "DNS:",
            "CA:TRUE",
            "Certificate Sign",
            "Code Signing",
        ] {
            ensure!(!text.contains(other), "{other} in {text}");
        }
        ensure!(text.contains("CA:FALSE"), "{text}");
        // The audit names it by its number; whose key it is stays with its owner.
        let serial = citadel.openssl.serial(leaf)?.to_lowercase();
        let log = citadel.plane.log();
        let audit = log.lines().find(|line| line.contains(&serial));
        let audit = audit.with_context(|| format!("no {serial} in {log}"))?;
        ensure!(audit.contains("ns/shop/sa/web"), "{audit}");
        ensure!(!log.contains("PRIVATE KEY"), "a key stands in the log");
    }
    let metrics = citadel.plane.metrics()?;
    let issued = metrics.sum("citadel_server_success_cert_issuance_count");
    ensure!(issued >= 3.0, "{issued} were counted");
    let left = metrics.sum("citadel_server_root_cert_expiry_seconds");
    ensure!(left > 9.0 * 365.0 * 86_400.0, "{left} s left");
    Ok(())
}

#[tokio::test]
async fn weak_and_false_requests_are_refused() -> Result<()> {
    let citadel = Citadel::start("issue-weak", &[("MAX_WORKLOAD_CERT_TTL", "48h")], &[])?;
    let openssl = &citadel.openssl;
    let caller = citadel.caller(Some(&pod()))?;
    let weak = [
        ("rsa:1024", &[][..], "RSA of 1024 bits"),
        ("rsa:2048 -pkeyopt rsa_keygen_pubexp:3", &[], "exponent 3"),
        ("ec -pkeyopt ec_paramgen_curve:secp224r1", &[], "the curve"),
        ("ec -pkeyopt ec_paramgen_curve:secp521r1", &[], "the curve"),
        ("ed448", &[], "the algorithm"),
        (P256, &["-sha1"], "SHA-256 or better"),
    ];
    for (kind, more, words) in weak {
        let csr = openssl.csr(kind, more)?;
        let refused = (Code::InvalidArgument, words);
        expect_refused(&caller, (&csr, 0), refused)
            .await
            .context(kind)?;
    }
    // Somebody else's key: the signature is not by it.
    let good = openssl.p256()?;
    openssl.write("good.pem", &good.request)?;
    openssl.run(&[
        "req", "-in", "good.pem", "-outform", "DER", "-out", "csr.der",
    ])?;
    let der = citadel.dir().join("openssl").join("csr.der");
    let mut bytes = std::fs::read(&der)?;
    *bytes.last_mut().context("empty")? ^= 1;
    std::fs::write(&der, bytes)?;
    openssl.run(&[
        "req",
        "-inform",
        "DER",
        "-in",
        "csr.der",
        "-out",
        "false.pem",
    ])?;
    let stolen = Csr {
        request: openssl.read("false.pem")?,
        ..good.clone()
    };
    let refused = (Code::InvalidArgument, "not signed with its own key");
    expect_refused(&caller, (&stolen, 0), refused).await?;
    // The authority's own.
    openssl.write("authority.key", &citadel.signer()?.key)?;
    openssl.run(&[
        "req",
        "-new",
        "-key",
        "authority.key",
        "-subj",
        "/",
        "-out",
        "authority.pem",
    ])?;
    let own = Csr {
        request: openssl.read("authority.pem")?,
        ..good.clone()
    };
    let refused = (Code::InvalidArgument, "the authority's own");
    expect_refused(&caller, (&own, 0), refused).await?;
    for junk in ["", "junk", "-----BEGIN CERTIFICATE REQUEST-----\n"] {
        let junk = Csr {
            request: junk.to_owned(),
            key: String::new(),
        };
        let refused = (Code::InvalidArgument, "signing request");
        expect_refused(&caller, (&junk, 0), refused).await?;
    }
    for long in [2 * DAY + 1, i64::MAX] {
        let refused = (Code::InvalidArgument, "MAX_WORKLOAD_CERT_TTL");
        expect_refused(&caller, (&good, long), refused).await?;
    }
    for default in [0, -1, i64::MIN] {
        let chain = caller.sign(&good.request, default).await??;
        openssl.verify(&chain)?;
        let dates = openssl.run(&["x509", "-in", "leaf.pem", "-noout", "-checkend", "86000"]);
        dates.context("a day is the default")?;
        let longer = openssl.run(&["x509", "-in", "leaf.pem", "-noout", "-checkend", "86460"]);
        ensure!(longer.is_err(), "longer than a day");
    }
    Ok(())
}

#[tokio::test]
async fn who_is_nobody_gets_no_certificate() -> Result<()> {
    let citadel = Citadel::start("issue-nobody", &[], &[])?;
    let csr = citadel.openssl.p256()?;
    let good = pod();
    let tokens = [
        Token {
            audience: "https://kubernetes.default.svc",
            ..good.clone()
        },
        Token {
            seconds: -3600,
            ..good.clone()
        },
        Token {
            known: false,
            ..good.clone()
        },
        Token {
            pod: None,
            ..good.clone()
        },
    ];
    // A stranger learns nothing about why.
    let refused = (Code::Unauthenticated, "request authenticate failure");
    expect_refused(&citadel.caller(None)?, (&csr, 0), refused).await?;
    for token in tokens {
        let caller = citadel.caller(Some(&token))?;
        let why = || format!("{token:?}");
        expect_refused(&caller, (&csr, 0), refused)
            .await
            .with_context(why)?;
    }
    let signer = citadel.signer()?;
    let roots = citadel.roots()?;
    let certificate = |extensions: &str| -> Result<Caller> {
        let usage = "extendedKeyUsage=clientAuth\nbasicConstraints=CA:FALSE\n";
        let csr = citadel.openssl.p256()?;
        let extensions = format!("{usage}{extensions}");
        let certificate = citadel.openssl.sign(&csr, &signer, &extensions)?;
        citadel.certified(&[certificate, roots.clone()], &csr.key)
    };
    let (own, other) = (
        "URI:spiffe://cluster.local/ns/shop/sa/web",
        "spiffe://cluster.local/ns/bank/sa/admin",
    );
    for names in [
        format!("subjectAltName={own},URI:{other}"),
        "subjectAltName=DNS:web.shop.svc".to_owned(),
        "subjectAltName=URI:spiffe://evil.cluster.local/ns/shop/sa/web".to_owned(),
        "subjectAltName=URI:spiffe://cluster.local/ns/shop".to_owned(),
    ] {
        let caller = certificate(&names)?;
        let why = || names.clone();
        expect_refused(&caller, (&csr, 0), refused)
            .await
            .with_context(why)?;
    }
    // Of another trust domain that the mesh calls its own: signed for the mesh's.
    let alias = certificate("subjectAltName=URI:spiffe://old.example/ns/shop/sa/web")?;
    let chain = alias.sign(&csr.request, 0).await??;
    let text = citadel.openssl.text(chain.first().context("no leaf")?)?;
    ensure!(text.contains(ID), "{text}");
    // By an authority that nobody here knows: the handshake already fails.
    let foreign = citadel.openssl.root("cluster.local")?;
    let stranger = citadel.openssl.p256()?;
    let names = format!("extendedKeyUsage=clientAuth\nsubjectAltName={own}");
    let shown = citadel.openssl.sign(&stranger, &foreign, &names)?;
    let caller = citadel.certified(&[shown, foreign.certificate], &stranger.key)?;
    let refused_early = match caller.connect().await {
        Ok(channel) => caller.sign_on(channel, (&csr.request, 0)).await?.is_err(),
        Err(_) => true,
    };
    ensure!(refused_early, "another authority vouches for it");
    // It cannot be told who calls: try again.
    let caller = citadel.caller(Some(&good))?;
    citadel.reviews.fail(true);
    let later = (Code::Unavailable, "try again");
    expect_refused(&caller, (&csr, 0), later).await?;
    citadel.reviews.fail(false);
    caller.sign(&csr.request, 0).await??;
    let metrics = citadel.plane.metrics()?;
    let refused = metrics.sum("citadel_server_authentication_failure_count");
    ensure!(refused >= 9.0, "{refused} were counted");
    Ok(())
}

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// T17: nothing that a certificate opened stays open for long after its end.
#[tokio::test]
async fn a_certificate_renews_itself_and_its_stream_ends_with_it() -> Result<()> {
    let citadel = Citadel::start("issue-renew", &[], &[])?;
    let (first, second) = (citadel.openssl.p256()?, citadel.openssl.p256()?);
    let by_token = citadel.caller(Some(&pod()))?;
    let chain = by_token.sign(&first.request, 3600).await??;
    let by_certificate = citadel.certified(&chain, &first.key)?;
    let renewed = by_certificate.sign(&second.request, 8).await??;
    let ends = now()? + 8;
    citadel.openssl.verify(&renewed)?;

    let caller = citadel.certified(&renewed, &second.key)?;
    let channel = caller.connect().await?;
    let mut stream = caller.stream_on(channel.clone(), &web()).await?;
    let names = stream.names().await?;
    let reviews = "outbound|9080||reviews.shop.svc.cluster.local";
    ensure!(names.iter().any(|name| name == reviews), "{names:?}");
    let began = Instant::now();
    let end = tokio::time::timeout(Duration::from_secs(20), stream.end()).await;
    let end = end.context("the stream outlives its certificate by far")?;
    ensure!(end.code() == Code::Unavailable, "{end:?}");
    let at = now()?;
    ensure!(
        at + 1 >= ends && at <= ends + 5,
        "ended at {at}, not at {ends}"
    );
    ensure!(began.elapsed() > Duration::from_secs(4), "too early");
    // The connection is still open, and good for nothing any more.
    let refused = caller.sign_on(channel.clone(), (&first.request, 0)).await?;
    let refused = refused.err().context("it renews itself after its end")?;
    ensure!(refused.code() == Code::Unauthenticated, "{refused:?}");
    match caller.stream_on(channel, &web()).await {
        Ok(mut stream) => {
            let end = stream.end().await;
            ensure!(end.code() == Code::Unauthenticated, "{end:?}");
        }
        Err(error) => ensure!(
            format!("{error:#}").contains("client certificate"),
            "{error:#}"
        ),
    }
    Ok(())
}
