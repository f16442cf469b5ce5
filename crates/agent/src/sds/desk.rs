//! What a name stands for now, as Envoy's secret.
//!
//! A version is a hash of what is public in the secret, so that equal content is equal on every
//! stream. Files that do not fit together yet leave what a stream has.

use super::Sources;
use super::name::Name;
use super::revoked::{self, Depth};
use super::trusted::{self, inline, merged};
use crate::files::Changes;
use crate::identity::Material;
use crate::identity::{certified, pair};
use crate::upstream::read;
use meltemi_proto::any::pack;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::{
    Secret as EnvoySecret, TlsCertificate,
};
use meltemi_proto::google::protobuf::Any;
use meltemi_types::Secret;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// What is answered for a name.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// There is no such secret.
    Unknown,
    /// There will be one.
    Later,
    /// This one.
    Ready { version: String, secret: Any },
}

/// Where answers come from.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    sources: Sources,
    changes: Changes,
    revoked: Option<PathBuf>,
    /// Why lists were not told, as far as it was said.
    gaps: Arc<Mutex<BTreeSet<String>>>,
}

impl Desk {
    pub(super) fn new(sources: Sources, revoked: Option<PathBuf>) -> Self {
        let changes = sources.files.changes();
        if let Some(path) = &revoked {
            sources.files.follow(path);
        }
        Self {
            sources,
            changes,
            revoked,
            gaps: Arc::default(),
        }
    }

    /// Returns when an answer may have changed.
    pub(super) async fn changed(&mut self) {
        let Sources {
            held,
            bundle,
            trust,
            files: _,
        } = &mut self.sources;
        tokio::select! {
            Ok(()) = held.changed() => {}
            Ok(()) = bundle.changed() => {}
            Ok(()) = trust.changed() => {}
            () = self.changes.next() => {}
        }
    }

    /// What `name` stands for now.
    pub(super) fn look(&self, name: &str) -> Answer {
        let Some(parsed) = Name::parse(name) else {
            return Answer::Unknown;
        };
        let held = || self.sources.held.borrow().clone();
        let (public, content) = match parsed {
            Name::Own => match held() {
                Some(held) => own(&held),
                None => return Answer::Later,
            },
            Name::Roots => match held() {
                Some(held) => {
                    let roots = merged(&held.roots, &self.sources.bundle.borrow());
                    let trust = self.sources.trust.borrow().clone();
                    let lists = |of: (&[u8], &[u8]), depth| self.lists(of, depth);
                    trusted::peers((&roots, &held.chain), &trust, &lists)
                }
                None => return Answer::Later,
            },
            Name::FilePair { chain, key } => match self.pair(&chain, &key) {
                Some(pair) => pair,
                None => return Answer::Later,
            },
            Name::FileRoots(path) => match self.file_roots(&path) {
                Some(roots) => roots,
                None => return Answer::Later,
            },
        };
        let secret = EnvoySecret {
            name: name.to_owned(),
            r#type: Some(content),
        };
        let mut hasher = DefaultHasher::new();
        (name, public).hash(&mut hasher);
        Answer::Ready {
            version: format!("{:016x}", hasher.finish()),
            secret: pack(&secret),
        }
    }

    /// The lists that speak for these roots; why there are none is said once.
    fn lists(&self, of: (&[u8], &[u8]), depth: Depth) -> Option<Vec<u8>> {
        let path = self.revoked.as_ref().filter(|path| path.exists())?;
        let text = said(path, read(path))?;
        let lists = revoked::lists(&text, of, (depth, SystemTime::now()));
        let gap = lists.as_ref().err().map(ToString::to_string);
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gap) = gap.filter(|gap| gaps.insert(gap.clone())) {
            let path = path.display();
            tracing::warn!(%path, gap, "revoked certificates are not refused: Envoy would refuse others too");
        }
        lists.ok().flatten()
    }

    fn file_roots(&self, path: &Path) -> Option<(Vec<u8>, Type)> {
        self.sources.files.follow(path);
        let pem = said(path, read(path))?;
        let found = said(path, certified("roots", &pem))?;
        (!found.is_empty()).then(|| {
            let list = self.lists((&pem, &[]), Depth::Leaf);
            trusted::heap(pem, list)
        })
    }

    fn pair(&self, chain: &Path, key: &Path) -> Option<(Vec<u8>, Type)> {
        self.sources.files.follow(chain);
        self.sources.files.follow(key);
        let pem = said(chain, read(chain))?;
        let private = Secret::new(said(key, read(key))?);
        said(chain, pair(&pem, &private))?;
        Some(certificate(&pem, &private))
    }
}

fn own(held: &Arc<Material>) -> (Vec<u8>, Type) {
    certificate(&held.chain, &held.key)
}

fn certificate(chain: &[u8], key: &Secret<Vec<u8>>) -> (Vec<u8>, Type) {
    let certificate = TlsCertificate {
        certificate_chain: Some(inline(chain.to_vec())),
        private_key: Some(inline(key.expose().clone())),
        ..TlsCertificate::default()
    };
    (chain.to_vec(), Type::TlsCertificate(certificate))
}

/// The value; why there is none goes to the log.
fn said<T, E: std::fmt::Display>(path: &Path, value: Result<T, E>) -> Option<T> {
    let path = path.display();
    value
        .inspect_err(|error| tracing::warn!(%path, %error, "a secret is not served from this file"))
        .ok()
}
