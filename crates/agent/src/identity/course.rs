//! When the authority is asked next: long before the certificate ends, and while it is away again and
//! again, more patiently at first and less so the nearer the end is (reliability.md F12).
//!
//! Pure: moments and draws come from outside.

use super::schedule::{Grace, Moment, Schedule};
use crate::backoff::Backoff;
use std::time::{Duration, SystemTime};

/// The wait after a first failure.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait between two questions that fail, while nothing presses.
const MOST: Duration = Duration::from_secs(60);
/// That of whoever holds an ended certificate: nobody lets it in.
const ENDED: Duration = Duration::from_secs(5);
/// Nobody asks more often than that, jitter aside.
const OFTEN: Duration = Duration::from_secs(1);

/// The longest wait before the authority is asked again, for who holds a certificate that counts for
/// another `left` (`None`: who holds none). A quarter of it, so that an authority that comes back in
/// time is asked in time, however short lives are.
fn patience(left: Option<Duration>) -> Duration {
    match left {
        None => MOST,
        Some(Duration::ZERO) => ENDED,
        Some(left) => (left / 4).clamp(OFTEN, MOST),
    }
}

/// The course of renewals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    grace: Grace,
    backoff: Backoff,
    /// When what is held ends; `None` while nothing is.
    until: Option<SystemTime>,
}

impl Course {
    /// Nothing is held.
    pub(super) fn new(grace: Grace) -> Self {
        Self {
            grace,
            backoff: Backoff::new(FIRST, MOST),
            until: None,
        }
    }

    /// A certificate with this life was issued now: when to ask for the next. `draw` is from 0 to
    /// below 1.
    pub(super) fn issued(
        &mut self,
        life: (SystemTime, SystemTime),
        (draw, now): (f64, Moment),
    ) -> Schedule {
        self.backoff.reset();
        self.until = Some(life.1);
        Schedule::new(life, self.grace, (draw, now))
    }

    /// None was issued: after which wait to ask again, and when that is. The draws are from 0 to below
    /// 1.
    pub(super) fn refused(&mut self, draws: (f64, f64), now: Moment) -> (Duration, Schedule) {
        let left = |until: SystemTime| until.duration_since(now.wall).unwrap_or_default();
        // Between a half and all of it, so that a fleet does not ask at once.
        let most = patience(self.until.map(left)).mul_f64(0.5 + 0.5 * draws.0);
        let wait = self.backoff.next(draws.1).min(most);
        (wait, Schedule::after(wait, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::draw;
    use std::collections::BTreeSet;
    use std::time::UNIX_EPOCH;
    use tokio::time::Instant;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn who_has_little_left_asks_more_often() {
        let seconds = |seconds| patience(Some(Duration::from_secs(seconds)));
        assert_eq!((patience(None), seconds(12 * 3600)), (MOST, MOST));
        assert_eq!(seconds(30), Duration::from_millis(7500));
        assert_eq!((seconds(2), seconds(0)), (OFTEN, ENDED));
    }

    /// An agent whose hours take no time.
    struct Agent {
        course: Course,
        lifetime: Duration,
        now: Moment,
        due: Option<Schedule>,
        /// What it was given, by number, with the moment: it shows the last one.
        issued: Vec<Instant>,
        /// When it asked in vain.
        refused: Vec<Instant>,
    }

    impl Agent {
        /// One that is given certificates of this lifetime.
        fn new(lifetime: Duration) -> Self {
            Self {
                course: Course::new(Grace::default()),
                lifetime,
                now: Moment {
                    wall: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
                    steady: Instant::now(),
                },
                due: None,
                issued: Vec::new(),
                refused: Vec::new(),
            }
        }

        /// Goes on for so long, with the authority there or away.
        fn pass(&mut self, span: Duration, is_there: bool) {
            let end = self.now.steady + span;
            loop {
                let wait = self.due.map_or(Duration::ZERO, |due| due.wait(self.now));
                if !wait.is_zero() {
                    let wait = wait.min(end - self.now.steady);
                    self.now.wall += wait;
                    self.now.steady += wait;
                }
                if self.now.steady >= end {
                    return;
                }
                if self.due.is_none_or(|due| due.wait(self.now).is_zero()) {
                    self.ask(is_there);
                }
            }
        }

        fn ask(&mut self, is_there: bool) {
            let now = self.now;
            self.due = Some(match is_there {
                true => {
                    self.issued.push(now.steady);
                    let life = (now.wall - 2 * MINUTE, now.wall + self.lifetime);
                    self.course.issued(life, (draw(), now))
                }
                false => {
                    self.refused.push(now.steady);
                    self.course.refused((draw(), draw()), now).1
                }
            });
        }

        /// The waits between questions in vain.
        fn waits(&self) -> Vec<Duration> {
            let pairs = self.refused.windows(2);
            pairs.map(|pair| pair[1] - pair[0]).collect()
        }
    }

    /// Away for an hour and a half, in which the renewal is due; the certificate counts on.
    #[test]
    fn an_hour_without_the_authority_costs_it_little_and_its_return_is_seen() {
        let mut agent = Agent::new(24 * HOUR);
        agent.pass(11 * HOUR + HOUR / 2, true);
        assert_eq!(agent.issued.len(), 1, "nothing is due yet");
        agent.pass(HOUR + HOUR / 2, false);
        let waits = agent.waits();
        let asking: Duration = waits.iter().sum();
        assert!(asking > 40 * MINUTE, "it stopped asking after {asking:?}");
        assert!(
            (40..600).contains(&waits.len()),
            "{} questions",
            waits.len()
        );
        assert!(waits.iter().all(|wait| *wait >= FIRST), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= MOST), "{waits:?}");
        assert!(waits.iter().max() > Some(&(10 * SECOND)), "{waits:?}");
        let others: BTreeSet<_> = waits.iter().collect();
        assert!(others.len() * 2 > waits.len(), "a rhythm: {waits:?}");
        assert_eq!(agent.issued.len(), 1, "the old one is shown on");
        let back = agent.now.steady;
        agent.pass(MOST, true);
        assert_eq!(agent.issued.len(), 2);
        assert!(agent.issued[1] - back <= MOST);
        // From there on it goes as before.
        agent.pass(11 * HOUR, true);
        assert_eq!(
            agent.issued.len(),
            2,
            "the next is due after half of its life"
        );
    }

    /// Away until long after the end of the certificate.
    #[test]
    fn who_holds_an_ended_certificate_sees_the_return_within_seconds() {
        let mut agent = Agent::new(HOUR);
        agent.pass(MINUTE, true);
        agent.pass(2 * HOUR, false);
        assert_eq!(agent.issued.len(), 1, "nothing to show would be worse");
        let late = agent.waits().split_off(agent.refused.len() / 2);
        assert!(late.iter().all(|wait| *wait >= FIRST), "{late:?}");
        let back = agent.now.steady;
        agent.pass(ENDED, true);
        assert_eq!(agent.issued.len(), 2);
        assert!(agent.issued[1] - back <= ENDED);
    }

    /// Pods that lost the authority at the same moment do not come back to it at the same moment.
    #[test]
    fn a_fleet_does_not_return_at_once() {
        let mut first = BTreeSet::new();
        for _ in 0..100 {
            let mut agent = Agent::new(HOUR);
            agent.pass(MINUTE, true);
            agent.pass(HOUR, false);
            let back = agent.now.steady;
            agent.pass(MOST, true);
            first.insert((agent.issued[1] - back).as_millis() / 100);
        }
        assert!(first.len() >= 10, "only {} tenths of a second", first.len());
    }
}
