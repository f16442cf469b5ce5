//! What a client refuses: the culprit is found and kept at its last good version, the rest goes on.

use super::super::Flavor::{Delta, Sotw};
use super::script::play;
use crate::Event;

#[test]
fn a_named_culprit_is_kept_at_its_last_good_version() {
    let stage = play(
        Delta,
        "world cds a=1 b=1
         -> cds
         <- cds a=1 b=1
         ack cds
         world cds a=bad b=2
         <- cds a=bad b=2
         nack cds: Error adding/updating cluster(s) a: no such policy
         <-
         world cds b=3
         <- cds b=3
         ack cds
         world cds a=2
         <- cds a=2
         ack cds
         <-",
    );
    let culprits = stage.events.iter().find_map(|event| match event {
        Event::Nacked { culprits, .. } => Some(culprits),
        Event::Acked { .. }
        | Event::Synced { .. }
        | Event::Confirmed { .. }
        | Event::Refused { .. }
        | Event::Subscribed { .. }
        | Event::Detached => None,
    });
    let culprit = &culprits.unwrap()[0];
    assert_eq!(&*culprit.refused.name, "a");
    assert!(culprit.last_good.is_some());
}

/// What is absent from a full state is deleted.
#[test]
fn a_full_state_holds_the_last_good_version_of_the_culprit() {
    play(
        Sotw,
        "world cds a=1 b=1
         -> cds
         <- cds a=1 b=1
         ack cds
         world cds a=bad b=2 c=bad
         <- cds a=bad b=2 c=bad
         nack cds: Error adding/updating cluster(s) a: no, c: no
         <-
         world cds b=3
         <- cds a=1 b=3
         ack cds
         world cds a=1
         <-
         world cds c=1
         <- cds a=1 b=3 c=1",
    );
}

#[test]
fn a_response_that_was_dropped_whole_is_halved() {
    play(
        Delta,
        "world cds a=1 b=bad c=1 d=1
         -> cds
         <- cds a=1 b=bad c=1 d=1
         nack cds: Proto constraint validation failed
         <- cds a=1 b=bad
         nack cds: Proto constraint validation failed
         <- cds a=1
         ack cds
         <- cds b=bad
         nack cds: Proto constraint validation failed
         <- cds c=1 d=1
         ack cds
         <-",
    );
    play(
        Sotw,
        "world cds a=1 b=bad
         -> cds
         <- cds a=1 b=bad
         nack cds: Proto constraint validation failed
         <- cds a=1
         ack cds
         <- cds a=1 b=bad
         nack cds: Proto constraint validation failed
         <-
         world cds a=2
         <- cds a=2",
    );
}

#[test]
fn siblings_of_a_bad_route_are_sent_one_by_one() {
    for (flavor, ask) in [(Delta, "-> rds +a +b +c"), (Sotw, "-> rds a b c")] {
        play(
            flavor,
            &format!(
                "world rds a=1 b=bad c=1
                 {ask}
                 <- rds a=1 b=bad c=1
                 nack rds: invalid regex
                 <- rds a=1
                 <-
                 ack rds
                 <- rds b=bad
                 nack rds: invalid regex
                 <- rds c=1
                 ack rds
                 <-
                 world rds a=2 b=2
                 <- rds a=2
                 ack rds
                 <- rds b=2
                 ack rds
                 <-"
            ),
        );
    }
}

#[test]
fn asking_again_for_a_refused_name_gets_the_last_good_one() {
    play(
        Delta,
        "world eds a=1 b=bad
         -> eds +a
         <- eds a=1
         ack eds
         world eds a=bad
         <- eds a=bad
         nack eds: no
         -> eds +a
         <- eds a=1
         ack eds
         -> eds +b
         <- eds b=bad
         nack eds: no
         -> eds +b
         <- eds b=()",
    );
}

/// Of a refused response Envoy may have applied any part, so what was certain before is not any
/// more, also when the next version is refused too.
#[test]
fn what_a_refused_response_may_have_brought_is_not_taken_for_the_last_good_one() {
    play(
        Delta,
        "world eds a=1 b=1
         -> eds +a +b
         <- eds a=1 b=1
         ack eds
         world eds a=2 b=bad
         <- eds a=2 b=bad
         nack eds: no
         world eds a=bad b=2
         <- eds a=bad
         nack eds: no
         <- eds b=2
         ack eds
         world eds a=1
         <- eds a=1
         ack eds
         <-",
    );
}
