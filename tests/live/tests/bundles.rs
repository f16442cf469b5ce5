//! `spiffeBundleUrl`: roots that a partner publishes over HTTPS reach agents, follow what is published,
//! and stay while nothing of use is.

use anyhow::{Context, Result, ensure};
use meltemi_live::citadel::{self, Citadel};
use meltemi_live::scene::SOON;
use meltemi_proto::any::unpack;
use meltemi_proto::istio::mesh::v1alpha1::ProxyConfig;
use meltemi_proto::urls::PROXY_CONFIG;
use meltemi_testkit::caller::Stream;
use meltemi_testkit::keys::{Instead, Publisher};
use meltemi_testkit::openssl::{Openssl, Signer};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::reviews::Token;
use meltemi_testkit::wait;
use serde_json::json;

/// A partner and a control plane that reads its bundle.
struct Scene {
    citadel: Citadel,
    publisher: Publisher,
    openssl: Openssl,
    web: Signer,
    _scratch: Scratch,
}

impl Scene {
    /// `url` makes the address of it.
    fn start(name: &str, (first, url): (&Instead, fn(String) -> String)) -> Result<Self> {
        let scratch = Scratch::new(&format!("{name}-partner"))?;
        let openssl = Openssl::new(scratch.path());
        let web = openssl.root("web")?;
        openssl.write("roots.pem", &web.certificate)?;
        let publisher = Publisher::start(&openssl, &web, &[])?;
        publisher.answer_with(first.clone());
        let file = scratch.path().join("roots.pem").display().to_string();
        let mesh = format!(
            "caCertificates:\n- trustDomains: [partner.example]\n  spiffeBundleUrl: {}\n",
            url(publisher.uri())
        );
        let citadel = Citadel::start_on(name, &[("SSL_CERT_FILE", &file)], |stage| {
            Ok(std::fs::write(stage.dir.join("mesh.yaml"), &mesh)?)
        })?;
        Ok(Self {
            citadel,
            publisher,
            openssl,
            web,
            _scratch: scratch,
        })
    }

    async fn stream(&self) -> Result<Stream> {
        let pod = Token::of("shop", "web", "web-0");
        let caller = self.citadel.caller(Some(&pod))?;
        let channel = caller.connect().await?;
        caller
            .stream_of(PROXY_CONFIG, (channel, &citadel::web()))
            .await
    }

    /// A bundle with this root, in PEM.
    fn bundle(&self, root: &str) -> Result<Instead> {
        bundle(&self.openssl, root)
    }
}

fn bundle(openssl: &Openssl, root: &str) -> Result<Instead> {
    openssl.write("published.pem", root)?;
    openssl.run(&[
        "x509",
        "-in",
        "published.pem",
        "-outform",
        "DER",
        "-out",
        "published.der",
    ])?;
    let der = openssl.run(&["base64", "-A", "-in", "published.der"])?;
    let key = json!({"use": "x509-svid", "kty": "EC", "x5c": [der.trim()]});
    let text = json!({"spiffe_refresh_hint": 1, "keys": [key]});
    Ok(Instead::Text(text.to_string()))
}

/// What the next response says of the partner: its roots.
async fn told(stream: &mut Stream) -> Result<String> {
    let next = tokio::time::timeout(SOON, stream.next()).await;
    let response = next.context("nothing is said")??;
    let first = response
        .resources
        .into_iter()
        .next()
        .context("no resource")?;
    let message: ProxyConfig = unpack(&first.resource.context("no body")?)?;
    let mut all = message.trust_domain_roots.into_iter();
    let partner = all.find(|one| one.trust_domain == "partner.example");
    Ok(partner.context("nothing of the partner")?.pem)
}

#[tokio::test]
async fn a_bundle_is_followed_and_the_last_good_one_stays() -> Result<()> {
    let scratch = Scratch::new("bundles-roots")?;
    let openssl = Openssl::new(scratch.path());
    let first = openssl.root("first")?.certificate;
    let second = openssl.root("second")?.certificate;
    let good = bundle(&openssl, &first)?;
    let scene = Scene::start("bundles-follow", (&good, |url| url))?;
    let mut stream = scene.stream().await?;
    ensure!(told(&mut stream).await? == first, "not the first");
    let page = "/debug/config_dump?proxyID=web-0.shop&types=pcds";
    let page = scene.citadel.plane.get(page)?;
    ensure!(page.contains("partner.example"), "{page}");
    let page = scene.citadel.plane.get("/debug/syncz")?;
    ensure!(page.contains("\"pcds\""), "{page}");
    // What is no bundle, nothing at all, and another address change nothing.
    let elsewhere = Publisher::start(&scene.openssl, &scene.web, &[])?;
    for bad in [
        Instead::Text("<html>".to_owned()),
        Instead::Nothing,
        Instead::Redirect(elsewhere.uri()),
    ] {
        let asked = scene.publisher.asked();
        scene.publisher.answer_with(bad);
        wait::until("another question", SOON, || {
            Ok((scene.publisher.asked() > asked).then_some(()))
        })?;
        let asked = scene.publisher.asked();
        scene.publisher.answer_with(scene.bundle(&first)?);
        wait::until("a good answer", SOON, || {
            Ok((scene.publisher.asked() > asked).then_some(()))
        })?;
    }
    ensure!(elsewhere.asked() == 0, "a redirect was followed");
    scene.publisher.answer_with(scene.bundle(&second)?);
    ensure!(
        told(&mut stream).await? == second,
        "something else was said in between"
    );
    scene.citadel.wait_said("what was read last counts")?;
    wait::until("the fault to be over", SOON, || {
        let found = scene.citadel.plane.get("/debug/diagnosticz")?;
        Ok((!found.contains("MLT0402")).then_some(()))
    })
}

/// Without TLS anybody on the way could name whom a mesh believes.
#[tokio::test]
async fn an_address_without_tls_is_not_read_and_nobody_of_it_is_believed() -> Result<()> {
    let never = Instead::Nothing;
    let scene = Scene::start(
        "bundles-plain",
        (&never, |url| url.replace("https", "http")),
    )?;
    let mut stream = scene.stream().await?;
    ensure!(told(&mut stream).await?.is_empty(), "somebody is believed");
    ensure!(scene.publisher.asked() == 0, "it was asked");
    wait::until("it to be said", SOON, || {
        let found = scene.citadel.plane.get("/debug/diagnosticz")?;
        let is_said =
            found.contains("MLT0402") && found.contains("caCertificates[0].spiffeBundleUrl");
        let metrics = scene.citadel.plane.get("/metrics")?;
        let is_counted = metrics.contains("meltemi_spiffe_bundles{state=\"none\"} 1")
            && metrics.contains("meltemi_mesh_root_faults 1");
        Ok((is_said && is_counted).then_some(()))
    })
}
