//! Certificates without a cluster: a development authority in the directory of the configuration,
//! and tokens by `meltemi token`.

use anyhow::{Context, Result, ensure};
use meltemi_live::citadel::web;
use meltemi_live::shop::service;
use meltemi_testkit::caller::Caller;
use meltemi_testkit::laptop;
use meltemi_testkit::openssl::Openssl;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{Options, Plane};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tonic::Code;

fn start(scratch: &Path) -> Result<Plane> {
    let config = scratch.join("config").display().to_string();
    let mut options = Options::new(paths::binary("meltemid")?, config, scratch.to_path_buf());
    let words = [
        "--secureGRPCAddr",
        "127.0.0.1:0",
        "--monitoringAddr",
        "127.0.0.1:0",
    ];
    options.args = words.map(Into::into).to_vec();
    Plane::start(&options)
}

fn token(config: &Path, words: &[&str]) -> Result<String> {
    laptop::token(&paths::binary("meltemi")?, config, words)
}

#[tokio::test]
async fn a_laptop_has_an_authority_of_its_own() -> Result<()> {
    let scratch = Scratch::new("laptop")?;
    let config = scratch.path().join("config");
    std::fs::create_dir(&config)?;
    std::fs::write(
        config.join("reviews.yaml"),
        service("reviews", "app: reviews"),
    )?;
    let early = token(&config, &[]).err().context("there is no key yet")?;
    ensure!(
        format!("{early:#}").contains("--secureGRPCAddr"),
        "{early:#}"
    );

    let mut plane = start(scratch.path())?;
    let home = config.join(".meltemi");
    let mode = std::fs::metadata(home.join("ca-key.pem"))?
        .permissions()
        .mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let roots = std::fs::read_to_string(home.join("root-cert.pem"))?;
    let words = laptop::pod(("shop", "web", "web-0"));
    let mut caller = Caller {
        server: plane.secure()?,
        roots: roots.clone(),
        token: Some(token(&config, &words)?),
        certificate: None,
    };
    let openssl = Openssl::new(scratch.path());
    let csr = openssl.p256()?;
    let chain = caller.sign(&csr.request, 0).await??;
    openssl.verify(&chain)?;
    let text = openssl.text(chain.first().context("no leaf")?)?;
    ensure!(
        text.contains("URI:spiffe://cluster.local/ns/shop/sa/web"),
        "{text}"
    );
    let mut stream = caller.stream_on(caller.connect().await?, &web()).await?;
    let names = stream.names().await?;
    ensure!(
        names.iter().any(|name| name.contains("reviews.shop")),
        "{names:?}"
    );

    // What is no pod, for somebody else, or of another directory gets nothing.
    let other = scratch.path().join("other");
    std::fs::create_dir_all(other.join(".meltemi"))?;
    openssl.run(&[
        "genpkey",
        "-algorithm",
        "ed25519",
        "-out",
        "other/.meltemi/token-key.pem",
    ])?;
    let audience = [&words[..], &["--audience", "other"]].concat();
    let bad = [
        token(&config, &words[..4])?,
        token(&config, &audience)?,
        token(&other, &words)?,
        String::from("junk"),
    ];
    let good = caller.token.take();
    for token in bad {
        let nobody = Caller {
            token: Some(token),
            ..caller.clone()
        };
        let refused = nobody.sign(&csr.request, 0).await?;
        let refused = refused.err().context("a certificate for nobody")?;
        ensure!(refused.code() == Code::Unauthenticated, "{refused:?}");
    }
    // The same authority and the same tokens after a restart.
    plane.stop()?;
    let plane = start(scratch.path())?;
    caller.server = plane.secure()?;
    caller.token = good;
    openssl.verify(&caller.sign(&csr.request, 0).await??)?;
    Ok(())
}
