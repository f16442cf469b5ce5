//! Conversations, message by message.

use super::*;
use meltemi_proto::google::rpc;
use meltemi_proto::urls::{CLUSTER, ENDPOINT};

fn ask(url: &str, names: &[&str]) -> Ask {
    Ask {
        type_url: url.into(),
        resource_names: names.iter().copied().map(str::to_owned).collect(),
        ..Ask::default()
    }
}

fn first() -> Ask {
    let node = Node {
        id: "sidecar~1".into(),
        ..Node::default()
    };
    Ask {
        node: Some(node),
        ..ask(CLUSTER, &[])
    }
}

/// A resource has its name in field 1.
fn any(name: &str) -> Any {
    let mut value = vec![0x0a, u8::try_from(name.len()).unwrap()];
    value.extend(name.as_bytes());
    Any {
        type_url: ENDPOINT.into(),
        value: value.into(),
    }
}

fn answer(url: &str, (nonce, version): (&str, &str), names: &[&str]) -> Answer {
    Answer {
        type_url: url.into(),
        nonce: nonce.into(),
        version_info: version.into(),
        resources: names.iter().map(|name| any(name)).collect(),
        ..Answer::default()
    }
}

fn accept(answer: &Answer, names: &[&str]) -> Ask {
    Ask {
        response_nonce: answer.nonce.clone(),
        version_info: answer.version_info.clone(),
        ..ask(&answer.type_url, names)
    }
}

fn started() -> Sotw {
    let mut talk = Sotw::default();
    talk.hear(first());
    talk.reopen();
    let clusters = talk.deliver(answer(CLUSTER, ("x1", "v1"), &["a", "b"]));
    let heard = talk.hear(accept(&clusters, &[])).unwrap();
    assert_eq!(heard.response_nonce, "x1");
    talk.hear(ask(ENDPOINT, &["a", "b"]));
    for (nonce, version, name) in [("x2", "e1", "a"), ("x3", "e2", "b")] {
        let endpoints = talk.deliver(answer(ENDPOINT, (nonce, version), &[name]));
        talk.hear(accept(&endpoints, &["a", "b"]));
    }
    talk
}

fn asked(asks: &[Ask]) -> Vec<(&str, &str, usize)> {
    let asked = asks.iter();
    asked
        .map(|ask| {
            (
                ask.type_url.as_str(),
                ask.version_info.as_str(),
                ask.resource_names.len(),
            )
        })
        .collect()
}

#[test]
fn a_control_plane_that_is_back_is_told_the_versions() {
    let mut talk = started();
    let asks = talk.reopen();
    assert_eq!(asked(&asks), [(CLUSTER, "v1", 0), (ENDPOINT, "e2", 2)]);
    assert!(asks[0].node.is_some() && asks[1].node.is_none());
    assert!(asks.iter().all(|ask| ask.response_nonce.is_empty()));
}

#[test]
fn a_refusal_is_forwarded_and_changes_nothing() {
    let mut talk = started();
    let bad = talk.deliver(answer(CLUSTER, ("x4", "v2"), &["c"]));
    let refusal = Ask {
        version_info: "v1".into(),
        error_detail: Some(rpc::Status::default()),
        ..accept(&bad, &[])
    };
    let heard = talk.hear(refusal).unwrap();
    assert_eq!(
        (heard.response_nonce.as_str(), heard.version_info.as_str()),
        ("x4", "v1")
    );
    assert_eq!(asked(&talk.reopen())[0], (CLUSTER, "v1", 0));
}

#[test]
fn an_answer_to_the_connection_before_counts_and_only_its_names_are_forwarded() {
    let mut talk = started();
    let late = talk.deliver(answer(CLUSTER, ("x4", "v2"), &["a"]));
    talk.reopen();
    assert_eq!(talk.hear(accept(&late, &[])), None);
    assert_eq!(asked(&talk.reopen())[0], (CLUSTER, "v2", 0));
    let late = talk.deliver(answer(ENDPOINT, ("x5", "e3"), &["a"]));
    talk.reopen();
    let heard = talk.hear(accept(&late, &["a"])).unwrap();
    assert!(heard.response_nonce.is_empty());
    assert_eq!(heard.resource_names, ["a"]);
}

#[test]
fn an_envoy_that_starts_without_a_control_plane_gets_what_the_last_one_had() {
    let store = started().store();
    let mut talk = Sotw::default();
    talk.hear(first());
    talk.remember(store);
    let replayed = talk.replay_all();
    let [clusters] = replayed.as_slice() else {
        panic!("{replayed:?}");
    };
    assert_eq!(
        (clusters.resources.len(), clusters.version_info.as_str()),
        (2, "v1")
    );
    assert_eq!(talk.hear(accept(clusters, &[])), None);
    let some = ask(ENDPOINT, &["a", "unknown"]);
    talk.hear(some.clone());
    let endpoints = talk.replay(&some).unwrap();
    assert_eq!(endpoints.resources, [any("a")]);
    assert_eq!(endpoints.version_info, "", "not all of it is known");
    let accepted = accept(&endpoints, &["a", "unknown"]);
    assert_eq!(talk.hear(accepted.clone()), None);
    assert!(talk.replay(&accepted).is_none(), "nothing twice");
    assert!(talk.replay_all().is_empty(), "nothing twice");
    assert_eq!(
        asked(&talk.reopen()),
        [(CLUSTER, "v1", 0), (ENDPOINT, "", 2)]
    );
}

#[test]
fn an_envoy_that_opens_another_stream_is_believed() {
    let store = started().store();
    let mut talk = Sotw::default();
    talk.hear(Ask {
        version_info: "v1".into(),
        ..first()
    });
    talk.remember(store);
    assert!(talk.replay_all().is_empty());
    assert_eq!(asked(&talk.reopen()), [(CLUSTER, "v1", 0)]);
}
