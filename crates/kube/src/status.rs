//! Writes the status of objects, and events about them: what differs from what is there, the last
//! word about each object only, and so much a second. One replica does it, and looks just before
//! each write whether it still is the one (reliability.md F10, T39; platform.md 5.4).
//!
//! All of it is decided in pure code: `decide` what to say, `patch` what to write, `queue` when.

mod addresses;
mod decide;
mod events;
mod patch;
mod queue;
mod seen;
mod send;
mod word;

use crate::backoff;
use crate::lead::Fence;
use events::{Moment, Post, Told};
use http::Method;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use meltemi_api::kinds::{KINDS, KindInfo};
use meltemi_types::ObjectRef;
use patch::{News, Plan, Urgency};
use queue::{Bucket, Queue};
use send::{Answer, PATIENCE, Write, send};
use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep_until;

pub use addresses::Allocated;
pub use decide::{Proxies, Verdict};
pub use queue::Words;
pub(crate) use seen::Known;
pub use seen::Seen;
pub use word::Word;

/// An object that another wrote meanwhile is looked at again so often.
const CONFLICTS: u32 = 5;
/// Everything is compared again so often, for what others have written over.
const COMPARE: Duration = Duration::from_secs(600);

/// How fast status is written. Tests are less patient than clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Writes in a second. Default 20.
    pub writes: u32,
    /// Writes at once after a rest. Default 50.
    pub burst: u32,
    /// Events in a second. Default 5.
    pub events: u32,
    /// Events at once after a rest. Default 25.
    pub event_burst: u32,
    /// The first wait when the API server cannot; doubles. Default 1 s.
    pub retry: Duration,
    /// The longest wait. Default 60 s.
    pub retry_longest: Duration,
    /// So long after it began to lead, a replica does not take back what another counted because no
    /// proxy has come to it yet. Default 30 s.
    pub settle: Duration,
    /// Before an object is looked at again that the source has not shown yet. Default 1 s.
    pub again: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            writes: 20,
            burst: 50,
            events: 5,
            event_burst: 25,
            retry: Duration::from_secs(1),
            retry_longest: Duration::from_secs(60),
            settle: Duration::from_secs(30),
            again: Duration::from_secs(1),
        }
    }
}

/// What a writer works with.
pub struct Writing {
    /// The API server.
    pub client: Client,
    /// What the source has seen of it.
    pub seen: Seen,
    /// True while this replica is the one that writes.
    pub leads: watch::Receiver<bool>,
    /// The same, asked before each write.
    pub fence: Fence,
    /// What there is to say now, about every object.
    pub words: watch::Receiver<Words>,
    /// What the words are about, for the metric that says how many objects wait.
    pub about: &'static str,
    /// The pod, as proxies and people know it.
    pub by: String,
    /// Objects of other revisions are left alone.
    pub revision: String,
    /// How fast.
    pub pace: Pace,
}

/// Writes status.
pub struct StatusWriter {
    parts: Writing,
    queue: Queue,
    writes: Bucket,
    events: Bucket,
    told: Told,
    /// Nothing is written before that, and how often in a row that was so.
    pause: Option<Instant>,
    failures: u32,
    /// Kinds that could not be written, which is said once.
    refused: BTreeSet<Arc<str>>,
    compare_at: Instant,
    /// Since when this replica leads, or last did.
    led_since: Instant,
}

/// What woke the writer.
enum Woken {
    Words,
    Leads,
    Due,
    Compare,
    Ended,
}

impl StatusWriter {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(parts: Writing) -> Self {
        let pace = parts.pace;
        Self {
            queue: Queue::default(),
            writes: Bucket::new(pace.writes, pace.burst),
            events: Bucket::new(pace.events, pace.event_burst),
            told: Told::default(),
            pause: None,
            failures: 0,
            refused: BTreeSet::new(),
            compare_at: Instant::now() + backoff::spread(COMPARE),
            led_since: Instant::now(),
            parts,
        }
    }

    /// Runs until there is nobody who says anything any more.
    pub async fn run(mut self) {
        loop {
            let woken = self.wait().await;
            let now = Instant::now();
            match woken {
                Woken::Ended => return,
                Woken::Words => {
                    let words = self.parts.words.borrow_and_update().clone();
                    self.queue.replace(&words, now);
                }
                Woken::Leads => {
                    // What the one before has written is in what the source has seen.
                    self.led_since = now;
                    self.queue.everything(now);
                }
                Woken::Compare => {
                    self.compare_at = now + backoff::spread(COMPARE);
                    self.queue.everything(now);
                }
                Woken::Due => self.step(now).await,
            }
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            metrics::gauge!("meltemi_status_queue", "about" => self.parts.about)
                .set(self.queue.len() as f64);
        }
    }

