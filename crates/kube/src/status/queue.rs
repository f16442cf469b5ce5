//! Which object's status is looked at when: the last word about each object wins, an object that
//! cannot decide waits, and the whole is limited. No I/O; the moments come from the caller.

use super::word::Word;
use meltemi_types::ObjectRef;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What there is to say, by object.
pub type Words = BTreeMap<Arc<ObjectRef>, Arc<Word>>;

/// So often one object is written in that time at most; what comes then waits for its end.
const WRITES: u32 = 5;
const SPAN: Duration = Duration::from_secs(60);

/// One object.
#[derive(Debug)]
struct Entry {
    word: Arc<Word>,
    due: Option<Instant>,
    /// Since when writes are counted, and how many there were.
    written: Option<(Instant, u32)>,
    /// How often it was put off in a row.
    attempts: u32,
}

/// All objects, and when each is due.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: BTreeMap<Arc<ObjectRef>, Entry>,
    order: BTreeSet<(Instant, Arc<ObjectRef>)>,
}

impl Queue {
    /// The last word about all objects: those that it says something new about are due now.
    pub(crate) fn replace(&mut self, words: &Words, now: Instant) {
        let gone = |object: &&Arc<ObjectRef>| !words.contains_key(*object);
        let gone: Vec<_> = self.entries.keys().filter(gone).cloned().collect();
        for object in gone {
            self.unschedule(&object);
            self.entries.remove(&object);
        }
        for (object, word) in words {
            let same = |entry: &Entry| Arc::ptr_eq(&entry.word, word) || entry.word == *word;
            if self.entries.get(object).is_some_and(same) {
                continue;
            }
            let entry = self.entries.entry(object.clone()).or_insert_with(|| Entry {
                word: word.clone(),
                due: None,
                written: None,
                attempts: 0,
            });
            entry.word = word.clone();
            entry.attempts = 0;
            let free = entry.free(now);
            self.schedule(object, free);
        }
    }

    /// Every object is due, as when nobody knows what was written.
    pub(crate) fn everything(&mut self, now: Instant) {
        let all: Vec<_> = self.entries.keys().cloned().collect();
        for object in all {
            let free = self
                .entries
                .get(&object)
                .map_or(now, |entry| entry.free(now));
            self.schedule(&object, free);
        }
    }

    /// When the next object is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(due, _)| *due)
    }

    /// How many objects wait.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// An object that is due, and what there is to say about it.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(Arc<ObjectRef>, Arc<Word>)> {
        let (due, _) = self.order.first()?;
        if *due > now {
            return None;
        }
        let (_, object) = self.order.pop_first()?;
        let entry = self.entries.get_mut(&object)?;
        entry.due = None;
        Some((object, entry.word.clone()))
    }

    /// Looks at the object again then. False when that was done too often already.
    pub(crate) fn put_off(&mut self, object: &Arc<ObjectRef>, until: Instant, most: u32) -> bool {
        let Some(entry) = self.entries.get_mut(object) else {
            return true;
        };
        entry.attempts += 1;
        if entry.attempts > most {
            entry.attempts = 0;
            return false;
        }
        if entry.due.is_none() {
            self.schedule(object, until);
        }
        true
    }

    /// Looks at the object again once its texts alone may be written: so long after it was, or
    /// after `began` where this process has not.
    pub(crate) fn after_rest(
        &mut self,
        object: &Arc<ObjectRef>,
        now: Instant,
        began: Instant,
    ) -> bool {
        let written = self.entries.get(object).and_then(|entry| entry.written);
        let since = written.map_or(began, |(since, _)| since);
        let rested = since + SPAN;
        if rested <= now {
            return false;
        }
        self.schedule(object, rested);
        true
    }

    /// The object was written.
    pub(crate) fn wrote(&mut self, object: &Arc<ObjectRef>, now: Instant) {
        if let Some(entry) = self.entries.get_mut(object) {
            entry.attempts = 0;
            entry.written = Some(match entry.written {
                Some((since, count)) if now.duration_since(since) < SPAN => (since, count + 1),
                Some(_) | None => (now, 1),
            });
        }
    }

    fn schedule(&mut self, object: &Arc<ObjectRef>, due: Instant) {
        self.unschedule(object);
        if let Some(entry) = self.entries.get_mut(object) {
            entry.due = Some(due);
            self.order.insert((due, object.clone()));
        }
    }

    fn unschedule(&mut self, object: &Arc<ObjectRef>) {
        if let Some(due) = self
            .entries
            .get_mut(object)
            .and_then(|entry| entry.due.take())
        {
            self.order.remove(&(due, object.clone()));
        }
    }
}

