//! Chooses the back end, then brings rules and routes to what is wanted.

use crate::tool::{ask, must};
use crate::{Failure, native, tables};
use meltemi_capture::{Errand, Family, Plan, Routing, Step};

/// What happened to rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// They were as wanted.
    Nothing,
    /// They were put there, or others' place was taken.
    Written,
    /// They were taken away.
    Removed,
}

/// What brings the rules into the kernel.
enum Tool {
    Nft,
    Iptables(tables::Kind),
}

/// Applies the plan, or takes it away.
///
/// # Errors
/// No tool can be used, or the one that is used refuses.
pub fn apply(plan: &Plan, errand: &Errand) -> Result<(), Failure> {
    match tool(plan, errand)? {
        Tool::Nft => {
            let done = native::apply(plan, errand)?;
            tracing::info!(tool = "nft", ?done, "rules of capture");
        }
        Tool::Iptables(kind) => with_iptables(kind, plan, errand)?,
    }
    routes(&plan.routing, errand)
}

/// Whether the rules and routes of the plan are there; nothing is changed.
///
/// # Errors
/// No tool can be used.
pub fn holds(plan: &Plan, errand: &Errand) -> Result<bool, Failure> {
    let rules = match tool(plan, errand)? {
        Tool::Nft => !native::differs(plan)?,
        Tool::Iptables(kind) => {
            let mut all = true;
            for family in plan.families() {
                all = all && !kind.differs(plan, *family)?;
            }
            all
        }
    };
    let mut routes = true;
    for step in plan.routing.steps() {
        routes = routes && is_there(step)?;
    }
    Ok(rules && routes)
}

fn tool(plan: &Plan, errand: &Errand) -> Result<Tool, Failure> {
    if errand.is_native {
        return Ok(Tool::Nft);
    }
    let needs_v6 = plan.families().contains(&Family::V6);
    match tables::choose(errand.binary, needs_v6)? {
        Ok(kind) => Ok(Tool::Iptables(kind)),
        Err(why) if native::works()? => {
            tracing::warn!(why, "no iptables can be used: nft is used in its place");
            Ok(Tool::Nft)
        }
        Err(why) => Err(Failure::Unavailable(format!(
            "neither iptables nor nft can be used: {why}; install iptables 1.8 or nft, or use an \
             image that has one, on a kernel that has their modules"
        ))),
    }
}

fn with_iptables(kind: tables::Kind, plan: &Plan, errand: &Errand) -> Result<(), Failure> {
    for family in [Family::V4, Family::V6] {
        // What an earlier run has left goes away in both families.
        let is_wanted = plan.families().contains(&family);
        if is_wanted || (errand.only_cleans && kind.has(family)?) {
            let done = kind.apply((plan, errand), family)?;
            tracing::info!(tool = kind.name(family), ?done, "rules of capture");
        }
    }
    Ok(())
}

fn routes(routing: &Routing, errand: &Errand) -> Result<(), Failure> {
    for step in routing.steps() {
        let change = match (is_there(step)?, errand.only_cleans) {
            (false, false) => &step.add,
            (true, true) => &step.remove,
            (true, false) | (false, true) => continue,
        };
        must("ip", &words(change), None)?;
        tracing::info!(command = change.join(" "), "route of capture");
    }
    Ok(())
}

fn is_there(step: &Step) -> Result<bool, Failure> {
    let answer = ask("ip", &words(&step.ask), None)?;
    Ok(answer.is_some_and(|answer| answer.is_good && step.is_in(&answer.text)))
}

fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}
