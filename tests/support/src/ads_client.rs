//! A reference ADS client: both protocols, the subscriptions that Envoy would make, every resource
//! and byte counted.
//!
//! It does what Envoy does: asks for all clusters and listeners, then for the endpoints and routes
//! they name; acknowledges each response; after a lost stream it says what it holds (delta:
//! `initial_resource_versions`). It judges nothing: that is for the test that drives it.

mod link;
mod needs;
mod state;

pub use state::{Arrived, Counts, Held, Kind, Update};

use anyhow::{Context, Result, bail};
use link::Link;
use meltemi_bootstrap::{NodeFacts, XdsProtocol};
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::urls::{CLUSTER, ENDPOINT, LISTENER, ROUTE};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What is kept of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Version and bytes.
    #[default]
    Bodies,
    /// The version only; for thousands of clients.
    Versions,
}

/// One proxy's stream.
#[derive(Debug)]
pub struct AdsClient {
    node: Node,
    server: SocketAddr,
    protocol: XdsProtocol,
    keep: Keep,
    link: Link,
    kinds: BTreeMap<String, Kind>,
    counts: Counts,
}

impl AdsClient {
    /// Connects as the proxy `node` and subscribes to `first`: type URLs with names, where no
    /// names means all of the type.
    ///
    /// # Errors
    /// No connection, or the server refuses the stream.
    pub async fn connect(
        (server, protocol): (SocketAddr, XdsProtocol),
        node: &NodeFacts,
        first: &[(&str, &[&str])],
        keep: Keep,
    ) -> Result<Self> {
        let bytes = meltemi_proto::pool::from_json("envoy.config.core.v3.Node", &node.to_json())?;
        let node = Node::decode(bytes.as_slice())?;
        let mut kinds = BTreeMap::new();
        for (type_url, names) in first {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            kinds.insert((*type_url).to_owned(), Kind::new(names));
        }
        let link = Link::open((server, protocol), &node, &kinds).await?;
        Ok(Self {
            node,
            server,
            protocol,
            keep,
            link,
            kinds,
            counts: Counts::default(),
        })
    }

    /// Connects as an Envoy does: all clusters and listeners.
    ///
    /// # Errors
    /// As [`AdsClient::connect`].
    pub async fn envoy(
        server: (SocketAddr, XdsProtocol),
        node: &NodeFacts,
        keep: Keep,
    ) -> Result<Self> {
        Self::connect(server, node, &[(CLUSTER, &[]), (LISTENER, &[])], keep).await
    }

    /// What was counted so far, over all streams of this client.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The subscription of a type.
    #[must_use]
    pub fn kind(&self, type_url: &str) -> Option<&Kind> {
        self.kinds.get(type_url)
    }

    /// Everything held: type, name, version.
    #[must_use]
    pub fn versions(&self) -> BTreeMap<(&str, &str), &str> {
        let mut all = BTreeMap::new();
        for (type_url, kind) in &self.kinds {
            for (name, held) in &kind.held {
                all.insert((type_url.as_str(), name.as_str()), held.version.as_str());
            }
        }
        all
    }

    /// Subscribes to more names of a type.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn subscribe(&mut self, type_url: &str, names: &[&str]) -> Result<()> {
        let mut wanted = self
            .kinds
            .get(type_url)
            .map_or_else(BTreeSet::new, |k| k.names.clone());
        wanted.extend(names.iter().map(|name| (*name).to_owned()));
        self.want(type_url, wanted)
    }

    /// Unsubscribes from names of a type; what was held under them is forgotten.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn unsubscribe(&mut self, type_url: &str, names: &[&str]) -> Result<()> {
        let mut wanted = self
            .kinds
            .get(type_url)
            .map_or_else(BTreeSet::new, |k| k.names.clone());
        wanted.retain(|name| !names.contains(&name.as_str()));
        self.want(type_url, wanted)
    }

    /// The next response, applied and acknowledged; dependent subscriptions follow it.
    ///
    /// # Errors
    /// Nothing came in time, or the stream has ended.
    pub async fn next(&mut self, deadline: Duration) -> Result<Update> {
        let update = self.try_next(deadline).await?;
        update.with_context(|| format!("no response within {} s", deadline.as_secs_f32()))
    }

    /// As [`AdsClient::next`], but `None` when nothing came in time.
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn try_next(&mut self, deadline: Duration) -> Result<Option<Update>> {
        let Some(update) = self.link.receive(deadline).await? else {
            return Ok(None);
        };
        let kind = self.kinds.entry(update.type_url.clone()).or_default();
        kind.apply(&update, self.keep);
        self.counts.add(&update);
        self.link.acknowledge(&update, kind, None)?;
        self.follow()?;
        Ok(Some(update))
    }

    /// The next response, refused with `message` and not applied.
    ///
    /// # Errors
    /// Nothing came in time, or the stream has ended.
    pub async fn refuse(&mut self, message: &str, deadline: Duration) -> Result<Update> {
        let update = self
            .link
            .receive(deadline)
            .await?
            .context("no response to refuse")?;
        let kind = self.kinds.entry(update.type_url.clone()).or_default();
        kind.nonce.clone_from(&update.nonce);
        self.counts.add(&update);
        self.counts.refused += 1;
        self.link.acknowledge(&update, kind, Some(message))?;
        Ok(update)
    }

    /// Receives until everything that was asked for has been answered.
    ///
    /// # Errors
    /// It is not in time; the error says what is missing.
    pub async fn sync(&mut self, deadline: Duration) -> Result<()> {
        let end = Instant::now() + deadline;
        while !self.missing().is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if self.try_next(left).await?.is_none() {
                bail!("never answered: {}", self.missing().join(", "));
            }
        }
        Ok(())
    }

    /// A new stream that says what this client holds.
    ///
    /// # Errors
    /// As [`AdsClient::connect`].
    pub async fn reconnect(&mut self) -> Result<()> {
        for kind in self.kinds.values_mut() {
            kind.nonce.clear();
        }
        self.link = Link::open((self.server, self.protocol), &self.node, &self.kinds).await?;
        Ok(())
    }

    /// What was asked for and has not been answered.
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (type_url, kind) in &self.kinds {
            if kind.names.is_empty() && !kind.answered {
                missing.push(format!("all of {type_url}"));
            }
            let unheld = kind
                .names
                .iter()
                .filter(|name| !kind.held.contains_key(*name));
            missing.extend(unheld.map(|name| format!("{type_url} {name}")));
        }
        missing
    }

    /// Asks for the endpoints and routes that the clusters and listeners name.
    fn follow(&mut self) -> Result<()> {
        for (parent, child) in [(CLUSTER, ENDPOINT), (LISTENER, ROUTE)] {
            let Some(kind) = self.kinds.get(parent) else {
                continue;
            };
            let wanted = kind
                .held
                .values()
                .flat_map(|held| held.needs.iter().cloned())
                .collect();
            if kind.names.is_empty() && kind.answered {
                self.want(child, wanted)?;
            }
        }
        Ok(())
    }

    /// Makes `wanted` the names of a type, and tells the server when they differ.
    fn want(&mut self, type_url: &str, wanted: BTreeSet<String>) -> Result<()> {
        let known = self.kinds.contains_key(type_url);
        let kind = self.kinds.entry(type_url.to_owned()).or_default();
        if kind.names == wanted && (known || wanted.is_empty()) {
            if !known {
                self.kinds.remove(type_url);
            }
            return Ok(());
        }
        let before = std::mem::replace(&mut kind.names, wanted);
        kind.held.retain(|name, _| kind.names.contains(name));
        self.link.change(type_url, kind, &before)
    }
}
