//! What the agent asks for itself and Envoy never sees: the names of the mesh (NDS), and whom to
//! believe (PCDS).
//!
//! What is known outlives the streams. The surprise: of whom to believe, "nothing" is no answer, so that a
//! control plane that does not know yet, or is Istio's with the feature off, takes nothing away.

use super::names::Book;
use crate::trust::Trust;
use meltemi_proto::any::unpack;
use meltemi_proto::google::protobuf::Any;
use meltemi_proto::google::rpc::Status;
use meltemi_proto::istio::mesh::v1alpha1::ProxyConfig;
use meltemi_proto::urls::{NAME_TABLE, PROXY_CONFIG};
use meltemi_types::TypeUrl;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `INTERNAL`, with which Istio's agent refuses too.
const INTERNAL: i32 = 13;

/// What the agent asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants {
    pub(super) name_table: bool,
    pub(super) trust: bool,
}

impl Wants {
    /// The types, in the order in which they are asked for.
    pub(super) fn types(self) -> Vec<TypeUrl> {
        let all = [(self.name_table, NAME_TABLE), (self.trust, PROXY_CONFIG)];
        let wanted = all.into_iter().filter(|(wanted, _)| *wanted);
        wanted.map(|(_, url)| url).collect()
    }
}

/// What was told of these types.
#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) names: Book,
    pub(super) trust: TrustBook,
}

/// One of them.
pub(super) trait Kept {
    /// The versions of what is known, by resource.
    fn versions(&self) -> BTreeMap<String, String>;
    /// The version of the whole.
    fn version(&self) -> &str;
    /// Takes in what changed, all of it or nothing.
    fn change(
        &mut self,
        set: &mut dyn Iterator<Item = (String, String, Any)>,
        removed: &[String],
    ) -> Result<(), Status>;
    /// Takes in all there is.
    fn replace(
        &mut self,
        version: &str,
        bodies: &mut dyn Iterator<Item = Any>,
    ) -> Result<(), Status>;
}

impl Books {
    /// That of a type, if it is one of ours.
    pub(super) fn of(&self, type_url: &str) -> Option<&dyn Kept> {
        match type_url {
            NAME_TABLE => Some(&self.names),
            PROXY_CONFIG => Some(&self.trust),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn of_mut(&mut self, type_url: &str) -> Option<&mut dyn Kept> {
        match type_url {
            NAME_TABLE => Some(&mut self.names),
            PROXY_CONFIG => Some(&mut self.trust),
            _ => None,
        }
    }
}

/// What was told of whom to believe: the first resource counts.
#[derive(Debug, Default)]
pub(super) struct TrustBook {
    name: String,
    version: String,
    told: Arc<Trust>,
}

impl TrustBook {
    /// Whom to believe.
    pub(super) fn told(&self) -> &Arc<Trust> {
        &self.told
    }

    fn take(&mut self, first: Option<(String, String, Any)>) -> Result<(), Status> {
        let Some((name, version, body)) = first else {
            return Ok(());
        };
        let message: Result<ProxyConfig, _> = unpack(&body);
        let trust = message.map_err(|error| error.to_string());
        let trust = trust.and_then(Trust::read).map_err(|message| Status {
            code: INTERNAL,
            message,
            ..Status::default()
        })?;
        *self = Self {
            name,
            version,
            told: Arc::new(trust),
        };
        Ok(())
    }
}

impl Kept for TrustBook {
    fn versions(&self) -> BTreeMap<String, String> {
        let known = (!self.version.is_empty()).then(|| (self.name.clone(), self.version.clone()));
        known.into_iter().collect()
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn change(
        &mut self,
        set: &mut dyn Iterator<Item = (String, String, Any)>,
        _: &[String],
    ) -> Result<(), Status> {
        self.take(set.next())
    }

    fn replace(
        &mut self,
        version: &str,
        bodies: &mut dyn Iterator<Item = Any>,
    ) -> Result<(), Status> {
        let first = bodies.next();
        self.take(first.map(|body| (String::new(), version.to_owned(), body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority_double::Root;
    use meltemi_proto::any::pack;

    fn body(root: &str) -> Any {
        pack(&ProxyConfig {
            ca_certificates_pem: vec![root.to_owned()],
            ..ProxyConfig::default()
        })
    }

    #[test]
    fn nothing_and_what_cannot_be_read_change_nothing() {
        let mut book = TrustBook::default();
        assert!(book.versions().is_empty());
        let root = Root::new("root").pem;
        let first = ("trust".to_owned(), "1".to_owned(), body(&root));
        book.change(&mut std::iter::once(first), &[]).unwrap();
        let known = book.told().clone();
        assert_eq!(
            book.versions(),
            [("trust".to_owned(), "1".to_owned())].into()
        );
        book.change(&mut std::iter::empty(), &["trust".to_owned()])
            .unwrap();
        book.replace("2", &mut std::iter::empty()).unwrap();
        let bad = (
            "trust".to_owned(),
            "3".to_owned(),
            body("-----BEGIN CERTIFICATE-----"),
        );
        book.change(&mut std::iter::once(bad), &[]).unwrap_err();
        let strange = ("trust".to_owned(), "4".to_owned(), Any::default());
        book.change(&mut std::iter::once(strange), &[]).unwrap_err();
        assert_eq!((book.told(), book.version()), (&known, "1"));
        let other = Root::new("other").pem;
        book.replace("5", &mut std::iter::once(body(&other)))
            .unwrap();
        assert_eq!(book.told().roots, other.as_bytes());
    }
}
