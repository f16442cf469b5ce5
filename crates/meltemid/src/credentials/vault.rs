//! The certificates that were read: each judged once, its last good version kept while the object is
//! there, and encoded once for each name that proxies ask by.

use meltemi_api::kinds::Kind;
use meltemi_api::kubernetes::Credential;
use meltemi_api::{Change, Object};
use meltemi_ca::Validity;
use meltemi_ca::credential::{Bundle, Chain, Flaw, bundle, pair, revocations};
use meltemi_kube::Needed;
use meltemi_model::{CredentialName, Store};
use meltemi_proto::any;
use meltemi_proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use meltemi_proto::resource::Encoded;
use meltemi_proto::urls;
use meltemi_types::{ClusterId, Code, Diagnostic, FieldPath, Namespace, ObjectRef, Origin, Secret};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A certificate with its key.
#[derive(Clone, Debug)]
struct Pair {
    chain: Chain,
    key: Secret<Box<str>>,
    staple: Option<Box<[u8]>>,
}

/// Who may have signed the other side's certificate.
#[derive(Clone, Debug)]
struct Trust {
    bundle: Bundle,
    revoked: Option<String>,
}

/// One object.
#[derive(Debug)]
pub(super) struct Held {
    origin: Origin,
    pair: Option<Pair>,
    trust: Option<Trust>,
    /// What is wrong with its newest version.
    pub(super) flaws: Vec<Diagnostic>,
    encoded: BTreeMap<Arc<str>, Arc<Encoded>>,
}

/// All objects that were read.
#[derive(Debug, Default)]
pub(crate) struct Vault {
    held: BTreeMap<Needed, Held>,
}

/// The objects that may hold what a proxy of `namespace` names, the first that has it counts.
pub(super) fn objects(name: &CredentialName, namespace: &Namespace) -> Vec<Needed> {
    let kind = match name.store {
        Store::Secret | Store::GatewaySecret => Kind::Secret,
        Store::ConfigMap => Kind::ConfigMap,
    };
    let namespace = name.namespace.as_ref().unwrap_or(namespace);
    let needed = |name| Needed {
        kind,
        namespace: namespace.clone(),
        name,
    };
    name.objects().into_iter().map(needed).collect()
}

/// The object of a key, if it is of our cluster and holds certificates.
fn needed(object: &ObjectRef, cluster: &ClusterId) -> Option<Needed> {
    let kind = [Kind::Secret, Kind::ConfigMap];
    let kind = kind.into_iter().find(|kind| kind.name() == &*object.kind)?;
    let own = object.cluster == *cluster;
    Some(Needed {
        kind,
        namespace: object.namespace.clone().filter(|_| own)?,
        name: object.name.clone(),
    })
}

impl Vault {
    /// Takes a change; says which object it was about, if it was about one that we hold.
    pub(crate) fn take(&mut self, change: &Change, cluster: &ClusterId) -> Option<Needed> {
        match change {
            Change::Upsert(object) => {
                let needed = needed(object.key(), cluster)?;
                let before = self.held.remove(&needed);
                let next = judge(object, before)?;
                self.held.insert(needed.clone(), next);
                Some(needed)
            }
            Change::Delete(key) => {
                let needed = needed(key, cluster)?;
                self.held.remove(&needed).map(|_| needed)
            }
            Change::Broken(_) | Change::Findings { .. } | Change::Synced { .. } => None,
        }
    }

    /// One object.
    pub(super) fn get(&self, needed: &Needed) -> Option<&Held> {
        self.held.get(needed)
    }

    /// The resource for a name that a proxy of `namespace` asks by.
    pub(crate) fn resource(
        &mut self,
        (text, name): (&Arc<str>, &CredentialName),
        namespace: &Namespace,
    ) -> Option<Arc<Encoded>> {
        objects(name, namespace).into_iter().find_map(|needed| {
            let held = self.held.get_mut(&needed)?;
            if let Some(made) = held.encoded.get(text) {
                return Some(made.clone());
            }
            let made = Arc::new(held.make(text, name.is_authorities())?);
            held.encoded.insert(text.clone(), made.clone());
            Some(made)
        })
    }
}

impl Held {
    fn make(&self, text: &Arc<str>, authorities: bool) -> Option<Encoded> {
        let pair = self.pair.as_ref().filter(|_| !authorities);
        let part = match (pair, &self.trust) {
            (Some(pair), _) => tls::secret::Type::TlsCertificate(certificate(pair)),
            (None, Some(trust)) => tls::secret::Type::ValidationContext(validation(trust)),
            (None, None) => return None,
        };
        let secret = tls::Secret {
            name: text.to_string(),
            r#type: Some(part),
        };
        let encoded = Encoded::new(text.clone(), urls::SECRET, any::pack(&secret).value);
        Some(encoded.with_origins([self.origin.clone()].into()))
    }

    /// True when it has what is asked for.
    pub(super) fn has(&self, authorities: bool) -> bool {
        self.trust.is_some() || (self.pair.is_some() && !authorities)
    }

