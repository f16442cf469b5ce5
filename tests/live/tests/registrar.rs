//! Certificates by somebody else: a signer of the cluster that the control plane asks in the name of
//! a pod, and that signs, refuses, says nothing, or signs something else; and an authority that pods
//! ask themselves, so that the control plane signs nothing and shows what is mounted.

use anyhow::{Context, Result, ensure};
use meltemi_live::citadel::{Citadel, web};
use meltemi_live::scene::SOON;
use meltemi_proto::any::unpack;
use meltemi_proto::istio::mesh::v1alpha1::ProxyConfig;
use meltemi_proto::urls::PROXY_CONFIG;
use meltemi_testkit::caller::Caller;
use meltemi_testkit::openssl::{Csr, Openssl, P256, Signer};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::reviews::{Token, Verdict};
use meltemi_testkit::wait;
use meltemi_testkit::webhooks::Hook;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use tonic::Code;

const ID: &str = "subjectAltName=critical,URI:spiffe://cluster.local/ns/shop/sa/web";
const SIGNER: &str = "example.com/mesh";
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ROOT: &str = "/api/v1/namespaces/istio-system/configmaps/istio-ca-root-cert";
const INJECTOR: &str = "/api/v1/namespaces/istio-system/configmaps/istio-sidecar-injector";
const RA: [(&str, &str); 3] = [
    ("EXTERNAL_CA", "ISTIOD_RA_KUBERNETES_API"),
    ("K8S_SIGNER", SIGNER),
    ("CERT_SIGNER_DOMAIN", "example.com"),
];

fn pod() -> Token<'static> {
    Token::of("shop", "web", "web-0")
}

/// A control plane that asks the signers of a cluster, and their authority.
struct Scene {
    citadel: Citadel,
    scratch: Scratch,
    root: Signer,
}

impl Scene {
    fn start(name: &str) -> Result<Self> {
        let scratch = Scratch::new(&format!("{name}-signer"))?;
        let root = Openssl::new(scratch.path()).root("cluster")?;
        let citadel = Citadel::start_on(name, &RA, |stage| {
            let pem = root.certificate.trim_end().replace('\n', "\n      ");
            let mesh =
                format!("caCertificates:\n- certSigners: [{SIGNER}]\n  pem: |\n      {pem}\n");
            Ok(std::fs::write(stage.dir.join("mesh.yaml"), mesh)?)
        })?;
        Ok(Self {
            citadel,
            scratch,
            root,
        })
    }

    /// From now on the signer signs with these extensions, for the key of `instead` if that is given.
    fn signs(&self, extensions: &str, instead: Option<Csr>) {
        let openssl = Arc::new(Mutex::new(Openssl::new(self.scratch.path())));
        let (root, extensions) = (self.root.clone(), extensions.to_owned());
        self.citadel.reviews.sign_with(move |spec| {
            let openssl = openssl.lock().unwrap_or_else(PoisonError::into_inner);
            let text = spec["request"].as_str().unwrap_or_default();
            let request = openssl.from_base64(text).unwrap_or_default();
            let key = String::new();
            let csr = instead.clone().unwrap_or(Csr { request, key });
            match openssl.sign(&csr, &root, &extensions) {
                Ok(certificate) => Verdict::Signed(certificate),
                Err(error) => Verdict::Failed(format!("{error:#}")),
            }
        });
    }

    /// A request as an agent sends it.
    fn csr(&self) -> Result<Csr> {
        self.citadel.openssl.csr(P256, &["-addext", ID])
    }

    async fn ask(
        &self,
        csr: &Csr,
        signer: Option<&str>,
    ) -> Result<Result<Vec<String>, tonic::Status>> {
        let caller = self.citadel.caller(Some(&pod()))?;
        let channel = caller.connect().await?;
        caller.sign_by(channel, (&csr.request, 3600), signer).await
    }

