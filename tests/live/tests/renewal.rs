//! The self-signed root is renewed in its Secret: what it has signed verifies with both, replicas
//! agree, and a root that has ended comes back. Roots and leaves of before are made by openssl.

use anyhow::{Context, Result, ensure};
use meltemi_live::citadel::{Citadel, SECRET, Stage};
use meltemi_live::scene::SOON;
use meltemi_testkit::openssl::{P256, Signer};
use meltemi_testkit::reviews::Token;
use meltemi_testkit::wait;
use serde_json::{Value, json};

/// Every root is due at the first look.
const DUE: [(&str, &str); 3] = [
    (
        "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE",
        "100",
    ),
    ("CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR", "false"),
    ("CITADEL_SELF_SIGNED_CA_CERT_TTL", "240h"),
];
/// As istiod writes its own: the name in the encoding of Go.
const LIKE_GO: &str = "[req]\nstring_mask = nombstr\ndistinguished_name = name\n[name]\n\
                       [ca]\ndefault_ca = go\n[go]\ndatabase = go.index\nnew_certs_dir = .\n\
                       rand_serial = yes\ndefault_md = sha256\npolicy = any\n\
                       x509_extensions = own\n[any]\norganizationName = supplied\n\
                       [own]\nbasicConstraints = critical,CA:TRUE\n\
                       keyUsage = critical,keyCertSign\nsubjectKeyIdentifier = hash\n";

/// A root as istiod makes one, kept as istiod keeps it; `kind` is the words for its key.
fn keep(stage: Stage<'_>, kind: &str, more: &[&str]) -> Result<Signer> {
    let openssl = stage.openssl;
    openssl.write("go.cnf", LIKE_GO)?;
    openssl.write("go.index", "")?;
    let mut words = vec!["req", "-new", "-nodes", "-config", "go.cnf"];
    words.extend(["-keyout", "go.key", "-out", "go.csr", "-newkey"]);
    words.extend(kind.split(' '));
    words.extend(["-subj", "/O=cluster.local"]);
    openssl.run(&words)?;
    let mut words = vec!["ca", "-batch", "-notext", "-selfsign", "-config", "go.cnf"];
    words.extend(["-keyfile", "go.key", "-in", "go.csr", "-out", "go.pem"]);
    words.extend(more);
    openssl.run(&words)?;
    let signer = Signer {
        certificate: openssl.read("go.pem")?,
        key: openssl.read("go.key")?,
    };
    let file = |text: &str| openssl.base64(text);
    stage.reviews.put(
        SECRET,
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "istio.io/ca-root",
            "metadata": {
                "name": "istio-ca-secret", "namespace": "istio-system", "resourceVersion": "7",
                "labels": {"kept": "by-users"},
            },
            "data": {
                "ca-cert.pem": file(&signer.certificate)?, "ca-key.pem": file(&signer.key)?,
                "root-cert.pem": file(&signer.certificate)?, "cert-chain.pem": "", "key.pem": "",
            },
        }),
    );
    Ok(signer)
}

fn dates(citadel: &Citadel, certificate: &str) -> Result<String> {
    citadel.openssl.write("dates.pem", certificate)?;
    let words = ["x509", "-in", "dates.pem", "-noout", "-dates"];
    citadel.openssl.run(&words)
}

/// Waits until everybody is told of the root that is kept, which is another one than `old`.
fn renewed(citadel: &Citadel, old: &Signer) -> Result<Signer> {
    wait::until("the next root", SOON, || {
        let next = citadel.signer()?;
        let told = citadel.roots()? == next.certificate;
        Ok((told && next.certificate != old.certificate).then_some(next))
    })
}

