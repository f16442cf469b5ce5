//! What the rules need beside them: in TPROXY mode a route that delivers marked packets to this
//! machine, with IPv6 the address that the proxy calls the application from.

use crate::rule::Family;
use crate::settings::{Mode, Settings};

/// One thing to have, as commands of `ip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    steps: Vec<Step>,
}

/// How one thing is asked for, made and taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Arguments of `ip` that list such things; it may fail when there is none.
    pub ask: Vec<String>,
    /// Arguments that make it.
    pub add: Vec<String>,
    /// Arguments that take it away.
    pub remove: Vec<String>,
    /// What the line of the list says that is this thing.
    says: String,
}

impl Step {
    /// Whether the answer lists it.
    #[must_use]
    pub fn is_in(&self, answer: &str) -> bool {
        let is_whole = |rest: &str| rest.is_empty() || rest.starts_with(char::is_whitespace);
        let mut lines = answer.lines();
        lines.any(|line| {
            let found = line.split_once(&self.says);
            found.is_some_and(|(_, rest)| is_whole(rest))
        })
    }
}

impl Routing {
    pub(crate) fn of(settings: &Settings) -> Self {
        let mut steps = Vec::new();
        if settings.mode == Mode::Tproxy {
            steps.extend(delivery(settings, Family::V4));
            if settings.v6 {
                steps.extend(delivery(settings, Family::V6));
            }
        }
        if settings.v6 {
            steps.push(Step {
                ask: words("-6 addr show dev lo"),
                add: words("-6 addr add ::6/128 dev lo"),
                remove: words("-6 addr del ::6/128 dev lo"),
                says: "inet6 ::6/128".to_owned(),
            });
        }
        Self { steps }
    }

    /// The things, in the order in which they are made.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The commands that make all of it, one on each line.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.steps.iter();
        lines.fold(String::new(), |text, step| {
            format!("{text}ip {}\n", step.add.join(" "))
        })
    }
}

fn delivery(settings: &Settings, family: Family) -> [Step; 2] {
    let (mark, table) = (settings.mark, settings.route_table);
    let (of, everything) = match family {
        Family::V4 => ("-f inet", "0.0.0.0/0"),
        Family::V6 => ("-f inet6", "::/0"),
    };
    let rule = format!("fwmark {mark} lookup {table}");
    let route = format!("local {everything} dev lo table {table}");
    [
        Step {
            ask: words(&format!("{of} rule show")),
            add: words(&format!("{of} rule add {rule}")),
            remove: words(&format!("{of} rule del {rule}")),
            says: format!("fwmark {mark:#x} lookup {table}"),
        },
        Step {
            ask: words(&format!("{of} route show table {table}")),
            add: words(&format!("{of} route add {route}")),
            remove: words(&format!("{of} route del {route}")),
            says: "local default dev lo".to_owned(),
        },
    ]
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(ToOwned::to_owned).collect()
}