    async fn expect(
        &self,
        csr: &Csr,
        signer: Option<&str>,
        (code, words): (Code, &str),
    ) -> Result<()> {
        let status = self.ask(csr, signer).await?.err();
        let status = status.with_context(|| format!("{words:?} was to be refused"))?;
        let fits = status.code() == code && status.message().contains(words);
        ensure!(fits, "{code:?} with {words:?} was expected: {status:?}");
        Ok(())
    }

    /// Nothing of what was asked stays.
    fn wait_clean(&self) -> Result<()> {
        wait::until("no request to be left", SOON, || {
            Ok(self
                .citadel
                .reviews
                .open_requests()
                .is_empty()
                .then_some(()))
        })
    }
}

fn leaf(names: &str) -> String {
    format!("{names}\nextendedKeyUsage=clientAuth,serverAuth\nbasicConstraints=CA:FALSE\n")
}

#[tokio::test]
async fn a_signer_of_the_cluster_signs_for_who_is_known() -> Result<()> {
    let scene = Scene::start("registrar")?;
    scene.signs(&leaf(ID), None);
    for (wish, asked) in [(None, SIGNER), (Some(""), SIGNER), (Some("mesh"), SIGNER)] {
        let csr = scene.csr()?;
        let chain = scene.ask(&csr, wish).await??;
        scene.citadel.openssl.verify(&chain)?;
        let roots = chain.last().context("no roots")?;
        ensure!(*roots == scene.root.certificate, "other roots");
        let approved = scene.citadel.reviews.approved();
        let spec = approved.last().context("nothing was approved")?;
        ensure!(spec["signerName"] == asked, "{spec}");
        ensure!(spec["expirationSeconds"] == 3600, "{spec}");
        let text = spec["request"].as_str().context("no request")?;
        let request = scene.citadel.openssl.from_base64(text)?;
        ensure!(
            request.replace('\r', "") == csr.request,
            "another request: {request}"
        );
    }
    scene.wait_clean()?;
    // Its configuration is served to it all the same.
    let caller = scene.citadel.caller(Some(&pod()))?;
    let mut stream = caller.stream_on(caller.connect().await?, &web()).await?;
    stream.names().await?;
    let refused = (Code::InvalidArgument, "no name");
    scene
        .expect(&scene.csr()?, Some("../other"), refused)
        .await?;
    // Another signer of the domain may be named; its root is not known, and it brings none.
    let unknown = (Code::Internal, "MeshConfig.caCertificates");
    scene.expect(&scene.csr()?, Some("other"), unknown).await
}

#[tokio::test]
async fn nothing_is_forwarded_that_was_not_proved() -> Result<()> {
    let scene = Scene::start("registrar-more")?;
    scene.signs(&leaf(ID), None);
    let other = "subjectAltName=URI:spiffe://cluster.local/ns/bank/sa/admin";
    let two = format!("{ID},URI:spiffe://cluster.local/ns/bank/sa/admin");
    let dns = format!("{ID},DNS:istiod.istio-system.svc");
    for more in [
        &["-addext", other][..],
        &["-addext", &two],
        &["-addext", &dns],
        &["-addext", ID, "-addext", "basicConstraints=CA:TRUE"],
        &["-addext", ID, "-addext", "extendedKeyUsage=codeSigning"],
        &["-addext", ID, "-subj", "/CN=admin"],
        &[],
    ] {
        let csr = scene.citadel.openssl.csr(P256, more)?;
        let refused = (Code::InvalidArgument, "signed elsewhere");
        let what = || format!("{more:?}");
        scene.expect(&csr, None, refused).await.with_context(what)?;
    }
    let nobody = scene.citadel.caller(None)?;
    let refused = nobody.sign(&scene.csr()?.request, 0).await?;
    let refused = refused.err().context("nobody gets a certificate")?;
    ensure!(refused.code() == Code::Unauthenticated, "{refused:?}");
    let approved = scene.citadel.reviews.approved();
    ensure!(approved.is_empty(), "something was approved: {approved:?}");
    ensure!(
        scene.citadel.reviews.open_requests().is_empty(),
        "something was made"
    );
    Ok(())
}

