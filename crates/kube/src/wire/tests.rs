//! What bytes are taken for, case by case.

use super::*;

fn text<'a>(event: &'a Event<'_>) -> &'a str {
    match event {
        Event::Put(json) | Event::Gone(json) => std::str::from_utf8(json).unwrap(),
        Event::Bookmark { .. } | Event::Failed(_) => panic!("{event:?}"),
    }
}

#[test]
fn both_spellings_of_an_event_are_read() {
    let own = event(br#"{"type":"ADDED","object":{"a":"}"}}"#).unwrap();
    assert_eq!(text(&own), r#"{"a":"}"}"#);
    let other = event(br#"{ "object": {"a":"}"}, "type": "MODIFIED" }"#).unwrap();
    assert_eq!(text(&other), r#"{"a":"}"}"#);
    let gone = event(br#"{"type":"DELETED","object":{}}"#).unwrap();
    assert!(matches!(gone, Event::Gone(_)));
}

#[test]
fn a_bookmark_says_how_far_the_watch_is() {
    let plain =
        br#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"12"}}}"#;
    let expected = Event::Bookmark {
        version: "12".into(),
        complete: false,
    };
    assert_eq!(event(plain), Ok(expected));
    let last = br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"13","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
    assert!(matches!(
        event(last),
        Ok(Event::Bookmark { complete: true, .. })
    ));
}

#[test]
fn errors_and_nonsense_are_told_apart() {
    let gone = br#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#;
    let Ok(Event::Failed(status)) = event(gone) else {
        panic!()
    };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    for line in [
        &b"{\"type\":\"ADDED\""[..],
        b"",
        b"[]",
        br#"{"type":"ODD","object":{}}"#,
    ] {
        assert_eq!(event(line), Err(Malformed));
    }
    assert_eq!(super::status(503, b"<html>").code, 503);
}

#[test]
fn both_spellings_of_a_page_are_read() {
    let own = br#"{"kind":"PodList","metadata":{"resourceVersion":"9","continue":"abc"},"items":[{"a":"\"items\":["}, {"b":[1]}]}"#;
    let read = page(own).unwrap();
    assert_eq!(read.items.len(), 2);
    assert_eq!(&*read.items[1], br#"{"b":[1]}"#);
    assert_eq!(
        (read.version.as_str(), read.next.as_deref()),
        ("9", Some("abc"))
    );
    let other = page(br#"{"items": [{"b":[1]}], "metadata": {"resourceVersion": "9"}}"#).unwrap();
    assert_eq!(&*other.items[0], br#"{"b":[1]}"#);
    assert_eq!(other.next, None);
    assert_eq!(
        page(br#"{"metadata":{},"items":null}"#)
            .unwrap()
            .items
            .len(),
        0
    );
    assert!(page(b"<html>").is_err());
}

#[test]
fn lines_come_whole_however_they_arrive() {
    let mut lines = Lines::default();
    let mut found = Vec::new();
    for chunk in [&b"on"[..], b"e\ntw", b"o\r\n", b"\nthree"] {
        lines.push(chunk);
        while let Some(line) = lines.next() {
            found.push(String::from_utf8(line.to_vec()).unwrap());
        }
    }
    assert_eq!(found, ["one", "two", ""]);
    assert_eq!(lines.pending(), 5);
}
