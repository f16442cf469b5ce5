//! `init`, in Istio `istio-iptables`: puts the rules of capture into the kernel before anything else
//! of the pod runs, or tries rules that somebody else has put there.
//!
//! What the rules are, `meltemi-capture` decides; `meltemi-netfilter` brings them into the kernel and
//! leaves alone what is as wanted, so a restarted init container does no harm.

mod flags;
mod validate;

pub(crate) use flags::Flags;

use crate::env::Env;
use crate::{USAGE, wire};
use meltemi_capture::{Errand, Family, Plan, Said, Settings};
use meltemi_netfilter::{apply, enter, may_change_rules, surroundings};
use std::process::ExitCode;

/// The tool that is needed is not there, or refuses.
const UNAVAILABLE: u8 = 69;
/// A right that is needed is missing.
const NO_PERMISSION: u8 = 77;
/// The rules do not work; whoever repairs pods waits for exactly this.
const NOT_CAPTURED: u8 = 126;

/// Why it ends early: the code, and the reason.
type Failure = (u8, String);

/// Does what the flags say.
pub(crate) fn run(flags: &Flags, ignored: Vec<String>) -> ExitCode {
    if let Err(error) = wire::logs(&flags.log_output_level, flags.log_as_json) {
        eprintln!("meltemi-agent: {error}");
        return ExitCode::from(USAGE);
    }
    for flag in ignored {
        tracing::warn!(flag, "this flag has no effect");
    }
    match captured(&flags.said(&Env::of_process())) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, reason)) => {
            tracing::error!(reason, "traffic is not captured");
            ExitCode::from(code)
        }
    }
}

fn captured(said: &Said) -> Result<(), Failure> {
    let errand = Errand::read(said).map_err(refused)?;
    if let Some(namespace) = &errand.namespace {
        enter(namespace).map_err(failed)?;
    }
    let read = Settings::read(said, &surroundings()).map_err(refused)?;
    for remark in &read.remarks {
        tracing::warn!("{remark}");
    }
    let plan = Plan::of(&read.settings);
    if errand.is_dry {
        print!("{}", text(&plan, &errand));
        return Ok(());
    }
    if !errand.skips_rules {
        may_change_rules().map_err(failed)?;
        apply(&plan, &errand).map_err(failed)?;
    }
    if errand.validates && !errand.only_cleans {
        let tried = validate::validate(&read.settings, &errand);
        tried.map_err(|reason| (NOT_CAPTURED, reason))?;
        tracing::info!("the rules work: a connection was captured");
    }
    Ok(())
}

/// What would be written, for people.
fn text(plan: &Plan, errand: &Errand) -> String {
    let rules = match (errand.is_native, errand.only_cleans) {
        (true, true) => format!("# nft -f -\n{}", Plan::nft_removal()),
        (true, false) => format!("# nft -f -\n{}", plan.nft()),
        (false, true) => {
            "# what iptables-save says of chains that start with ISTIO_ is taken away\n".to_owned()
        }
        (false, false) => {
            let families = plan.families().iter();
            families.fold(String::new(), |text, family| {
                let tool = match family {
                    Family::V4 => "iptables-restore",
                    Family::V6 => "ip6tables-restore",
                };
                format!("{text}# {tool} --noflush\n{}", plan.restore(*family))
            })
        }
    };
    match errand.only_cleans {
        true => rules,
        false => format!("{rules}{}", plan.routing.text()),
    }
}

fn failed(failure: meltemi_netfilter::Failure) -> Failure {
    use meltemi_netfilter::Failure::{NotPermitted, Unavailable};
    match failure {
        Unavailable(reason) => (UNAVAILABLE, reason),
        NotPermitted(reason) => (NO_PERMISSION, reason),
    }
}

fn refused(all: Vec<meltemi_capture::Refused>) -> Failure {
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    (USAGE, texts.join("; "))
}
