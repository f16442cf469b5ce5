//! Names of things: namespaces, objects, accounts, clusters, networks, revisions, ports.
//!
//! Kubernetes' rules where Kubernetes names the thing (DNS-1123), "not empty" elsewhere.

use crate::text::{is_dns_label, name};

fn dns_label(text: &str) -> Option<&'static str> {
    (!is_dns_label(text))
        .then_some("use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends")
}

fn dns_subdomain(text: &str) -> Option<&'static str> {
    let well = text.len() <= 253
        && text.split('.').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-:_".contains(&b))
        });
    (!well).then_some("use at most 253 of a-z, 0-9, '-' and '.', no empty part")
}

fn short_text(text: &str) -> Option<&'static str> {
    (text.is_empty() || text.len() > 253 || text.chars().any(char::is_control))
        .then_some("use 1 to 253 printable characters")
}

name!(
    /// A Kubernetes namespace (DNS-1123 label).
    Namespace,
    "namespace",
    dns_label
);
name!(
    /// The name of a Kubernetes object (DNS-1123 subdomain).
    ObjectName,
    "object name",
    dns_subdomain
);
name!(
    /// A Kubernetes service account's name.
    ServiceAccount,
    "service account",
    dns_subdomain
);
name!(
    /// A cluster's id, as `CLUSTER_ID` of a proxy names it; `Kubernetes` by default.
    ClusterId,
    "cluster id",
    short_text
);
name!(
    /// A network's id (`topology.istio.io/network`): endpoints of one network reach each other.
    NetworkId,
    "network id",
    short_text
);
name!(
    /// A control plane revision (`istio.io/rev`).
    Revision,
    "revision",
    dns_label
);
name!(
    /// The name of a service port; may be made up from the number where the user gave none.
    PortName,
    "port name",
    |t| (t.len() > 253).then_some("use at most 253 characters")
);
name!(
    /// A SPIFFE trust domain: lower-case letters, digits, `.`, `-`, `_`.
    TrustDomain,
    "trust domain",
    |t| {
        let well = !t.is_empty()
            && t.len() <= 255
            && t.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b)
            });
        (!well).then_some("use 1 to 255 of a-z, 0-9, '.', '-' and '_'")
    }
);

impl Default for ClusterId {
    /// istiod's default cluster id.
    fn default() -> Self {
        Self("Kubernetes".into())
    }
}

impl Namespace {
    /// `default`, where objects without a namespace live.
    #[must_use]
    pub fn default_namespace() -> Self {
        Self("default".into())
    }

    /// `istio-system`, the root namespace unless mesh config names another.
    #[must_use]
    pub fn istio_system() -> Self {
        Self("istio-system".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!("shop".parse::<Namespace>().is_ok());
        assert!("Shop".parse::<Namespace>().is_err());
        assert!("-shop".parse::<Namespace>().is_err());
        assert!("reviews.v1".parse::<ObjectName>().is_ok());
        assert!("reviews..v1".parse::<ObjectName>().is_err());
        assert!("".parse::<ClusterId>().is_err());
        assert!("cluster.local".parse::<TrustDomain>().is_ok());
    }

    #[test]
    fn an_error_says_what_and_why() {
        let error = "Shop".parse::<Namespace>().unwrap_err().to_string();
        assert!(
            error.contains("\"Shop\" is not a valid namespace"),
            "{error}"
        );
    }
}
