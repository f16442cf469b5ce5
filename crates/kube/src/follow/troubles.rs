//! Kinds that are not there or may not be read, and when a kind counts as in sync.

use super::Follower;
use crate::backoff;
use crate::request;
use crate::shared::Stopped;
use crate::wire::Status;
use meltemi_api::Change;
use meltemi_api::kinds::Kind;
use meltemi_types::{Code, Diagnostic, ObjectRef, Origin};
use std::sync::Arc;
use tokio::time::{Instant, sleep};

/// An API server that has just started refuses what it allows a moment later.
const REFUSALS: u32 = 3;

impl Follower {
    /// The API server answers for this kind: nothing is wrong with it, and it may be in sync.
    pub(super) async fn well(&mut self) -> Result<(), Stopped> {
        self.refusals = 0;
        self.say(None).await?;
        let usable =
            self.target.kind != Kind::MeshConfig || self.cache.is_empty() || self.cache.has_good();
        match usable {
            true => self.sync().await,
            false => Ok(()),
        }
    }

    async fn sync(&mut self) -> Result<(), Stopped> {
        if self.synced {
            return Ok(());
        }
        self.synced = true;
        self.shared.synced().await
    }

    /// The API server does not know the kind, at least not in this version.
    pub(super) async fn absent(&mut self) -> Result<(), Stopped> {
        let tuning = self.shared.tuning;
        let served = request::served(&self.shared.client, &self.target, tuning.answer).await;
        match served {
            Ok(Some(version)) => {
                // It may have come this very moment, so the same version is asked for again.
                self.version = version;
                self.course.relist();
                sleep(backoff::spread(tuning.retry)).await;
                return Ok(());
            }
            Ok(None) if self.target.is_custom() => {}
            Ok(None) | Err(_) => {
                sleep(backoff::spread(tuning.retry_longest)).await;
                return Ok(());
            }
        }
        self.course.relist();
        if self.cache.is_empty() {
            if !self.synced {
                tracing::info!(kind = %self.target.title(), "the kind is not installed");
            }
            self.say(None).await?;
            self.sync().await?;
            sleep(backoff::spread(tuning.absent)).await;
        } else if self.missed.get_or_insert_with(Instant::now).elapsed() < tuning.confirm {
            self.refusals = self.refusals.saturating_add(1);
            sleep(backoff::wait(self.refusals, tuning.retry, tuning.absent)).await;
        } else if self.target.kind.is_security() {
            let gone = self.about(
                Code::KindGone,
                "the API server no longer knows the kind; its objects stay in force",
                "install its CustomResourceDefinition again, or restart the control plane to \
                 do without them",
            );
            self.say(Some(gone)).await?;
            sleep(backoff::spread(tuning.absent)).await;
        } else {
            tracing::warn!(kind = %self.target.title(), "the kind is no longer installed");
            self.cache.begin();
            let gone = self.cache.finish(0).changes;
            self.shared.send(gone).await?;
        }
        Ok(())
    }

    /// The control plane may not read the kind.
    pub(super) async fn denied(&mut self, status: &Status) -> Result<(), Stopped> {
        let message = match status.message.as_str() {
            "" => format!("the API server answers {}", status.code),
            said => format!("the API server answers {}: {said}", status.code),
        };
        let remedy = format!("allow it to {}", self.target.rights());
        let denied = self.about(Code::SourceDenied, &message, &remedy);
        let tuning = self.shared.tuning;
        self.refusals = self.refusals.saturating_add(1);
        let pause = backoff::wait(self.refusals, tuning.retry, tuning.retry_longest);
        if self.refusals < REFUSALS {
            sleep(pause).await;
            return Ok(());
        }
        if self.said.as_ref() != Some(&denied) {
            // Diagnostics are published once the source is in sync, which may be never.
            let counts = !self.target.kind.is_credential();
            match counts {
                true => {
                    tracing::error!(diagnostic = %denied, ready = self.synced, "a kind may not be read");
                }
                false => tracing::warn!(diagnostic = %denied, "a certificate may not be read"),
            }
        }
        self.say(Some(denied)).await?;
        sleep(pause).await;
        Ok(())
    }

    fn about(&self, code: Code, message: &str, remedy: &str) -> Diagnostic {
        let (kind, namespace, name) = match self.target.only() {
            Some((namespace, name)) if self.target.kind.is_credential() => {
                let kind = self.target.kind.name();
                (kind, Some(namespace.clone()), name.to_owned())
            }
            Some(_) | None => ("Resource", None, self.target.title()),
        };
        let object = name.parse().ok().map(|name| ObjectRef {
            cluster: self.shared.cluster.clone(),
            kind: kind.into(),
            namespace,
            name,
        });
        match object {
            Some(object) => {
                let origin = Origin::object(Arc::new(object), None);
                Diagnostic::error(code, origin, message, remedy)
            }
            None => {
                let location = meltemi_types::Location {
                    file: self.target.title().into(),
                    line: 0,
                    column: 0,
                };
                Diagnostic::in_text(code, location, message, remedy)
            }
        }
    }

    /// Says what is wrong with the kind as a whole, unless that was said before.
    async fn say(&mut self, diagnostic: Option<Diagnostic>) -> Result<(), Stopped> {
        if self.said == diagnostic {
            return Ok(());
        }
        self.said.clone_from(&diagnostic);
        let unit = format!("{} {}", self.shared.cluster, self.target.unit());
        let findings = Change::Findings {
            unit: unit.into(),
            diagnostics: diagnostic.into_iter().collect(),
        };
        self.shared.send(vec![findings]).await
    }
}
