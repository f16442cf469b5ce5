//! The protocol rules as scripts. X1 to X12 are the numbers of the requirements page.

mod model;
mod refusals;
mod script;

use meltemi_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use meltemi_proto::urls;
use meltemi_types::ProxyKind;
use script::play;
use std::sync::Arc;

use super::{Flavor, MAX_NAMES, Session};
use crate::{Assignment, Event, Unacceptable};
use Flavor::{Delta, Sotw};

#[test]
fn x1_a_refusal_is_an_error_detail() {
    let stage = play(
        Delta,
        "world eds a=1
         -> eds +a
         <- eds a=1
         nack eds: bad address
         <-",
    );
    let [
        Event::Nacked {
            message, culprits, ..
        },
        Event::Confirmed { types, .. },
    ] = &stage.events[..]
    else {
        panic!("{:?}", stage.events);
    };
    assert_eq!(&**message, "bad address");
    assert_eq!(&*culprits[0].refused.name, "a");
    assert_eq!(culprits[0].last_good, None);
    assert_eq!(types[0].held_back, ["a".into()]);
}

#[test]
fn x2_the_nonce_of_another_stream_is_no_answer_but_the_request_counts() {
    for flavor in [Delta, Sotw] {
        play(
            flavor,
            "world cds a=1
             -> cds nonce:77.1
             <- cds a=1
             <-",
        );
    }
}

#[test]
fn x3_sotw_a_stale_nonce_is_not_looked_at() {
    play(
        Sotw,
        "world eds a=1 b=1
         -> eds a
         <- eds a=1
         -> eds a b nonce:old
         <-
         ack eds                    # its names count
         <- eds b=1
         <-",
    );
}

#[test]
fn x3_delta_a_stale_nonce_drops_no_names() {
    play(
        Delta,
        "world eds a=1 b=1
         -> eds +a
         <- eds a=1
         ack eds
         -> eds +b nonce:old
         <- eds b=1
         -> eds -a nonce:old
         ack eds
         world eds a=2 b=2
         <- eds b=2",
    );
}

#[test]
fn x4_a_name_asked_for_again_is_answered_again() {
    play(
        Delta,
        "world eds a=1
         -> eds +a
         <- eds a=1
         ack eds
         <-
         -> eds +a
         <- eds a=1",
    );
}

#[test]
fn x5_nothing_named_at_first_means_everything() {
    play(
        Sotw,
        "world cds a=1 b=1
         -> cds
         <- cds a=1 b=1
         ack cds
         -> cds a                   # now it has named something
         <- cds a=1
         ack cds
         -> cds                     # so this drops it
         world cds a=2 b=2
         <-",
    );
    play(
        Delta,
        "world cds a=1 b=1
         -> cds
         <- cds a=1 b=1
         ack cds
         -> cds
         <-
         -> cds -*
         world cds a=2 b=2
         <-
         -> cds +*
         <- cds a=2 b=2",
    );
}

#[test]
fn x5_everything_and_a_name() {
    play(
        Delta,
        "world cds a=1 b=1
         -> cds +* +b
         <- cds a=1 b=1
         ack cds
         -> cds -*
         world cds a=2 b=2
         <- cds b=2",
    );
}

/// Endpoints have no legacy wildcard: naming none asks for none.
#[test]
fn x5_a_type_of_names_has_no_legacy_wildcard() {
    for flavor in [Delta, Sotw] {
        play(flavor, "world eds a=1\n-> eds\n<-");
    }
}

#[test]
fn x6_what_went_away_while_offline_is_removed() {
    play(
        Delta,
        "world cds a=1 b=2
         -> cds a@1 b@1 c@1
         <- cds b=2
         ack cds
         <- cds -c",
    );
}

#[test]
fn x7_order_and_make_before_break() {
    for flavor in [Delta, Sotw] {
        let (added, removed) = match flavor {
            Delta => ("cds b=1", "cds -a"),
            Sotw => ("cds a=1 b=1", "cds b=1"),
        };
        let stage = format!(
            "world rds r=1 lds l=1 eds a=1 cds a=1
             -> cds
             <- cds a=1
             -> eds +a a
             <- eds a=1
             ack eds
             ack cds
             -> lds
             <- lds l=1
             -> rds +r r
             <- rds r=1
             ack lds
             ack rds
             <-
             world cds b=1 -a eds b=1 -a rds r=2 lds l=2
             <- {added}
             <-                     # listeners and routes wait for the clusters
             -> eds +b a b
             <- eds b=1
             <-
             ack eds
             ack cds
             <- lds l=2
             <- rds r=2
             <-
             ack lds
             <-
             ack rds
             <- {removed}
             <-
             ack cds
             -> eds -a b
             <-"
        );
        let keep = |word: &str| match flavor {
            Delta => true,
            Sotw => !word.starts_with('+'),
        };
        let stage: Vec<String> = stage
            .lines()
            .map(|line| match line.trim().strip_prefix("-> ") {
                Some(rest) => {
                    let plain = rest.split(' ').filter(|word| keep(word));
                    let words: Vec<_> = match flavor {
                        Delta => plain.collect(),
                        Sotw => plain.filter(|word| !word.starts_with('-')).collect(),
                    };
                    format!("-> {}", words.join(" "))
                }
                None => line.to_owned(),
            })
            .collect();
        play(flavor, &stage.join("\n"));
    }
}