impl Entry {
    /// When it may be written.
    fn free(&self, now: Instant) -> Instant {
        match self.written {
            Some((since, count)) if count >= WRITES => now.max(since + SPAN),
            Some(_) | None => now,
        }
    }
}

/// A bucket of tokens: so many at once, so many a second.
#[derive(Debug)]
pub(crate) struct Bucket {
    every: Duration,
    most: u32,
    /// The moment at which the bucket was, or will be, full, as if it had no bound.
    full: Option<Instant>,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(a_second: u32, most: u32) -> Self {
        Self {
            every: Duration::from_secs(1) / a_second.max(1),
            most,
            full: None,
        }
    }

    /// Takes a token, or says when there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let full = self.full.map_or(now, |full| full.max(now));
        let lacking = full.saturating_duration_since(now);
        let room = self.every * self.most.saturating_sub(1);
        if lacking > room {
            return Err(now + (lacking - room));
        }
        self.full = Some(full + self.every);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::decide::Verdict;
    use super::super::decide::tests::object;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn words(generation: i64) -> Words {
        let verdict = Verdict {
            generation,
            ..Verdict::default()
        };
        [(object("Gateway"), Arc::new(verdict.into()))].into()
    }

    #[test]
    fn the_last_word_wins_and_what_is_equal_says_nothing() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.replace(&words(1), start);
        queue.replace(&words(2), start);
        let (_, word) = queue.take(start).unwrap();
        assert_eq!((word.generation(), queue.len()), (2, 0));
        queue.replace(&words(2), start);
        assert_eq!(queue.next(), None);
        queue.everything(start);
        assert!(queue.take(start).is_some());
        queue.replace(&words(3), start);
        queue.replace(&Words::new(), start);
        assert!(queue.take(start).is_none(), "it is gone");
    }

    #[test]
    fn an_object_that_cannot_decide_waits() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let mut writes = 0;
        for second in 0..600_u32 {
            let now = start + SECOND * second;
            queue.replace(&words(i64::from(second)), now);
            if let Some((object, _)) = queue.take(now) {
                queue.wrote(&object, now);
                writes += 1;
            }
        }
        assert!((45..=55).contains(&writes), "{writes} writes in 10 min");
    }

    #[test]
    fn texts_alone_wait_a_minute_and_attempts_end() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.replace(&words(1), start);
        let (object, _) = queue.take(start).unwrap();
        let long_ago = start.checked_sub(SPAN).unwrap();
        assert!(!queue.after_rest(&object, start, long_ago), "never written");
        queue.wrote(&object, start);
        assert!(queue.after_rest(&object, start + SECOND, long_ago));
        assert_eq!(queue.next(), Some(start + SPAN));
        let (object, _) = queue.take(start + SPAN).unwrap();
        assert!(!queue.after_rest(&object, start + SPAN, long_ago));
        assert!(queue.put_off(&object, start + SPAN + SECOND, 1));
        queue.take(start + SPAN + SECOND).unwrap();
        assert!(!queue.put_off(&object, start + SPAN + SECOND * 2, 1));
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_so_many_a_second() {
        let (mut bucket, start) = (Bucket::new(20, 50), Instant::now());
        let burst = (0..100).filter(|_| bucket.take(start).is_ok()).count();
        assert_eq!(burst, 50);
        let next = bucket.take(start).unwrap_err();
        assert_eq!(next - start, Duration::from_millis(50));
        let more = (0..100)
            .filter(|_| bucket.take(start + SECOND).is_ok())
            .count();
        assert_eq!(more, 20);
    }
}
