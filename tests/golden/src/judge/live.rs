//! One live Envoy takes one case after the other.

use super::stage::{Stage, script};
use crate::case::Case;
use crate::compose;
use anyhow::{Result, bail};
use meltemi_bootstrap::XdsProtocol;
use meltemi_model::Interception;
use meltemi_testkit::paths::Scratch;
use std::collections::BTreeMap;
use std::path::Path;

/// Pushes every case to one Envoy, one after the other; each has to be taken whole: nothing
/// refused, nothing warming, an answer to every subscription.
///
/// # Errors
/// Names every case that is not.
pub fn push_all(cases: &[Case], protocol: XdsProtocol) -> Result<()> {
    let mut stage = Stage::start("golden-push", protocol)?;
    let sockets = sockets(protocol)?;
    let mut failures = Vec::new();
    for case in cases.iter().filter(|case| can_be_bound(case)) {
        if let Err(error) = tell(&mut stage, case, sockets.path()) {
            failures.push(format!("{}: {error:#}", case.name));
        }
    }
    let rejected = stage.rejected()?;
    if rejected != 0 && failures.is_empty() {
        failures.push(format!("update_rejected adds up to {rejected}"));
    }
    if !failures.is_empty() {
        stage.keep();
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

/// A directory for the sockets of one Envoy, whose path is short enough for them wherever the
/// repository is.
fn sockets(protocol: XdsProtocol) -> Result<Scratch> {
    let name = format!("meltemi-golden-{}-{protocol:?}", std::process::id());
    Scratch::at(std::env::temp_dir().join(name))
}

fn tell(stage: &mut Stage, case: &Case, sockets: &Path) -> Result<()> {
    let own = case.with_sockets_in(sockets)?;
    let told = own.as_ref().unwrap_or(case).compose_without_agent();
    stage.tell(&script(&told.assigned))
}

/// False, and said, where the system would refuse the sockets: transparent ones are for those who
/// administer the network, and these tests are for everybody.
fn can_be_bound(case: &Case) -> bool {
    let possible = case.proxy.interception != Interception::Tproxy || administers_network();
    if !possible {
        eprintln!("{} is not pushed: TPROXY needs CAP_NET_ADMIN", case.name);
    }
    possible && !asks_an_agent(case)
}

/// True, and said, where secrets are asked for that only an agent beside the proxy, or a later
/// control plane, has: Envoy would wait for them.
fn asks_an_agent(case: &Case) -> bool {
    let all = compose::resources(&case.compose().assigned);
    let asks = all.values().flat_map(BTreeMap::values).any(|resource| {
        let text = String::from_utf8_lossy(&resource.body);
        text.contains("file-cert:") || text.contains("kubernetes://")
    });
    if asks {
        eprintln!("{} is not pushed: nobody has its secrets", case.name);
    }
    asks
}

fn administers_network() -> bool {
    const CAP_NET_ADMIN: u32 = 12;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << CAP_NET_ADMIN) != 0)
}