#[tokio::test]
async fn a_root_is_renewed_and_all_it_has_signed_still_counts() -> Result<()> {
    for (name, kind) in [("renewal-ec", P256), ("renewal-rsa", "rsa:2048")] {
        let mut old = None;
        let citadel = Citadel::start_on(name, &DUE, |stage| {
            old = Some(keep(stage, kind, &["-days", "2"])?);
            Ok(())
        })?;
        let old = old.context("nothing was prepared")?;
        let next = renewed(&citadel, &old).context(kind)?;
        ensure!(next.key == old.key, "the key is another one");
        let (before, after) = (
            dates(&citadel, &old.certificate)?,
            dates(&citadel, &next.certificate)?,
        );
        ensure!(before != after, "{after}");
        let kept = citadel.reviews.object(SECRET).context("no Secret")?;
        let label = kept.pointer("/metadata/labels/kept");
        ensure!(label.and_then(Value::as_str) == Some("by-users"), "{kept}");
        // Of before, against the root of now; of now, against both.
        let csr = citadel.openssl.p256()?;
        let names = "subjectAltName=critical,URI:spiffe://cluster.local/ns/shop/sa/web\n\
                     extendedKeyUsage=clientAuth,serverAuth\nbasicConstraints=critical,CA:FALSE\n\
                     authorityKeyIdentifier=keyid\n";
        let leaf = citadel.openssl.sign(&csr, &old, names)?;
        citadel
            .openssl
            .verify(&[leaf.clone(), next.certificate.clone()])?;
        let by_old = citadel.certified(&[leaf, next.certificate.clone()], &csr.key)?;
        let chain = by_old.sign(&csr.request, 3600).await??;
        citadel.openssl.verify(&chain)?;
        let first = chain.first().context("no leaf")?.clone();
        citadel.openssl.verify(&[first, old.certificate.clone()])?;
    }
    Ok(())
}

#[tokio::test]
async fn replicas_renew_the_root_once() -> Result<()> {
    let mut old = None;
    let citadel = Citadel::start_on("renewal-two", &DUE, |stage| {
        old = Some(keep(stage, P256, &["-days", "2"])?);
        Ok(())
    })?;
    let old = old.context("nothing was prepared")?;
    let first = renewed(&citadel, &old)?;
    // The second finds a root that is due for it, too, and writes; the first takes what is there.
    let second = citadel.replica("second")?;
    let next = renewed(&citadel, &first)?;
    wait::until("both to agree", SOON, || {
        let told = citadel.roots()? == next.certificate;
        let said = citadel.plane.log().contains("another authority signs");
        Ok((told && said).then_some(()))
    })?;
    ensure!(next.key == old.key, "the key is another one");
    let csr = citadel.openssl.p256()?;
    let mut caller = citadel.caller(Some(&Token::of("shop", "web", "web-0")))?;
    for server in [citadel.plane.secure()?, second.secure()?] {
        caller.server = server;
        let chain = caller.sign(&csr.request, 3600).await??;
        citadel.openssl.verify(&chain)?;
        let roots = chain.last().context("no roots")?;
        ensure!(*roots == next.certificate, "{server} has other roots");
    }
    Ok(())
}

#[tokio::test]
async fn a_root_that_has_ended_is_renewed_at_the_start() -> Result<()> {
    let mut old = None;
    let ended = [
        "-startdate",
        "20200101000000Z",
        "-enddate",
        "20200102000000Z",
    ];
    // The first look would be within an hour.
    let citadel = Citadel::start_on("renewal-ended", &[], |stage| {
        old = Some(keep(stage, P256, &ended)?);
        Ok(())
    })?;
    let next = renewed(&citadel, &old.context("nothing was prepared")?)?;
    let caller = citadel.caller(Some(&Token::of("shop", "web", "web-0")))?;
    let csr = citadel.openssl.p256()?;
    let chain = caller.sign(&csr.request, 3600).await??;
    citadel.openssl.verify(&chain)?;
    ensure!(chain.last() == Some(&next.certificate), "other roots");
    Ok(())
}

