//! Trust domains with roots of their own, on two pods that run: a root that is added is believed within
//! seconds and without another certificate, for its own domain alone; one that is taken away is not.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::couple::{Couple, Programs, SOON, Terms};
use meltemi_testkit::openssl::{Csr, Openssl, Signer};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::wait;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

/// Where the called pod's Envoy listens.
const PORT: u16 = 9080;
/// How often somebody knocks.
const LOOK: Duration = Duration::from_millis(50);
/// No certificate is renewed while a test runs.
const LONG: Terms = Terms {
    lifetime: Duration::from_secs(3600),
    settle: Duration::from_secs(1),
};

/// Somebody with a certificate and its key.
struct Stranger {
    name: &'static str,
    certificate: String,
    csr: Csr,
}

impl Stranger {
    fn new(openssl: &Openssl, signer: &Signer, (name, id): (&'static str, &str)) -> Result<Self> {
        let csr = openssl.p256()?;
        let extensions = format!(
            "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n\
             extendedKeyUsage=clientAuth,serverAuth\n\
             subjectAltName=critical,URI:spiffe://{id}"
        );
        let certificate = openssl.sign(&csr, signer, &extensions)?;
        Ok(Self {
            name,
            certificate,
            csr,
        })
    }

    /// The status that the server answers with, which proves that it let it in.
    async fn knock(&self, server: SocketAddr) -> Result<String> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.csr.key.as_bytes())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_client_auth_cert(chain.collect::<Result<_, _>>()?, key)?;
        config.alpn_protocols = vec![b"istio-http/1.1".to_vec(), b"istio".to_vec()];
        let tcp = TcpStream::connect(server).await?;
        let name = ServerName::try_from("called.shop.svc.cluster.local")?;
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await?;
        let request = b"GET / HTTP/1.1\r\nhost: called.shop:9080\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.lines().next().context("it says nothing")?;
        Ok(status.to_owned())
    }
}

/// Who the server is, is of no matter here.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Two pods under authority A, and the authority B of a partner.
struct Scene {
    couple: Couple,
    runtime: Runtime,
    openssl: Openssl,
    a: Signer,
    b: Signer,
    _scratch: Scratch,
}

impl Scene {
    fn start(name: &str) -> Result<Self> {
        let scratch = Scratch::new(&format!("{name}-partner"))?;
        let openssl = Openssl::new(scratch.path());
        let (a, b) = (openssl.root("A")?, openssl.root("B")?);
        Ok(Self {
            couple: Couple::start((name, &Programs::find()?), LONG, &a)?,
            runtime: Runtime::new()?,
            openssl,
            a,
            b,
            _scratch: scratch,
        })
    }

    fn by(&self, signer: &Signer, who: (&'static str, &str)) -> Result<Stranger> {
        Stranger::new(&self.openssl, signer, who)
    }

    fn knock(&self, who: &Stranger) -> Result<String> {
        let server = self.couple.called.at(PORT);
        let knock = who.knock(server);
        self.runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(10), knock).await })?
    }

    fn is_let_in(&self, who: &Stranger) -> Result<()> {
        let status = self.knock(who).with_context(|| who.name)?;
        ensure!(status == "HTTP/1.1 200 OK", "{}: {status}", who.name);
        Ok(())
    }

    fn is_refused(&self, who: &Stranger) -> Result<()> {
        match self.knock(who) {
            Ok(status) => anyhow::bail!("{} is let in: {status}", who.name),
            Err(error) => {
                let error = format!("{error:#}");
                // The alert may be lost when the connection is closed behind it.
                let words = ["received fatal alert", "reset by peer"];
                let turned_away = words.iter().any(|words| error.contains(words));
                ensure!(turned_away, "{}: {error}", who.name);
                Ok(())
            }
        }
    }

    fn wait_let_in(&self, who: &Stranger) -> Result<Duration> {
        let began = Instant::now();
        wait::every(who.name, (SOON, LOOK), || self.is_let_in(who).map(Some))
            .with_context(|| self.couple.called.log())?;
        Ok(began.elapsed())
    }

    fn wait_refused(&self, who: &Stranger) -> Result<Duration> {
        let began = Instant::now();
        wait::every(who.name, (SOON, LOOK), || self.is_refused(who).map(Some))?;
        Ok(began.elapsed())
    }

    /// `caCertificates` with B, for these trust domains.
    fn partner(&self, domains: &str) -> String {
        let pem = self.b.certificate.trim_end().replace('\n', "\n    ");
        format!("caCertificates:\n- {domains}pem: |\n    {pem}\n")
    }
}

