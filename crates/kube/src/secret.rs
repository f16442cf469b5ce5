//! The Secret `istio-ca-secret`: the key of the authority that all replicas share, as Istio keeps it
//! (platform.md 4.5). It is made once: of two that make it at a time, the API server takes one, and
//! the other reads that; it is written again only by who has read it as it is. And the Secret `cacerts`,
//! where users put an authority of their own (4.6); what its files mean is for others to say.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as Object;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use meltemi_types::{Namespace, Secret};
use std::collections::BTreeMap;

/// The Secret's name.
pub const NAME: &str = "istio-ca-secret";
/// The Secret with an authority of one's own.
pub const PLUGGED: &str = "cacerts";
const TYPE: &str = "istio.io/ca-root";
const CERTIFICATE: &str = "ca-cert.pem";
const CHAIN: &str = "cert-chain.pem";
const KEY: &str = "ca-key.pem";
const ROOTS: &str = "root-cert.pem";

/// Marks a Secret `cacerts` that a control plane has made.
const GENERATED: &str = "istio-generated";

/// Which Secret keeps the authority that all replicas share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Home {
    /// `istio-ca-secret`.
    #[default]
    Own,
    /// `cacerts`, marked so that it is not taken for a user's (`USE_CACERTS_FOR_SELF_SIGNED_CA`).
    Marked,
}

impl Home {
    /// The name of the Secret.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => NAME,
            Self::Marked => PLUGGED,
        }
    }
}

/// What the Secret holds, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// `ca-cert.pem`.
    pub certificate: String,
    /// `ca-key.pem`.
    pub key: Secret<String>,
    /// `cert-chain.pem`: what is between the certificate and the roots; may be empty or missing.
    pub chain: String,
    /// `root-cert.pem`; where it is empty, the certificate is its own root.
    pub roots: String,
    /// Which write it is of; empty before the first.
    pub version: String,
}

/// Why the Secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The API server refuses or is away.
    #[error("Secret {namespace}/{name}: {source}")]
    Api {
        /// Where it was looked for.
        namespace: Namespace,
        /// Which one.
        name: &'static str,
        /// What the API server says.
        #[source]
        source: Box<kube::Error>,
    },
    /// A part is missing or is no text.
    #[error(
        "Secret {namespace}/{name}: data[{part}] is missing or no text; delete the Secret to have \
         a new one made"
    )]
    Part {
        /// Where it is.
        namespace: Namespace,
        /// Which one.
        name: &'static str,
        /// The key of the part.
        part: &'static str,
    },
}

/// Where an authority of ours is.
pub type Place<'a> = (&'a Namespace, Home);

/// Reads the Secret; `None` when there is none.
///
/// # Errors
/// The API server refuses or is away, or a part is missing.
pub async fn read(client: &Client, place: Place<'_>) -> Result<Option<Parts>, SecretError> {
    let (namespace, home) = place;
    let api: Api<Object> = Api::namespaced(client.clone(), namespace.as_str());
    let object = api.get_opt(home.name()).await;
    let object = object.map_err(|source| failed((namespace, home.name()), source))?;
    object.map(|object| parts(&object, place)).transpose()
}

/// Reads the files of the Secret `cacerts`; none when there is no such Secret, or when it is marked as
/// the one that all replicas share, where that may be so.
///
/// # Errors
/// The API server refuses or is away.
pub async fn plugged(
    client: &Client,
    (namespace, home): Place<'_>,
) -> Result<BTreeMap<String, Vec<u8>>, SecretError> {
    let api: Api<Object> = Api::namespaced(client.clone(), namespace.as_str());
    let object = api.get_opt(PLUGGED).await;
    let object = object.map_err(|source| failed((namespace, PLUGGED), source))?;
    let data = object.and_then(|object| object.data).unwrap_or_default();
    if home == Home::Marked && data.contains_key(GENERATED) {
        return Ok(BTreeMap::new());
    }
    Ok(data
        .into_iter()
        .map(|(name, file)| (name, file.0))
        .collect())
}