#[tokio::test]
async fn what_a_signer_answers_is_not_believed() -> Result<()> {
    let scene = Scene::start("registrar-wrong")?;
    let csr = scene.csr()?;
    let other = scene.csr()?;
    scene.signs(&leaf(ID), Some(other));
    scene
        .expect(&csr, None, (Code::Internal, "another key"))
        .await?;
    let admin = "subjectAltName=URI:spiffe://cluster.local/ns/bank/sa/admin";
    for names in [
        admin.to_owned(),
        format!("{ID},DNS:istiod.istio-system.svc"),
    ] {
        scene.signs(&leaf(&names), None);
        scene.expect(&csr, None, (Code::Internal, "alone")).await?;
    }
    scene.signs(&format!("{ID}\nbasicConstraints=CA:TRUE\n"), None);
    scene
        .expect(&csr, None, (Code::Internal, "may sign others"))
        .await?;
    let strange = Openssl::new(scene.scratch.path()).root("strange")?;
    let theirs = scene.citadel.openssl.sign(&csr, &strange, &leaf(ID))?;
    for (text, words) in [
        (theirs.as_str(), "has signed"),
        ("junk", "signer example.com/mesh"),
    ] {
        let text = text.to_owned();
        let say = move |_: &Value| Verdict::Signed(text.clone());
        scene.citadel.reviews.sign_with(say);
        scene.expect(&csr, None, (Code::Internal, words)).await?;
    }
    let say = |_: &Value| Verdict::Failed("out of ink".to_owned());
    scene.citadel.reviews.sign_with(say);
    scene
        .expect(&csr, None, (Code::Internal, "out of ink"))
        .await?;
    scene.citadel.reviews.sign_with(|_| Verdict::Silent);
    scene
        .expect(&csr, None, (Code::Unavailable, "does not answer"))
        .await?;
    scene.wait_clean()?;
    // It has been none of our doing: the next one is signed.
    scene.signs(&leaf(ID), None);
    let chain = scene.ask(&csr, None).await??;
    scene.citadel.openssl.verify(&chain)
}

#[tokio::test]
async fn workloads_are_told_of_the_roots_of_mesh_configuration() -> Result<()> {
    let scratch = Scratch::new("registrar-partner")?;
    let partner = Openssl::new(scratch.path()).root("partner")?.certificate;
    let pem = partner.trim_end().replace('\n', "\n    ");
    let mesh = format!("caCertificates:\n- pem: junk\n- pem: |\n    {pem}\n");
    let citadel = Citadel::start_on("registrar-roots", &[], |stage| {
        Ok(std::fs::write(stage.dir.join("mesh.yaml"), &mesh)?)
    })?;
    let caller = citadel.caller(Some(&pod()))?;
    let mut stream = caller
        .stream_of(PROXY_CONFIG, (caller.connect().await?, &web()))
        .await?;
    let response = tokio::time::timeout(SOON, stream.next()).await??;
    let resource = response.resources.into_iter().next();
    let body = resource.and_then(|one| one.resource).context("no body")?;
    let message: ProxyConfig = unpack(&body)?;
    let own = citadel.roots()?;
    let told: BTreeSet<_> = message.ca_certificates_pem.iter().collect();
    ensure!(told == BTreeSet::from([&own, &partner]), "{told:?}");
    ensure!(message.trust_domain_roots.is_empty(), "both are for all");
    // A certificate comes with the roots of who signs it alone, so that others can be taken back; and
    // who is to prove the control plane stays its own authority.
    let csr = citadel.openssl.p256()?;
    let chain = caller.sign(&csr.request, 3600).await??;
    citadel.openssl.verify(&chain)?;
    ensure!(chain.last() == Some(&own), "{chain:?}");
    citadel.wait_said("caCertificates[0].pem: there is no certificate in PEM")
}

