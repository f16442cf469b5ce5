//! Status of objects: what the control plane found wrong with each, which proxies confirmed it, and
//! the addresses that it was given, handed to who writes it. Only where an API server is; one
//! replica writes each, under Istio's lock.

mod addresses;
mod tally;

use crate::clock;
use crate::plane::Plane;
use meltemi_kube::{
    Campaign, Candidate, Client, Lock, Pace, Seen, StatusWriter, Verdict, Words, Writing,
};
use meltemi_runtime::drain::Drain;
use meltemi_types::{Code, Diagnostic, Namespace, ObjectRef};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

pub(crate) use addresses::{Addresses, Handed};
pub(crate) use tally::Tally;

/// The lock of who writes status; Istio's name.
const LOCK: &str = "istio-status-leader";
/// What happens within this time is looked at at once.
const TOGETHER: Duration = Duration::from_millis(250);
/// Looking takes at most such a part of the time.
const SHARE: u32 = 20;

/// The tally, and word that it has changed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book(Arc<(Mutex<Tally>, Notify)>);

impl Book {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something.
    pub(crate) fn note(&self, what: impl FnOnce(&mut Tally)) {
        what(&mut self.tally());
        self.0.1.notify_one();
    }

    async fn changed(&self) {
        self.0.1.notified().await;
    }
}

/// What everybody who writes status works with.
#[derive(Clone)]
pub(crate) struct Scribe {
    pub(crate) client: Client,
    pub(crate) plane: Plane,
    /// What the source sees.
    pub(crate) seen: Seen,
    /// Who asks for the lock.
    pub(crate) me: Candidate,
    pub(crate) namespace: Namespace,
}

impl Scribe {
    /// Writes what it is told while it has the lock, until drained; then gives the lock back.
    async fn write(
        self,
        (lock, about): (&str, &'static str),
        words: watch::Receiver<Words>,
        mut drain: Drain,
    ) {
        let Self {
            client,
            plane: _,
            seen,
            me,
            namespace,
        } = self;
        let lock = Lock::config_map(client.clone(), namespace.as_str(), lock);
        let (leading, leads) = watch::channel(false);
        let mut campaign = Campaign::new(lock, me.clone(), leading);
        let writer = StatusWriter::new(Writing {
            client,
            seen,
            leads,
            fence: campaign.fence(),
            words,
            about,
            by: me.name.to_string(),
            revision: me.revision.to_string(),
            pace: Pace::default(),
        });
        tokio::select! {
            () = writer.run() => {}
            () = campaign.run() => {}
            () = drain.started() => {}
        }
        campaign.give_back().await;
    }
}

/// What writes conditions.
pub(crate) struct Status {
    pub(crate) scribe: Scribe,
    pub(crate) book: Book,
}

impl Status {
    /// Runs until drained.
    pub(crate) async fn run(self, drain: Drain) -> Result<(), Infallible> {
        let Self { scribe, book } = self;
        let (tell, words) = watch::channel(Words::new());
        let plane = scribe.plane.clone();
        tokio::select! {
            () = judge(&plane, &book, &tell) => {}
            () = scribe.write((LOCK, "conditions"), words, drain) => {}
        }
        Ok(())
    }
}

/// Says what there is to say whenever something has changed, for ever.
async fn judge(plane: &Plane, book: &Book, tell: &watch::Sender<Words>) {
    let mut pause = TOGETHER;
    loop {
        book.changed().await;
        tokio::time::sleep(pause).await;
        let start = clock::now();
        tell.send_replace(words(plane, book));
        let cost = clock::now().saturating_duration_since(start);
        pause = TOGETHER.max(cost * SHARE);
    }
}

/// What there is to say about every object.
fn words(plane: &Plane, book: &Book) -> Words {
    loop {
        let (subjects, proxies) = {
            let tally = book.tally();
            (tally.subjects().clone(), tally.count())
        };
        let findings = plane.diagnostics();
        if !Arc::ptr_eq(&subjects, book.tally().subjects()) {
            // Another publication came between: what was found belongs to other generations.
            continue;
        }
        let mut by_object: BTreeMap<Arc<ObjectRef>, Vec<Diagnostic>> = BTreeMap::new();
        // What proxies refused is told by who counts them.
        for finding in findings.into_iter().filter(|f| f.code != Code::Rejected) {
            let object = finding.origin.as_ref().map(|origin| origin.object.clone());
            if let Some(object) = object.filter(|object| subjects.contains_key(object)) {
                by_object.entry(object).or_default().push(finding);
            }
        }
        let mut proxies = proxies;
        let verdict = |(object, generation): (&Arc<ObjectRef>, &i64)| {
            let verdict = Verdict {
                generation: *generation,
                findings: by_object.remove(object).unwrap_or_default(),
                proxies: proxies.remove(object).unwrap_or_default(),
            };
            (object.clone(), Arc::new(verdict.into()))
        };
        return subjects.iter().map(verdict).collect();
    }
}