/// Makes the Secret of `parts`, or reads the one that somebody else has made meanwhile.
///
/// # Errors
/// As [`read`].
pub async fn create(client: &Client, place: Place<'_>, own: &Parts) -> Result<Parts, SecretError> {
    let (namespace, home) = place;
    let api: Api<Object> = Api::namespaced(client.clone(), namespace.as_str());
    let failed = |source| failed((namespace, home.name()), source);
    let made = api.create(&PostParams::default(), &object(own, home)).await;
    match made {
        Ok(made) => parts(&made, place),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            parts(&api.get(home.name()).await.map_err(failed)?, place)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Writes `next` in place of what `next.version` was read as, and gives back what is there then:
/// `next`, or what somebody else has written meanwhile. Whatever else is in the Secret stays.
///
/// # Errors
/// As [`read`].
pub async fn replace(
    client: &Client,
    place: Place<'_>,
    next: &Parts,
) -> Result<Parts, SecretError> {
    let (namespace, home) = place;
    let api: Api<Object> = Api::namespaced(client.clone(), namespace.as_str());
    let failed = |source| failed((namespace, home.name()), source);
    let mut there = api.get(home.name()).await.map_err(failed)?;
    if there.metadata.resource_version.as_deref() != Some(&next.version) {
        return parts(&there, place);
    }
    let own = object(next, home).data.unwrap_or_default();
    there.data.get_or_insert_default().extend(own);
    // The API server refuses it when somebody was quicker.
    match api
        .replace(home.name(), &PostParams::default(), &there)
        .await
    {
        Ok(written) => parts(&written, place),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            parts(&api.get(home.name()).await.map_err(failed)?, place)
        }
        Err(error) => Err(failed(error)),
    }
}

fn failed((namespace, name): (&Namespace, &'static str), source: kube::Error) -> SecretError {
    SecretError::Api {
        namespace: namespace.clone(),
        name,
        source: Box::new(source),
    }
}

fn object(parts: &Parts, home: Home) -> Object {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = [
        (CERTIFICATE, bytes(&parts.certificate)),
        (KEY, bytes(parts.key.expose())),
        (ROOTS, bytes(&parts.roots)),
        (CHAIN, bytes(&parts.chain)),
        ("key.pem", bytes("")),
    ];
    let marked = (home == Home::Marked).then(|| (GENERATED, bytes("")));
    Object {
        metadata: ObjectMeta {
            name: Some(home.name().to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.to_owned()),
        data: Some(
            data.into_iter()
                .chain(marked)
                .map(|(name, file)| (name.to_owned(), file))
                .collect(),
        ),
        ..Object::default()
    }
}

fn parts(object: &Object, (namespace, home): Place<'_>) -> Result<Parts, SecretError> {
    let text = |part: &'static str| {
        let bytes = object.data.as_ref().and_then(|data| data.get(part));
        let text = bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        text.filter(|text| !text.is_empty())
            .ok_or_else(|| SecretError::Part {
                namespace: namespace.clone(),
                name: home.name(),
                part,
            })
    };
    let certificate = text(CERTIFICATE)?;
    Ok(Parts {
        key: Secret::new(text(KEY)?),
        chain: text(CHAIN).unwrap_or_default(),
        roots: text(ROOTS).unwrap_or_else(|_| certificate.clone()),
        certificate,
        version: object.metadata.resource_version.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_istios() {
        let own = Parts {
            certificate: "cert".into(),
            key: Secret::new("key".into()),
            chain: String::new(),
            roots: "root".into(),
            version: String::new(),
        };
        let namespace = Namespace::istio_system();
        let place = (&namespace, Home::Own);
        let made = object(&own, Home::Own);
        assert_eq!(made.type_.as_deref(), Some("istio.io/ca-root"));
        assert_eq!(parts(&made, place).unwrap(), own);
        let mut old = made.clone();
        old.data.as_mut().unwrap().remove(ROOTS);
        assert_eq!(parts(&old, place).unwrap().roots, "cert");
        let mut broken = made;
        broken.data.as_mut().unwrap().remove(KEY);
        let why = parts(&broken, place).unwrap_err().to_string();
        assert!(
            why.contains("istio-system/istio-ca-secret: data[ca-key.pem]"),
            "{why}"
        );
        let marked = object(&own, Home::Marked);
        assert_eq!(marked.metadata.name.as_deref(), Some("cacerts"));
        assert!(marked.data.unwrap().contains_key("istio-generated"));
    }
}
