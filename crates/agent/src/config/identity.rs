//! Where the workload's certificate comes from: files that somebody mounted, else the authority.

use super::{Given, upstream};
use meltemi_agent::ads;
use meltemi_agent::identity::{Algorithm, Authority, Grace, Mounted, Settings, Source};
use meltemi_agent::upstream::Upstream;
use meltemi_types::{Secret, SpiffeId};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a provider of certificates mounts them.
const MOUNTED: &str = "./var/run/secrets/workload-spiffe-credentials";
/// How long certificates are asked for.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The settings; `None` when there is nobody to ask: the control plane is a laptop's, in plaintext.
pub(super) fn settings(
    given: &Given<'_>,
    plane: &ads::Settings,
) -> Result<Option<Settings>, String> {
    let env = given.env;
    let output = env.text("OUTPUT_CERTS").map(PathBuf::from);
    let mounted = mounted(Path::new(MOUNTED));
    let all = mounted_paths(&mounted);
    let there = all.iter().all(|path| (given.read)(path).is_some());
    if there || env.flag("FILE_MOUNTED_CERTS")? {
        let source = Source::Mounted(mounted);
        return Ok(Some(Settings { source, output }));
    }
    let address = env.text("CA_ADDR");
    if plane.roots.is_none() && address.is_none() {
        return Ok(None);
    }
    let source = Source::Authority(Box::new(authority(given, plane)?));
    Ok(Some(Settings { source, output }))
}

fn mounted(directory: &Path) -> Mounted {
    Mounted {
        chain: directory.join("cert-chain.pem"),
        key: directory.join("key.pem"),
        roots: directory.join("root-cert.pem"),
    }
}

fn mounted_paths(mounted: &Mounted) -> [&Path; 3] {
    [&mounted.chain, &mounted.key, &mounted.roots]
}

fn authority(given: &Given<'_>, plane: &ads::Settings) -> Result<Authority, String> {
    let env = given.env;
    let cluster = env.text("ISTIO_META_CLUSTER_ID").unwrap_or("Kubernetes");
    let mut headers = vec![("clusterid".to_owned(), Secret::new(cluster.to_owned()))];
    headers.extend(upstream::headers(env, "CA_HEADER_"));
    let address = env.text("CA_ADDR").unwrap_or(&plane.upstream).to_owned();
    let same = address == plane.upstream;
    Ok(Authority {
        upstream: Upstream {
            // The name of the control plane is no other authority's.
            san: plane.san.clone().filter(|_| same),
            address,
            roots: Some(upstream::roots(given, "CA_ROOT_CA")?),
            token: upstream::token(given)?,
            headers,
        },
        proof: env.text("PROV_CERT").map(|dir| mounted(Path::new(dir))),
        id: id(given)?,
        algorithm: algorithm(given)?,
        lifetime: env.duration("SECRET_TTL", LIFETIME)?,
        grace: Grace {
            ratio: number(given, "SECRET_GRACE_PERIOD_RATIO", Grace::default().ratio)?,
            jitter: number(
                given,
                "SECRET_GRACE_PERIOD_RATIO_JITTER",
                Grace::default().jitter,
            )?,
        },
        signer: env
            .text("ISTIO_META_CERT_SIGNER")
            .unwrap_or_default()
            .to_owned(),
    })
}

/// The identity that is asked for; the authority decides.
fn id(given: &Given<'_>) -> Result<SpiffeId, String> {
    let env = given.env;
    let domain = env
        .text("TRUST_DOMAIN")
        .unwrap_or("cluster.local")
        .replace('@', ".");
    let namespace = env.text("POD_NAMESPACE").unwrap_or("default");
    let account = env.text("SERVICE_ACCOUNT").unwrap_or("default");
    let text = format!("spiffe://{domain}/ns/{namespace}/sa/{account}");
    text.parse().map_err(|e| {
        format!(
            "{text} is no identity: {e}; correct TRUST_DOMAIN, POD_NAMESPACE or SERVICE_ACCOUNT"
        )
    })
}

fn algorithm(given: &Given<'_>) -> Result<Algorithm, String> {
    let env = given.env;
    let curve = env.text("ECC_CURVE");
    match (
        env.text("ECC_SIGNATURE_ALGORITHM"),
        env.text("WORKLOAD_RSA_KEY_SIZE"),
    ) {
        (Some("ECDSA"), _) | (None, None) => match curve {
            None | Some("P256") => Ok(Algorithm::P256),
            Some("P384") => Ok(Algorithm::P384),
            Some(other) => Err(format!("ECC_CURVE={other:?}: use P256 or P384")),
        },
        (Some(other), _) => Err(format!("ECC_SIGNATURE_ALGORITHM={other:?}: use ECDSA")),
        (None, Some("2048")) => Ok(Algorithm::Rsa2048),
        (None, Some("3072")) => Ok(Algorithm::Rsa3072),
        (None, Some("4096")) => Ok(Algorithm::Rsa4096),
        (None, Some(other)) => Err(format!(
            "WORKLOAD_RSA_KEY_SIZE={other:?}: use 2048, 3072 or 4096, or leave it out for a P-256 key"
        )),
    }
}

/// A part of a life: 0 to 1.
fn number(given: &Given<'_>, name: &str, default: f64) -> Result<f64, String> {
    let Some(text) = given.env.text(name) else {
        return Ok(default);
    };
    let parsed = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    parsed.ok_or_else(|| format!("{name}={text:?}: use a number from 0 to 1"))
}