#[test]
fn x8_every_name_is_answered() {
    play(
        Delta,
        "-> eds +a
         <- eds a=()
         ack eds
         <-
         -> rds +r
         <- rds r=()
         -> sds +s
         <- sds -s",
    );
    play(
        Sotw,
        "-> eds a
         <- eds a=()
         ack eds
         <-
         -> rds r
         <- rds r=()
         -> sds s
         <-",
    );
}

#[test]
fn x8_an_empty_world_is_an_answer() {
    for flavor in [Delta, Sotw] {
        play(flavor, "-> cds\n<- cds\nack cds\n<-\n-> lds\n<- lds\n<-");
    }
}

#[test]
fn x8_a_missing_answer_has_an_end() {
    for flavor in [Delta, Sotw] {
        play(
            flavor,
            "world cds a=1 lds l=1
             -> cds
             <- cds a=1
             -> lds
             <- lds l=1
             ack lds
             world cds a=2 lds l=2
             <-
             overdue
             <- cds a=2
             <- lds l=2
             ack cds
             <-",
        );
    }
}

#[test]
fn x9_nothing_changed_nothing_sent() {
    for flavor in [Delta, Sotw] {
        play(
            flavor,
            "world cds a=1
             -> cds
             <- cds a=1
             ack cds
             world cds a=2
             world cds a=1
             <-
             world cds a=1 lds l=1
             <-",
        );
    }
}

#[test]
fn x9_states_in_between_are_skipped() {
    for flavor in [Delta, Sotw] {
        play(
            flavor,
            "world cds a=1
             -> cds
             <- cds a=1
             world cds a=2
             <-
             world cds a=3
             <-
             ack cds
             <- cds a=3
             <-",
        );
    }
}

#[test]
fn x10_endpoints_follow_a_cluster_that_warms_anew() {
    for (flavor, ask) in [(Delta, "-> eds +a"), (Sotw, "-> eds a")] {
        play(
            flavor,
            &format!(
                "world cds a=1 eds a=1
                 -> cds
                 <- cds a=1
                 {ask}
                 <- eds a=1
                 ack eds
                 ack cds
                 world cds a=2
                 <- cds a=2
                 <- eds a=1
                 <-"
            ),
        );
    }
}

/// An Envoy with a warming cluster comes back without asking for clusters.
#[test]
fn x10_endpoints_asked_for_before_clusters_are_sent_whatever_is_held() {
    play(
        Delta,
        "world cds a=1 eds a=1
         -> eds +a a@1
         <- eds a=1
         ack eds
         -> cds a@1
         <-",
    );
}

/// The clusters were sent before the client's list of endpoints was read.
#[test]
fn x10_endpoints_of_clusters_sent_on_this_stream_are_sent_whatever_is_held() {
    play(
        Delta,
        "world cds a=2 b=1 eds a=1 b=1
         -> cds a@1 b@1
         <- cds a=2
         -> eds +a +b a@1 b@1
         <- eds a=1
         <-",
    );
}

#[test]
fn x12_a_reconnect_with_the_same_content_is_silent() {
    play(
        Delta,
        "world cds a=1 b=1 eds a=1 b=1 lds l=1 rds r=1
         -> cds a@1 b@1
         -> eds +a +b a@1 b@1
         -> lds l@1
         -> rds +r r@1
         <-
         world eds b=2
         <- eds b=2
         <-",
    );
    play(
        Sotw,
        "world cds a=1 b=1 lds l=1
         -> cds a@1 b@1
         -> lds l@2
         <- lds l=1
         <-
         ack lds
         world cds a=2
         <- cds a=2 b=1
         <-",
    );
}

#[test]
fn a_reconnect_with_a_cluster_changed_sends_its_endpoints_again() {
    play(
        Delta,
        "world cds a=2 b=1 eds a=1 b=1
         -> cds a@1 b@1
         -> eds +a +b a@1 b@1
         <- cds a=2
         <- eds a=1
         <-",
    );
}

#[test]
fn a_listener_is_replaced_in_one_response() {
    play(
        Delta,
        "world lds a=1
         -> lds
         <- lds a=1
         ack lds
         world lds -a b=1
         <- lds b=1 -a",
    );
}

#[test]
fn dropping_a_name_under_a_wildcard_tells_its_state() {
    play(
        Delta,
        "world cds a=1
         -> cds +* +a +z
         <- cds a=1 -z
         ack cds
         -> cds -a -z
         <- cds a=1 -z",
    );
}

