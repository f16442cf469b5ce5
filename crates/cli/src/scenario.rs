//! A traffic scenario: objects, a proxy, calls, and what is expected to become of them. The schema
//! is that of the upstream project's own traffic tests, written down as YAML.

mod hosts;
mod objects;
mod proxy;
mod read;
mod registry;
mod schema;

pub(crate) use read::read;
pub(crate) use schema::{
    ByCluster, CallEntry, CallText, Domains, Expect, Mode, ProtocolText, ProxyEntry,
    ProxyExpectation, Scenario as Content, TlsText,
};

use crate::failure::{Failure, UNREADABLE};
use crate::node::Node;
use meltemi_api::Change;
use meltemi_api::yaml::Typed;
use meltemi_types::Diagnostic;
use std::sync::Arc;

/// One document of a scenario file.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// The file as the user named it.
    pub(crate) file: Arc<str>,
    /// Its name; that of the file when it has none.
    pub(crate) name: String,
    /// What it says.
    pub(crate) content: Content,
    /// What there is to say about the document itself; warnings only.
    pub(crate) notes: Vec<Diagnostic>,
    typed: Typed<Content>,
}

impl Scenario {
    /// Everything that its objects say, in the form in which any source says it.
    pub(crate) fn changes(&self) -> Result<Vec<Change>, Failure> {
        objects::changes(self)
    }

    /// The proxy that asks.
    pub(crate) fn node(&self, proxy: &ProxyEntry) -> Result<Node, Failure> {
        let node = proxy::node(proxy);
        node.proxy().map_err(|failure| {
            let at = self.typed.place(&meltemi_types::FieldPath::new("proxy"));
            let message = format!("{at}: {}", failure.message);
            Failure::new(UNREADABLE, message)
        })?;
        Ok(node)
    }
}
