//! Secrets and ConfigMaps, as far as they are certificates: all else that they hold is dropped here.
//!
//! The keys are Istio's (<https://istio.io/latest/docs/tasks/traffic-management/ingress/secure-ingress/>):
//! `cert`, `key`, `cacert`, `crl` or `tls.crt`, `tls.key`, `ca.crt`, `ca.crl`. The surprise: a Secret of any other type
//! (of a service account, an image registry, an authority) holds nothing that a proxy may get.

use super::Watched;
use crate::kinds::Kind;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use meltemi_types::Secret;
use serde::Serialize;
use std::collections::BTreeMap;

/// The types whose content a proxy may get.
const TYPES: [&str; 4] = ["", "Opaque", "generic", "kubernetes.io/tls"];

/// The label of a Secret that names another cluster by a kubeconfig.
pub const REMOTE: &str = "istio/multiCluster";
/// What is wrong with such a Secret.
pub const REMOTE_MESSAGE: &str =
    "remote clusters are not supported yet: its kubeconfig is not read, and nobody connects there";
/// What to do about it.
pub const REMOTE_REMEDY: &str = "remove the label istio/multiCluster, or the Secret";

/// What a Secret says of certificates. Nothing of it was judged yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// `type`; the rest is empty unless it is `kubernetes.io/tls` or `Opaque`.
    pub r#type: Box<str>,
    /// `cert` or `tls.crt`: the certificate and what signed it, PEM.
    pub certificate: Option<Box<str>>,
    /// `key` or `tls.key`: its key, PEM.
    pub key: Option<Secret<Box<str>>>,
    /// `cacert` or `ca.crt`: authorities, PEM.
    pub authorities: Option<Box<str>>,
    /// `crl` or `ca.crl`, of both the one that is named as the authorities are: certificates that
    /// were revoked, PEM.
    pub revoked: Option<Box<str>>,
    /// `tls.ocsp-staple`: what the authority says of the certificate, DER.
    pub staple: Option<Box<[u8]>>,
}

impl Credential {
    /// False when the type of the Secret says that it is for something else.
    #[must_use]
    pub fn is_for_proxies(&self) -> bool {
        TYPES.contains(&&*self.r#type)
    }
}

/// What a ConfigMap says of authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Authorities {
    /// `ca.crt`, else `cacert`: PEM.
    pub authorities: Option<Box<str>>,
    /// `ca.crl` or `crl`, of both the one that is named as the authorities are: certificates that
    /// were revoked, PEM.
    pub revoked: Option<Box<str>>,
}

/// The values of a Secret by key.
type Data = BTreeMap<String, Vec<u8>>;

fn text(data: &Data, key: &str) -> Option<Box<str>> {
    let value = data.get(key).filter(|value| !value.is_empty())?;
    Some(String::from_utf8_lossy(value).into())
}

impl From<(Option<String>, Data)> for Credential {
    fn from((r#type, data): (Option<String>, Data)) -> Self {
        let empty = Self {
            r#type: r#type.unwrap_or_default().into(),
            ..Self::default()
        };
        if !empty.is_for_proxies() {
            return empty;
        }
        let generic = data.contains_key("cert") && data.contains_key("key");
        let (certificate, key) = match generic {
            true => ("cert", "key"),
            false => ("tls.crt", "tls.key"),
        };
        let authorities = text(&data, "cacert");
        let (list, other) = match authorities {
            Some(_) => ("crl", "ca.crl"),
            None => ("ca.crl", "crl"),
        };
        Self {
            certificate: text(&data, certificate),
            key: text(&data, key).map(Secret::new),
            authorities: authorities.or_else(|| text(&data, "ca.crt")),
            revoked: text(&data, list).or_else(|| text(&data, other)),
            staple: data.get("tls.ocsp-staple").map(|s| s.as_slice().into()),
            ..empty
        }
    }
}

impl Watched for core::Secret {
    type Spec = Credential;
    const KIND: Kind = Kind::Secret;

    fn split(self) -> (ObjectMeta, Credential) {
        let data = self.data.into_iter().flatten();
        let mut data: Data = data.map(|(key, value)| (key, value.0)).collect();
        let written = self.string_data.into_iter().flatten();
        data.extend(written.map(|(key, value)| (key, value.into_bytes())));
        (self.metadata, (self.type_, data).into())
    }
}

impl Watched for core::ConfigMap {
    type Spec = Authorities;
    const KIND: Kind = Kind::ConfigMap;