/// What is mounted is shown, and our own authority signs for workloads.
#[tokio::test]
async fn a_mounted_certificate_is_shown_beside_an_authority() -> Result<()> {
    let scratch = Scratch::new("registrar-beside-files")?;
    let openssl = Openssl::new(scratch.path());
    let root = openssl.root("elsewhere")?;
    let file = |name: &str| scratch.path().join(name).display().to_string();
    let names = "subjectAltName=DNS:istiod.istio-system.svc\nextendedKeyUsage=serverAuth\n";
    let csr = openssl.p256()?;
    openssl.write("tls.crt", &openssl.sign(&csr, &root, names)?)?;
    openssl.write("tls.key", &csr.key)?;
    openssl.write("ca.crt", &root.certificate)?;
    let flag = format!("--tlsCertFile={}", file("tls.crt"));
    let key = format!("--tlsKeyFile={}", file("tls.key"));
    let citadel = Citadel::start_with("registrar-beside", &[], &[&flag, &key])?;
    let by = |roots: String| -> Result<Caller> {
        Ok(Caller {
            server: citadel.plane.secure()?,
            roots,
            token: Some(citadel.reviews.mint(&pod())),
            certificate: None,
        })
    };
    let own = citadel.roots()?;
    ensure!(by(own.clone())?.connect().await.is_err(), "ours is shown");
    let caller = by(root.certificate.clone())?;
    let workload = citadel.openssl.p256()?;
    let chain = caller.sign(&workload.request, 3600).await??;
    citadel.openssl.verify(&chain)?;
    ensure!(chain.last() == Some(&own), "{chain:?}");
    // A certificate of our authority proves who calls.
    let leaf = chain.first().context("no certificate")?.clone();
    let by_certificate = Caller {
        token: None,
        certificate: Some((leaf, workload.key)),
        ..by(root.certificate.clone())?
    };
    let mut stream = by_certificate
        .stream_on(by_certificate.connect().await?, &web())
        .await?;
    stream.names().await?;
    // Half of what is mounted changes nothing.
    openssl.write("tls.key", "junk")?;
    citadel.wait_said("tls.key cannot be read")?;
    by(root.certificate.clone())?.connect().await?;
    Ok(())
}

#[tokio::test]
async fn a_control_plane_without_an_authority_shows_what_is_mounted() -> Result<()> {
    let scratch = Scratch::new("registrar-mounted-files")?;
    let openssl = Openssl::new(scratch.path());
    let root = openssl.root("elsewhere")?;
    let file = |name: &str| scratch.path().join(name).display().to_string();
    let names = "subjectAltName=DNS:istiod.istio-system.svc\nextendedKeyUsage=serverAuth\n";
    let mount = || -> Result<String> {
        let csr = openssl.p256()?;
        let certificate = openssl.sign(&csr, &root, names)?;
        openssl.write("tls.key", &csr.key)?;
        openssl.write("ca.crt", &root.certificate)?;
        openssl.write("tls.crt", &certificate)?;
        Ok(certificate)
    };
    let env = [("ENABLE_CA_SERVER", "false")];
    let flag = format!("--tlsCertFile={}", file("tls.crt"));
    let key = format!("--tlsKeyFile={}", file("tls.key"));
    let root_file = format!("--caCertFile={}", file("ca.crt"));
    mount()?;
    let citadel = Citadel::start_with("registrar-mounted", &env, &[&flag, &key, &root_file])?;
    let caller = |token: Option<&Token<'_>>| -> Result<Caller> {
        Ok(Caller {
            server: citadel.plane.secure()?,
            roots: root.certificate.clone(),
            token: token.map(|token| citadel.reviews.mint(token)),
            certificate: None,
        })
    };
    let known = caller(Some(&pod()))?;
    let mut stream = known.stream_on(known.connect().await?, &web()).await?;
    stream.names().await?;
    // Nothing is signed here, and nobody's root is published.
    let csr = citadel.openssl.p256()?;
    let refused = known.sign(&csr.request, 0).await?;
    let refused = refused.err().context("it signs")?;
    ensure!(refused.code() == Code::Unimplemented, "{refused:?}");
    let made = citadel.reviews.object(meltemi_live::citadel::SECRET);
    ensure!(made.is_none(), "an authority was made");
    // A certificate of that authority proves who calls.
    let workload = openssl.p256()?;
    let extensions = leaf(ID);
    let certificate = openssl.sign(&workload, &root, &extensions)?;
    let by_certificate = Caller {
        certificate: Some((certificate, workload.key)),
        ..caller(None)?
    };
    let mut stream = by_certificate
        .stream_on(by_certificate.connect().await?, &web())
        .await?;
    stream.names().await?;
    // What is mounted anew is shown without a restart; half of it changes nothing.
    openssl.write("tls.key", "junk")?;
    citadel.wait_said("tls.key cannot be read")?;
    mount()?;
    let log = || citadel.plane.log();
    wait::until("the next certificate", SOON, || {
        let shown = log().matches("with a certificate of somebody else").count();
        Ok((shown >= 2).then_some(()))
    })?;
    caller(Some(&pod()))?.connect().await?;
    Ok(())
}

