//! The identity of a workload in a certificate: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`.
//!
//! One total parser; what does not have exactly this form is no identity. It is never taken apart
//! by separators again.

use crate::names::{Namespace, ServiceAccount, TrustDomain};
use crate::text::Invalid;
use std::fmt;
use std::str::FromStr;

/// The longest text that is looked at, in bytes.
const LONGEST: usize = 2048;

/// Who a workload is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// Whose word counts for it.
    pub trust_domain: TrustDomain,
    /// Its namespace.
    pub namespace: Namespace,
    /// Its service account.
    pub account: ServiceAccount,
}

impl FromStr for SpiffeId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |why| Invalid::new("SPIFFE identity", text, why);
        if text.len() > LONGEST {
            return Err(wrong("it is longer than 2048 bytes"));
        }
        let form = "use spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT";
        let path = text.strip_prefix("spiffe://").ok_or_else(|| wrong(form))?;
        let [domain, "ns", namespace, "sa", account] = path.split('/').collect::<Vec<_>>()[..]
        else {
            return Err(wrong(form));
        };
        Ok(Self {
            trust_domain: domain.parse()?,
            namespace: namespace.parse()?,
            account: account.parse()?,
        })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trust_domain,
            namespace,
            account,
        } = self;
        write!(f, "spiffe://{trust_domain}/ns/{namespace}/sa/{account}")
    }
}

#[cfg(test)]
mod tests {
    use super::SpiffeId;

    #[test]
    fn an_identity_reads_as_it_is_written() {
        let text = "spiffe://cluster.local/ns/shop/sa/reviews";
        let id: SpiffeId = text.parse().unwrap();
        assert_eq!(id.namespace.as_str(), "shop");
        assert_eq!(id.account.as_str(), "reviews");
        assert_eq!(id.to_string(), text);
    }

    #[test]
    fn nothing_else_is_an_identity() {
        for bad in [
            "",
            "spiffe://",
            "https://cluster.local/ns/shop/sa/reviews",
            "spiffe://cluster.local/ns/shop/sa/reviews/",
            "spiffe://cluster.local/ns/shop/sa/reviews/more",
            "spiffe://cluster.local/ns//sa/reviews",
            "spiffe://cluster.local/sa/shop/ns/reviews",
            "spiffe://Cluster.Local/ns/shop/sa/reviews",
            "spiffe://cluster.local/ns/shop/sa/re,views",
            "spiffe://cluster.local/ns/shop/sa/re\0views",
            "SPIFFE://cluster.local/ns/shop/sa/reviews",
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
        }
    }
}
