//! The xDS types as data: who may ask for which, what an empty list of names means, in which
//! order they are pushed, and how a bad resource is told from its siblings.
//!
//! Position in [`TABLE`] is push order: clusters, endpoints, listeners, routes, secrets, the rest
//! (make before break). What is not in the table, or not for that kind of client, is not served.

use meltemi_proto::urls;
use meltemi_types::{ProxyKind, TypeUrl};

/// One xDS type.
#[derive(Debug, PartialEq, Eq)]
pub struct XdsType {
    /// The full type address.
    pub url: TypeUrl,
    /// What logs and metrics call it: `cds`.
    pub short: &'static str,
    /// True when a first request without names means "all".
    pub wildcard: bool,
    /// True when a `SotW` response must hold everything: what is absent from it is deleted.
    pub full_state: bool,
    /// What a client is told of a name that does not exist.
    pub missing: Missing,
    /// A changed resource waits until these types have been sent and acknowledged.
    pub after: &'static [TypeUrl],
    /// When a resource that is no more is taken away.
    pub removal: Removal,
    /// Sending a resource of this type makes Envoy wait for one of that type of the same name,
    /// also when it has one already. Endpoints must therefore have the name of their cluster.
    pub warms: Option<TypeUrl>,
    /// How the culprit of a refused response is found.
    pub isolate: Isolate,
    /// The source hears which names a client wants, because it makes them for who asks.
    pub on_demand: bool,
    /// Which clients may ask.
    pub askers: &'static [ProxyKind],
}

/// What a client is told of a name that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A message that holds nothing but the name (field 1), as Envoy keeps warming otherwise.
    EmptyResource,
    /// It is listed as removed (delta) or left out (`SotW`).
    Removed,
}

/// When a resource that is no more is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// In the response that carries the changes: Envoy frees a listener's address before it binds
    /// the new one only when both are in one response.
    WithChanges,
    /// Once these types are settled, so that nothing refers to it any more.
    After(&'static [TypeUrl]),
}

/// How the culprit of a refused response is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolate {
    /// Envoy applies the siblings and names the culprits; when it names none it applied nothing,
    /// and the response is halved until the culprit stands alone.
    Named,
    /// Which siblings were applied is unknown: from then on one resource per response.
    Singly,
}

const ENVOYS: &[ProxyKind] = &[ProxyKind::Sidecar, ProxyKind::Router, ProxyKind::Waypoint];
const POD_PROXIES: &[ProxyKind] = &[ProxyKind::Sidecar, ProxyKind::Router];
const NODE_PROXIES: &[ProxyKind] = &[ProxyKind::Ztunnel];

/// Workloads and services of the node proxy (WDS).
const ADDRESS: TypeUrl = "type.googleapis.com/istio.workload.Address";
/// Policies of the node proxy.
const AUTHORIZATION: TypeUrl = "type.googleapis.com/istio.security.Authorization";

/// Every type there is, in push order.
pub static TABLE: [XdsType; 10] = [
    XdsType {
        wildcard: true,
        full_state: true,
        removal: Removal::After(&[urls::LISTENER, urls::ROUTE]),
        warms: Some(urls::ENDPOINT),
        isolate: Isolate::Named,
        ..named(urls::CLUSTER, "cds")
    },
    XdsType {
        missing: Missing::EmptyResource,
        removal: Removal::After(&[urls::CLUSTER, urls::LISTENER, urls::ROUTE]),
        ..named(urls::ENDPOINT, "eds")
    },
    XdsType {
        wildcard: true,
        full_state: true,
        after: &[urls::CLUSTER],
        isolate: Isolate::Named,
        ..named(urls::LISTENER, "lds")
    },
    XdsType {
        missing: Missing::EmptyResource,
        after: &[urls::CLUSTER],
        removal: Removal::After(&[urls::LISTENER]),
        ..named(urls::ROUTE, "rds")
    },
    XdsType {
        removal: Removal::After(&[urls::CLUSTER, urls::LISTENER]),
        on_demand: true,
        ..named(urls::SECRET, "sds")
    },
    XdsType {
        removal: Removal::After(&[urls::LISTENER, urls::ROUTE]),
        ..named(urls::EXTENSION, "ecds")
    },
    XdsType {
        wildcard: true,
        full_state: true,
        askers: POD_PROXIES,
        ..named(urls::NAME_TABLE, "nds")
    },
    XdsType {
        wildcard: true,
        full_state: true,
        askers: POD_PROXIES,
        ..named(urls::PROXY_CONFIG, "pcds")
    },
    XdsType {
        wildcard: true,
        full_state: true,
        askers: NODE_PROXIES,
        ..named(ADDRESS, "wds")
    },
    XdsType {
        wildcard: true,
        full_state: true,
        askers: NODE_PROXIES,
        ..named(AUTHORIZATION, "wads")
    },
];

