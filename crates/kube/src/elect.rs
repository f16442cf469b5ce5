//! Who leads, decided without a server: what the lock says in, what to write next out.
//!
//! A lock holds a record that its holder renews. A record that has not changed for its whole
//! duration is taken over. How long that is counts on the reader's monotonic clock, never by the
//! times in the record, so clocks of machines may differ as they like. Of locks that revisions
//! share the default revision takes over from others at once (platform.md 6.5); who loses so stops
//! when it next reads, or when its renewals have failed for the deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a leader may be silent, and how often everybody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// A record that has not changed for so long is taken over. Default 15 s.
    pub(crate) lease: Duration,
    /// A leader whose renewals have failed for so long stops. Less than `lease`. Default 10 s.
    pub(crate) deadline: Duration,
    /// Between two looks at the lock. Default 2 s.
    pub(crate) retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The pod, unlike all others.
    pub name: Arc<str>,
    /// The revision, `default` when it has no name.
    pub revision: Arc<str>,
}

/// What a lock says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who leads; empty when it gave the lock back.
    pub(crate) holder: String,
    /// The revision of who leads; empty in locks that are one revision's own.
    pub(crate) revision: String,
    /// How long the holder may be silent, in seconds.
    pub(crate) seconds: u64,
    /// When the holder wrote last, as it was written: only whether it changed counts. Who writes
    /// the lock sets it.
    pub(crate) renewed: String,
    /// How often the lock has changed hands.
    pub(crate) transitions: u64,
}

/// A lock as it was read: what it says, and the version that a write must replace.
pub(crate) type Stored = (Record, String);

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Write this; over the version, or where there was nothing.
    Write(Record, Option<String>),
    /// Look again later.
    Wait,
}

/// A time of leading. Of two terms of one lock the later has the higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term(pub(crate) u64);

/// One candidate's view of one lock.
#[derive(Debug)]
pub(crate) struct Elector {
    me: Candidate,
    timing: Timing,
    /// True for locks that revisions share.
    shared: bool,
    seen: Option<(Record, Instant)>,
    /// While leading: the term, and when the last renewal that was stored had begun.
    held: Option<(Term, Instant)>,
}

impl Elector {
    /// Knows nothing yet. `shared` is true for locks that revisions share.
    pub(crate) fn new(me: Candidate, timing: Timing, shared: bool) -> Self {
        Self {
            me,
            timing,
            shared,
            seen: None,
            held: None,
        }
    }

    /// The term, while this candidate may act: its last renewal is younger than the deadline.
    pub(crate) fn term(&self, now: Instant) -> Option<Term> {
        let (term, renewed) = self.held?;
        (now.duration_since(renewed) < self.timing.deadline).then_some(term)
    }

    /// Until when this candidate may act, when nothing is renewed.
    pub(crate) fn until(&self) -> Option<Instant> {
        let (_, renewed) = self.held?;
        Some(renewed + self.timing.deadline)
    }

