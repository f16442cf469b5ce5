//! What to write, given what should be said and what is: the body of a server-side apply, how
//! urgent it is, and what is worth an event. `None` when it says so already.
//!
//! The surprise: Istio's definitions keep `conditions` as one list that belongs to one manager, so
//! an apply of ours would take away what others say. Their conditions are carried along, over the
//! version that they were read in: a write over another version is refused by the API server.

use super::decide::{ACCEPTED, Condition, OURS, PROGRAMMED, Wanted};
use super::seen::Known;
use meltemi_types::ObjectRef;
use serde_json::{Map, Value, json};

/// Who owns the fields that are written.
const MANAGER: &str = "meltemi-status";

/// How soon it has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Only texts differ, as when a proxy more runs it.
    Minor,
    /// A status, a reason, a message of Istio's, or the generation differs.
    Major,
}

/// What is worth an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// `Warning` or `Normal`.
    pub(crate) kind: &'static str,
    pub(crate) reason: String,
    pub(crate) note: String,
}

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// Who owns the fields that are written.
    pub(crate) manager: &'static str,
    pub(crate) urgency: Urgency,
    /// An object that proxies were counted for in this generation would be said to have none any
    /// more, and that is all.
    pub(crate) takes_back: bool,
    pub(crate) body: Value,
    pub(crate) news: Option<News>,
}

/// What to write of `wanted` over what is `known`; `now` is RFC 3339.
pub(crate) fn plan(
    object: &ObjectRef,
    wanted: &Wanted,
    known: (&Known, &str),
    now: &str,
) -> Option<Plan> {
    let (known, group) = known;
    let urgency = urgency(wanted, known)?;
    let stated = &known.status;
    let others = stated.conditions.iter().filter(|c| !is_ours(c)).cloned();
    let generation = wanted.generation;
    let ours = wanted.conditions.iter().map(|condition| {
        let before = find(known, condition.kind);
        let same = before.is_some_and(|before| text(before, "status") == condition.status);
        let since = before.map(|before| text(before, "lastTransitionTime"));
        let since = since.filter(|since| same && !since.is_empty());
        json!({
            "type": condition.kind,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message,
            "observedGeneration": generation,
            "lastTransitionTime": since.unwrap_or(now),
        })
    });
    let conditions: Vec<_> = others.chain(ours).collect();
    let mut status = Map::new();
    status.insert("observedGeneration".into(), json!(generation));
    status.insert("conditions".into(), Value::Array(conditions));
    if !wanted.messages.is_empty() {
        status.insert("validationMessages".into(), messages(wanted));
    }
    Some(Plan {
        manager: MANAGER,
        urgency,
        takes_back: takes_back(wanted, known),
        body: body(object, (known, group), status),
        news: news(wanted, known),
    })
}

/// The body of an apply of this status, over the version that is known.
pub(super) fn body(
    object: &ObjectRef,
    (known, group): (&Known, &str),
    status: Map<String, Value>,
) -> Value {
    json!({
        "apiVersion": format!("{group}/{}", known.version),
        "kind": &*object.kind,
        "metadata": {
            "name": object.name.as_str(),
            "namespace": object.namespace.as_ref().map(|n| n.as_str()),
            "uid": known.uid,
            "resourceVersion": known.resource_version,
        },
        "status": status,
    })
}

fn messages(wanted: &Wanted) -> Value {
    let all = wanted.messages.iter().map(|message| {
        json!({
            "level": message.level,
            "type": {"code": message.code, "name": message.name},
        })
    });
    Value::Array(all.collect())
}

fn is_ours(condition: &Value) -> bool {
    OURS.contains(&text(condition, "type"))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A condition as the API server shows it.
fn find<'k>(known: &'k Known, kind: &str) -> Option<&'k Value> {
    let mut all = known.status.conditions.iter();
    all.find(|condition| text(condition, "type") == kind)
}

