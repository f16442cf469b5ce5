//! What is to be done with the rules: printed, applied, taken away, tried; and by which tool.

use crate::flags::Said;
use crate::value::{Reader, Refused};
use std::time::Duration;

/// Which iptables is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// The one that the machine uses already.
    Found,
    /// `iptables-legacy`.
    Legacy,
    /// `iptables-nft`.
    Nft,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// Print, and change nothing.
    pub is_dry: bool,
    /// Change no rules.
    pub skips_rules: bool,
    /// Connect through the rules, and fail with 126 when they do not work.
    pub validates: bool,
    /// Only take rules away.
    pub only_cleans: bool,
    /// Write rules that are there already again.
    pub is_forced: bool,
    /// Use nft itself.
    pub is_native: bool,
    /// Which iptables.
    pub binary: Binary,
    /// The network namespace to work in, a path.
    pub namespace: Option<String>,
    /// Where validation connects to.
    pub probe_port: u16,
    /// How long validation may take.
    pub probe_timeout: Duration,
}

impl Errand {
    /// Reads the flags that say it.
    ///
    /// # Errors
    /// Every value that cannot be read.
    pub fn read(said: &Said) -> Result<Self, Vec<Refused>> {
        let mut read = Reader::new(said);
        // Rules that differ are always replaced as a whole, so it says nothing new.
        let _always = read.switch("reconcile");
        let errand = Self {
            is_dry: read.switch("dry-run"),
            skips_rules: read.switch("skip-rule-apply"),
            validates: read.switch("run-validation"),
            only_cleans: read.switch("cleanup-only"),
            is_forced: read.switch("force-apply"),
            is_native: read.switch("native-nftables"),
            binary: binary(&mut read),
            namespace: read.text("network-namespace").map(ToOwned::to_owned),
            probe_port: read.port("iptables-probe-port", 15002),
            probe_timeout: read.duration("probe-timeout", Duration::from_secs(5)),
        };
        let refused = read.refused();
        match refused.is_empty() {
            true => Ok(errand),
            false => Err(refused),
        }
    }
}

fn binary(read: &mut Reader<'_>) -> Binary {
    const FLAG: &str = "force-iptables-binary";
    match read.text(FLAG) {
        None => Binary::Found,
        Some("legacy") => Binary::Legacy,
        Some("nft") => Binary::Nft,
        Some(_) => {
            read.refuse(FLAG, "legacy or nft");
            Binary::Found
        }
    }
}
