//! Callers with a token of another issuer than the API server: keys that are published over TLS,
//! replaced, and asked for no more often than they should be; and tokens that are forged.

use anyhow::{Context, Result, ensure};
use meltemi_live::citadel::{Citadel, web};
use meltemi_live::scene::SOON;
use meltemi_testkit::keys::{Instead, Key, Kind, Publisher, unsigned};
use meltemi_testkit::openssl::{Openssl, Signer};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::reviews::Token;
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tonic::Code;

const ISSUER: &str = "https://issuer.example";

/// An issuer and a control plane that knows it.
struct Scene {
    citadel: Citadel,
    publisher: Publisher,
    signer: Signer,
    first: Key,
    scratch: Scratch,
}

impl Scene {
    fn start(name: &str, kind: Kind) -> Result<Self> {
        let scratch = Scratch::new(&format!("{name}-issuer"))?;
        let openssl = Openssl::new(scratch.path());
        let first = Key::new(scratch.path(), kind, "first")?;
        let roots = openssl.root("issuer")?;
        openssl.write("roots.pem", &roots.certificate)?;
        let publisher = Publisher::start(&openssl, &roots, &[&first])?;
        let rule = json!({
            "issuer": ISSUER, "audiences": ["mesh"], "jwks_uri": publisher.uri(),
        });
        let bundle = scratch.path().join("roots.pem").display().to_string();
        let env = [
            ("JWT_RULE", &*rule.to_string()),
            ("SSL_CERT_FILE", &*bundle),
        ];
        Ok(Self {
            citadel: Citadel::start(name, &env, &[])?,
            publisher,
            signer: roots,
            first,
            scratch,
        })
    }

    /// What who shows the token is answered.
    async fn ask(&self, token: &str) -> Result<Result<Vec<String>, tonic::Status>> {
        let mut caller = self.citadel.caller(None)?;
        caller.token = Some(token.to_owned());
        let csr = self.citadel.openssl.p256()?;
        caller.sign(&csr.request, 3600).await
    }

    async fn expect_refused(&self, token: &str, what: &str) -> Result<()> {
        match self.ask(token).await? {
            Err(status) if status.code() == Code::Unauthenticated => Ok(()),
            other => anyhow::bail!("{what}: {other:?}"),
        }
    }
}

fn claims() -> Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(json!({
        "iss": ISSUER, "aud": ["mesh"], "iat": now, "exp": now + 600,
        "sub": "system:serviceaccount:shop:web",
    }))
}

fn with(name: &str, value: Value) -> Result<Value> {
    let mut claims = claims()?;
    let object = claims.as_object_mut().context("no claims")?;
    object.insert(name.to_owned(), value);
    Ok(claims)
}