#[test]
fn a_generation_is_synced_once_all_is_answered() {
    let mut stage = play(
        Delta,
        "world cds a=1 lds l=1
         -> cds
         -> lds
         <- cds a=1
         <- lds l=1
         ack lds",
    );
    let synced = |event: &Event| matches!(event, Event::Synced { .. });
    assert!(!stage.events.iter().any(synced));
    stage.step("ack cds", "");
    let two = |event: &Event| matches!(event, Event::Synced { generation: 2 });
    assert!(stage.events.iter().any(two));
}

/// What the confirmations say, as `GENERATION TYPE HELD-BACK...`.
fn confirmed(events: &mut Vec<Event>) -> Vec<String> {
    let events = std::mem::take(events);
    let of = |event: &Event| match event {
        Event::Confirmed { generation, types } => types
            .iter()
            .map(|one| {
                let short = crate::types::XdsType::find(one.type_url).unwrap().short;
                format!("{generation} {short} {}", one.held_back.join(" "))
            })
            .collect(),
        Event::Acked { .. }
        | Event::Nacked { .. }
        | Event::Synced { .. }
        | Event::Refused { .. }
        | Event::Subscribed { .. }
        | Event::Detached => Vec::new(),
    };
    events.iter().flat_map(of).collect()
}

#[test]
fn a_type_is_confirmed_once_when_it_has_come_to_rest() {
    let mut stage = play(
        Delta,
        "world cds a=1 lds l=1
         -> cds
         -> lds
         <- cds a=1
         <- lds l=1
         ack lds",
    );
    let first = confirmed(&mut stage.events);
    assert!(
        matches!(&first[..], [one] if one.ends_with("lds ")),
        "{first:?}"
    );
    stage.step("ack cds", "");
    let then = confirmed(&mut stage.events);
    assert!(
        matches!(&then[..], [one] if one.ends_with("cds ")),
        "{then:?}"
    );
}

#[test]
fn a_confirmation_names_what_is_held_back_until_it_is_well() {
    let mut stage = play(
        Delta,
        "world cds a=1
         -> cds
         <- cds a=1
         ack cds
         world cds a=bad
         <- cds a=bad
         nack cds: Error adding/updating cluster(s) a: no such policy",
    );
    let told = confirmed(&mut stage.events);
    assert!(told.last().unwrap().ends_with("cds a"), "{told:?}");
    stage.step("world cds a=2", "");
    assert!(confirmed(&mut stage.events).is_empty());
    stage.step("<- cds a=2", "");
    stage.step("ack cds", "");
    let told = confirmed(&mut stage.events);
    assert!(
        matches!(&told[..], [one] if one.ends_with("cds ")),
        "{told:?}"
    );
}

fn delta(type_url: &str) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.to_owned(),
        ..DeltaDiscoveryRequest::default()
    }
}

#[test]
fn a_type_is_refused_by_default() {
    let new = |kind| Session::new(Delta, kind, 1, Arc::new(Assignment::new(1)));
    let error = new(ProxyKind::Sidecar).delta(&delta("type.googleapis.com/x"));
    assert_eq!(
        error.unwrap_err().to_string(),
        "type \"type.googleapis.com/x\" is not served here; ask for a type that this control \
         plane knows"
    );
    let error = new(ProxyKind::Ztunnel).delta(&delta(urls::CLUSTER));
    assert!(matches!(error, Err(Unacceptable::NotForClient { .. })));

    let mut served = new(ProxyKind::Sidecar);
    served.delta(&delta(urls::CLUSTER)).unwrap();
    served.delta(&delta(urls::RUNTIME)).unwrap();
    served.delta(&delta(urls::RUNTIME)).unwrap();
    let events = served.take_events();
    assert!(matches!(&events[..], [Event::Refused { .. }]), "{events:?}");
}

#[test]
fn names_are_bounded() {
    let mut session = Session::new(Delta, ProxyKind::Sidecar, 1, Arc::new(Assignment::new(1)));
    let request = DeltaDiscoveryRequest {
        resource_names_subscribe: (0..=MAX_NAMES).map(|i| i.to_string()).collect(),
        ..delta(urls::ENDPOINT)
    };
    let error = session.delta(&request).unwrap_err();
    assert!(matches!(error, Unacceptable::TooManyNames { .. }));
}

/// Envoys were seen to come back without asking for clusters (X11).
#[test]
fn a_stream_without_clusters_is_noticed() {
    let stage = play(Delta, "-> eds +a\n<- eds a=()");
    assert!(stage.session.lacks_clusters());
    let stage = play(Delta, "-> sds +a\n<- sds -a");
    assert!(!stage.session.lacks_clusters());
    let stage = play(Delta, "-> eds +a\n-> cds\n<- cds\n<- eds a=()");
    assert!(!stage.session.lacks_clusters());
}
