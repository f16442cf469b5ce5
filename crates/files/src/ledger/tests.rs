//! What is said after each edit.

use super::*;
use meltemi_api::yaml::{self, Source};

fn unit(name: &str) -> Unit {
    name.into()
}

fn put(ledger: &mut Ledger, file: &str, text: &str) -> Vec<String> {
    let documents = yaml::read(text.as_bytes(), &Source::new(file));
    say(ledger.put(&unit(file), documents))
}

fn say(changes: Vec<Change>) -> Vec<String> {
    changes
        .into_iter()
        .map(|change| match change {
            Change::Upsert(object) => format!("+{}", object.key()),
            Change::Delete(key) => format!("-{key}"),
            Change::Broken(broken) => format!("!{}", broken.object),
            Change::Findings { unit, diagnostics } => {
                let codes: Vec<_> = diagnostics.iter().map(|d| d.code.to_string()).collect();
                format!("{unit}: {}", codes.join(" "))
            }
            Change::Synced { source } => format!("synced {source}"),
        })
        .collect()
}

fn namespace(name: &str) -> String {
    format!("---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n")
}

#[test]
fn equal_content_says_nothing() {
    let mut ledger = Ledger::default();
    let text = namespace("a") + &namespace("b");
    assert_eq!(
        put(&mut ledger, "x", &text),
        ["+Namespace a", "+Namespace b"]
    );
    assert_eq!(put(&mut ledger, "x", &text), Vec::<String>::new());
    assert_eq!(put(&mut ledger, "x", &namespace("a")), ["-Namespace b"]);
    assert_eq!(say(ledger.remove(&unit("x"))), ["-Namespace a"]);
}

#[test]
fn a_broken_document_is_not_a_deletion() {
    let mut ledger = Ledger::default();
    put(&mut ledger, "x", &(namespace("a") + &namespace("b")));
    let broken = namespace("a") + &namespace("b") + "spec: [\n";
    assert_eq!(put(&mut ledger, "x", &broken), ["!Namespace b"]);
    // Broken in another way is news, deleted while broken is clean.
    let other = namespace("a") + &namespace("b") + "spec: {\n";
    assert_eq!(put(&mut ledger, "x", &other), ["!Namespace b"]);
    assert_eq!(put(&mut ledger, "x", &namespace("a")), ["-Namespace b"]);
}

#[test]
fn text_that_names_nothing_keeps_everything() {
    let mut ledger = Ledger::default();
    put(&mut ledger, "x", &(namespace("a") + &namespace("b")));
    assert_eq!(put(&mut ledger, "x", "oops: [\n"), ["x: MLT0001"]);
    let half = namespace("a") + "---\nkind: Namespac\n";
    let said = put(&mut ledger, "x", &half);
    assert_eq!(said, ["x: MLT0007"]);
    assert_eq!(
        put(&mut ledger, "x", &namespace("a")),
        ["-Namespace b", "x: "]
    );
}

#[test]
fn the_first_claim_wins_and_the_next_takes_over() {
    let mut ledger = Ledger::default();
    assert_eq!(put(&mut ledger, "b", &namespace("a")), ["+Namespace a"]);
    // `a` sorts first: it takes the object, `b` is told.
    assert_eq!(
        put(&mut ledger, "a", &namespace("a")),
        ["+Namespace a", "b: MLT0005"]
    );
    let Some(Change::Findings { diagnostics, .. }) = ledger
        .put(&unit("c"), {
            let text = namespace("a");
            yaml::read(text.as_bytes(), &Source::new("c"))
        })
        .pop()
    else {
        panic!();
    };
    assert_eq!(
        diagnostics.first().unwrap().to_string(),
        "error[MLT0005]: Namespace a: the same object is in a:2:1, which is used; remove or \
         rename one of the two (c:2:1)"
    );
    assert_eq!(
        say(ledger.remove(&unit("a"))),
        ["+Namespace a", "b: ", "c: MLT0005"]
    );
    assert_eq!(say(ledger.remove(&unit("c"))), ["c: "]);
    assert_eq!(say(ledger.remove(&unit("b"))), ["-Namespace a"]);
}

#[test]
fn an_object_twice_in_a_file_is_used_once() {
    let mut ledger = Ledger::default();
    let twice = namespace("a") + &namespace("a");
    assert_eq!(
        put(&mut ledger, "x", &twice),
        ["+Namespace a", "x: MLT0005"]
    );
    assert_eq!(put(&mut ledger, "x", &namespace("a")), ["x: "]);
}

#[test]
fn warnings_come_with_the_object() {
    let mut ledger = Ledger::default();
    let text = "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t}\n";
    assert_eq!(
        put(&mut ledger, "x", text),
        ["+Telemetry default/t", "x: MLT0212"]
    );
    assert_eq!(
        say(ledger.remove(&unit("x"))),
        ["-Telemetry default/t", "x: "]
    );
}
