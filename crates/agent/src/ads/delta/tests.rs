//! Conversations, message by message.

use super::*;
use meltemi_proto::google::protobuf::Any;
use meltemi_proto::google::rpc;
use meltemi_proto::urls::{CLUSTER, ENDPOINT};
use std::collections::BTreeMap;

fn node(id: &str) -> Option<Node> {
    Some(Node {
        id: id.into(),
        ..Node::default()
    })
}

fn ask(url: &str, names: &[&str]) -> Ask {
    Ask {
        type_url: url.into(),
        resource_names_subscribe: names.iter().copied().map(str::to_owned).collect(),
        ..Ask::default()
    }
}

fn resource(name: &str, version: &str) -> Resource {
    Resource {
        name: name.into(),
        version: version.into(),
        resource: Some(Any {
            type_url: ENDPOINT.into(),
            value: format!("{name}@{version}").into_bytes().into(),
        }),
        ..Resource::default()
    }
}

fn answer(url: &str, nonce: &str, resources: &[(&str, &str)]) -> Answer {
    Answer {
        type_url: url.into(),
        nonce: nonce.into(),
        resources: resources
            .iter()
            .map(|(name, version)| resource(name, version))
            .collect(),
        ..Answer::default()
    }
}

fn accept(answer: &Answer) -> Ask {
    Ask {
        response_nonce: answer.nonce.clone(),
        ..ask(&answer.type_url, &[])
    }
}

fn refuse(answer: &Answer) -> Ask {
    Ask {
        error_detail: Some(rpc::Status::default()),
        ..accept(answer)
    }
}

/// An Envoy that has clusters a and b, and the endpoints of a.
fn started() -> Delta {
    let mut talk = Delta::default();
    talk.hear(Ask {
        node: node("sidecar~1"),
        ..ask(CLUSTER, &[])
    });
    talk.reopen();
    let clusters = talk.deliver(answer(CLUSTER, "x1", &[("a", "1"), ("b", "1")]));
    let heard = talk.hear(accept(&clusters)).unwrap();
    assert_eq!(
        heard.response_nonce, "x1",
        "the control plane hears its own nonce"
    );
    talk.hear(ask(ENDPOINT, &["a"]));
    let endpoints = talk.deliver(answer(ENDPOINT, "x2", &[("a", "1")]));
    talk.hear(accept(&endpoints));
    talk
}

fn versions(ask: &Ask) -> Vec<(&str, &str)> {
    let versions = ask.initial_resource_versions.iter();
    versions
        .map(|(name, version)| (name.as_str(), version.as_str()))
        .collect()
}

fn names(answer: &Answer) -> Vec<&str> {
    answer
        .resources
        .iter()
        .map(|resource| resource.name.as_str())
        .collect()
}

#[test]
fn a_control_plane_that_is_back_is_told_what_envoy_has() {
    let mut talk = started();
    let asks = talk.reopen();
    let [clusters, endpoints] = asks.as_slice() else {
        panic!("{asks:?}");
    };
    assert_eq!(clusters.node, node("sidecar~1"));
    assert_eq!(clusters.type_url, CLUSTER);
    assert!(
        clusters.resource_names_subscribe.is_empty(),
        "all there are"
    );
    assert_eq!(versions(clusters), [("a", "1"), ("b", "1")]);
    assert!(endpoints.node.is_none());
    assert_eq!(endpoints.resource_names_subscribe, ["a"]);
    assert_eq!(versions(endpoints), [("a", "1")]);
}

#[test]
fn what_envoy_refused_it_does_not_have() {
    let mut talk = started();
    let bad = talk.deliver(answer(CLUSTER, "x3", &[("a", "2"), ("c", "1")]));
    let heard = talk.hear(refuse(&bad)).unwrap();
    assert!(heard.error_detail.is_some());
    assert_eq!(heard.response_nonce, "x3");
    assert_eq!(versions(&talk.reopen()[0]), [("a", "1"), ("b", "1")]);
}