    fn split(self) -> (ObjectMeta, Authorities) {
        let mut data = self.data.unwrap_or_default();
        let mut take = |key| data.remove(key).filter(|text: &String| !text.is_empty());
        let authorities = take("ca.crt");
        let (list, other) = match authorities {
            Some(_) => ("ca.crl", "crl"),
            None => ("crl", "ca.crl"),
        };
        let authorities = authorities.or_else(|| take("cacert"));
        let revoked = take(list).or_else(|| take(other));
        let authorities = Authorities {
            authorities: authorities.map(String::into_boxed_str),
            revoked: revoked.map(String::into_boxed_str),
        };
        (self.metadata, authorities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use crate::stored::{self, Pool};
    use crate::yaml::{self, Outcome, Source};
    use meltemi_types::ClusterId;

    fn read(text: &str) -> (Outcome, String) {
        let mut all = yaml::read(text.as_bytes(), &Source::new("a.yaml"));
        let document = all.remove(0);
        let said = document.diagnostics.iter().map(ToString::to_string);
        (document.outcome, said.collect::<Vec<_>>().join("\n"))
    }

    fn credential(text: &str) -> Credential {
        let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: web, namespace: shop}\n";
        match read(&format!("{head}{text}")) {
            (Outcome::Object(Object::Secret(secret)), said) if said.is_empty() => {
                secret.spec.clone()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_spellings_of_a_pair_are_read() {
        let tls = credential(
            "type: kubernetes.io/tls\ndata: {tls.crt: Yw==, tls.key: aw==, ca.crt: YQ==, ca.crl: cg==}\n",
        );
        assert_eq!(tls.certificate.as_deref(), Some("c"));
        assert_eq!(&**tls.key.as_ref().unwrap().expose(), "k");
        assert_eq!(tls.authorities.as_deref(), Some("a"));
        assert_eq!(tls.revoked.as_deref(), Some("r"));
        let generic = credential(
            "stringData: {cert: c, key: k, cacert: a, crl: r, tls.crt: other, ca.crl: other}\n",
        );
        assert_eq!(generic.certificate.as_deref(), Some("c"));
        assert_eq!(generic.authorities.as_deref(), Some("a"));
        assert_eq!(generic.revoked.as_deref(), Some("r"));
        // Whatever is beside what: a list is not passed over.
        let mixed = credential("stringData: {ca.crt: a, crl: r}\n");
        assert_eq!(mixed.revoked.as_deref(), Some("r"));
    }

    #[test]
    fn other_types_hold_nothing() {
        let token = credential(
            "type: kubernetes.io/service-account-token\ndata: {ca.crt: YQ==, tls.key: aw==}\n",
        );
        assert!(!token.is_for_proxies());
        assert_eq!((token.authorities, token.key), (None, None));
        let password = credential("type: Opaque\ndata: {password: aHVudGVyMg==}\n");
        assert!(password.is_for_proxies() && password.certificate.is_none());
    }

    #[test]
    fn a_key_is_not_shown_however_it_is_written() {
        let key = credential("stringData: {tls.crt: c, tls.key: hunter2}\n");
        let shown = format!("{key:?} {}", serde_json::to_string(&key).unwrap());
        assert!(
            !shown.contains("hunter2") && shown.contains("[redacted]"),
            "{shown}"
        );
        let head = "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\n";
        for wrong in [
            "data: {tls.key: hunter2!}",
            "data: hunter2",
            "stringData: {tls.key: [hunter2]}",
        ] {
            let (outcome, said) = read(&format!("{head}{wrong}\n"));
            assert!(matches!(outcome, Outcome::Broken { .. }), "{wrong}");
            assert!(
                !said.contains("hunter2") && said.contains("not shown"),
                "{said}"
            );
        }
    }

    #[test]
    fn an_api_server_gives_the_same() {
        let json = br#"{"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "3"},
            "type": "kubernetes.io/tls", "data": {"tls.crt": "Yw==", "tls.key": "aw=="}}"#;
        let into = (&ClusterId::default(), &mut Pool::default());
        let judged = stored::read(Kind::Secret, json, into.0, into.1).unwrap();
        let Outcome::Object(Object::Secret(secret)) = judged.outcome else {
            panic!("{judged:?}");
        };
        assert_eq!(secret.spec.certificate.as_deref(), Some("c"));
    }

    #[test]
    fn a_config_map_is_authorities_and_nothing_else() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: roots, namespace: shop}\n\
                    data: {ca.crt: a, other: b}\n";
        let (Outcome::Object(Object::ConfigMap(map)), _) = read(text) else {
            panic!()
        };
        assert_eq!(map.spec.authorities.as_deref(), Some("a"));
    }
}
