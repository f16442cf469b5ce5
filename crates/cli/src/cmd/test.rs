//! `meltemi test`: traffic scenarios through the registry, the translator and the encoded bytes of
//! the control plane, and then through a simulated Envoy.

mod call;
mod judge;
mod print;
mod tables;
mod world;

use crate::args::{LinesFormat, Test};
use crate::failure::{Answer, FINE, Failure, NEGATIVE};
use crate::scenario::{self, Scenario};
use call::Called;
use meltemi_types::Diagnostic;
use regex::Regex;
use std::collections::BTreeSet;
use tables::Table;
use world::World;

/// What came of one scenario.
#[derive(Debug)]
pub(super) struct Ran<'a> {
    /// The scenario.
    scenario: &'a Scenario,
    /// One per call, in order.
    calls: Vec<Called<'a>>,
    /// What its proxies hold.
    tables: Vec<Table>,
    /// What is wrong with its objects.
    diagnostics: BTreeSet<Diagnostic>,
}

/// Runs scenarios.
pub(crate) fn run(args: &Test) -> Result<Answer, Failure> {
    let filter = match args.filter.as_deref().map(Regex::new) {
        Some(Ok(filter)) => Some(filter),
        Some(Err(error)) => return Err(Failure::usage(format!("--filter: {error}"))),
        None => None,
    };
    let scenarios = scenario::read(&args.files)?;
    let mut ran = Vec::new();
    for scenario in &scenarios {
        ran.extend(one(scenario, filter.as_ref())?);
    }
    let failed = ran.iter().any(Ran::failed);
    Ok(Answer {
        text: match args.output {
            LinesFormat::Text => print::text(&ran),
            LinesFormat::Json => print::json(&ran),
        },
        notes: notes(&ran),
        code: if failed { NEGATIVE } else { FINE },
    })
}

/// Runs one scenario, unless the filter leaves nothing of it.
fn one<'a>(scenario: &'a Scenario, filter: Option<&Regex>) -> Result<Option<Ran<'a>>, Failure> {
    let named = |name: &str| filter.is_none_or(|filter| filter.is_match(name));
    let whole = named(&scenario.name);
    let full = |name: &str| format!("{}/{name}", scenario.name);
    let entries = scenario.content.calls.iter().enumerate();
    let entries: Vec<_> = entries
        .filter(|(_, entry)| whole || named(&full(&entry.name)))
        .collect();
    if !whole && entries.is_empty() {
        return Ok(None);
    }
    let mut world = World::of(scenario)?;
    let mut tables = Vec::new();
    let held = match &scenario.content.proxy {
        Some(proxy) => Some(world.held(&scenario.node(proxy)?)?),
        None => None,
    };
    let config = held.as_ref().and_then(Option::as_ref);
    let calls = entries
        .into_iter()
        .map(|(index, entry)| call::run(index, entry, config))
        .collect();
    if scenario.content.proxy.is_some() && whole {
        tables::of_proxy(&scenario.content, config, &mut tables);
    }
    if whole {
        for expectation in &scenario.content.proxies {
            let held = world.held(&scenario.node(&expectation.proxy)?)?;
            tables.push(tables::of_one_of_many(expectation, held.as_ref()));
        }
    }
    let mut diagnostics = world.diagnostics;
    diagnostics.extend(scenario.notes.iter().cloned());
    Ok(Some(Ran {
        scenario,
        calls,
        tables,
        diagnostics,
    }))
}

/// The diagnostics of all scenarios, each once.
fn notes(ran: &[Ran<'_>]) -> Vec<String> {
    let all: BTreeSet<&Diagnostic> = ran.iter().flat_map(|ran| &ran.diagnostics).collect();
    all.into_iter().map(ToString::to_string).collect()
}

impl Ran<'_> {
    fn failed(&self) -> bool {
        let call = self.calls.iter().any(|c| c.result == call::Verdict::Fail);
        call || self.tables.iter().any(|table| !table.mismatch.is_empty())
    }
}
