//! What users set of the authority, in the environment, by istiod's names (platform.md 4.4, 6.3).
//!
//! A default lifetime above the longest one would refuse nobody and mean nothing, so it is a mistake.

use super::duration;
use meltemi_ca::{Lifetimes, Renewal};
use meltemi_kube::secret::Home;
use std::path::PathBuf;
use std::time::Duration;

/// The environment.
#[derive(Debug, clap::Args)]
pub(super) struct IdentityArgs {
    /// How long certificates of workloads count that ask for no time.
    #[arg(
        long,
        env = "DEFAULT_WORKLOAD_CERT_TTL",
        hide = true,
        default_value = "24h"
    )]
    default_workload_cert_ttl: String,
    /// The longest that one may ask for.
    #[arg(
        long,
        env = "MAX_WORKLOAD_CERT_TTL",
        hide = true,
        default_value = "2160h"
    )]
    max_workload_cert_ttl: String,
    /// How long a new root is handed out before anything is signed under it.
    #[arg(long, env = "MELTEMI_ROOT_SETTLE", hide = true, default_value = "3m")]
    root_settle: String,
    /// How long the self-signed root counts.
    #[arg(
        long,
        env = "CITADEL_SELF_SIGNED_CA_CERT_TTL",
        hide = true,
        default_value = "87600h"
    )]
    self_signed_ttl: String,
    /// How often the self-signed root is looked at; 0 is never.
    #[arg(
        long,
        env = "CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL",
        hide = true,
        default_value = "1h"
    )]
    root_check: String,
    /// It is renewed when so much of its lifetime is left, in percent.
    #[arg(
        long,
        env = "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE",
        hide = true,
        default_value = "20"
    )]
    root_grace: String,
    /// Whether the first look is at a random moment.
    #[arg(
        long,
        env = "CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR",
        hide = true,
        default_value = "true"
    )]
    root_jitter: String,
    /// The directory with an authority of one's own, instead of the Secret cacerts.
    #[arg(long, env = "ROOT_CA_DIR", hide = true, default_value = "")]
    root_ca_dir: String,
    /// Whether a self-signed root is kept in Secret cacerts, marked, instead of istio-ca-secret.
    #[arg(
        long,
        env = "USE_CACERTS_FOR_SELF_SIGNED_CA",
        hide = true,
        default_value = "false"
    )]
    self_signed_in_cacerts: String,
}

/// How certificates are signed.
#[derive(Clone, Debug)]
pub(crate) struct Signing {
    /// How long they count.
    pub(crate) lifetimes: Lifetimes,
    /// How long a new root is handed out before anything is signed under it.
    pub(crate) settle: Duration,
    /// How long the self-signed root counts, and when it is renewed.
    pub(crate) renewal: Renewal,
    /// How often the self-signed root is looked at; `None` is never.
    pub(crate) check: Option<Duration>,
    /// Whether the first look is at a random moment.
    pub(crate) jitter: bool,
    /// Where an authority of one's own is, instead of the Secret `cacerts`.
    pub(crate) directory: Option<PathBuf>,
    /// Which Secret keeps a self-signed root.
    pub(crate) home: Home,
}

impl IdentityArgs {
    pub(super) fn read(&self) -> Result<Signing, String> {
        let Self {
            default_workload_cert_ttl,
            max_workload_cert_ttl,
            root_settle,
            self_signed_ttl,
            root_check,
            root_grace,
            root_jitter,
            root_ca_dir,
            self_signed_in_cacerts,
        } = self;
        let default = lifetime("DEFAULT_WORKLOAD_CERT_TTL", default_workload_cert_ttl)?;
        let max = lifetime("MAX_WORKLOAD_CERT_TTL", max_workload_cert_ttl)?;
        if default > max {
            return Err(format!(
                "DEFAULT_WORKLOAD_CERT_TTL {default_workload_cert_ttl:?} is longer than \
                 MAX_WORKLOAD_CERT_TTL {max_workload_cert_ttl:?}; lower the one or raise the other"
            ));
        }
        Ok(Signing {
            lifetimes: Lifetimes { default, max },
            settle: duration("MELTEMI_ROOT_SETTLE", root_settle)?,
            renewal: Renewal {
                lifetime: lifetime("CITADEL_SELF_SIGNED_CA_CERT_TTL", self_signed_ttl)?,
                percent: percent(root_grace)?,
            },
            check: interval(root_check)?,
            jitter: switch("CITADEL_ENABLE_JITTER_FOR_ROOT_CERT_ROTATOR", root_jitter)?,
            directory: (!root_ca_dir.is_empty()).then(|| root_ca_dir.into()),
            home: match switch("USE_CACERTS_FOR_SELF_SIGNED_CA", self_signed_in_cacerts)? {
                true => Home::Marked,
                false => Home::Own,
            },
        })
    }
}

