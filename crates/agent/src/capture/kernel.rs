//! Chooses the back end, then brings rules and routes to what is wanted.

use super::tool::{ask, must};
use super::{Failure, UNAVAILABLE, native, tables};
use meltemi_capture::{Errand, Family, Plan, Routing};

/// What happened to rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// They were as wanted.
    Nothing,
    /// They were put there, or others' place was taken.
    Written,
    /// They were taken away.
    Removed,
}

/// Applies the plan, or takes it away.
pub(super) fn apply(plan: &Plan, errand: &Errand) -> Result<(), Failure> {
    match errand.is_native {
        true => with_nft(plan, errand)?,
        false => with_iptables(plan, errand)?,
    }
    routes(&plan.routing, errand)
}

fn with_nft(plan: &Plan, errand: &Errand) -> Result<(), Failure> {
    let done = native::apply(plan, errand)?;
    tracing::info!(tool = "nft", ?done, "rules of capture");
    Ok(())
}

fn with_iptables(plan: &Plan, errand: &Errand) -> Result<(), Failure> {
    let needs_v6 = plan.families().contains(&Family::V6);
    let kind = match tables::choose(errand.binary, needs_v6)? {
        Ok(kind) => kind,
        Err(why) if native::works()? => {
            tracing::warn!(why, "no iptables can be used: nft is used in its place");
            return with_nft(plan, errand);
        }
        Err(why) => {
            let text = format!(
                "neither iptables nor nft can be used: {why}; use an image that has iptables 1.8 \
                 or nft, on a kernel that has their modules"
            );
            return Err((UNAVAILABLE, text));
        }
    };
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
        let words = |args: &'_ [String]| -> Vec<String> { args.to_vec() };
        let question = words(&step.ask);
        let question: Vec<&str> = question.iter().map(String::as_str).collect();
        let there = ask("ip", &question, None)?;
        let is_there = there.is_some_and(|answer| answer.is_good && step.is_in(&answer.text));
        let change = match (is_there, errand.only_cleans) {
            (false, false) => &step.add,
            (true, true) => &step.remove,
            (true, false) | (false, true) => continue,
        };
        let change: Vec<&str> = change.iter().map(String::as_str).collect();
        must("ip", &change, None)?;
        tracing::info!(command = change.join(" "), "route of capture");
    }
    Ok(())
}
