//! Waiting for an event, with a deadline.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(2);
/// A look that starts a program costs what the awaited event needs itself: so long at most it is put
/// off, for the time that the last look took.
const LEAVE: Duration = Duration::from_millis(300);

/// Looks until `probe` finds something.
///
/// # Errors
/// Nothing was found in time; the error says what was awaited and why the last look failed.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    every(what, (deadline, PAUSE), probe)
}

/// The same with a pause of one's own between two looks, for one that costs something. A slow look
/// makes it longer: looking takes half of the time at most.
///
/// # Errors
/// As for [`until`].
pub fn every<T>(
    what: &str,
    (deadline, pause): (Duration, Duration),
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        let look = Instant::now();
        let last = match probe() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if started.elapsed() >= deadline {
            match last {
                Some(error) => return Err(error.context(late(what, deadline))),
                None => bail!(late(what, deadline)),
            }
        }
        std::thread::sleep(pause.max(look.elapsed().min(LEAVE)));
    }
}

fn late(what: &str, deadline: Duration) -> String {
    format!("waited {} s in vain for {what}", deadline.as_secs_f32())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_failure_is_told() {
        let probe = || -> Result<Option<()>> { bail!("connection refused") };
        let error = until("the door", Duration::ZERO, probe).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("the door") && text.contains("connection refused"),
            "{text}"
        );
    }
}
