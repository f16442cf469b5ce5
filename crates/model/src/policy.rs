//! Traffic policies: DestinationRules, merged per host, and which one a client uses.
//!
//! Selection follows Istio: the client's namespace, then the service's, then the root namespace;
//! within one the exact host, else the most specific wildcard; rules with a workload selector first.

use crate::visibility::ExportTo;
use meltemi_api::networking::destination_rule::{Subset, TrafficPolicy};
use meltemi_types::{HostPattern, Labels, Namespace, Origin, Selector};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A named group of a host's endpoints, with its own policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubsetRule {
    /// The field it was written in.
    pub origin: Origin,
    /// The subset as written: name, labels, policy.
    pub subset: Arc<Subset>,
}

/// All DestinationRules of one namespace for one host (and one selector), merged: subsets are
/// united, the first definition and the first traffic policy win.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrafficRule {
    /// The objects it was merged from, oldest first.
    pub origins: Vec<Origin>,
    /// The namespace they live in.
    pub namespace: Namespace,
    /// The full host.
    pub host: HostPattern,
    /// Which clients use it; `None` is all.
    pub selector: Option<Selector>,
    /// Who may see it.
    pub export_to: ExportTo,
    /// The policy for the whole host.
    pub policy: Option<Arc<TrafficPolicy>>,
    /// The subsets, in order of definition.
    pub subsets: Vec<SubsetRule>,
}

impl TrafficRule {
    /// The subset of this name.
    #[must_use]
    pub fn subset(&self, name: &str) -> Option<&SubsetRule> {
        self.subsets.iter().find(|s| s.subset.name == name)
    }

    /// The labels of clients by which endpoints are preferred (`failoverPriority` without a value
    /// of its own).
    fn failover_labels(&self) -> impl Iterator<Item = &str> {
        let subsets = self.subsets.iter();
        let subsets = subsets.filter_map(|s| s.subset.traffic_policy.as_ref());
        let policies = self.policy.as_deref().into_iter().chain(subsets);
        let balancers = policies.flat_map(|policy| {
            let ports = policy.port_level_settings.iter();
            let ports = ports.filter_map(|port| port.load_balancer.as_ref());
            policy.load_balancer.iter().chain(ports)
        });
        let settings = balancers.filter_map(|lb| lb.locality_lb_setting.as_ref());
        let labels = settings.flat_map(|setting| &setting.failover_priority);
        labels.map(String::as_str).filter(|l| !l.contains('='))
    }
}

/// Who asks for a policy.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The client's namespace.
    pub namespace: &'a Namespace,
    /// The client's labels (those that decide).
    pub labels: &'a Labels,
    /// The mesh's root namespace.
    pub root: &'a Namespace,
}

/// The rules of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NamespaceRules {
    /// Rules for one exact host, those with a workload selector first.
    exact: BTreeMap<HostPattern, Vec<Arc<TrafficRule>>>,
    /// Rules for wildcards, the most specific first.
    wildcard: Vec<Arc<TrafficRule>>,
}

impl NamespaceRules {
    fn add(&mut self, rule: Arc<TrafficRule>) {
        match rule.host.is_exact() {
            true => self.exact.entry(rule.host.clone()).or_default().push(rule),
            false => self.wildcard.push(rule),
        }
    }

    fn sort(&mut self) {
        for rules in self.exact.values_mut().chain([&mut self.wildcard]) {
            rules.sort_by(|a, b| {
                let key = |r: &TrafficRule| (r.selector.is_none(), r.selector.clone());
                let hosts = a.host.specificity().cmp(&b.host.specificity());
                hosts.then_with(|| key(a).cmp(&key(b)))
            });
        }
    }

    /// The rules that may apply to a host, the first to be preferred.
    fn candidates(&self, host: &HostPattern) -> impl Iterator<Item = &Arc<TrafficRule>> {
        let exact = self.exact.get(host).into_iter().flatten();
        exact.chain(self.wildcard.iter().filter(|rule| rule.host.covers(host)))
    }
}

/// All traffic rules, by namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyIndex {
    by_namespace: BTreeMap<Namespace, NamespaceRules>,
    /// Every label key that some rule's workload selector or failover priority asks for.
    pub selector_keys: BTreeSet<Arc<str>>,
}