#[tokio::test]
async fn a_token_of_an_issuer_that_is_named_is_verified_here() -> Result<()> {
    for (name, kind) in [("issuers-rsa", Kind::Rsa), ("issuers-ec", Kind::P256)] {
        let scene = Scene::start(name, kind)?;
        let token = scene.first.token(&claims()?)?;
        let chain = scene.ask(&token).await?;
        let chain = chain.with_context(|| scene.citadel.plane.log())?;
        scene.citadel.openssl.verify(&chain)?;
        let text = scene
            .citadel
            .openssl
            .text(chain.first().context("no leaf")?)?;
        ensure!(
            text.contains("URI:spiffe://cluster.local/ns/shop/sa/web"),
            "{text}"
        );
        // The API server has not been asked, and the issuer once.
        ensure!(!scene.citadel.reviews.was_asked(&token), "it was reviewed");
        scene.ask(&token).await?.context("again")?;
        ensure!(scene.publisher.asked() == 1, "{}", scene.publisher.asked());
        // It is a proxy's: its configuration is served, of its own namespace only.
        let mut caller = scene.citadel.caller(None)?;
        caller.token = Some(token);
        let mut stream = caller.stream_on(caller.connect().await?, &web()).await?;
        let names = stream.names().await?;
        ensure!(
            names.iter().any(|name| name.contains("reviews")),
            "{names:?}"
        );
        // The API server's tokens are still its own to judge.
        let pod = Token::of("shop", "web", "web-0");
        let by_pod = scene.citadel.caller(Some(&pod))?;
        let csr = scene.citadel.openssl.p256()?;
        by_pod.sign(&csr.request, 3600).await??;
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_proves_nothing_is_refused() -> Result<()> {
    let scene = Scene::start("issuers-forged", Kind::Rsa)?;
    let good = scene.first.token(&claims()?)?;
    scene.ask(&good).await??;
    for (what, claims) in [
        ("expired", with("exp", json!(1_700_000_000))?),
        ("for somebody else", with("aud", json!(["istio-ca"]))?),
        ("of nobody", with("sub", json!("web"))?),
        (
            "of a user",
            with("sub", json!("system:serviceaccount:shop"))?,
        ),
        (
            "of another issuer",
            with("iss", json!("https://evil.example"))?,
        ),
        // The API server alone knows whether such a pod still is there.
        (
            "of a pod",
            with("kubernetes.io", json!({"pod": {"name": "web-0"}}))?,
        ),
    ] {
        let token = scene.first.token(&claims)?;
        scene.expect_refused(&token, what).await?;
    }
    let none = json!({"alg": "none", "kid": "first"});
    let none = unsigned(&none, &claims()?);
    scene
        .expect_refused(&format!("{none}."), "alg none")
        .await?;
    let (_, signature) = good.rsplit_once('.').context("no signature")?;
    let borrowed = format!("{none}.{signature}");
    scene
        .expect_refused(&borrowed, "a borrowed signature")
        .await?;
    let shared = scene.first.shared(&claims()?, &scene.first.public()?)?;
    scene
        .expect_refused(&shared, "the public key as a secret")
        .await?;
    let dir = scene.scratch.path().join("other");
    std::fs::create_dir(&dir)?;
    let other = Key::new(&dir, Kind::Rsa, "first")?;
    let forged = other.token(&claims()?)?;
    scene
        .expect_refused(&forged, "another key of that name")
        .await?;
    ensure!(scene.publisher.asked() == 1, "the issuer was asked again");
    Ok(())
}

/// Who answers for the issuer is asked, and nobody to whom it points (reliability.md T15).
#[tokio::test]
async fn t15_keys_are_never_read_after_a_redirect() -> Result<()> {
    let scene = Scene::start("issuers-redirect", Kind::P256)?;
    let openssl = Openssl::new(scene.scratch.path());
    // It could answer, and would be believed: only that it was not named keeps it from that.
    let elsewhere = Publisher::start(&openssl, &scene.signer, &[&scene.first])?;
    scene
        .publisher
        .answer_with(Instead::Redirect(elsewhere.uri()));
    let token = scene.first.token(&claims()?)?;
    let status = scene.ask(&token).await?;
    let code = status.as_ref().map_err(tonic::Status::code);
    ensure!(code == Err(Code::Unavailable), "{status:?}");
    ensure!(
        scene.publisher.asked() == 1 && elsewhere.asked() == 0,
        "it was followed"
    );
    scene.citadel.wait_said("302 Found")
}

#[tokio::test]
async fn a_key_that_is_new_is_asked_for_but_not_all_the_time() -> Result<()> {
    let scene = Scene::start("issuers-rotate", Kind::P256)?;
    let old = scene.first.token(&claims()?)?;
    scene.ask(&old).await??;
    let next = Key::new(scene.scratch.path(), Kind::P256, "next")?;
    let token = next.token(&claims()?)?;
    // Nobody publishes it yet; whoever asks often makes the issuer busy no more often.
    for _ in 0..20 {
        scene.expect_refused(&token, "an unknown key").await?;
    }
    ensure!(scene.publisher.asked() <= 2, "{}", scene.publisher.asked());
    scene.publisher.publish(&[&next])?;
    let mut caller = scene.citadel.caller(None)?;
    caller.token = Some(token);
    let csr = scene.citadel.openssl.p256()?;
    let patience = tokio::time::timeout(SOON, async {
        let mut pause = tokio::time::interval(std::time::Duration::from_millis(500));
        loop {
            pause.tick().await;
            if caller.sign(&csr.request, 3600).await?.is_ok() {
                return anyhow::Ok(());
            }
        }
    });
    patience.await.context("the new key is never known")??;
    // The one that was taken back counts no more.
    scene
        .expect_refused(&old, "a key that was taken back")
        .await?;
    ensure!(scene.publisher.asked() <= 4, "{}", scene.publisher.asked());
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_nobody_believes_lets_nobody_in() -> Result<()> {
    let scratch = Scratch::new("issuers-strange-keys")?;
    let openssl = Openssl::new(scratch.path());
    let key = Key::new(scratch.path(), Kind::P256, "first")?;
    let publisher = Publisher::start(&openssl, &openssl.root("issuer")?, &[&key])?;
    let rule = json!({"issuer": ISSUER, "audiences": ["mesh"], "jwks_uri": publisher.uri()});
    let other = openssl.root("other")?;
    openssl.write("roots.pem", &other.certificate)?;
    let bundle = scratch.path().join("roots.pem").display().to_string();
    let env = [
        ("JWT_RULE", &*rule.to_string()),
        ("SSL_CERT_FILE", &*bundle),
    ];
    let citadel = Citadel::start("issuers-strange", &env, &[])?;
    let mut caller = citadel.caller(None)?;
    caller.token = Some(key.token(&claims()?)?);
    let csr = citadel.openssl.p256()?;
    let refused = caller.sign(&csr.request, 3600).await?;
    let refused = refused.err().context("it is let in")?;
    ensure!(refused.code() == Code::Unavailable, "{refused:?}");
    wait::until("the reason in the log", SOON, || {
        let log = citadel.plane.log();
        Ok(log
            .contains("the keys of an issuer cannot be read")
            .then_some(()))
    })
}