/// The answer is the page of that name, as JSON.
pub const PAGE: TypeUrl = "istio.io/debug";
/// The answer is a `ClientConfig` for each connected proxy.
pub const SYNC: TypeUrl = "istio.io/debug/syncz";
/// The answer is what the proxy of that name should have, in the parts of Envoy's own dump.
pub const DUMP: TypeUrl = "istio.io/debug/config_dump";

/// What is asked of the control plane about itself, by istioctl for example. Such a question is
/// answered once and never watched, so its type is not in [`TABLE`].
pub static QUESTIONS: [XdsType; 3] = [
    named(PAGE, "debug"),
    named(SYNC, "syncz"),
    named(DUMP, "config_dump"),
];

/// A type that Envoys ask for by name and that depends on nothing.
const fn named(url: TypeUrl, short: &'static str) -> XdsType {
    XdsType {
        url,
        short,
        wildcard: false,
        full_state: false,
        missing: Missing::Removed,
        after: &[],
        removal: Removal::WithChanges,
        warms: None,
        isolate: Isolate::Singly,
        on_demand: false,
        askers: ENVOYS,
    }
}

impl XdsType {
    /// The type with that address.
    #[must_use]
    pub fn find(url: &str) -> Option<&'static Self> {
        TABLE.iter().find(|row| row.url == url)
    }

    /// The type of a question with that address.
    #[must_use]
    pub fn question(url: &str) -> Option<&'static Self> {
        QUESTIONS.iter().find(|row| row.url == url)
    }

    /// True when a client of that kind may ask for it.
    #[must_use]
    pub fn may_ask(&self, kind: ProxyKind) -> bool {
        self.askers.contains(&kind)
    }

    /// Its place in the push order.
    #[must_use]
    pub fn order(&self) -> usize {
        TABLE
            .iter()
            .position(|row| row.url == self.url)
            .unwrap_or(TABLE.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_is_push_order_and_addresses_are_unique() {
        let order: Vec<_> = TABLE.iter().map(|row| row.short).collect();
        assert_eq!(
            order,
            [
                "cds", "eds", "lds", "rds", "sds", "ecds", "nds", "pcds", "wds", "wads"
            ]
        );
        for (place, row) in TABLE.iter().enumerate() {
            assert_eq!(row.order(), place);
            assert_eq!(XdsType::find(row.url), Some(row));
        }
    }

    /// Waiting in a circle would stop a stream.
    #[test]
    fn nothing_waits_for_what_waits_for_it() {
        for row in &TABLE {
            for other in row.after {
                assert!(
                    XdsType::find(other).unwrap().order() < row.order(),
                    "{}",
                    row.short
                );
            }
        }
        let mut left: Vec<_> = TABLE.iter().collect();
        while !left.is_empty() {
            let waiting: Vec<_> = left
                .iter()
                .copied()
                .filter(|row| match row.removal {
                    Removal::WithChanges => false,
                    Removal::After(types) => left.iter().any(|other| types.contains(&other.url)),
                })
                .collect();
            assert!(waiting.len() < left.len(), "a circle of removals");
            left = waiting;
        }
    }

    #[test]
    fn a_type_is_served_to_its_clients_only() {
        let wds = XdsType::find(ADDRESS).unwrap();
        assert!(wds.may_ask(ProxyKind::Ztunnel));
        assert!(!wds.may_ask(ProxyKind::Sidecar));
        let cds = XdsType::find(urls::CLUSTER).unwrap();
        assert!(cds.may_ask(ProxyKind::Sidecar));
        assert!(!cds.may_ask(ProxyKind::Ztunnel));
        assert_eq!(XdsType::find("type.googleapis.com/other"), None);
    }
}
