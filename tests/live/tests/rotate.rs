//! An authority of one's own: Secret `cacerts` in both namings, half-written, rotated from root A to
//! A and B to B while the process runs, and a list of revoked certificates.

use anyhow::{Context, Result, ensure};
use meltemi_live::citadel::Citadel;
use meltemi_live::scene::SOON;
use meltemi_testkit::openssl::{Openssl, Signer};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::reviews::Token;
use meltemi_testkit::wait;
use tonic::Code;

const SETTLE: [(&str, &str); 1] = [("MELTEMI_ROOT_SETTLE", "4s")];

fn pod() -> Token<'static> {
    Token::of("shop", "web", "web-0")
}

/// The files of an authority under these roots.
fn files<'a>(signer: &'a Signer, roots: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("ca-cert.pem", &signer.certificate),
        ("ca-key.pem", &signer.key),
        ("cert-chain.pem", &signer.certificate),
        ("root-cert.pem", roots),
    ]
}

/// Waits until everybody is told of these roots.
fn wait_roots(citadel: &Citadel, roots: &str) -> Result<()> {
    wait::until("other roots for everybody", SOON, || {
        Ok((citadel.roots()? == roots).then_some(()))
    })
}

/// A certificate of now verifies against these roots.
async fn is_signed(citadel: &Citadel, roots: &str) -> Result<bool> {
    let csr = citadel.openssl.p256()?;
    let caller = citadel.caller(Some(&pod()))?;
    let mut chain = caller.sign(&csr.request, 3600).await??;
    citadel.openssl.verify(&chain)?;
    chain.pop();
    chain.push(roots.to_owned());
    Ok(citadel.openssl.verify(&chain).is_ok())
}

/// Two authorities.
fn two(name: &str) -> Result<(Signer, Signer)> {
    let scratch = Scratch::new(name)?;
    let openssl = Openssl::new(scratch.path());
    Ok((openssl.root("A")?, openssl.root("B")?))
}

#[tokio::test]
async fn roots_are_rotated_in_three_phases() -> Result<()> {
    let (a, b) = two("rotate-keys")?;
    let both = format!("{}{}", a.certificate, b.certificate);
    let citadel = Citadel::start("rotate", &SETTLE, &files(&a, &a.certificate))?;
    wait_roots(&citadel, &a.certificate)?;
    ensure!(is_signed(&citadel, &a.certificate).await?, "A signs");
    // A certificate of the first phase is good in the second.
    let csr = citadel.openssl.p256()?;
    let caller = citadel.caller(Some(&pod()))?;
    let old = caller.sign(&csr.request, 3600).await??;

    // B is to sign at once; first everybody is told of it, then it signs.
    citadel.plug(&files(&b, &both))?;
    wait_roots(&citadel, &both)?;
    ensure!(is_signed(&citadel, &a.certificate).await?, "A signs still");
    citadel.wait_said("a new root is handed out")?;
    citadel.wait_said("another authority signs")?;
    ensure!(is_signed(&citadel, &b.certificate).await?, "B signs");
    ensure!(citadel.roots()? == both, "A was forgotten too early");
    let by_old = citadel.certified(&old, &csr.key)?;
    by_old.sign(&csr.request, 3600).await??;

    // Nobody trusts A any more.
    citadel.plug(&files(&b, &b.certificate))?;
    wait_roots(&citadel, &b.certificate)?;
    ensure!(is_signed(&citadel, &b.certificate).await?, "B signs");
    let refused = match by_old.connect().await {
        Ok(channel) => by_old.sign_on(channel, (&csr.request, 0)).await?.is_err(),
        Err(_) => true,
    };
    ensure!(refused, "a certificate of A is good still");
    Ok(())
}

#[tokio::test]
async fn a_broken_secret_changes_nothing() -> Result<()> {
    let (a, b) = two("broken-keys")?;
    // By the names of a TLS Secret.
    let tls = [
        ("tls.crt", a.certificate.as_str()),
        ("tls.key", &a.key),
        ("ca.crt", &a.certificate),
    ];
    let citadel = Citadel::start("broken", &SETTLE, &tls)?;
    wait_roots(&citadel, &a.certificate)?;
    let mixed = Signer {
        key: b.key.clone(),
        ..a.clone()
    };
    let whole = files(&b, &b.certificate);
    let broken: [(&[(&str, &str)], &str); 4] = [
        (&whole[..2], "missing or empty"),
        (&files(&mixed, &a.certificate), "is not the key of"),
        (&whole, "no root of root-cert.pem"),
        (&files(&a, "junk"), "root-cert.pem"),
    ];
    for (files, words) in broken {
        citadel.plug(files)?;
        citadel.wait_said(words)?;
        ensure!(citadel.roots()? == a.certificate, "{words}");
        ensure!(is_signed(&citadel, &a.certificate).await?, "{words}");
    }
    citadel.unplug();
    citadel.wait_said("Secret cacerts is gone")?;
    ensure!(is_signed(&citadel, &a.certificate).await?, "gone");
    Ok(())
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() -> Result<()> {
    let (a, _) = two("revoke-keys")?;
    let citadel = Citadel::start("revoke", &SETTLE, &files(&a, &a.certificate))?;
    wait_roots(&citadel, &a.certificate)?;
    let (bad, good) = (citadel.openssl.p256()?, citadel.openssl.p256()?);
    let by_token = citadel.caller(Some(&pod()))?;
    let bad_chain = by_token.sign(&bad.request, 3600).await??;
    let good_chain = by_token.sign(&good.request, 3600).await??;
    let revoked = citadel.certified(&bad_chain, &bad.key)?;
    let open = revoked.connect().await?;
    revoked.sign_on(open.clone(), (&bad.request, 0)).await??;

    let number = citadel
        .openssl
        .serial(bad_chain.first().context("no leaf")?)?;
    let list = citadel.openssl.crl(&a, &[&number])?;
    let mut with_list = files(&a, &a.certificate).to_vec();
    with_list.push(("ca-crl.pem", &list));
    citadel.plug(&with_list)?;
    citadel.wait_said("another authority signs")?;
    // On the connection that was open before, too.
    let refused = revoked.sign_on(open, (&bad.request, 0)).await?;
    let refused = refused.err().context("it renews itself still")?;
    ensure!(refused.code() == Code::Unauthenticated, "{refused:?}");
    let refused = match revoked.connect().await {
        Ok(channel) => revoked.sign_on(channel, (&bad.request, 0)).await?.is_err(),
        Err(_) => true,
    };
    ensure!(refused, "a new connection is let in");
    let other = citadel.certified(&good_chain, &good.key)?;
    other.sign(&good.request, 0).await??;
    Ok(())
}