/// How often; 0 or less is never, as istiod takes it.
fn interval(text: &str) -> Result<Option<Duration>, String> {
    match text.starts_with('-') {
        true => Ok(None),
        false => {
            let every = duration("CITADEL_SELF_SIGNED_ROOT_CERT_CHECK_INTERVAL", text)?;
            Ok(Some(every).filter(|every| !every.is_zero()))
        }
    }
}

fn percent(text: &str) -> Result<u32, String> {
    let percent = text.parse().ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| {
        format!(
            "CITADEL_SELF_SIGNED_ROOT_CERT_GRACE_PERIOD_PERCENTILE {text:?} is no percentage; use 0 \
             to 100"
        )
    })
}

/// A switch as istiod reads it.
pub(super) fn switch(name: &str, text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Ok(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{name} {text:?} is no switch; use true or false")),
    }
}

fn lifetime(name: &str, text: &str) -> Result<Duration, String> {
    let lifetime = duration(name, text)?;
    match lifetime.as_secs() {
        0 => Err(format!("{name} {text:?} is no lifetime; use 1s or more")),
        _ => Ok(lifetime),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(default: &str, max: &str) -> Result<Signing, String> {
        let args = IdentityArgs {
            default_workload_cert_ttl: default.to_owned(),
            max_workload_cert_ttl: max.to_owned(),
            ..args(&[])
        };
        args.read()
    }

    fn args(flags: &[&str]) -> IdentityArgs {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            identity: IdentityArgs,
        }
        let flags = std::iter::once("meltemid").chain(flags.iter().copied());
        <Only as clap::Parser>::parse_from(flags).identity
    }

    #[test]
    fn the_root_is_renewed_as_istiod_does() {
        let signing = args(&[]).read().unwrap();
        assert_eq!(signing.renewal.lifetime, meltemi_ca::ROOT_LIFETIME);
        assert_eq!((signing.renewal.percent, signing.jitter), (20, true));
        assert_eq!(signing.check.unwrap().as_secs(), 3600);
        assert_eq!(signing.directory, None);
        let set = [
            "--root-check=-1s",
            "--root-grace=50",
            "--root-jitter=false",
            "--root-ca-dir=/etc/cacerts",
        ];
        let signing = args(&set).read().unwrap();
        assert_eq!((signing.check, signing.jitter), (None, false));
        assert_eq!(signing.directory.as_deref(), Some("/etc/cacerts".as_ref()));
        for (wrong, name) in [
            ("--root-check=often", "CHECK_INTERVAL"),
            ("--root-grace=101", "PERCENTILE"),
            ("--root-jitter=some", "JITTER"),
            ("--self-signed-ttl=0s", "CA_CERT_TTL"),
        ] {
            let why = args(&[wrong]).read().unwrap_err();
            assert!(why.contains(name), "{why}");
        }
    }

    #[test]
    fn lifetimes_are_istiods() {
        let signing = read("24h0m0s", "2160h").unwrap();
        assert_eq!(signing.lifetimes, Lifetimes::default());
        assert_eq!(read("1h", "1h").unwrap().lifetimes.default.as_secs(), 3600);
        for (default, max, name) in [
            ("25h", "24h", "DEFAULT_WORKLOAD_CERT_TTL"),
            ("0s", "24h", "DEFAULT_WORKLOAD_CERT_TTL"),
            ("1h", "-1h", "MAX_WORKLOAD_CERT_TTL"),
            ("1h", "soon", "MAX_WORKLOAD_CERT_TTL"),
        ] {
            let why = read(default, max).unwrap_err();
            assert!(why.starts_with(name), "{why}");
        }
    }
}
