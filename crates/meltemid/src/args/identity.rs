//! What users set of the authority, in the environment, by istiod's names (platform.md 4.4, 6.3).
//!
//! A default lifetime above the longest one would refuse nobody and mean nothing, so it is a mistake.

use super::duration;
use meltemi_ca::Lifetimes;
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
}

/// How certificates are signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signing {
    /// How long they count.
    pub(crate) lifetimes: Lifetimes,
    /// How long a new root is handed out before anything is signed under it.
    pub(crate) settle: Duration,
}

impl IdentityArgs {
    pub(super) fn read(&self) -> Result<Signing, String> {
        let Self {
            default_workload_cert_ttl,
            max_workload_cert_ttl,
            root_settle,
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
        })
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
            root_settle: "3m".to_owned(),
        };
        args.read()
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
