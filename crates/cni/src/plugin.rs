//! The plugin: one call of a container runtime, by the CNI specification.
//!
//! It stands last in a chain. ADD asks the API server for the pod, puts the rules of capture into
//! its network namespace, and answers with the result of the plugins before it, untouched. A pod
//! that cannot be judged is not made: the kubelet tries again. The rules go away with the namespace,
//! so DEL has nothing to do.

mod ask;
mod call;
mod conf;
mod failure;
mod pod;
mod said;

use call::{Call, Verb};
use conf::Conf;
use failure::Failure;
use meltemi_capture::{Errand, Plan, Refused, Said, Settings, Surroundings};
use meltemi_netfilter::{apply, enter, holds, surroundings};
use meltemi_runtime::trace::{self, Format};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::process::ExitCode;

pub(crate) use call::COMMAND;
pub(crate) use conf::{KUBECONFIG, VERSIONS};

/// How much configuration is read; a runtime sends a few kilobytes.
const MOST: u64 = 4 << 20;

/// Answers the call that the environment and stdin tell of.
pub(crate) fn run() -> ExitCode {
    let mut text = Vec::new();
    let read = std::io::stdin().lock().take(MOST).read_to_end(&mut text);
    let read = read.map_err(|e| Failure::io(format!("cannot read the configuration: {e}")));
    let version = conf::version(&text);
    let variable = |name: &str| std::env::var(name).ok();
    match read.and_then(|_| answer(&text, &variable)) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(value)) => say(&value, ExitCode::SUCCESS),
        Err(failure) => {
            tracing::error!(error = %failure, "refused");
            say(&failure.json(&version), ExitCode::FAILURE)
        }
    }
}

fn say(value: &Value, code: ExitCode) -> ExitCode {
    // A runtime that does not listen any more has given up on the call.
    match writeln!(std::io::stdout().lock(), "{value}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer(
    text: &[u8],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Value>, Failure> {
    let call = Call::read(variable)?;
    if call.verb == Verb::Version {
        return Ok(Some(json!({
            "cniVersion": conf::version(text), "supportedVersions": VERSIONS,
        })));
    }
    let conf = Conf::read(text)?;
    // A log that cannot be opened keeps no pod from its network.
    let _logs = trace::init(Format::Text, Some(&conf.filter()));
    match call.verb {
        Verb::Add => {
            if let Some(said) = wanted(&conf, &call)? {
                let (plan, errand) = plan(&call, &said)?;
                apply(&plan, &errand).map_err(|e| Failure::io(e.to_string()))?;
                tracing::info!(pod = %call.pod(), "traffic is captured");
            }
            Ok(Some(conf.result()))
        }
        Verb::Check => {
            if let Some(said) = wanted(&conf, &call)? {
                let (plan, errand) = plan(&call, &said)?;
                let good = holds(&plan, &errand).map_err(|e| Failure::io(e.to_string()))?;
                if !good {
                    return Err(Failure::lost(&call.pod()));
                }
            }
            Ok(None)
        }
        Verb::Status => ask::ready(&conf).map(|()| None),
        Verb::Del | Verb::Gc | Verb::Version => Ok(None),
    }
}

/// What to capture; nothing when the pod is none of ours.
fn wanted(conf: &Conf, call: &Call) -> Result<Option<Said>, Failure> {
    let skipped = |why: &str| {
        tracing::info!(pod = %call.pod(), why, "traffic is left alone");
        Ok(None)
    };
    if call.pod_name.is_empty() || call.pod_namespace.is_empty() {
        return skipped("the runtime names no pod");
    }
    if let Some(why) = conf.passes_over(&call.pod_namespace, &call.pod_name) {
        return skipped(why);
    }
    let pod = ask::pod(conf, call)?;
    match pod::judge(&pod, conf.native_nftables) {
        pod::Verdict::Capture(said) => Ok(Some(said)),
        pod::Verdict::Skip(why) => skipped(why),
    }
}

/// The rules for the pod's namespace, which this thread, the only one, is in afterwards.
fn plan(call: &Call, said: &Said) -> Result<(Plan, Errand), Failure> {
    let refused = |all: Vec<Refused>| {
        let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        Failure::settings(&call.pod(), &texts.join("; "))
    };
    let errand = Errand::read(said).map_err(refused)?;
    enter(&call.namespace()?).map_err(|e| Failure::io(e.to_string()))?;
    // Users, groups and name servers are the node's here: only addresses are the pod's.
    let around = Surroundings {
        addresses: surroundings().addresses,
        ..Surroundings::default()
    };
    let read = Settings::read(said, &around).map_err(refused)?;
    Ok((Plan::of(&read.settings), errand))
}

#[cfg(test)]
mod tests;