    /// How long until what was read last has been silent for its duration, while that lies ahead.
    pub(crate) fn expires_in(&self, now: Instant) -> Option<Duration> {
        let (record, since) = self.seen.as_ref()?;
        let until = *since + Duration::from_secs(record.seconds);
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// What was read; `None` when there is no lock.
    pub(crate) fn read(&mut self, now: Instant, found: Option<&Stored>) -> Next {
        let Some((record, version)) = found else {
            self.held = None;
            self.seen = None;
            return Next::Write(self.record(0), None);
        };
        let since = match &self.seen {
            Some((seen, since)) if seen == record => *since,
            _ => now,
        };
        self.seen = Some((record.clone(), since));
        if record.holder == *self.me.name {
            return Next::Write(self.record(record.transitions), Some(version.clone()));
        }
        self.held = None;
        let silent = now.duration_since(since) >= Duration::from_secs(record.seconds);
        if record.holder.is_empty() || silent || self.outranks(record) {
            let next = self.record(record.transitions.saturating_add(1));
            return Next::Write(next, Some(version.clone()));
        }
        Next::Wait
    }

    /// The write that began then is stored.
    pub(crate) fn stored(&mut self, began: Instant, record: &Record) {
        self.held = (record.holder == *self.me.name).then_some((Term(record.transitions), began));
        self.seen = Some((record.clone(), began));
    }

    /// What to write to give the lock back, once everything that the leader does has ended.
    pub(crate) fn release(&mut self) -> Option<Record> {
        let (term, _) = self.held.take()?;
        let mut record = self.record(term.0);
        record.holder.clear();
        record.seconds = 1;
        Some(record)
    }

    /// The default revision comes first, of locks that revisions share.
    fn outranks(&self, record: &Record) -> bool {
        let default = "default";
        self.shared && *self.me.revision == *default && record.revision != default
    }

    fn record(&self, transitions: u64) -> Record {
        Record {
            holder: self.me.name.to_string(),
            revision: if self.shared {
                self.me.revision.to_string()
            } else {
                String::new()
            },
            seconds: self.timing.lease.as_secs(),
            renewed: String::new(),
            transitions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lock in memory: what it says, and how often it was written.
    #[derive(Default)]
    struct Lock {
        held: Option<Stored>,
        writes: u64,
    }

    impl Lock {
        fn write(&mut self, mut record: Record, over: Option<&String>) -> bool {
            if self.held.as_ref().map(|(_, version)| version) != over {
                return false;
            }
            self.writes += 1;
            record.renewed = self.writes.to_string();
            self.held = Some((record, self.writes.to_string()));
            true
        }

        /// A candidate looks, and writes what it wants; the write takes so long.
        fn turn(&mut self, elector: &mut Elector, now: Instant) {
            if let Next::Write(record, over) = elector.read(now, self.held.as_ref())
                && self.write(record.clone(), over.as_ref())
            {
                elector.stored(now, &record);
            }
        }
    }

    fn candidate(name: &str, revision: &str) -> Elector {
        let me = Candidate {
            name: name.into(),
            revision: revision.into(),
        };
        Elector::new(me, Timing::default(), true)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_leads_and_the_second_waits_until_it_is_silent_for_a_lease() {
        let (mut lock, start) = (Lock::default(), Instant::now());
        let (mut a, mut b) = (candidate("a", "default"), candidate("b", "default"));
        lock.turn(&mut a, start);
        lock.turn(&mut b, start + SECOND);
        assert_eq!(
            (a.term(start + SECOND), b.term(start + SECOND)),
            (Some(Term(0)), None)
        );
        lock.turn(&mut b, start + 15 * SECOND);
        assert_eq!(b.term(start + 15 * SECOND), None, "seen for 14 s only");
        assert_eq!(
            a.term(start + 10 * SECOND),
            None,
            "its deadline is over before"
        );
        lock.turn(&mut b, start + 16 * SECOND);
        assert_eq!(b.term(start + 16 * SECOND), Some(Term(1)));
        lock.turn(&mut a, start + 17 * SECOND);
        assert_eq!(a.term(start + 17 * SECOND), None, "it sees that it lost");
    }

    #[test]
    fn who_waits_knows_when_the_lock_is_anybodys() {
        let (mut lock, start) = (Lock::default(), Instant::now());
        let (mut a, mut b) = (candidate("a", "default"), candidate("b", "default"));
        assert_eq!(b.expires_in(start), None, "it has seen nothing");
        lock.turn(&mut a, start);
        lock.turn(&mut b, start + SECOND);
        assert_eq!(b.expires_in(start + SECOND), Some(15 * SECOND));
        lock.turn(&mut b, start + 14 * SECOND);
        assert_eq!(b.expires_in(start + 14 * SECOND), Some(2 * SECOND));
        lock.turn(&mut b, start + 16 * SECOND);
        assert_eq!(b.term(start + 16 * SECOND), Some(Term(1)));
        assert_eq!(b.expires_in(start + 40 * SECOND), None, "it is over");
    }

    #[test]
    fn a_leader_that_renews_is_not_taken_over() {
        let (mut lock, start) = (Lock::default(), Instant::now());
        let (mut a, mut b) = (candidate("a", "default"), candidate("b", "default"));
        for second in 0..60 {
            let now = start + second * SECOND;
            lock.turn(&mut a, now);
            lock.turn(&mut b, now);
            assert_eq!((a.term(now), b.term(now)), (Some(Term(0)), None));
        }
    }

    #[test]
    fn a_lock_that_was_given_back_is_taken_at_once() {
        let (mut lock, start) = (Lock::default(), Instant::now());
        let (mut a, mut b) = (candidate("a", "default"), candidate("b", "default"));
        lock.turn(&mut a, start);
        let released = a.release().unwrap();
        let version = lock.held.clone().unwrap().1;
        assert!(lock.write(released, Some(&version)));
        lock.turn(&mut b, start + SECOND);
        assert_eq!(
            (a.term(start + SECOND), b.term(start + SECOND)),
            (None, Some(Term(1)))
        );
        assert_eq!(a.release(), None, "nothing is left to give back");
    }

    #[test]
    fn the_default_revision_takes_over_shared_locks_and_nobody_takes_from_it() {
        let (mut lock, start) = (Lock::default(), Instant::now());
        let (mut canary, mut a) = (candidate("c", "canary"), candidate("a", "default"));
        lock.turn(&mut canary, start);
        lock.turn(&mut a, start + SECOND);
        assert_eq!(a.term(start + SECOND), Some(Term(1)));
        lock.turn(&mut canary, start + 2 * SECOND);
        assert_eq!(canary.term(start + 2 * SECOND), None);
        lock.turn(&mut a, start + 3 * SECOND);
        assert_eq!(a.term(start + 3 * SECOND), Some(Term(1)));
    }

    #[test]
    fn of_two_writes_over_one_version_the_second_fails() {
        let (mut lock, start) = (Lock::default(), Instant::now());
        let (mut a, mut b) = (candidate("a", "default"), candidate("b", "default"));
        let (Next::Write(of_a, None), Next::Write(of_b, None)) =
            (a.read(start, None), b.read(start, None))
        else {
            panic!("both want the lock that is not there");
        };
        assert!(lock.write(of_b.clone(), None) && !lock.write(of_a, None));
        b.stored(start, &of_b);
        assert_eq!((a.term(start), b.term(start)), (None, Some(Term(0))));
    }
}