#[test]
fn what_is_removed_or_given_up_is_not_had() {
    let mut talk = started();
    let gone = talk.deliver(Answer {
        removed_resources: vec!["b".into()],
        ..answer(CLUSTER, "x3", &[])
    });
    talk.hear(accept(&gone));
    talk.hear(Ask {
        resource_names_unsubscribe: vec!["a".into()],
        ..ask(ENDPOINT, &[])
    });
    let asks = talk.reopen();
    assert_eq!(versions(&asks[0]), [("a", "1")]);
    assert!(versions(&asks[1]).is_empty());
}

#[test]
fn an_answer_to_the_connection_before_counts_and_is_not_forwarded() {
    let mut talk = started();
    let late = talk.deliver(answer(CLUSTER, "x3", &[("a", "2")]));
    let asks = talk.reopen();
    assert_eq!(versions(&asks[0]), [("a", "1"), ("b", "1")]);
    assert_eq!(talk.hear(accept(&late)), None);
    assert_eq!(versions(&talk.reopen()[0]), [("a", "2"), ("b", "1")]);
    // With news in it, the news are forwarded.
    let late = talk.deliver(answer(ENDPOINT, "x4", &[("a", "2")]));
    talk.reopen();
    let with_news = Ask {
        response_nonce: late.nonce,
        ..ask(ENDPOINT, &["b"])
    };
    assert_eq!(talk.hear(with_news), Some(ask(ENDPOINT, &["b"])));
    assert_eq!(
        talk.hear(Ask {
            response_nonce: "made up".into(),
            ..ask(CLUSTER, &[])
        }),
        None
    );
}

#[test]
fn an_envoy_that_starts_without_a_control_plane_gets_what_the_last_one_had() {
    let store = started().store();
    let mut talk = Delta::default();
    talk.hear(Ask {
        node: node("sidecar~1"),
        ..ask(CLUSTER, &[])
    });
    talk.remember(store);
    let replayed = talk.replay_all();
    let [clusters] = replayed.as_slice() else {
        panic!("{replayed:?}");
    };
    assert_eq!(names(clusters), ["a", "b"]);
    assert_eq!(clusters.resources[0], resource("a", "1"));
    assert_eq!(talk.hear(accept(clusters)), None);
    let ask = ask(ENDPOINT, &["a", "unknown"]);
    talk.hear(ask.clone());
    let endpoints = talk.replay(&ask).unwrap();
    assert_eq!(names(&endpoints), ["a"]);
    talk.hear(accept(&endpoints));
    assert!(talk.replay_all().is_empty(), "nothing twice");
    let asks = talk.reopen();
    assert_eq!(versions(&asks[0]), [("a", "1"), ("b", "1")]);
    assert_eq!(versions(&asks[1]), [("a", "1")]);
    assert_eq!(asks[1].resource_names_subscribe, ["a", "unknown"]);
}

#[test]
fn another_node_gets_nothing_of_it() {
    let store = started().store();
    let mut talk = Delta::default();
    talk.hear(Ask {
        node: node("sidecar~2"),
        ..ask(CLUSTER, &[])
    });
    talk.remember(store);
    assert!(talk.replay_all().is_empty());
}

#[test]
fn an_envoy_that_opens_another_stream_is_believed() {
    let store = started().store();
    let mut talk = Delta::default();
    talk.hear(Ask {
        node: node("sidecar~1"),
        initial_resource_versions: BTreeMap::from([("a".into(), "1".into())]),
        ..ask(CLUSTER, &[])
    });
    talk.remember(store);
    assert_eq!(versions(&talk.reopen()[0]), [("a", "1")]);
    // Which it has already, and b was taken from it.
    let replayed = talk.replay_all();
    assert_eq!(names(&replayed[0]), ["b"]);
    // A name that is asked for again is not had any more.
    let again = ask(CLUSTER, &["a"]);
    talk.hear(again.clone());
    assert_eq!(names(&talk.replay(&again).unwrap()), ["a"]);
}

#[test]
fn what_the_control_plane_says_ends_what_the_last_envoy_had() {
    let store = started().store();
    let mut talk = Delta::default();
    talk.hear(Ask {
        node: node("sidecar~1"),
        ..ask(CLUSTER, &[])
    });
    talk.remember(store);
    talk.reopen();
    let now = talk.deliver(answer(CLUSTER, "y1", &[("a", "2")]));
    talk.hear(accept(&now));
    assert!(talk.replay_all().is_empty(), "b is no more");
}
