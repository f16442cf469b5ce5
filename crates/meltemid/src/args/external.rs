//! Who signs certificates of workloads, by istiod's names (platform.md 4.8, 4.9): the control plane,
//! a signer of the cluster that it asks in their name, or somebody else whom agents ask themselves.

use super::identity::switch;
use std::path::PathBuf;

/// Where istio-csr puts a certificate for the control plane.
const TLS: &str = "/var/run/secrets/istiod/tls";
const ROOTS: &str = "/var/run/secrets/istiod/ca/root-cert.pem";

/// The environment, and three flags.
#[derive(Debug, clap::Args)]
pub(super) struct ExternalArgs {
    /// Whether certificates of workloads are signed here.
    #[arg(long, env = "ENABLE_CA_SERVER", hide = true, default_value = "true")]
    enable_ca_server: String,
    /// Who signs instead; empty is nobody.
    #[arg(long, env = "EXTERNAL_CA", hide = true, default_value = "")]
    external_ca: String,
    /// The signer of the cluster that is asked.
    #[arg(long, env = "K8S_SIGNER", hide = true, default_value = "")]
    k8s_signer: String,
    /// The domain of the signers that a request may name.
    #[arg(long, env = "CERT_SIGNER_DOMAIN", hide = true, default_value = "")]
    cert_signer_domain: String,
    /// The file with the certificate that is shown on --secureGRPCAddr instead of one that we sign
    /// [default: /var/run/secrets/istiod/tls/tls.crt, if it is there].
    #[arg(long = "tlsCertFile", alias = "tls-cert-file", value_name = "FILE")]
    tls_cert_file: Option<PathBuf>,
    /// The file with its key [default: /var/run/secrets/istiod/tls/tls.key].
    #[arg(long = "tlsKeyFile", alias = "tls-key-file", value_name = "FILE")]
    tls_key_file: Option<PathBuf>,
    /// The file with the roots of the mesh [default: /var/run/secrets/istiod/ca/root-cert.pem, else
    /// ca.crt beside the certificate].
    #[arg(long = "caCertFile", alias = "ca-cert-file", value_name = "FILE")]
    ca_cert_file: Option<PathBuf>,
}

/// Who signs certificates of workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// We do.
    Own,
    /// A signer of the cluster, which we ask.
    Cluster(SignerNames),
    /// Somebody whom agents ask, and who has signed our certificate, too.
    Elsewhere(ServingFiles),
}

/// Which certificate is shown beside an authority of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Serving {
    /// What is in these files when they are there, else one that we sign.
    Found(ServingFiles),
    /// What is in these files, and no other.
    Named(ServingFiles),
}

/// Which signers of a cluster are asked; at least one of the two is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SignerNames {
    /// Where a request names none.
    pub(crate) default: Option<String>,
    /// The domain of those that requests may name.
    pub(crate) domain: Option<String>,
}

/// The files with a certificate for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServingFiles {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    /// The first that there is.
    pub(crate) roots: Vec<PathBuf>,
}

impl ExternalArgs {
    /// Who signs, and what is shown beside an authority of our own; `in_cluster` is whether there is an
    /// API server to ask.
    pub(super) fn read(self, in_cluster: bool) -> Result<(Signer, Serving), String> {
        let Self {
            enable_ca_server,
            external_ca,
            k8s_signer,
            cert_signer_domain,
            tls_cert_file,
            tls_key_file,
            ca_cert_file,
        } = self;
        let is_own = switch("ENABLE_CA_SERVER", &enable_ca_server)?;
        let is_named = tls_cert_file.is_some();
        if is_own && is_named != tls_key_file.is_some() {
            return Err("--tlsCertFile and --tlsKeyFile: name both, or none".to_owned());
        }
        let files = files(tls_cert_file, tls_key_file, ca_cert_file);
        if !is_own {
            return Ok((Signer::Elsewhere(files.clone()), Serving::Named(files)));
        }
        let serving = match is_named {
            true => Serving::Named(files),
            false => Serving::Found(files),
        };
        let set = |text: String| Some(text).filter(|text| !text.is_empty());
        let names = SignerNames {
            default: set(k8s_signer),
            domain: set(cert_signer_domain),
        };
        Ok((signer(&external_ca, names, in_cluster)?, serving))
    }
}

