//! Durations as Go writes them.

use meltemi_api::duration::Duration;

/// What is read and written is the same when it is read again.
pub(crate) fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(duration) = text.parse::<Duration>() else {
        return;
    };
    let written = duration.to_string();
    let again: Duration = written.parse().unwrap_or_else(|problem| {
        panic!("{text:?} is written as {written:?}, which is refused: {problem}")
    });
    assert_eq!(again, duration, "{text:?} is written as {written:?}");
}