impl PolicyIndex {
    /// An index of these; within a namespace the most specific host comes first, and for one host
    /// rules with a selector before the one without.
    #[must_use]
    pub fn new(rules: Vec<Arc<TrafficRule>>) -> Self {
        let mut index = Self::default();
        for rule in rules {
            if let Some(selector) = &rule.selector {
                index.selector_keys.extend(selector.keys().map(Arc::from));
            }
            let preferred = rule.failover_labels().map(Arc::from);
            index.selector_keys.extend(preferred);
            let namespace = rule.namespace.clone();
            index.by_namespace.entry(namespace).or_default().add(rule);
        }
        index
            .by_namespace
            .values_mut()
            .for_each(NamespaceRules::sort);
        index
    }

    /// All rules, by namespace: exact hosts first, then wildcards.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<TrafficRule>> {
        let namespaces = self.by_namespace.values();
        namespaces.flat_map(|rules| rules.exact.values().flatten().chain(&rules.wildcard))
    }

    /// The rule a client uses for `host`, declared in `service_namespace`.
    #[must_use]
    pub fn select(
        &self,
        client: Client<'_>,
        host: &HostPattern,
        service_namespace: &Namespace,
    ) -> Option<&Arc<TrafficRule>> {
        let own = |rule: &TrafficRule| match client.namespace == client.root {
            // A proxy of the root namespace sees only the private rules there.
            true => {
                matches!(&rule.export_to, ExportTo::Namespaces(n) if n.len() == 1 && n.contains(client.root))
            }
            false => rule.export_to.allows(client.namespace),
        };
        let exported = |rule: &TrafficRule| rule.export_to.allows(client.namespace);
        let find = |namespace: &Namespace, visible: &dyn Fn(&TrafficRule) -> bool| {
            let rules = self.by_namespace.get(namespace)?;
            rules.candidates(host).find(|rule| {
                let selected = match &rule.selector {
                    Some(selector) => {
                        rule.namespace == *client.namespace && selector.matches(client.labels)
                    }
                    None => true,
                };
                selected && visible(rule)
            })
        };
        find(client.namespace, &own)
            .or_else(|| find(service_namespace, &exported))
            .or_else(|| find(client.root, &exported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_types::{ClusterId, ObjectRef};

    fn rule(namespace: &str, host: &str, export_to: ExportTo) -> Arc<TrafficRule> {
        let object = ObjectRef {
            cluster: ClusterId::default(),
            kind: "DestinationRule".into(),
            namespace: Some(namespace.parse().unwrap()),
            name: "r".parse().unwrap(),
        };
        Arc::new(TrafficRule {
            origins: vec![Origin::object(Arc::new(object), None)],
            namespace: namespace.parse().unwrap(),
            host: host.parse().unwrap(),
            selector: None,
            export_to,
            policy: None,
            subsets: Vec::new(),
        })
    }

    fn chosen(index: &PolicyIndex, client: &str, host: &str, service: &str) -> Option<String> {
        let namespace: Namespace = client.parse().unwrap();
        let root = Namespace::istio_system();
        let labels = Labels::default();
        let client = Client {
            namespace: &namespace,
            labels: &labels,
            root: &root,
        };
        index
            .select(client, &host.parse().unwrap(), &service.parse().unwrap())
            .map(|r| format!("{}/{}", r.namespace, r.host))
    }

    #[test]
    fn the_clients_namespace_comes_first_then_the_services_then_the_root() {
        let index = PolicyIndex::new(vec![
            rule("shop", "*.shop.svc", ExportTo::Public),
            rule("client", "a.shop.svc", ExportTo::Public),
            rule("istio-system", "*", ExportTo::Public),
        ]);
        assert_eq!(
            chosen(&index, "client", "a.shop.svc", "shop").unwrap(),
            "client/a.shop.svc"
        );
        assert_eq!(
            chosen(&index, "client", "b.shop.svc", "shop").unwrap(),
            "shop/*.shop.svc"
        );
        assert_eq!(
            chosen(&index, "client", "c.bank.svc", "bank").unwrap(),
            "istio-system/*"
        );
    }

    #[test]
    fn a_private_rule_of_the_service_stays_private() {
        let only_shop = ExportTo::Namespaces(["shop".parse().unwrap()].into());
        let index = PolicyIndex::new(vec![rule("shop", "a.shop.svc", only_shop)]);
        assert_eq!(chosen(&index, "client", "a.shop.svc", "shop"), None);
        assert!(chosen(&index, "shop", "a.shop.svc", "shop").is_some());
    }

    #[test]
    fn the_exact_host_beats_the_wildcard() {
        let index = PolicyIndex::new(vec![
            rule("shop", "*.svc", ExportTo::Public),
            rule("shop", "*.shop.svc", ExportTo::Public),
        ]);
        assert_eq!(
            chosen(&index, "shop", "a.shop.svc", "shop").unwrap(),
            "shop/*.shop.svc"
        );
    }
}
