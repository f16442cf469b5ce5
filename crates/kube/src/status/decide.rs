//! What the status of an object should be, decided without a server: what is wrong with it and what
//! proxies confirmed in, two conditions and Istio's `validationMessages` out.
//!
//! `Accepted` is about the object and what it names, `Programmed` about proxies. The surprise: who
//! is counted comes from one replica, the one that leads, and the message says so.

use meltemi_api::kinds::{KINDS, Kind};
use meltemi_types::{Diagnostic, ObjectRef};

/// The conditions that are ours; all others are left as they are.
pub(crate) const OURS: [&str; 2] = [ACCEPTED, PROGRAMMED];
pub(crate) const ACCEPTED: &str = "Accepted";
pub(crate) const PROGRAMMED: &str = "Programmed";

/// Messages of one object at most.
const MESSAGES: usize = 32;
/// Characters of a text at most.
const LONGEST: usize = 1000;

/// What is known of one object of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Its generation.
    pub generation: i64,
    /// What is wrong with it, sorted, without what proxies said.
    pub findings: Vec<Diagnostic>,
    /// The proxies that resources made from it are for.
    pub proxies: Proxies,
}

/// The proxies that resources made from an object are for, as far as one replica serves them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// How many there are.
    pub all: usize,
    /// How many of them run this generation.
    pub running: usize,
    /// How many of them refuse a part of it.
    pub refusing: usize,
    /// The first that refuses, and what it says.
    pub refusal: Option<(String, String)>,
}

/// One condition, without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) kind: &'static str,
    pub(crate) status: &'static str,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// One of Istio's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) level: &'static str,
}

/// What should be said of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) generation: i64,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) messages: Vec<Message>,
}

/// What should be said of the object; `by` is who counts proxies.
pub(crate) fn decide(object: &ObjectRef, verdict: &Verdict, by: &str) -> Wanted {
    let kind = KINDS.iter().find(|info| *info.name == *object.kind);
    let accepted = accepted(verdict);
    let programmed = kind.and_then(|info| programmed(info.kind, verdict, by));
    Wanted {
        generation: verdict.generation,
        conditions: [accepted].into_iter().chain(programmed).collect(),
        messages: messages(&verdict.findings),
    }
}

fn accepted(verdict: &Verdict) -> Condition {
    let errors: Vec<_> = verdict.findings.iter().filter(|d| d.is_error()).collect();
    let condition = |status, reason: String, message| Condition {
        kind: ACCEPTED,
        status,
        reason,
        message,
    };
    if let Some(first) = errors.first() {
        let message = summary(first, errors.len());
        return condition("False", name(first), message);
    }
    let message = match verdict.findings.first() {
        None => "in force".to_owned(),
        Some(first) => format!("in force, but: {}", summary(first, verdict.findings.len())),
    };
    condition("True", ACCEPTED.to_owned(), message)
}

/// `None` for kinds of which proxies are told nothing that could be told apart.
fn programmed(kind: Kind, verdict: &Verdict, by: &str) -> Option<Condition> {
    let Proxies {
        all,
        running,
        refusing,
        refusal,
    } = &verdict.proxies;
    let condition = |status, reason: &str, message| {
        Some(Condition {
            kind: PROGRAMMED,
            status,
            reason: reason.to_owned(),
            message,
        })
    };
    if !kind.has_effect() {
        let message = "nothing is made of this kind yet".to_owned();
        return condition("False", "NotSupportedYet", message);
    }
    if matches!(kind, Kind::WorkloadEntry | Kind::WorkloadGroup) {
        return None;
    }
    if verdict.findings.iter().any(Diagnostic::is_error) {
        let message = "not as written, see Accepted; what was in force before stays where it can";
        return condition("False", "NotAccepted", message.to_owned());
    }
    if let Some((proxy, said)) = refusal {
        let said = clean(said);
        let message = format!(
            "{refusing} of {all} proxies of {by} refuse it and keep what they had; {proxy}: {said}"
        );
        return condition("False", "Refused", shorten(message));
    }
    match (all, running) {
        (0, _) => {
            let message = format!("no proxy of {by} uses it");
            condition("Unknown", "NoProxies", message)
        }
        (all, running) if running < all => {
            let message = format!("{running} of {all} proxies of {by} run it");
            condition("False", "Pending", message)
        }
        (all, running) => {
            let message = format!("{running} of {all} proxies of {by} run it");
            condition("True", PROGRAMMED, message)
        }
    }
}

/// Errors first, each once.
fn messages(findings: &[Diagnostic]) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    let (errors, rest): (Vec<_>, Vec<_>) = findings.iter().partition(|d| d.is_error());
    for finding in errors.into_iter().chain(rest) {
        let message = Message {
            code: finding.code.to_string(),
            name: name(finding),
            level: if finding.is_error() {
                "ERROR"
            } else {
                "WARNING"
            },
        };
        if !all.contains(&message) && all.len() < MESSAGES {
            all.push(message);
        }
    }
    all
}

/// A finding in one word.
fn name(finding: &Diagnostic) -> String {
    format!("{:?}", finding.code)
}

/// The first finding, and how many more there are.
fn summary(first: &Diagnostic, all: usize) -> String {
    let path = first.origin.as_ref().map(|origin| origin.path.to_string());
    let path = path.filter(|path| !path.is_empty());
    let place = path.map(|path| format!("{path}: ")).unwrap_or_default();
    let text = format!(
        "{}: {place}{}; {}",
        first.code,
        clean(&first.message),
        clean(&first.remedy)
    );
    match all {
        0 | 1 => shorten(text),
        all => format!("{} (and {} more)", shorten(text), all - 1),
    }
}

/// One line without control characters, whoever wrote it.
fn clean(text: &str) -> String {
    let plain = text.replace(|c: char| c.is_control(), " ");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shorten(text: String) -> String {
    if text.chars().count() <= LONGEST {
        return text;
    }
    let kept: String = text.chars().take(LONGEST).collect();
    format!("{kept}...")
}

#[cfg(test)]
pub(super) mod tests;
