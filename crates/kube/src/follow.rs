//! Following one kind: asks what [`crate::course`] says, gives what comes to [`crate::cache`], and
//! sends on what changed.
//!
//! A kind that may not be read at the start keeps the source from being in sync: a mesh without
//! its policies must not be served. Once in sync, nothing is taken away for a fault.

mod troubles;

use crate::backoff;
use crate::cache::{Cache, Claim, Item, Regressed};
use crate::course::{Ask, Course, Fault, Next};
use crate::decode;
use crate::request;
use crate::shared::{Shared, Stopped, Witness};
use crate::status::Known;
use crate::target::Target;
use crate::wire::{self, Event, Lines};
use meltemi_api::Change;
use meltemi_api::kinds::Kind;
use meltemi_api::stored::Pool;
use meltemi_types::Diagnostic;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The longest line that is waited for.
const LONGEST_LINE: usize = 64 << 20;

/// Replicas that lost the same API server do not come back in the same instant.
const SOON: Duration = Duration::from_millis(100);

/// The task of one kind.
pub(crate) struct Follower {
    target: Target,
    shared: Arc<Shared>,
    course: Course,
    cache: Cache,
    /// What the objects of a list have in common. A watch brings one at a time, so there it is
    /// not kept.
    pool: Pool,
    /// The API version that is read.
    version: &'static str,
    epoch: watch::Receiver<u64>,
    back: watch::Receiver<()>,
    synced: bool,
    /// The list that runs was asked for because the store went back in time.
    restoring: bool,
    /// It was asked for to compare.
    comparing: bool,
    compare_at: Instant,
    said: Option<Diagnostic>,
    /// Since when the kind has not been there.
    missed: Option<Instant>,
    /// How often it was denied or missed in a row.
    refusals: u32,
}

/// Why asking ended.
enum Ended {
    Stopped,
    Fault(Fault),
}

impl From<Stopped> for Ended {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<wire::Malformed> for Fault {
    fn from(_: wire::Malformed) -> Self {
        Self::Malformed
    }
}

impl From<Regressed> for Fault {
    fn from(_: Regressed) -> Self {
        Self::Regressed
    }
}

impl Follower {
    pub(crate) fn new(target: Target, shared: Arc<Shared>) -> Self {
        Self {
            course: Course::new(),
            cache: Cache::new(target.on_gone()),
            pool: Pool::default(),
            version: target.versions().first().copied().unwrap_or("v1"),
            epoch: shared.epoch(),
            back: shared.back(),
            synced: false,
            restoring: false,
            comparing: false,
            compare_at: Instant::now() + backoff::spread(shared.tuning.compare),
            said: None,
            missed: None,
            refusals: 0,
            target,
            shared,
        }
    }

    /// Nobody waits for its first list.
    pub(crate) fn beside(self) -> Self {
        Self {
            synced: true,
            ..self
        }
    }

    /// Follows until nobody listens any more.
    pub(crate) async fn run(mut self) -> Stopped {
        loop {
            let asked = match self.course.ask() {
                Ask::Pages => self.pages().await,
                Ask::Stream | Ask::Watch(_) => self.stream().await,
            };
            let next = match asked {
                Ok(next) => next,
                Err(Ended::Stopped) => return Stopped,
                Err(Ended::Fault(fault)) => self.fault(fault),
            };
            if self.pause(next).await.is_err() {
                return Stopped;
            }
        }
    }

    /// Counts a fault and decides what follows from it.
    fn fault(&mut self, fault: Fault) -> Next {
        let name = match &fault {
            Fault::Status(_) => "status",
            Fault::Away => "away",
            Fault::Lost => "lost",
            Fault::Silent => "silent",
            Fault::Malformed => "malformed",
            Fault::Regressed => "regressed",
        };
        tracing::debug!(kind = %self.target.title(), ?fault, "the API server failed a watch");
        metrics::counter!("meltemi_kube_faults_total", "kind" => self.target.kind.name(), "fault" => name)
            .increment(1);
        match fault {
            Fault::Regressed => self.regressed(),
            Fault::Away | Fault::Lost | Fault::Silent => self.shared.doubt(),
            Fault::Status(_) | Fault::Malformed => {}
        }
        self.course.failed(fault)
    }

