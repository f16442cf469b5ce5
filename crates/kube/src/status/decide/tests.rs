//! Tables: what is known in, what is said out.

use super::*;
use meltemi_types::{Code, FieldPath, Origin};
use std::sync::Arc;

pub(in crate::status) fn object(kind: &str) -> Arc<ObjectRef> {
    Arc::new(ObjectRef {
        cluster: Default::default(),
        kind: kind.into(),
        namespace: Some("shop".parse().unwrap()),
        name: "web".parse().unwrap(),
    })
}

pub(in crate::status) fn error() -> Diagnostic {
    let origin = Origin::object(object("VirtualService"), None);
    let path = FieldPath::new("spec.http[0].route[0].destination.subset");
    let message = "subset \"v3\" of web\nis not defined";
    Diagnostic::error(Code::UnknownSubset, origin.at(path), message, "define it")
}

fn warning() -> Diagnostic {
    let origin = Origin::object(object("VirtualService"), None);
    Diagnostic::warning(Code::IgnoredField, origin, "no effect", "drop it")
}

pub(in crate::status) fn proxies(all: usize, running: usize) -> Proxies {
    Proxies {
        all,
        running,
        ..Proxies::default()
    }
}

/// Each condition as `TYPE STATUS REASON`.
fn said(kind: &str, findings: Vec<Diagnostic>, proxies: Proxies) -> (Vec<String>, Wanted) {
    let verdict = Verdict {
        generation: 3,
        findings,
        proxies,
    };
    let wanted = decide(&object(kind), &verdict, "istiod-0");
    let short = |c: &Condition| format!("{} {} {}", c.kind, c.status, c.reason);
    (wanted.conditions.iter().map(short).collect(), wanted)
}

#[test]
fn each_case_has_its_conditions() {
    let refused = Proxies {
        refusing: 1,
        refusal: Some(("gw-1.edge".into(), "Error adding\nroute \u{7}x".into())),
        ..proxies(3, 2)
    };
    let (well, vs) = ("Accepted True Accepted", "VirtualService");
    for (kind, findings, proxies, expected) in [
        (
            vs,
            vec![],
            proxies(3, 3),
            vec![well, "Programmed True Programmed"],
        ),
        (
            vs,
            vec![],
            proxies(3, 1),
            vec![well, "Programmed False Pending"],
        ),
        (
            vs,
            vec![],
            proxies(0, 0),
            vec![well, "Programmed Unknown NoProxies"],
        ),
        (vs, vec![], refused, vec![well, "Programmed False Refused"]),
        (
            vs,
            vec![warning()],
            proxies(1, 1),
            vec![well, "Programmed True Programmed"],
        ),
        (
            vs,
            vec![error(), warning()],
            proxies(3, 3),
            vec![
                "Accepted False UnknownSubset",
                "Programmed False NotAccepted",
            ],
        ),
        ("WorkloadEntry", vec![], proxies(0, 0), vec![well]),
        (
            "Telemetry",
            vec![],
            proxies(0, 0),
            vec![well, "Programmed False NotSupportedYet"],
        ),
    ] {
        assert_eq!(said(kind, findings, proxies).0, expected);
    }
}

#[test]
fn texts_are_one_line_and_name_the_field_and_the_proxy() {
    let (_, wanted) = said("VirtualService", vec![error()], proxies(0, 0));
    assert_eq!(
        wanted.conditions[0].message,
        "MLT0201: spec.http[0].route[0].destination.subset: subset \"v3\" of web is not defined; \
         define it"
    );
    let refused = Proxies {
        refusing: 1,
        refusal: Some((
            "gw-1.edge".into(),
            format!("bad\u{1b}[31m\n{}", "x".repeat(5000)),
        )),
        ..proxies(3, 2)
    };
    let (_, wanted) = said("VirtualService", vec![], refused);
    let message = &wanted.conditions[1].message;
    assert!(
        message.starts_with("1 of 3 proxies of istiod-0 refuse it"),
        "{message}"
    );
    assert!(message.contains("gw-1.edge: bad [31m xxx"), "{message}");
    assert!(message.chars().count() < 1010 && !message.contains('\u{1b}'));
    let (_, wanted) = said("VirtualService", vec![], proxies(2, 2));
    assert_eq!(
        wanted.conditions[1].message,
        "2 of 2 proxies of istiod-0 run it"
    );
}

#[test]
fn messages_are_istios_errors_first_and_each_once() {
    let findings = vec![warning(), error(), error()];
    let (_, wanted) = said("VirtualService", findings, proxies(0, 0));
    let short: Vec<_> = wanted
        .messages
        .iter()
        .map(|m| format!("{} {} {}", m.level, m.code, m.name))
        .collect();
    assert_eq!(
        short,
        [
            "ERROR MLT0201 UnknownSubset",
            "WARNING MLT0109 IgnoredField"
        ]
    );
}
