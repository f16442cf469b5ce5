//! What the source says when the API server's store was restored from an older copy.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use meltemi_api::Object;
use meltemi_kube::Tuning;
use meltemi_kube_tests::five::{A, B, held, ip, moved, server};
use meltemi_kube_tests::{Followed, impatient, rule, rules, service, services};
use meltemi_testkit::api_server::ApiServer;
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_store_that_went_back_in_time_is_believed() {
    let server = server();
    let copy = server.copy();
    let tuning = Tuning {
        probe: Duration::from_millis(200),
        ..impatient()
    };
    let mut followed = Followed::synced(&server, tuning).await.unwrap();
    server.apply(service("a", "10.1.0.9"));
    server.apply(service("new", "10.1.0.7"));
    server.delete(&services(), "shop", "b");
    held(&mut followed, (B, false)).await;
    followed.told.clear();
    server.restore(&copy);
    held(&mut followed, (B, true)).await;
    assert_eq!(ip(&followed, A), Some("10.1.0.1"));
    assert_eq!(
        followed.told,
        ["+Service shop/a", "+Service shop/b", "-Service shop/new"]
    );
    server.apply(service("a", "10.1.0.6"));
    moved(&mut followed, "10.1.0.6").await;
}

/// What was written after the copy is forgotten while nobody can watch, and other writes bring the
/// versions past what was known: only the newest object tells.
async fn forgotten(change: impl Fn(&ApiServer), (key, before, after): (&str, bool, bool)) {
    let server = server();
    let copy = server.copy();
    let mut followed = Followed::synced(&server, impatient()).await.unwrap();
    change(&server);
    held(&mut followed, (key, before)).await;
    server.go_away();
    server.restore(&copy);
    for last in 1..9 {
        server.apply(service("later", &format!("10.1.1.{last}")));
    }
    server.come_back();
    held(&mut followed, (key, after)).await;
    held(&mut followed, ("Service shop/later", true)).await;
}

#[tokio::test]
async fn a_store_that_went_back_and_has_caught_up_forgot_an_object() {
    let new = service("new", "10.1.0.7");
    let change = |server: &ApiServer| server.apply(new.clone());
    forgotten(change, ("Service shop/new", true, false)).await;
}

#[tokio::test]
async fn a_store_that_went_back_and_has_caught_up_forgot_a_deletion() {
    let change = |server: &ApiServer| server.delete(&services(), "shop", "b");
    forgotten(change, (B, false, true)).await;
}

/// The newest object of all is written again before anybody asks what the store knows: its new
/// version says nothing, but its spec was changed fewer times than was known.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_went_back_is_found_out_although_its_newest_object_was_written_again() {
    found_out(Serves::All).await;
}

/// The one object that can tell is of a kind that the server does not serve yet when it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_went_back_is_found_out_although_its_server_has_just_started() {
    found_out(Serves::OwnKindsFirst).await;
}

#[derive(PartialEq)]
enum Serves {
    All,
    OwnKindsFirst,
}

async fn found_out(serves: Serves) {
    let web = |generation: u32, note: u32| {
        let mut web = rule("web", &json!({"host": format!("a{generation}")}));
        if let Some(meta) = web.get_mut("metadata").and_then(Value::as_object_mut) {
            meta.insert("generation".into(), json!(generation));
            meta.insert("annotations".into(), json!({"note": note.to_string()}));
        }
        web
    };
    let server = server();
    server.apply(web(1, 0));
    let copy = server.copy();
    let mut followed = Followed::synced(&server, impatient()).await.unwrap();
    server.apply(service("new", "10.1.0.7"));
    server.apply(web(2, 0));
    let second = |f: &Followed| match f.held.get("DestinationRule shop/web") {
        Some(Object::DestinationRule(rule)) => rule.spec.host == "a2",
        _ => false,
    };
    followed.until("the second rule", second).await.unwrap();
    held(&mut followed, ("Service shop/new", true)).await;
    server.go_away();
    server.restore(&copy);
    for note in 1..9 {
        server.apply(web(1, note));
    }
    let _before = server.queries();
    server.serve(&rules(), serves == Serves::All);
    server.come_back();
    wait::until("the question", Duration::from_secs(30), || {
        let asked = |query: &String| query.contains("destinationrules/web");
        Ok(server.queries().iter().any(asked).then_some(()))
    })
    .unwrap();
    server.serve(&rules(), true);
    held(&mut followed, ("Service shop/new", false)).await;
    followed
        .until("the first rule", |f| !second(f))
        .await
        .unwrap();
}