/// The files of a mounted certificate; where none is named, those of istio-csr.
fn files(chain: Option<PathBuf>, key: Option<PathBuf>, roots: Option<PathBuf>) -> ServingFiles {
    let chain = chain.unwrap_or_else(|| format!("{TLS}/tls.crt").into());
    ServingFiles {
        roots: match roots {
            Some(file) => vec![file],
            None => vec![ROOTS.into(), chain.with_file_name("ca.crt")],
        },
        key: key.unwrap_or_else(|| format!("{TLS}/tls.key").into()),
        chain,
    }
}

/// Who signs, where that is not left to others.
fn signer(external_ca: &str, names: SignerNames, in_cluster: bool) -> Result<Signer, String> {
    match external_ca {
        "" => Ok(Signer::Own),
        "ISTIOD_RA_KUBERNETES_API" if in_cluster => match names == SignerNames::default() {
            true => Err(
                "EXTERNAL_CA=ISTIOD_RA_KUBERNETES_API: name a signer in K8S_SIGNER, or the \
                         domain of those that pods may name in CERT_SIGNER_DOMAIN"
                    .to_owned(),
            ),
            false => Ok(Signer::Cluster(names)),
        },
        "ISTIOD_RA_KUBERNETES_API" => Err(
            "EXTERNAL_CA=ISTIOD_RA_KUBERNETES_API: there is no API server whose signers could \
                 be asked"
                .to_owned(),
        ),
        "ISTIOD_RA_ISTIO_API" => Err(
            "EXTERNAL_CA=ISTIOD_RA_ISTIO_API was removed from Istio, too: set \
                 ENABLE_CA_SERVER=false, and let agents ask that authority themselves (caAddress)"
                .to_owned(),
        ),
        other => Err(format!(
            "EXTERNAL_CA={other:?} is unknown; use ISTIOD_RA_KUBERNETES_API, or leave it out"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: &[&str], in_cluster: bool) -> Result<Signer, String> {
        shown(flags, in_cluster).map(|(signer, _)| signer)
    }

    fn shown(flags: &[&str], in_cluster: bool) -> Result<(Signer, Serving), String> {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            external: ExternalArgs,
        }
        let flags = std::iter::once("meltemid").chain(flags.iter().copied());
        let only = <Only as clap::Parser>::parse_from(flags);
        only.external.read(in_cluster)
    }

    #[test]
    fn certificates_are_signed_here_unless_somebody_else_is_named() {
        assert_eq!(read(&[], false), Ok(Signer::Own));
        let ra = "--external-ca=ISTIOD_RA_KUBERNETES_API";
        let signer = read(&[ra, "--k8s-signer=example.com/mesh"], true).unwrap();
        let names = SignerNames {
            default: Some("example.com/mesh".to_owned()),
            domain: None,
        };
        assert_eq!(signer, Signer::Cluster(names));
        let off = read(
            &["--enable-ca-server=false", "--tlsCertFile=/a/b.crt"],
            false,
        );
        let Ok(Signer::Elsewhere(files)) = off else {
            panic!("{off:?}");
        };
        assert_eq!(
            files.key,
            PathBuf::from("/var/run/secrets/istiod/tls/tls.key")
        );
        assert_eq!(files.roots, [PathBuf::from(ROOTS), "/a/ca.crt".into()]);
        for (flags, in_cluster, words) in [
            (&[ra][..], true, "K8S_SIGNER"),
            (&[ra, "--k8s-signer=a.b/c"], false, "no API server"),
            (&["--external-ca=ISTIOD_RA_ISTIO_API"], true, "caAddress"),
            (&["--external-ca=vault"], true, "unknown"),
            (&["--enable-ca-server=maybe"], true, "ENABLE_CA_SERVER"),
            (&["--tlsCertFile=/a"], true, "name both"),
        ] {
            let why = read(flags, in_cluster).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let named = shown(&["--tlsCertFile=/a/b", "--tlsKeyFile=/a/c"], true).unwrap();
        assert!(
            matches!(named, (Signer::Own, Serving::Named(_))),
            "{named:?}"
        );
        let (_, found) = shown(&[], true).unwrap();
        assert!(matches!(found, Serving::Found(_)), "{found:?}");
    }
}