    /// This kind went back in time, so the others did, too.
    fn regressed(&mut self) {
        self.restoring = true;
        self.shared.went_back();
        self.epoch.mark_unchanged();
    }

    async fn pause(&mut self, next: Next) -> Result<(), Stopped> {
        match next {
            Next::Soon => sleep(backoff::part(SOON)).await,
            Next::Later(failures) => self.later(failures).await,
            Next::Absent => self.absent().await?,
            Next::Denied(status) => self.denied(&status).await?,
        }
        Ok(())
    }

    /// Waits for so many failures, or until the API server is back.
    async fn later(&mut self, failures: u32) {
        let tuning = self.shared.tuning;
        tokio::select! {
            () = sleep(backoff::wait(failures, tuning.retry, tuning.retry_longest)) => {}
            Ok(()) = self.back.changed() => sleep(backoff::part(SOON)).await,
        }
    }

    /// A list, page by page.
    async fn pages(&mut self) -> Result<Next, Ended> {
        let shared = self.shared.clone();
        let _permit = shared.lists.acquire().await.map_err(|_| Stopped)?;
        self.cache.begin();
        let mut next = None;
        let version = loop {
            let limit = shared.tuning.page;
            let query = request::page(&self.target, self.version, limit, next.as_deref());
            let body = request::whole(&shared.client, &query, shared.tuning.answer).await?;
            let page = wire::page(&body).map_err(Fault::from)?;
            for json in &page.items {
                if let Some(item) = self.item(json)? {
                    self.cache.listed(item);
                }
            }
            match page.next {
                None => break page.version,
                more => next = more,
            }
        };
        let changes = self.listed(version);
        shared.send(changes).await?;
        self.well().await?;
        Ok(Next::Soon)
    }

    /// A watch, or a list that becomes one.
    async fn stream(&mut self) -> Result<Next, Ended> {
        let shared = self.shared.clone();
        let tuning = shared.tuning;
        let mut permit = None;
        if self.course.is_listing() {
            permit = Some(shared.lists.acquire().await.map_err(|_| Stopped)?);
            self.cache.begin();
        }
        let seconds = (tuning.watch + backoff::part(tuning.watch))
            .as_secs()
            .max(1);
        let query = match self.course.ask() {
            Ask::Watch(from) => request::watch(&self.target, self.version, &from, seconds),
            Ask::Stream | Ask::Pages => request::stream(&self.target, self.version, seconds),
        };
        self.back.mark_unchanged();
        let answer = request::open(&shared.client, &query, tuning.answer).await?;
        let opened = Instant::now();
        let mut body = answer.into_body();
        let mut lines = Lines::default();
        if !self.course.is_listing() {
            self.well().await?;
        }
        loop {
            let listing = self.course.is_listing();
            let idle = match listing {
                true => tuning.initial,
                false => Duration::from_secs(seconds) + tuning.grace,
            };
            if !listing && opened.elapsed() > tuning.retry_longest {
                self.course.lasted();
            }
            let chunk = tokio::select! {
                biased;
                () = shared.closed() => return Err(Ended::Stopped),
                _ = self.epoch.changed() => {
                    self.restoring = true;
                    self.course.relist();
                    return Ok(Next::Soon);
                }
                () = sleep_until(self.compare_at), if !listing => {
                    self.comparing = true;
                    self.course.compare();
                    return Ok(Next::Soon);
                }
                chunk = timeout(idle, request::chunk(&mut body)) => {
                    chunk.map_err(|_elapsed| Fault::Silent)??
                }
            };
            let Some(chunk) = chunk else {
                return Ok(self.course.ended());
            };
            lines.push(&chunk);
            let (changes, fault) = self.take(&mut lines);
            shared.send(changes).await?;
            if listing && !self.course.is_listing() {
                permit = None;
            }
            if !self.course.is_listing() {
                self.well().await?;
            }
            if let Some(fault) = fault {
                drop(permit);
                return Err(fault.into());
            }
        }
    }

