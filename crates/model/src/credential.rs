//! The names by which proxies ask for certificates: what each means, or nothing. The one parser.
//!
//! The forms are Istio's (`credentialName`), as Envoy sends them. Total: any text is a name or none,
//! and what is not exactly one of the forms is none. The surprise: a suffix `-cacert` may belong to
//! the object's own name, or mean the authorities in the object of the name before it.

use meltemi_types::{Namespace, ObjectName};

/// What means the authorities of a Secret.
const AUTHORITIES: &str = "-cacert";

/// What kind of object holds a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Store {
    /// A Secret.
    Secret,
    /// A Secret that a Gateway of the Gateway API names.
    GatewaySecret,
    /// A ConfigMap, which holds authorities only.
    ConfigMap,
}

/// A name that a proxy asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialName {
    /// What holds it.
    pub store: Store,
    /// The namespace; `None` is that of the proxy.
    pub namespace: Option<Namespace>,
    /// The object, as written: with the suffix.
    pub name: ObjectName,
}

impl CredentialName {
    /// Reads `kubernetes://[NAMESPACE/]NAME`, `kubernetes-gateway://NAMESPACE/NAME` or
    /// `configmap://[NAMESPACE/]NAME`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let store = match scheme {
            "kubernetes" => Store::Secret,
            "kubernetes-gateway" => Store::GatewaySecret,
            "configmap" => Store::ConfigMap,
            _ => return None,
        };
        let (namespace, name) = match rest.split_once('/') {
            Some((namespace, name)) => (Some(namespace.parse().ok()?), name),
            None if store == Store::GatewaySecret => return None,
            None => (None, rest),
        };
        Some(Self {
            store,
            namespace,
            name: name.parse().ok()?,
        })
    }

    /// True when authorities are meant, and no key.
    #[must_use]
    pub fn is_authorities(&self) -> bool {
        self.store == Store::ConfigMap || self.name.as_str().ends_with(AUTHORITIES)
    }

    /// The names of the objects that may hold it, the first that exists counts.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectName> {
        let before = self.name.as_str().strip_suffix(AUTHORITIES);
        let before = before.and_then(|name| name.parse().ok());
        [self.name.clone()].into_iter().chain(before).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match CredentialName::read(text) {
            None => "none".to_owned(),
            Some(name) => {
                let namespace = name.namespace.as_ref().map_or("", Namespace::as_str);
                let objects = name.objects();
                let objects: Vec<&str> = objects.iter().map(ObjectName::as_str).collect();
                let part = if name.is_authorities() { "ca" } else { "pair" };
                format!("{:?} {namespace}/{} {part}", name.store, objects.join("|"))
            }
        }
    }

    #[test]
    fn each_form_has_one_meaning() {
        for (text, meaning) in [
            ("kubernetes://web", "Secret /web pair"),
            ("kubernetes://web-cacert", "Secret /web-cacert|web ca"),
            ("kubernetes://shop/web", "Secret shop/web pair"),
            (
                "kubernetes://shop/web.example.com",
                "Secret shop/web.example.com pair",
            ),
            (
                "kubernetes-gateway://shop/web",
                "GatewaySecret shop/web pair",
            ),
            (
                "kubernetes-gateway://shop/web-cacert",
                "GatewaySecret shop/web-cacert|web ca",
            ),
            ("configmap://shop/roots", "ConfigMap shop/roots ca"),
            (
                "configmap://roots-cacert",
                "ConfigMap /roots-cacert|roots ca",
            ),
            ("kubernetes://-cacert", "Secret /-cacert ca"),
        ] {
            assert_eq!(read(text), meaning, "{text}");
        }
    }

    #[test]
    fn tricks_are_no_names() {
        for text in [
            "",
            "web",
            "kubernetes:/web",
            "kubernetes://",
            "kubernetes:///web",
            "kubernetes://shop/",
            "kubernetes://shop//web",
            "kubernetes://shop/web/key",
            "kubernetes://../web",
            "kubernetes://shop/../bank/web",
            "kubernetes://shop/web ",
            "kubernetes://Shop/web",
            "kubernetes://shop/web%2fkey",
            "kubernetes://shop\0/web",
            "KUBERNETES://shop/web",
            "kubernetes-gateway://web",
            "builtin://",
            "invalid://web",
            "sds://web",
            "file-cert:/etc/passwd~/etc/shadow",
            "kubernetes://kubernetes://web",
            "default",
            "ROOTCA",
        ] {
            assert_eq!(read(text), "none", "{text:?}");
        }
    }

    /// Whatever comes, a name that is read says exactly what was written.
    #[test]
    fn any_text_is_a_name_or_none() {
        let parts = [
            "kubernetes",
            "configmap",
            "://",
            "/",
            "-cacert",
            "a",
            ".",
            "\u{e9}",
            "kubernetes-gateway",
        ];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            let longer = texts.iter().flat_map(|t| parts.map(|p| format!("{t}{p}")));
            texts = longer.collect();
            for text in &texts {
                if let Some(name) = CredentialName::read(text) {
                    let scheme = match name.store {
                        Store::Secret => "kubernetes",
                        Store::GatewaySecret => "kubernetes-gateway",
                        Store::ConfigMap => "configmap",
                    };
                    let namespace = name.namespace.map_or(String::new(), |n| format!("{n}/"));
                    assert_eq!(*text, format!("{scheme}://{namespace}{}", name.name));
                }
            }
        }
    }
}