/// The attack is the second half of it: what a partner's root has signed for one of our names.
#[test]
fn t18_a_root_vouches_for_its_own_trust_domain_and_for_no_other() -> Result<()> {
    let mut scene = Scene::start("domains-apart")?;
    let (a, b) = (scene.a.clone(), scene.b.clone());
    let own = scene.by(&a, ("own", "cluster.local/ns/shop/sa/caller"))?;
    let alias = scene.by(&a, ("alias", "old.example/ns/shop/sa/caller"))?;
    let partner = scene.by(&b, ("partner", "partner.example/ns/x/sa/y"))?;
    let forged = scene.by(&b, ("our name by B", "cluster.local/ns/shop/sa/caller"))?;
    let borrowed = scene.by(&a, ("B's name by A", "partner.example/ns/x/sa/y"))?;
    let nobody = scene.by(&b, ("a third name by B", "third.example/ns/x/sa/y"))?;
    scene.is_let_in(&own)?;
    for who in [&alias, &partner, &forged, &borrowed, &nobody] {
        scene.is_refused(who)?;
    }
    let before = (scene.couple.called.chain()?, scene.couple.pids()?);
    let load = scene.couple.load();

    let aliases = "trustDomainAliases: [old.example]\n";
    let domains = scene.partner("trustDomains: [partner.example]\n  ");
    scene.couple.configure(&format!("{aliases}{domains}"))?;
    let added = scene.wait_let_in(&partner)?;
    scene.wait_let_in(&alias)?;
    scene.is_let_in(&own)?;
    for who in [&forged, &borrowed, &nobody] {
        scene.is_refused(who)?;
    }

    scene.couple.configure(aliases)?;
    let removed = scene.wait_refused(&partner)?;
    scene.is_let_in(&alias)?;
    scene.is_let_in(&own)?;
    scene.is_refused(&forged)?;

    let after = (scene.couple.called.chain()?, scene.couple.pids()?);
    ensure!(before == after, "another certificate, or another process");
    let tally = load.end()?;
    println!(
        "believed in {added:?}, refused in {removed:?}, {} calls",
        tally.sent
    );
    tally.expect_no_failure()
}

#[test]
fn a_root_for_no_domain_is_for_all_until_it_is_taken_away() -> Result<()> {
    let mut scene = Scene::start("domains-heap")?;
    let b = scene.b.clone();
    let ours = scene.by(&b, ("our name by B", "cluster.local/ns/shop/sa/caller"))?;
    scene.is_refused(&ours)?;
    let before = scene.couple.called.chain()?;
    let load = scene.couple.load();
    scene.couple.configure(&scene.partner(""))?;
    let added = scene.wait_let_in(&ours)?;
    // A control plane that is away, and then does not know yet, takes nothing away.
    scene.couple.kill_plane()?;
    scene.is_let_in(&ours)?;
    scene.couple.start_plane()?;
    let plane = scene.couple.plane()?;
    let stayed = wait::every("both agents to be back", (SOON, LOOK), || {
        if let Err(error) = scene.is_let_in(&ours) {
            return Ok(Some(Err(error)));
        }
        let back = plane.json("/debug/syncz")?;
        let both = back.as_array().is_some_and(|all| all.len() == 2);
        Ok(both.then_some(Ok(())))
    })?;
    stayed.context("while the control plane came back")?;
    scene.couple.configure("trustDomain: cluster.local")?;
    let removed = scene.wait_refused(&ours)?;
    ensure!(
        before == scene.couple.called.chain()?,
        "another certificate"
    );
    println!("believed in {added:?}, refused in {removed:?}");
    load.end()?.expect_no_failure()
}
