//! What to ask the API server next about one kind, after what happened. No I/O, no clock.
//!
//! A list comes first, streamed where the API server can; then a watch from the list's version.
//! Whatever says that a version is too old or too new (410 as an event or as an answer, 504 "too
//! large", an answer that makes no sense) leads to a new list, never to the same version again;
//! whatever says that the server is away leads to the same version a little later.

use crate::wire::Status;

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A watch that begins with everything there is.
    Stream,
    /// A list, page by page.
    Pages,
    /// What happened since this version.
    Watch(String),
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The API server said so, in an answer or in the middle of a watch.
    Status(Status),
    /// Nobody answers.
    Away,
    /// The connection broke in the middle of an answer.
    Lost,
    /// Nothing came for too long.
    Silent,
    /// What came cannot be read.
    Malformed,
    /// The API server's store went back in time.
    Regressed,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask, after a moment that keeps replicas apart.
    Soon,
    /// Ask, after the wait for so many failures in a row.
    Later(u32),
    /// The kind is not there.
    Absent,
    /// The control plane may not read the kind.
    Denied(Status),
}

/// How often the same version is tried before a new list.
const SAME_VERSION: u32 = 3;
/// How many watches in a row may end without a word before a new list.
const QUIET_ENDS: u32 = 5;

/// Where the conversation is.
#[derive(Debug)]
pub(crate) struct Course {
    phase: Phase,
    /// The API server is believed to stream lists.
    streams: bool,
    failures: u32,
    /// How often the version may have been to blame.
    suspect: u32,
    quiet: u32,
}

#[derive(Debug)]
enum Phase {
    Stream,
    /// Pages, and the version to go on from when they fail.
    Pages(Option<String>),
    Watch(String),
}

impl Course {
    /// Nothing was asked yet.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Stream,
            streams: true,
            failures: 0,
            suspect: 0,
            quiet: 0,
        }
    }

    /// What to ask for now.
    pub(crate) fn ask(&self) -> Ask {
        match &self.phase {
            Phase::Stream => Ask::Stream,
            Phase::Pages(_) => Ask::Pages,
            Phase::Watch(version) => Ask::Watch(version.clone()),
        }
    }

    /// True while a list is wanted.
    pub(crate) fn is_listing(&self) -> bool {
        !matches!(self.phase, Phase::Watch(_))
    }

    /// The list is complete, as of this version.
    pub(crate) fn listed(&mut self, version: String) {
        self.phase = Phase::Watch(version);
        self.lasted();
        self.quiet = 0;
    }

    /// The watch has come as far as this version.
    pub(crate) fn reached(&mut self, version: &str) {
        self.lasted();
        self.quiet = 0;
        if let Phase::Watch(at) = &mut self.phase
            && !version.is_empty()
        {
            version.clone_into(at);
        }
    }

    /// A watch has lasted: what failed before it is over.
    pub(crate) fn lasted(&mut self) {
        self.failures = 0;
        self.suspect = 0;
    }

    /// A list again, from the store itself, page by page; the watch goes on where it was if the
    /// list fails.
    pub(crate) fn compare(&mut self) {
        if let Phase::Watch(version) = &self.phase {
            self.phase = Phase::Pages(Some(version.clone()));
        }
    }

    /// A list again: what is known cannot be believed.
    pub(crate) fn relist(&mut self) {
        self.phase = Phase::Pages(None);
    }

    /// The API server closed the stream as it does from time to time.
    pub(crate) fn ended(&mut self) -> Next {
        if self.is_listing() {
            return self.failed(Fault::Lost);
        }
        self.quiet += 1;
        if self.quiet >= QUIET_ENDS {
            self.quiet = 0;
            self.start_over();
        }
        match self.quiet {
            0 | 1 => Next::Soon,
            more => Next::Later(more),
        }
    }

    /// Something went wrong.
    pub(crate) fn failed(&mut self, fault: Fault) -> Next {
        let status = match fault {
            Fault::Status(status) => status,
            Fault::Regressed => {
                self.relist();
                return Next::Soon;
            }
            Fault::Malformed => {
                self.start_over();
                return self.later();
            }
            Fault::Away | Fault::Lost => return self.away(),
            Fault::Silent => {
                if matches!(self.phase, Phase::Stream) {
                    self.stop_streaming();
                }
                return self.suspected();
            }
        };
        match status.code {
            404 => Next::Absent,
            401 | 403 => Next::Denied(status),
            400 | 405 | 422 if matches!(self.phase, Phase::Stream) => {
                self.stop_streaming();
                Next::Soon
            }
            _ if is_wrong_version(&status) => {
                let first = !self.is_listing() && self.failures == 0;
                self.start_over();
                match first {
                    true => {
                        self.failures += 1;
                        Next::Soon
                    }
                    false => self.later(),
                }
            }
            429 | 503 => self.away(),
            _ => self.suspected(),
        }
    }

    /// Nothing is wrong with the version, however long it takes.
    fn away(&mut self) -> Next {
        if let Phase::Pages(Some(version)) = &self.phase {
            self.phase = Phase::Watch(version.clone());
        }
        self.suspect = 0;
        self.later()
    }

    /// The version may be to blame.
    fn suspected(&mut self) -> Next {
        if matches!(self.phase, Phase::Pages(Some(_))) {
            return self.away();
        }
        let next = self.later();
        self.suspect += 1;
        if self.suspect.is_multiple_of(SAME_VERSION) && !self.is_listing() {
            // The list says whether it is the version or the server.
            self.start_over();
        }
        next
    }

    fn later(&mut self) -> Next {
        self.failures = self.failures.saturating_add(1);
        Next::Later(self.failures)
    }

    fn start_over(&mut self) {
        self.phase = match self.streams {
            true => Phase::Stream,
            false => Phase::Pages(None),
        };
    }

    fn stop_streaming(&mut self) {
        self.streams = false;
        self.phase = Phase::Pages(None);
    }
}

/// True when the version that was asked for is the problem.
fn is_wrong_version(status: &Status) -> bool {
    status.code == 410
        || matches!(status.reason.as_str(), "Expired" | "Gone")
        || status
            .message
            .to_ascii_lowercase()
            .contains("too large resource version")
}

#[cfg(test)]
mod tests;
