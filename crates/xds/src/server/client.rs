//! One attached client: its entry in the list of clients, its counts, its reports to the source.
//! Dropping it takes all of that away, however the stream ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use meltemi_types::TypeUrl;

use super::Shared;
use crate::debug::ClientStatus;
use crate::session::{Flavor, Session};
use crate::source::{Attachment, ClientId, ClientInfo, Event, Source};

/// One attached client.
pub(super) struct Client<S: Source> {
    shared: Arc<Shared<S>>,
    id: ClientId,
    key: Arc<str>,
    /// What was last counted as in quarantine.
    quarantined: BTreeMap<TypeUrl, usize>,
    /// When each type was last sent.
    sent: BTreeMap<TypeUrl, SystemTime>,
}

impl<S: Source> Client<S> {
    /// Lists a client that the source has accepted.
    pub(super) fn new(
        shared: &Arc<Shared<S>>,
        flavor: Flavor,
        info: &ClientInfo,
        attachment: &Attachment,
    ) -> Self {
        shared.metrics.streams.increment(1.0);
        shared.clients.add(ClientStatus {
            id: info.id,
            key: attachment.key.clone(),
            node_id: info.node.id.as_str().into(),
            kind: attachment.kind,
            peer: info.peer,
            flavor,
            connected: SystemTime::now(),
            synced: None,
            types: Vec::new(),
        });
        Self {
            shared: shared.clone(),
            id: info.id,
            key: attachment.key.clone(),
            quarantined: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// Notes that a response is handed over now.
    pub(super) fn sends(&mut self, type_url: TypeUrl) {
        self.sent.insert(type_url, SystemTime::now());
    }

    /// Passes on what happened on the stream.
    pub(super) fn tell(&mut self, session: &mut Session) {
        let mut synced = None;
        for event in session.take_events() {
            match &event {
                Event::Nacked { type_url, .. } => self.shared.metrics.nacked(type_url),
                Event::Synced { generation } => synced = Some(*generation),
                Event::Refused { type_url, reason } => {
                    tracing::warn!(client = %self.key, %type_url, reason, "type refused");
                }
                Event::Acked { .. }
                | Event::Confirmed { .. }
                | Event::Subscribed { .. }
                | Event::Detached => {}
            }
            self.shared.source.report(self.id, event);
        }
        for (row, now) in session.quarantined() {
            let before = self.quarantined.insert(row.url, now).unwrap_or(0);
            self.shared.metrics.quarantined(row.url, before, now);
        }
        let mut types = session.status();
        for status in &mut types {
            status.sent_at = self.sent.get(status.type_url).copied();
        }
        self.shared.clients.edit(self.id, |client| {
            client.types = types;
            client.synced = synced.or(client.synced);
        });
    }
}

impl<S: Source> Drop for Client<S> {
    fn drop(&mut self) {
        for (url, count) in &self.quarantined {
            self.shared.metrics.quarantined(url, *count, 0);
        }
        self.shared.metrics.streams.decrement(1.0);
        self.shared.clients.remove(self.id);
        self.shared.source.report(self.id, Event::Detached);
    }
}