#[tokio::test]
async fn an_authority_in_a_directory_is_read_instead_of_the_secret() -> Result<()> {
    let scratch = meltemi_testkit::paths::Scratch::new("renewal-directory-files")?;
    let dir = scratch.path().join("cacerts");
    let place = dir.display().to_string();
    let env = [("ROOT_CA_DIR", &*place), ("MELTEMI_ROOT_SETTLE", "1s")];
    let mut own = None;
    let citadel = Citadel::start_on("renewal-directory", &env, |stage| {
        let signer = stage.openssl.root("own")?;
        std::fs::create_dir(&dir)?;
        for (name, text) in [
            ("ca-cert.pem", &*signer.certificate),
            ("ca-key.pem", &*signer.key),
            ("cert-chain.pem", ""),
            ("root-cert.pem", &*signer.certificate),
        ] {
            std::fs::write(dir.join(name), text)?;
        }
        own = Some(signer);
        Ok(())
    })?;
    let own = own.context("nothing was prepared")?;
    ensure!(citadel.roots()? == own.certificate, "other roots");
    ensure!(
        citadel.reviews.object(SECRET).is_none(),
        "a self-signed one was made"
    );
    // Half of it changes nothing and is said.
    std::fs::remove_file(dir.join("ca-key.pem"))?;
    citadel.wait_said("ca-key.pem missing or empty")?;
    std::fs::remove_dir_all(&dir)?;
    citadel.wait_said("directory ROOT_CA_DIR is gone")?;
    let caller = citadel.caller(Some(&Token::of("shop", "web", "web-0")))?;
    let csr = citadel.openssl.p256()?;
    let chain = caller.sign(&csr.request, 3600).await??;
    citadel.openssl.verify(&chain)
}

const CACERTS: &str = "/api/v1/namespaces/istio-system/secrets/cacerts";
const MARKED: [(&str, &str); 1] = [("USE_CACERTS_FOR_SELF_SIGNED_CA", "true")];

/// Signs a key and shows that this authority vouches for it.
async fn sign(citadel: &Citadel, root: &str) -> Result<()> {
    let pod = Token::of("shop", "web", "web-0");
    let csr = citadel.openssl.p256()?;
    let caller = citadel.caller(Some(&pod))?;
    let chain = caller.sign(&csr.request, 3600).await??;
    ensure!(chain.last().map(String::as_str) == Some(root), "{chain:?}");
    citadel.openssl.verify(&chain)
}

#[tokio::test]
async fn a_self_signed_root_may_be_kept_in_the_secret_of_users() -> Result<()> {
    let citadel = Citadel::start("renewal-marked", &MARKED, &[])?;
    let root = citadel.roots()?;
    let secret = citadel.reviews.object(CACERTS).context("no cacerts")?;
    let marked = secret.pointer("/data/istio-generated");
    ensure!(marked == Some(&json!("")), "{secret}");
    ensure!(citadel.reviews.object(SECRET).is_none(), "there are two");
    sign(&citadel, &root).await?;
    // Another replica, and one that starts later, take it for the one of all.
    let replica = citadel.replica("later")?;
    let said = "a certificate of Secret cacerts of our own";
    wait::until("the replica to use it", SOON, || {
        Ok(replica.log().contains(said).then_some(()))
    })?;
    ensure!(
        citadel.reviews.object(CACERTS) == Some(secret),
        "it was written again"
    );
    Ok(())
}

/// A mesh that has a root in `istio-ca-secret` would distrust itself with another one.
#[tokio::test]
async fn a_root_that_there_is_stays_where_it_is() -> Result<()> {
    let mut kept = None;
    let citadel = Citadel::start_on("renewal-stays", &MARKED, |stage| {
        kept = Some(keep(stage, P256, &["-days", "300"])?);
        Ok(())
    })?;
    let root = kept.context("nothing was kept")?.certificate;
    sign(&citadel, &root).await?;
    ensure!(citadel.reviews.object(CACERTS).is_none(), "there are two");
    Ok(())
}
