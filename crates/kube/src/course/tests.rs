//! What the course does, case by case.

use super::*;

fn status(code: u16, reason: &str, message: &str) -> Fault {
    Fault::Status(Status {
        code,
        reason: reason.into(),
        message: message.into(),
    })
}

fn watching() -> Course {
    let mut course = Course::new();
    assert_eq!(course.ask(), Ask::Stream);
    course.listed("7".into());
    course
}

#[test]
fn a_watch_goes_on_from_where_it_was() {
    let mut course = watching();
    course.reached("9");
    assert_eq!(course.ended(), Next::Soon);
    assert_eq!(course.ask(), Ask::Watch("9".into()));
    assert_eq!(course.failed(Fault::Lost), Next::Later(1));
    assert_eq!(course.ask(), Ask::Watch("9".into()));
}

#[test]
fn a_version_that_cannot_be_had_leads_to_a_list() {
    for fault in [
        status(410, "Expired", "too old resource version"),
        status(410, "Gone", ""),
        status(504, "Timeout", "Too large resource version: 9, current: 3"),
        status(0, "Expired", ""),
    ] {
        let mut course = watching();
        assert_eq!(course.failed(fault.clone()), Next::Soon, "{fault:?}");
        assert_eq!(course.ask(), Ask::Stream);
        assert_eq!(course.failed(fault), Next::Later(2));
    }
}

#[test]
fn the_same_version_is_not_tried_for_ever() {
    for fault in [Fault::Silent, status(500, "InternalError", "etcd")] {
        let mut course = watching();
        for _ in 1..SAME_VERSION {
            course.failed(fault.clone());
            assert_eq!(course.ask(), Ask::Watch("7".into()));
        }
        assert_eq!(course.failed(fault), Next::Later(SAME_VERSION));
        assert_eq!(course.ask(), Ask::Stream);
    }
}

#[test]
fn a_server_that_is_away_says_nothing_about_the_version() {
    let mut course = watching();
    for failures in 1..40 {
        let fault = match failures % 3 {
            0 => Fault::Away,
            1 => Fault::Lost,
            _ => status(503, "ServiceUnavailable", "starting"),
        };
        assert_eq!(course.failed(fault), Next::Later(failures));
        assert_eq!(course.ask(), Ask::Watch("7".into()));
    }
    course.lasted();
    assert_eq!(course.failed(Fault::Away), Next::Later(1));
}

#[test]
fn watches_that_end_without_a_word_lead_to_a_list() {
    let mut course = watching();
    let ends: Vec<_> = (0..QUIET_ENDS).map(|_| course.ended()).collect();
    assert_eq!(ends.first(), Some(&Next::Soon));
    assert_eq!(course.ask(), Ask::Stream);
}

#[test]
fn a_server_that_does_not_stream_lists_is_asked_for_pages() {
    for fault in [
        status(422, "Invalid", "sendInitialEvents is forbidden for watch"),
        status(400, "BadRequest", ""),
        Fault::Silent,
    ] {
        let mut course = Course::new();
        course.failed(fault);
        assert_eq!(course.ask(), Ask::Pages);
        course.listed("7".into());
        course.failed(Fault::Malformed);
        assert_eq!(course.ask(), Ask::Pages, "it is not tried again");
    }
}

#[test]
fn a_comparison_that_fails_costs_nothing() {
    let mut course = watching();
    course.compare();
    assert_eq!(course.ask(), Ask::Pages);
    assert_eq!(course.failed(status(503, "", "")), Next::Later(1));
    assert_eq!(course.ask(), Ask::Watch("7".into()));
    course.failed(Fault::Regressed);
    assert_eq!(course.ask(), Ask::Pages);
    course.failed(Fault::Lost);
    assert_eq!(course.ask(), Ask::Pages, "there is nothing to go back to");
}

#[test]
fn absence_and_denial_are_no_failures() {
    let mut course = Course::new();
    assert_eq!(course.failed(status(404, "NotFound", "")), Next::Absent);
    assert!(matches!(
        course.failed(status(403, "Forbidden", "")),
        Next::Denied(_)
    ));
    assert!(matches!(
        course.failed(status(401, "Unauthorized", "")),
        Next::Denied(_)
    ));
    assert_eq!(course.ask(), Ask::Stream);
}
