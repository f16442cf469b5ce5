//! Which accounts may read the Secrets of their namespace, as the API server last said, and whom to ask
//! about. Pure: the clock is an argument, asking is done by somebody else.
//!
//! A yes counts for a minute, a no for ten seconds. When the API server does not answer, the last yes
//! counts for ten minutes (reliability.md T08).

use meltemi_xds::Account;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const YES: Duration = Duration::from_secs(60);
const NO: Duration = Duration::from_secs(10);
/// How long nothing is asked after a question that was not answered.
const AGAIN: Duration = Duration::from_secs(4);
/// How long a yes counts while the API server is away.
const AWAY: Duration = Duration::from_secs(600);

/// Whether somebody may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Granted,
    Refused,
    /// It is being asked.
    Unknown,
}

/// What is known of one account.
#[derive(Debug, Default)]
struct Known {
    /// What was said, and when.
    said: Option<(bool, Instant)>,
    /// A question is on its way.
    asked: bool,
    /// When the last question was not answered, if it was not.
    away: Option<Instant>,
}

/// What is known of all accounts.
#[derive(Debug)]
pub(crate) struct Rights {
    known: BTreeMap<Account, Known>,
    questions: mpsc::UnboundedSender<Account>,
}

impl Rights {
    /// Nothing is known; who is asked about comes out of the other end, each once at a time.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Account>) {
        let (questions, asked) = mpsc::unbounded_channel();
        let rights = Self {
            known: BTreeMap::new(),
            questions,
        };
        (rights, asked)
    }

    /// Whether the account may; what is too old is asked again.
    pub(crate) fn of(&mut self, account: &Account, now: Instant) -> Right {
        let known = self.known.entry(account.clone()).or_default();
        let age = |at: Instant| now.saturating_duration_since(at);
        match known.said {
            Some((true, at)) if age(at) < YES => return Right::Granted,
            Some((false, at)) if age(at) < NO => return Right::Refused,
            Some(_) | None => {}
        }
        let soon = known.away.is_some_and(|at| age(at) < AGAIN);
        if !known.asked && !soon {
            known.asked = self.questions.send(account.clone()).is_ok();
        }
        match known.said {
            Some((true, at)) if known.away.is_some() && age(at) < AWAY => Right::Granted,
            Some(_) | None => Right::Unknown,
        }
    }

    /// What the API server said; `None` when it did not.
    pub(crate) fn decided(&mut self, account: &Account, (may, now): (Option<bool>, Instant)) {
        let known = self.known.entry(account.clone()).or_default();
        known.asked = false;
        known.away = may.is_none().then_some(now);
        if let Some(may) = may {
            known.said = Some((may, now));
        }
    }

    /// Forgets what counts no more.
    pub(crate) fn forget(&mut self, now: Instant) {
        self.known.retain(|_, known| {
            let counts = |at: Instant| now.saturating_duration_since(at) < AWAY;
            known.asked || known.said.is_some_and(|(_, at)| counts(at))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn account() -> Account {
        Account {
            namespace: "shop".parse().unwrap(),
            name: "web".parse().unwrap(),
        }
    }

    #[test]
    fn t08_a_yes_counts_for_a_minute_and_a_no_for_ten_seconds() {
        let (mut rights, mut asked) = Rights::new();
        let (who, start) = (account(), Instant::now());
        assert_eq!(rights.of(&who, start), Right::Unknown);
        assert_eq!(rights.of(&who, start), Right::Unknown);
        assert_eq!(asked.try_recv().unwrap(), who);
        assert!(asked.try_recv().is_err(), "one question is enough");
        rights.decided(&who, (Some(true), start));
        assert_eq!(rights.of(&who, start + 59 * SECOND), Right::Granted);
        assert_eq!(rights.of(&who, start + 60 * SECOND), Right::Unknown);
        assert_eq!(asked.try_recv().unwrap(), who);
        let then = start + 61 * SECOND;
        rights.decided(&who, (Some(false), then));
        assert_eq!(rights.of(&who, then + 9 * SECOND), Right::Refused);
        assert!(asked.try_recv().is_err());
        assert_eq!(rights.of(&who, then + 10 * SECOND), Right::Unknown);
        assert_eq!(asked.try_recv().unwrap(), who);
    }

    #[test]
    fn t08_the_last_yes_counts_for_ten_minutes_while_nobody_answers() {
        let (mut rights, mut asked) = Rights::new();
        let (who, start) = (account(), Instant::now());
        rights.decided(&who, (Some(true), start));
        let later = start + 300 * SECOND;
        assert_eq!(rights.of(&who, later), Right::Unknown);
        rights.decided(&who, (None, later));
        assert_eq!(rights.of(&who, later), Right::Granted);
        assert_eq!(asked.try_recv().unwrap(), who);
        assert!(asked.try_recv().is_err(), "not again at once");
        assert_eq!(rights.of(&who, later + 4 * SECOND), Right::Granted);
        assert_eq!(asked.try_recv().unwrap(), who);
        assert_eq!(rights.of(&who, start + 599 * SECOND), Right::Granted);
        assert_eq!(rights.of(&who, start + 600 * SECOND), Right::Unknown);
        while asked.try_recv().is_ok() {}
        rights.decided(&who, (Some(false), start + 601 * SECOND));
        assert_eq!(rights.of(&who, start + 602 * SECOND), Right::Refused);
        rights.decided(&who, (None, start + 603 * SECOND));
        let late = start + 660 * SECOND;
        assert_eq!(rights.of(&who, late), Right::Unknown, "a no is no yes");
    }

    #[test]
    fn what_counts_no_more_is_forgotten() {
        let (mut rights, _asked) = Rights::new();
        let (who, start) = (account(), Instant::now());
        rights.decided(&who, (Some(true), start));
        rights.forget(start + 599 * SECOND);
        assert_eq!(rights.known.len(), 1);
        rights.forget(start + 600 * SECOND);
        assert_eq!(rights.known.len(), 0);
    }
}