    /// The changes of the lines that are complete, and what is wrong with the first that is.
    fn take(&mut self, lines: &mut Lines) -> (Vec<Change>, Option<Fault>) {
        let mut changes = Vec::new();
        while let Some(line) = lines.next() {
            if line.is_empty() {
                continue;
            }
            if let Err(fault) = self.line(line, &mut changes) {
                return (changes, Some(fault));
            }
        }
        let endless = lines.pending() > LONGEST_LINE;
        (changes, endless.then_some(Fault::Malformed))
    }

    fn line(&mut self, line: &[u8], changes: &mut Vec<Change>) -> Result<(), Fault> {
        let listing = self.course.is_listing();
        match wire::event(line)? {
            Event::Put(json) => match self.item(&json)? {
                Some(item) if listing => self.cache.listed(item),
                Some(item) => {
                    let version = item.version;
                    changes.append(&mut self.cache.put(item)?);
                    self.reached(&version.to_string());
                }
                None => {}
            },
            Event::Gone(json) => match decode::gone(&self.target, &json, &self.shared.cluster)? {
                Some((key, _)) if listing => self.cache.unlisted(&key),
                Some((key, version)) => {
                    let witness = || Witness {
                        path: self.target.object(self.version, &key),
                        version,
                        generation: None,
                        gone: true,
                    };
                    self.shared.witnessed(self.target.kind, version, witness);
                    changes.append(&mut self.cache.delete(&key, version)?);
                    self.reached(&version.to_string());
                }
                None => {}
            },
            Event::Bookmark { version, complete } if listing => {
                if complete {
                    changes.append(&mut self.listed(version));
                }
            }
            Event::Bookmark { version, .. } => {
                self.cache.reached(wire::number(&version))?;
                self.reached(&version);
            }
            Event::Failed(status) => return Err(Fault::Status(status)),
        }
        Ok(())
    }

    fn item(&mut self, json: &[u8]) -> Result<Option<Item>, Fault> {
        if !self.course.is_listing() {
            self.pool.forget();
        }
        let into = (&self.shared.cluster, &mut self.pool);
        let item = decode::item(&self.target, json, into)?;
        if let Some(item) = &item {
            if self.target.is_custom()
                && let Some(known) = Known::read(self.version, json)
            {
                self.shared.seen.put(&item.key, known);
            }
            let witness = || Witness {
                path: self.target.object(self.version, &item.key),
                version: item.version,
                generation: item.claim.generation(),
                gone: false,
            };
            self.shared
                .witnessed(self.target.kind, item.version, witness);
        }
        if !self.synced
            && self.target.kind == Kind::MeshConfig
            && let Some(Item {
                claim: Claim::Broken(broken),
                ..
            }) = &item
        {
            // Nothing is published before the source is in sync, so it is said here.
            for diagnostic in broken.diagnostics.iter() {
                tracing::error!(%diagnostic, "not ready: there is no mesh configuration to start with");
            }
        }
        Ok(item)
    }

    fn reached(&mut self, version: &str) {
        self.course.reached(version);
        self.shared.saw(wire::number(version));
    }

    /// A list is complete: what it changed.
    fn listed(&mut self, version: String) -> Vec<Change> {
        let number = wire::number(&version);
        let relisted = self.cache.finish(number);
        if relisted.went_back && !self.restoring {
            self.regressed();
        }
        let kind = self.target.kind.name();
        metrics::counter!("meltemi_kube_lists_total", "kind" => kind).increment(1);
        if self.comparing && relisted.missed > 0 {
            tracing::warn!(kind, missed = relisted.missed, "a watch had missed changes");
            let missed = u64::try_from(relisted.missed).unwrap_or(u64::MAX);
            metrics::counter!("meltemi_kube_healed_total", "kind" => kind).increment(missed);
        }
        self.pool.forget();
        self.restoring = false;
        self.comparing = false;
        self.missed = None;
        self.compare_at = Instant::now() + backoff::spread(self.shared.tuning.compare);
        self.shared.saw(number);
        self.course.listed(version);
        relisted.changes
    }
}
