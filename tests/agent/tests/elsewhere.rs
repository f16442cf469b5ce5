//! An agent whose authority is not its control plane: `CA_ADDR` and `CA_ROOT_CA`, as for cert-manager's
//! istio-csr, which speaks the same protocol. Here another control plane stands for it.

use anyhow::{Context, Result, ensure};
use meltemi_agent_tests::pod::{Pod, SOON};
use meltemi_testkit::openssl::Openssl;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{Options, Plane};
use meltemi_testkit::reviews::{Reviews, Token};
use meltemi_testkit::wait;
use serde_json::Value;

const ROOT: &str = "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert";

/// An authority, and nothing else.
struct Elsewhere {
    plane: Plane,
    reviews: Reviews,
    roots: String,
    scratch: Scratch,
}

impl Elsewhere {
    fn start(name: &str) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let config = scratch.path().join("config");
        std::fs::create_dir(&config)?;
        let reviews = Reviews::start(&["istio-system", "shop"])?;
        let config = config.display().to_string();
        let mut options = Options::new(paths::binary("meltemid")?, config, scratch.path().into());
        let kubeconfig = reviews.kubeconfig(scratch.path())?;
        options.args = vec!["--kubeconfig".into(), kubeconfig.into()];
        for flag in ["--secureGRPCAddr", "--httpAddr", "--monitoringAddr"] {
            options.args.extend([flag.into(), "127.0.0.1:0".into()]);
        }
        // Its certificate names the host that agents dial.
        options.env = vec![("ISTIOD_CUSTOM_HOST".to_owned(), "127.0.0.1".to_owned())];
        let plane = Plane::start(&options)?;
        let map = wait::until("the root of the authority", SOON, || {
            Ok(reviews.object(ROOT))
        })?;
        let roots = map.pointer("/data/root-cert.pem").and_then(Value::as_str);
        Ok(Self {
            plane,
            roots: roots.context("no root")?.to_owned(),
            reviews,
            scratch,
        })
    }
}

#[test]
fn the_certificate_comes_from_the_authority_that_is_named() -> Result<()> {
    let elsewhere = Elsewhere::start("agent-elsewhere-ca")?;
    // The control plane of the pod serves in plaintext and signs nothing.
    let mut pod = Pod::new("agent-elsewhere")?;
    let root = pod.scratch.path().join("root");
    let tokens = root.join("var/run/secrets/tokens");
    std::fs::create_dir_all(&tokens)?;
    let token = Token::of("shop", "shop", "shop-1");
    std::fs::write(tokens.join("istio-token"), elsewhere.reviews.mint(&token))?;
    let file = elsewhere.scratch.path().join("ca-root.pem");
    std::fs::write(&file, &elsewhere.roots)?;
    let out = pod.scratch.path().join("out");
    let address = elsewhere.plane.secure()?.to_string();
    pod.env = vec![
        ("CA_ADDR".to_owned(), address),
        ("CA_ROOT_CA".to_owned(), file.display().to_string()),
        ("OUTPUT_CERTS".to_owned(), out.display().to_string()),
    ];
    pod.start()?;
    // The roots are the last that is written.
    let roots = wait::until("the certificate in OUTPUT_CERTS", SOON, || {
        pod.agent()?.expect_running()?;
        Ok(std::fs::read_to_string(out.join("root-cert.pem")).ok())
    })
    .with_context(|| pod.log())?;
    let chain = std::fs::read_to_string(out.join("cert-chain.pem"))?;
    ensure!(roots.trim_end() == elsewhere.roots.trim_end(), "{roots}");
    let openssl = Openssl::new(elsewhere.scratch.path());
    openssl.verify(&[chain.clone(), roots])?;
    let text = openssl.text(&chain)?;
    let id = "URI:spiffe://cluster.local/ns/shop/sa/shop";
    ensure!(text.contains(id), "{text}");
    let audit = elsewhere.plane.log();
    ensure!(audit.contains("certificate issued"), "{audit}");
    // Configuration still comes from the control plane.
    pod.wait_ready()
}

#[test]
fn an_authority_that_its_roots_do_not_vouch_for_gets_no_token() -> Result<()> {
    let elsewhere = Elsewhere::start("agent-strange-ca")?;
    let mut pod = Pod::new("agent-strange")?;
    let tokens = pod.scratch.path().join("root/var/run/secrets/tokens");
    std::fs::create_dir_all(&tokens)?;
    let token = elsewhere.reviews.mint(&Token::of("shop", "shop", "shop-1"));
    std::fs::write(tokens.join("istio-token"), &token)?;
    let openssl = Openssl::new(elsewhere.scratch.path());
    let file = elsewhere.scratch.path().join("other-root.pem");
    std::fs::write(&file, openssl.root("other")?.certificate)?;
    pod.env = vec![
        ("CA_ADDR".to_owned(), elsewhere.plane.secure()?.to_string()),
        ("CA_ROOT_CA".to_owned(), file.display().to_string()),
    ];
    pod.start()?;
    wait::until("the agent to say why", SOON, || {
        Ok(pod.log().contains("UnknownIssuer").then_some(()))
    })
    .with_context(|| pod.log())?;
    ensure!(
        !elsewhere.reviews.was_asked(&token),
        "it was shown the token"
    );
    Ok(())
}