#[tokio::test]
async fn the_webhook_is_believed_by_the_root_of_what_is_mounted() -> Result<()> {
    for enabled in ["false", "true"] {
        bundle_of_what_is_mounted(enabled).await?;
    }
    Ok(())
}

/// What is mounted decides, whether or not an authority of ours is `enabled` beside it.
async fn bundle_of_what_is_mounted(enabled: &str) -> Result<()> {
    const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    let scratch = Scratch::new(&format!("registrar-bundle-{enabled}"))?;
    let openssl = Openssl::new(scratch.path());
    let root = openssl.root("elsewhere")?;
    let csr = openssl.p256()?;
    let names = "subjectAltName=DNS:istiod.istio-system.svc\nextendedKeyUsage=serverAuth\n";
    openssl.write("tls.crt", &openssl.sign(&csr, &root, names)?)?;
    openssl.write("tls.key", &csr.key)?;
    // What lies beside a root goes nowhere.
    openssl.write("ca.crt", &format!("{}{}", csr.key, root.certificate))?;
    let file = |name: &str| scratch.path().join(name).display().to_string();
    let flags = [
        format!("--enable-ca-server={enabled}"),
        "--httpsAddr=127.0.0.1:0".to_owned(),
        format!("--tlsCertFile={}", file("tls.crt")),
        format!("--tlsKeyFile={}", file("tls.key")),
        format!("--caCertFile={}", file("ca.crt")),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let at = format!("{HOOKS}/istio-sidecar-injector");
    let hooks = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {
            "name": "istio-sidecar-injector", "resourceVersion": "1",
            "labels": {"istio.io/rev": "default"},
        },
        "webhooks": [{
            "name": "namespace.sidecar-injector.istio.io", "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"name": "istiod", "namespace": "istio-system"}},
        }],
    });
    let citadel = Citadel::start_prepared("registrar-bundle", &flags, |stage| {
        stage.reviews.put(&at, hooks);
        stage.reviews.put(INJECTOR, json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"values": "{}"},
            "metadata": {"name": "istio-sidecar-injector", "namespace": "istio-system", "resourceVersion": "1"},
        }));
        Ok(())
    })?;
    let bundle = wait::until("the bundle", SOON, || {
        let hooks = citadel.reviews.object(&at).context("no webhooks")?;
        let bundle = hooks.pointer("/webhooks/0/clientConfig/caBundle");
        Ok(bundle.and_then(Value::as_str).map(ToOwned::to_owned))
    })?;
    let bundle = citadel.openssl.from_base64(&bundle)?;
    ensure!(bundle == root.certificate, "{bundle}");
    // It is somebody else's to tell the namespaces.
    if enabled == "false" {
        let told = citadel.reviews.object(ROOT);
        ensure!(told.is_none(), "a root was published: {told:?}");
    } else {
        ensure!(citadel.roots()? != bundle, "the root is not ours");
    }
    Hook::connect(citadel.plane.webhook()?, &bundle, LOCALHOST).await?;
    Ok(())
}
