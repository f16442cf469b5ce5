//! Questions about the control plane itself: those of a stream that does nothing else, and those
//! on the stream of a proxy.
//!
//! Every request is answered, unless it acknowledges an answer. The nonce of a first request says
//! nothing: istioctl puts the time there.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

use super::Shared;
use super::connection::{Requests, WITHDRAWN, again, at};
use super::crowd::Place;
use super::wire::{Asks, Wire};
use crate::caller::Identity;
use crate::question::Question;
use crate::session::Push;
use crate::source::Source;
use crate::types::XdsType;

/// Somebody who may have questions.
pub(super) struct Asker {
    pub(super) identity: Identity,
    pub(super) peer: Option<SocketAddr>,
    answers: u64,
}

impl Asker {
    pub(super) fn new(identity: Identity, peer: Option<SocketAddr>) -> Self {
        Self {
            identity,
            peer,
            answers: 0,
        }
    }

    /// The answer to a request of the type `row`; `None` when it only acknowledges the last one.
    pub(super) fn ask<S: Source>(
        &mut self,
        shared: &Shared<S>,
        (row, asks): (&'static XdsType, &Asks<'_>),
    ) -> Result<Option<Push>, Status> {
        if self.answers > 0 && asks.nonce == self.nonce() {
            return Ok(None);
        }
        let answer = shared.source.answer(&Question {
            type_url: row.url,
            names: asks.names,
            identity: &self.identity,
            peer: self.peer,
            clients: &shared.clients,
        })?;
        self.answers += 1;
        Ok(Some(Push {
            row,
            nonce: self.nonce().into(),
            resources: answer.resources,
            removed: Vec::new(),
            control_plane: Some(answer.control_plane),
        }))
    }

    fn nonce(&self) -> String {
        format!("answer-{}", self.answers)
    }
}

/// A stream that asks questions only: its first request is one.
pub(super) struct Inquiry<W: Wire, S: Source> {
    pub(super) shared: Arc<Shared<S>>,
    pub(super) requests: Requests<W>,
    pub(super) drained: watch::Receiver<()>,
    /// Ends when what proves the client is taken back.
    pub(super) withdrawn: BoxFuture<'static, ()>,
    /// When it ends.
    pub(super) end: Option<Instant>,
    pub(super) asker: Asker,
    /// What to say next.
    pub(super) answer: Option<Push>,
    pub(super) _place: Option<Place>,
}

impl<W: Wire, S: Source> Inquiry<W, S> {
    /// The next answer; `None` when the client has closed the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Push>, Status> {
        loop {
            if let Some(answer) = self.answer.take() {
                return Ok(Some(answer));
            }
            tokio::select! {
                request = self.requests.next() => match request.transpose()? {
                    Some(request) => self.hear(&request)?,
                    None => return Ok(None),
                },
                _ = self.drained.changed() => return Err(again("the control plane is going away")),
                () = at(self.end) => return Err(again("this stream has reached its age")),
                () = &mut self.withdrawn => return Err(again(WITHDRAWN)),
            }
        }
    }

    pub(super) fn hear(&mut self, request: &W::Request) -> Result<(), Status> {
        let asks = W::asks(request);
        let Some(row) = XdsType::question(asks.type_url) else {
            return Err(Status::invalid_argument(format!(
                "this stream asks about the control plane, and {:?} is configuration; open \
                 another stream for it",
                asks.type_url
            )));
        };
        self.answer = self.asker.ask(&self.shared, (row, &asks))?;
        Ok(())
    }
}