    /// When what is asked for counts.
    pub(super) fn validity(&self, authorities: bool) -> Option<Validity> {
        let pair = self.pair.as_ref().filter(|_| !authorities);
        let trust = self.trust.as_ref().map(|trust| trust.bundle.validity);
        pair.map(|pair| pair.chain.validity).or(trust)
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }
}

fn certificate(pair: &Pair) -> tls::TlsCertificate {
    tls::TlsCertificate {
        certificate_chain: Some(text(&pair.chain.pem)),
        private_key: Some(text(pair.key.expose())),
        ocsp_staple: pair.staple.as_ref().map(|staple| DataSource {
            specifier: Some(Specifier::InlineBytes(staple.to_vec())),
            ..DataSource::default()
        }),
        ..tls::TlsCertificate::default()
    }
}

fn validation(trust: &Trust) -> tls::CertificateValidationContext {
    tls::CertificateValidationContext {
        trusted_ca: Some(text(&trust.bundle.pem)),
        crl: trust.revoked.as_deref().map(text),
        ..tls::CertificateValidationContext::default()
    }
}

fn text(pem: &str) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineBytes(pem.as_bytes().to_vec())),
        ..DataSource::default()
    }
}

/// What is made of a new version of an object: what cannot be used of it stays as it was.
fn judge(object: &Object, before: Option<Held>) -> Option<Held> {
    let (pair, trust) = match before {
        Some(Held { pair, trust, .. }) => (pair, trust),
        None => (None, None),
    };
    let mut held = Held {
        origin: object.origin(),
        pair,
        trust,
        flaws: Vec::new(),
        encoded: BTreeMap::new(),
    };
    if let Object::Secret(secret) = object {
        held.secret(&secret.spec, object);
    } else if let Object::ConfigMap(map) = object {
        match map.spec.authorities.as_deref() {
            Some(pem) => held.authorities((pem, map.spec.revoked.as_deref()), object),
            None => {
                let text = "has no key ca.crt; put authorities there, as PEM";
                held.flaw(object, "data", text);
            }
        }
    } else {
        return None;
    }
    Some(held)
}

impl Held {
    fn secret(&mut self, secret: &Credential, object: &Object) {
        if !secret.is_for_proxies() {
            let text = format!(
                "is of type {}, which proxies do not get; use kubernetes.io/tls or Opaque",
                secret.r#type
            );
            return self.flaw(object, "type", &text);
        }
        let Credential {
            r#type: _,
            certificate,
            key,
            authorities,
            revoked,
            staple,
        } = secret;
        match (certificate, key) {
            (Some(certificate), Some(key)) => match pair(certificate, key) {
                Ok(chain) => {
                    self.pair = Some(Pair {
                        chain,
                        key: key.clone(),
                        staple: staple.clone(),
                    });
                }
                Err(flaw) => self.flaw(object, place(&flaw), &flaw.to_string()),
            },
            (Some(_), None) => {
                self.flaw(object, "data", "has a certificate and no key; add tls.key")
            }
            (None, Some(_)) => {
                self.flaw(object, "data", "has a key and no certificate; add tls.crt")
            }
            (None, None) if authorities.is_none() => {
                let text = "has neither tls.crt and tls.key nor ca.crt; put them there, as PEM";
                self.flaw(object, "data", text);
            }
            (None, None) => self.pair = None,
        }
        match authorities {
            Some(pem) => self.authorities((pem, revoked.as_deref()), object),
            None if self.flaws.is_empty() => self.trust = None,
            None => {}
        }
    }

    fn authorities(&mut self, (pem, revoked): (&str, Option<&str>), object: &Object) {
        let bundle = match bundle(pem) {
            Ok(bundle) => bundle,
            Err(flaw) => return self.flaw(object, "data.ca.crt", &flaw.to_string()),
        };
        for number in &bundle.bad {
            let text = format!("certificate {number} cannot be read, the others are used");
            let origin = object.origin_at(&FieldPath::new("data.ca.crt"));
            let remedy = "remove it, or put PEM there";
            self.flaws.push(Diagnostic::warning(
                Code::CredentialInvalid,
                origin,
                text,
                remedy,
            ));
        }
        let lists = revoked.map(revocations);
        if lists == Some(None) {
            // Without the list, somebody would be believed who is not to be.
            let text = "is no list of revoked certificates; put PEM there";
            return self.flaw(object, "data.ca.crl", text);
        }
        let revoked = lists.flatten();
        self.trust = Some(Trust { bundle, revoked });
    }

    fn flaw(&mut self, object: &Object, path: &str, text: &str) {
        let (message, remedy) = text.split_once("; ").unwrap_or((text, "correct it"));
        let origin = object.origin_at(&FieldPath::new(path));
        let code = Code::CredentialInvalid;
        self.flaws
            .push(Diagnostic::error(code, origin, message, remedy));
    }
}

/// The field that a flaw is in.
fn place(flaw: &Flaw) -> &'static str {
    match flaw {
        Flaw::NoCertificate | Flaw::Certificate(_) => "data.tls.crt",
        Flaw::NoKey | Flaw::Kind | Flaw::NotPair => "data.tls.key",
    }
}