/// A number, however it is spelt.
fn number(value: Option<&Value>) -> Option<i64> {
    let value = value?;
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn takes_back(wanted: &Wanted, known: &Known) -> bool {
    let of = |kind| wanted.conditions.iter().find(|c| c.kind == kind);
    let same = |condition: &Condition, status| {
        let before = find(known, condition.kind);
        before.is_some_and(|before| {
            let observed = number(before.get("observedGeneration"));
            text(before, "status") == status && observed == Some(wanted.generation)
        })
    };
    let accepted = of(ACCEPTED).is_some_and(|c| same(c, c.status));
    let programmed = of(PROGRAMMED).filter(|c| c.status == "Unknown");
    accepted && programmed.is_some_and(|c| same(c, "True"))
}

/// How much differs; `None` when nothing does.
fn urgency(wanted: &Wanted, known: &Known) -> Option<Urgency> {
    let stated = &known.status;
    let ours: Vec<_> = stated.conditions.iter().filter(|c| is_ours(c)).collect();
    let said = match wanted.messages.is_empty() {
        true => stated.validation_messages.is_empty(),
        false => Value::Array(stated.validation_messages.clone()) == messages(wanted),
    };
    let observed = number(stated.observed_generation.as_ref()) == Some(wanted.generation);
    if !said || !observed || ours.len() != wanted.conditions.len() {
        return Some(Urgency::Major);
    }
    let mut texts = false;
    for condition in &wanted.conditions {
        let Some(before) = find(known, condition.kind) else {
            return Some(Urgency::Major);
        };
        let observed = number(before.get("observedGeneration")) == Some(wanted.generation);
        let same = text(before, "status") == condition.status
            && text(before, "reason") == condition.reason;
        if !observed || !same {
            return Some(Urgency::Major);
        }
        texts |= text(before, "message") != condition.message;
    }
    texts.then_some(Urgency::Minor)
}

/// Refused objects, and those that are well again. What was said of this generation before, also
/// by an earlier process, is no news.
fn news(wanted: &Wanted, known: &Known) -> Option<News> {
    let find_wanted = |kind| wanted.conditions.iter().find(|c| c.kind == kind);
    let (accepted, programmed) = (find_wanted(ACCEPTED)?, find_wanted(PROGRAMMED));
    let refused = |c: &&Condition| c.status == "False" && c.reason == "Refused";
    let bad = Some(accepted).filter(|c| c.status == "False");
    let bad = bad.or(programmed.filter(refused));
    let was = |kind: &str, status: &str, reason: Option<&str>| {
        let found = find(known, kind).filter(|c| text(c, "status") == status);
        found.is_some_and(|c| reason.is_none_or(|reason| text(c, "reason") == reason))
    };
    if let Some(bad) = bad {
        let observed = find(known, bad.kind).and_then(|c| number(c.get("observedGeneration")));
        let told = was(bad.kind, "False", Some(&bad.reason)) && observed == Some(wanted.generation);
        return (!told).then(|| News {
            kind: "Warning",
            reason: bad.reason.clone(),
            note: bad.message.clone(),
        });
    }
    let was_bad = was(ACCEPTED, "False", None) || was(PROGRAMMED, "False", Some("Refused"));
    was_bad.then(|| News {
        kind: "Normal",
        reason: ACCEPTED.to_owned(),
        note: format!("well again: {}", accepted.message),
    })
}

#[cfg(test)]
mod tests {
    use super::super::decide::tests::{error, object, proxies};
    use super::super::decide::{Verdict, decide};
    use super::*;

    const NOW: &str = "2026-02-01T00:00:00Z";

    fn wanted(generation: i64, bad: bool, running: usize) -> Wanted {
        let verdict = Verdict {
            generation,
            findings: if bad { vec![error()] } else { Vec::new() },
            proxies: proxies(2, running),
        };
        decide(&object("VirtualService"), &verdict, "istiod-0")
    }

    fn write(wanted: &Wanted, known: &Known) -> Option<Plan> {
        let group = "networking.istio.io";
        plan(&object("VirtualService"), wanted, (known, group), NOW)
    }

    /// What is known once the plan was written at `then`.
    fn after(plan: &Plan, then: &str) -> Known {
        let text = plan.body["status"].to_string().replace(NOW, then);
        Known {
            version: "v1",
            resource_version: "8".into(),
            uid: "u".into(),
            generation: 1,
            revision: None,
            status: serde_json::from_str(&text).unwrap(),
        }
    }

    fn fresh() -> Known {
        Known {
            version: "v1",
            resource_version: "7".into(),
            uid: "u".into(),
            ..Known::default()
        }
    }

    #[test]
    fn what_is_said_already_is_not_written_again() {
        let first = write(&wanted(1, false, 2), &fresh()).unwrap();
        assert_eq!(first.urgency, Urgency::Major);
        assert_eq!(first.news, None);
        assert_eq!(first.body["metadata"]["resourceVersion"], "7");
        let known = after(&first, "2026-01-01T00:00:00Z");
        assert_eq!(write(&wanted(1, false, 2), &known), None);
        // Also not when another program spells numbers as texts.
        let mut spelt = known.clone();
        spelt.status.observed_generation = Some(json!("1"));
        assert_eq!(write(&wanted(1, false, 2), &spelt), None);
    }

    #[test]
    fn a_transition_time_changes_with_the_status_only() {
        let then = "2026-01-01T00:00:00Z";
        let first = write(&wanted(1, false, 2), &fresh()).unwrap();
        let known = after(&first, then);
        let next = write(&wanted(2, false, 1), &known).unwrap();
        let times: Vec<_> = next.body["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["lastTransitionTime"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            times,
            [then, NOW],
            "accepted as before, no longer programmed"
        );
        assert_eq!(
            next.body["status"]["conditions"][0]["observedGeneration"],
            2
        );
    }

    #[test]
    fn conditions_of_others_stay_and_ours_that_are_not_wanted_go() {
        let healthy = json!({"type": "Healthy", "status": "True", "lastProbeTime": NOW});
        let mut known = fresh();
        known.status.conditions = vec![healthy.clone(), json!({"type": "Programmed"})];
        let verdict = Verdict {
            generation: 1,
            ..Verdict::default()
        };
        let wanted = decide(&object("WorkloadEntry"), &verdict, "istiod-0");
        let conditions = write(&wanted, &known).unwrap().body["status"]["conditions"].clone();
        let kinds: Vec<_> = conditions
            .as_array()
            .unwrap()
            .iter()
            .map(|c| text(c, "type"))
            .collect();
        assert_eq!(kinds, ["Healthy", "Accepted"]);
        assert_eq!(conditions[0], healthy);
    }

    #[test]
    fn that_no_proxy_came_yet_takes_back_what_was_counted_and_nothing_else_does() {
        let first = write(&wanted(1, false, 2), &fresh()).unwrap();
        let known = after(&first, NOW);
        let none = |generation| {
            let verdict = Verdict {
                generation,
                ..Verdict::default()
            };
            decide(&object("VirtualService"), &verdict, "istiod-1")
        };
        assert!(takes_back(&none(1), &known));
        assert!(!takes_back(&none(2), &known));
        assert!(!takes_back(&wanted(1, false, 1), &known));
        assert!(!takes_back(&wanted(1, true, 2), &known));
        assert!(!takes_back(&none(1), &fresh()));
    }

    #[test]
    fn counts_can_wait_and_reasons_cannot() {
        let first = write(&wanted(1, false, 0), &fresh()).unwrap();
        let known = after(&first, NOW);
        let minor = write(&wanted(1, false, 1), &known).unwrap();
        assert_eq!(minor.urgency, Urgency::Minor);
        let major = write(&wanted(1, false, 2), &known).unwrap();
        assert_eq!(major.urgency, Urgency::Major);
    }

    #[test]
    fn an_object_that_is_refused_is_news_once_and_so_is_that_it_is_well_again() {
        let first = write(&wanted(1, true, 2), &fresh()).unwrap();
        let news = first.news.clone().unwrap();
        assert_eq!((news.kind, &*news.reason), ("Warning", "UnknownSubset"));
        let message = &first.body["status"]["validationMessages"][0];
        assert_eq!(message["type"]["code"], "MLT0201");
        let known = after(&first, NOW);
        assert_eq!(write(&wanted(1, true, 2), &known), None);
        // Wrong again after an edit.
        let again = write(&wanted(2, true, 2), &known).unwrap();
        assert_eq!(again.news.unwrap().kind, "Warning");
        let well = write(&wanted(2, false, 2), &known).unwrap();
        assert_eq!(well.news.unwrap().kind, "Normal");
        assert!(well.body["status"].get("validationMessages").is_none());
    }
}