    async fn wait(&mut self) -> Woken {
        let leads = *self.parts.leads.borrow_and_update();
        let due = self.queue.next().filter(|_| leads);
        let due = due.map(|due| self.pause.map_or(due, |pause| due.max(pause)));
        let due = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = self.parts.words.changed() => match changed {
                Ok(()) => Woken::Words,
                Err(_) => Woken::Ended,
            },
            changed = self.parts.leads.changed() => match changed {
                Ok(()) => Woken::Leads,
                Err(_) => Woken::Ended,
            },
            () = due => Woken::Due,
            () = sleep_until(self.compare_at.into()) => Woken::Compare,
        }
    }

    /// Looks at one object that is due.
    async fn step(&mut self, now: Instant) {
        let Some((object, word)) = self.queue.take(now) else {
            return;
        };
        let Some(info) = KINDS.iter().find(|info| *info.name == *object.kind) else {
            return;
        };
        let Some(known) = self.parts.seen.get(&object) else {
            return;
        };
        let ours = known.is_of(&self.parts.revision);
        if !ours || known.generation > word.generation() {
            // Another's, or there is a newer word on its way.
            return;
        }
        if known.generation < word.generation() {
            let again = now + self.parts.pace.again;
            self.queue.put_off(&object, again, CONFLICTS);
            return;
        }
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let said = (&*self.parts.by, &*time);
        let Some(plan) = word.plan(&object, (&known, info.group), said) else {
            return;
        };
        let settled = self.led_since + self.parts.pace.settle;
        if now < settled && plan.takes_back {
            self.queue.put_off(&object, settled, u32::MAX);
            return;
        }
        if plan.urgency == Urgency::Minor && self.queue.after_rest(&object, now, self.led_since) {
            return;
        }
        if let Err(free) = self.writes.take(now) {
            self.queue.put_off(&object, free, u32::MAX);
            return;
        }
        self.write((&object, info), plan, known).await;
    }

    async fn write(
        &mut self,
        (object, info): (&Arc<ObjectRef>, &KindInfo),
        plan: Plan,
        known: Known,
    ) {
        let path = format!(
            "{}/status?fieldManager={}&force=true",
            path(object, info, known.version),
            plan.manager
        );
        let write = Write {
            method: Method::PATCH,
            path: &path,
            kind: "application/apply-patch+yaml",
            body: &plan.body,
        };
        if !self.may() {
            self.queue
                .put_off(object, Instant::now() + self.parts.pace.again, u32::MAX);
            return;
        }
        let answer = send(&self.parts.client, write).await;
        metrics::counter!("meltemi_status_writes_total", "result" => answer.name()).increment(1);
        let now = Instant::now();
        match answer {
            Answer::Done(json) => {
                self.well();
                self.queue.wrote(object, now);
                if let Some(written) = Known::read(known.version, &json) {
                    self.parts.seen.put(object, written);
                }
                if let Some(news) = plan.news {
                    self.tell((object, info), &news, &known).await;
                }
            }
            Answer::Gone => {
                self.parts.seen.remove(object);
                self.told.forget(object);
            }
            Answer::Conflict => {
                // The source is about to show the other version.
                let again = now + self.parts.pace.again;
                if !self.queue.put_off(object, again, CONFLICTS) {
                    tracing::debug!(%object, "its status is not written: others write it all the time");
                }
            }
            Answer::Later(after, why) => {
                self.queue.put_off(object, now, u32::MAX);
                self.later(after, &why);
            }
            Answer::Refused(why) => {
                if self.refused.insert(object.kind.clone()) {
                    tracing::warn!(%object, why, "status of this kind cannot be written; give the \
                        ClusterRole the verb patch on its /status");
                }
            }
        }
    }

    /// True when this replica leads for as long as a write may take.
    fn may(&self) -> bool {
        *self.parts.leads.borrow() && self.parts.fence.holds(PATIENCE)
    }

    fn well(&mut self) {
        if self.failures > 0 {
            tracing::info!("status is written again");
        }
        self.failures = 0;
        self.pause = None;
    }

    /// Writes nothing for a while.
    fn later(&mut self, after: Option<Duration>, why: &str) {
        self.failures += 1;
        let Pace {
            retry,
            retry_longest,
            ..
        } = self.parts.pace;
        let own = backoff::wait(self.failures, retry, retry_longest);
        let wait = after.map_or(own, |after| own.max(after.min(10 * retry_longest)));
        self.pause = Some(Instant::now() + wait);
        if self.failures == 1 {
            tracing::warn!(why, "status cannot be written now; it is tried again");
        } else {
            tracing::debug!(
                why,
                failures = self.failures,
                "status cannot be written now"
            );
        }
    }

    /// An event; one that cannot be written is lost, the status says the same.
    async fn tell(
        &mut self,
        (object, info): (&Arc<ObjectRef>, &KindInfo),
        news: &News,
        known: &Known,
    ) {
        let now = Instant::now();
        if self.events.take(now).is_err() {
            metrics::counter!("meltemi_status_events_total", "result" => "dropped").increment(1);
            return;
        }
        let by = self.parts.by.clone();
        let moment = || Moment {
            by: &by,
            now,
            wall: Timestamp::now(),
        };
        let of = (object, known, info.group);
        let mut post = self.told.post(of, news, moment());
        if let Post::Count { path, body } = &post {
            let write = Write {
                method: Method::PATCH,
                path,
                kind: "application/merge-patch+json",
                body,
            };
            let answer = self.event(write).await;
            if answer != Some(Answer::Gone) {
                return;
            }
            self.told.forget(object);
            post = self.told.post(of, news, moment());
        }
        if let Post::Create { path, body } = &post {
            let write = Write {
                method: Method::POST,
                path,
                kind: "application/json",
                body,
            };
            self.event(write).await;
        }
    }

    async fn event(&self, write: Write<'_>) -> Option<Answer> {
        if !self.may() {
            return None;
        }
        let answer = send(&self.parts.client, write).await;
        metrics::counter!("meltemi_status_events_total", "result" => answer.name()).increment(1);
        if let Answer::Refused(why) | Answer::Later(_, why) = &answer {
            tracing::debug!(why, "an event is not written");
        }
        Some(answer)
    }
}

/// Where an object is.
fn path(object: &ObjectRef, info: &KindInfo, version: &str) -> String {
    let KindInfo { group, plural, .. } = info;
    let name = &object.name;
    match &object.namespace {
        Some(namespace) => {
            format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}/{name}")
        }
        None => format!("/apis/{group}/{version}/{plural}/{name}"),
    }
}
