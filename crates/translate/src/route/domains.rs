//! Every domain belongs to one virtual host: Envoy refuses a route configuration in which one
//! appears twice, in whatever case. The first virtual host keeps it.

use super::names::{NameKind, names};
use super::{HostInput, Naming};
use meltemi_types::{Code, Diagnostic};
use std::collections::{BTreeSet, HashMap};

/// Hands out domains.
pub(super) struct Domains<'a> {
    naming: &'a Naming,
    /// Full hosts, for which short names of others give way.
    full: BTreeSet<&'a str>,
    /// Who has a domain, by the lower-case domain.
    owners: HashMap<String, &'a HostInput>,
    /// Findings.
    pub(super) found: Vec<Diagnostic>,
}

impl<'a> Domains<'a> {
    pub(super) fn new(naming: &'a Naming, hosts: &'a [HostInput]) -> Self {
        Self {
            naming,
            full: hosts.iter().map(|h| h.host.as_str()).collect(),
            owners: HashMap::with_capacity(hosts.len() * 8),
            found: Vec::new(),
        }
    }

    /// The domains that are left for a host; it has them from now on.
    pub(super) fn take(&mut self, host: &'a HostInput) -> Vec<String> {
        let (client, ports) = match self.naming {
            Naming::Everything => return self.claim(host, "*".into()).into_iter().collect(),
            Naming::Hosts(client) => (client, false),
            Naming::HostsAndPorts(client) => (client, true),
        };
        let mut domains = Vec::new();
        for name in names(client, host).all {
            let short = matches!(name.kind, NameKind::Short | NameKind::Alias);
            if short && self.full.contains(name.text.as_str()) && name.text != host.host.as_str() {
                continue;
            }
            let bare = !ports || host.port.number() == 80;
            if ports && name.text != "*" {
                domains.extend(self.claim(host, format!("{}:{}", name.text, host.port)));
            }
            if bare {
                let taken = self.claim(host, name.text.clone());
                if taken.is_none() && matches!(name.kind, NameKind::Full | NameKind::Address) {
                    self.report(host, &name.text);
                }
                domains.extend(taken);
            }
        }
        domains
    }

    /// True when some virtual host has `*`.
    pub(super) fn everything(&self) -> bool {
        self.owners.contains_key("*")
    }

    fn claim(&mut self, host: &'a HostInput, domain: String) -> Option<String> {
        let key = domain.to_ascii_lowercase();
        if self.owners.contains_key(&key) {
            return None;
        }
        self.owners.insert(key, host);
        Some(domain)
    }

    fn report(&mut self, host: &HostInput, domain: &str) {
        let owner = self.owners.get(&domain.to_ascii_lowercase());
        let other = owner.filter(|owner| owner.host != host.host);
        if let (Some(owner), Some(service)) = (other, &host.service) {
            self.found.push(Diagnostic::warning(
                Code::DuplicateDomain,
                service.origin.clone(),
                format!(
                    "{domain} at port {} already means {}",
                    host.port, owner.host
                ),
                "give the services different hosts and addresses",
            ));
        }
    }
}
