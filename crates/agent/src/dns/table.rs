//! Which name means which addresses (platform.md 3.14). Pure.
//!
//! The table holds full names only; short names and the first search domain are tried at lookup. The
//! surprise: a name of the mesh under the search domain is answered at once, with a CNAME, which
//! saves the resolver its walk through all search domains.

use meltemi_proto::istio::networking::nds::v1::name_table::NameInfo;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What Kubernetes' registry calls itself.
const KUBERNETES: &str = "Kubernetes";

/// What short names mean: where the proxy is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Endings that make a short name of a Kubernetes service a full one, each with its dot.
    endings: Vec<String>,
    /// Its domain without the namespace: `svc.cluster.local`.
    domain: String,
    /// The first search domain, with a dot before it.
    search: Option<String>,
}

impl Place {
    /// By the proxy's domain, `NAMESPACE.svc.cluster.local`, and its first search domain.
    pub(super) fn new(domain: &str, search: Option<&str>) -> Self {
        let whole = domain.to_ascii_lowercase();
        let domain = whole.split_once('.').map_or("", |(_, domain)| domain);
        let mut endings = Vec::new();
        if !domain.is_empty() {
            // `reviews.shop`, `reviews` in its own namespace, `reviews.shop.svc`.
            endings = vec![format!(".{domain}"), format!(".{whole}")];
            let rest = domain.split_once('.');
            endings.extend(rest.map(|(_, rest)| format!(".{rest}")));
        }
        Self {
            endings,
            domain: domain.to_owned(),
            search: search.map(|search| format!(".{}", search.to_ascii_lowercase())),
        }
    }

    /// `name` without the search domain, unless it is there twice.
    fn stripped<'a>(&self, name: &'a str) -> Option<&'a str> {
        let search = self.search.as_deref()?;
        let base = name.strip_suffix(search)?;
        let twice = base.ends_with(search) || Some(base) == search.strip_prefix('.');
        (!twice && !base.is_empty()).then_some(base)
    }
}

/// The addresses of a name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) v4: Box<[Ipv4Addr]>,
    pub(super) v6: Box<[Ipv6Addr]>,
    /// It is a Kubernetes service of this cluster's domain, which has short names.
    short: bool,
}

/// What a name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) addresses: &'a Addresses,
    /// How many labels at the end of the question are the search domain: the rest is its alias.
    pub(super) extra: usize,
}

/// All names.
#[derive(Debug)]
pub(super) struct Table {
    place: Place,
    names: HashMap<Box<str>, Addresses>,
    wildcards: bool,
}

impl Table {
    /// Takes in what the control plane says; names without an address that can be read are left out.
    pub(super) fn new(place: Place, told: &BTreeMap<String, NameInfo>) -> Self {
        let mut names = HashMap::with_capacity(told.len());
        for (host, info) in told {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            if let Some(addresses) = addresses(&place, (&host, info)) {
                names.insert(host.into_boxed_str(), addresses);
            }
        }
        let wildcards = names.keys().any(|host| host.starts_with("*."));
        Self {
            place,
            names,
            wildcards,
        }
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// What `name` means: lower case, without a dot at its end.
    pub(super) fn find(&self, name: &str) -> Option<Found<'_>> {
        if let Some(addresses) = self.named(name) {
            return Some(Found {
                addresses,
                extra: 0,
            });
        }
        let stripped = self.place.stripped(name);
        if let Some(addresses) = stripped.and_then(|base| self.named(base)) {
            return Some(self.alias(addresses));
        }
        match self.wildcards {
            true => self.wildcard(name),
            false => None,
        }
    }

    /// The name itself, or the full name that it is short for.
    fn named(&self, name: &str) -> Option<&Addresses> {
        if let Some(addresses) = self.names.get(name) {
            return Some(addresses);
        }
        let mut whole = String::with_capacity(name.len() + 64);
        self.place.endings.iter().find_map(|ending| {
            whole.clear();
            whole.push_str(name);
            whole.push_str(ending);
            let found = self.names.get(whole.as_str());
            found.filter(|addresses| addresses.short)
        })
    }

    /// Label by label from the left, the most precise wildcard first.
    fn wildcard(&self, name: &str) -> Option<Found<'_>> {
        let mut pattern = String::with_capacity(name.len() + 2);
        let mut get = |rest: &str| {
            pattern.clear();
            pattern.push_str("*.");
            pattern.push_str(rest);
            self.names.get(pattern.as_str())
        };
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            rest = parent;
            if let Some(addresses) = get(rest) {
                return Some(Found {
                    addresses,
                    extra: 0,
                });
            }
            if let Some(addresses) = self.place.stripped(rest).and_then(&mut get) {
                return Some(self.alias(addresses));
            }
        }
        None
    }

    fn alias<'a>(&self, addresses: &'a Addresses) -> Found<'a> {
        let search = self.place.search.as_deref().unwrap_or_default();
        let extra = search.bytes().filter(|byte| *byte == b'.').count();
        Found { addresses, extra }
    }
}

fn addresses(place: &Place, (host, info): (&str, &NameInfo)) -> Option<Addresses> {
    let NameInfo {
        ips,
        registry,
        shortname,
        namespace,
    } = info;
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for ip in ips {
        match ip.parse() {
            Ok(IpAddr::V4(ip)) => v4.push(ip),
            Ok(IpAddr::V6(ip)) => v6.push(ip),
            Err(_) => {}
        }
    }
    if v4.is_empty() && v6.is_empty() {
        return None;
    }
    let full = format!("{shortname}.{namespace}.{}", place.domain);
    let named = !shortname.is_empty() && !namespace.is_empty();
    Some(Addresses {
        v4: v4.into(),
        v6: v6.into(),
        short: registry == KUBERNETES && named && full.eq_ignore_ascii_case(host),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(host: &str, ips: &[&str], short: Option<(&str, &str)>) -> (String, NameInfo) {
        let (shortname, namespace) = short.unwrap_or_default();
        let registry = match short {
            Some(_) => KUBERNETES,
            None => "External",
        };
        let info = NameInfo {
            ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
            registry: registry.into(),
            shortname: shortname.into(),
            namespace: namespace.into(),
        };
        (host.to_owned(), info)
    }

    fn table() -> Table {
        let rows = [
            row(
                "web.shop.svc.cluster.local",
                &["10.0.0.1"],
                Some(("web", "shop")),
            ),
            row(
                "web.other.svc.cluster.local",
                &["10.0.0.2"],
                Some(("web", "other")),
            ),
            row(
                "db-0.db.shop.svc.cluster.local",
                &["10.0.0.3"],
                Some(("db-0.db", "shop")),
            ),
            row(
                "far.shop.svc.clusterset.local",
                &["10.0.0.4"],
                Some(("far", "shop")),
            ),
            row("API.Example.com.", &["240.240.0.1", "2001:2::1"], None),
            row("*.example.com", &["240.240.0.2"], None),
            row("*.deep.example.com", &["240.240.0.3"], None),
            row("ext.svc.cluster.local", &["240.240.0.4"], None),
            row("empty.com", &["10.0.0.0/8", "here"], None),
        ];
        let place = Place::new("shop.svc.cluster.local", Some("shop.svc.cluster.local"));
        Table::new(place, &BTreeMap::from(rows))
    }

    /// The first address, and the labels of the search domain.
    fn find(name: &str) -> Option<(String, usize)> {
        let table = table();
        let Found { addresses, extra } = table.find(name)?;
        Some((addresses.v4[0].to_string(), extra))
    }

    fn is(ip: &str, extra: usize) -> Option<(String, usize)> {
        Some((ip.to_owned(), extra))
    }

    #[test]
    fn services_have_short_names_where_kubernetes_has_them() {
        for name in [
            "web",
            "web.shop",
            "web.shop.svc",
            "web.shop.svc.cluster.local",
        ] {
            assert_eq!(find(name), is("10.0.0.1", 0), "{name}");
        }
        for name in ["web.other", "web.other.svc", "web.other.svc.cluster.local"] {
            assert_eq!(find(name), is("10.0.0.2", 0), "{name}");
        }
        for name in ["db-0.db", "db-0.db.shop", "db-0.db.shop.svc"] {
            assert_eq!(find(name), is("10.0.0.3", 0), "{name}");
        }
        assert_eq!(find("far.shop.svc.clusterset.local"), is("10.0.0.4", 0));
        for name in [
            "db-0",
            "far.shop",
            "other",
            "ext",
            "web.shop.svc.cluster",
            "",
            ".",
        ] {
            assert_eq!(find(name), None, "{name}");
        }
    }

    #[test]
    fn the_first_search_domain_is_an_alias() {
        for (name, ip) in [
            ("api.example.com.shop.svc.cluster.local", "240.240.0.1"),
            ("web.other.shop.svc.cluster.local", "10.0.0.2"),
            (
                "web.other.svc.cluster.local.shop.svc.cluster.local",
                "10.0.0.2",
            ),
            ("x.example.com.shop.svc.cluster.local", "240.240.0.2"),
            ("a.b.deep.example.com.shop.svc.cluster.local", "240.240.0.3"),
        ] {
            assert_eq!(find(name), is(ip, 4), "{name}");
        }
        for name in [
            "web.shop.svc.cluster.local.shop.svc.cluster.local",
            "api.example.com.svc.cluster.local",
            "api.example.com.shop.svc.cluster.local.shop.svc.cluster.local",
            "shop.svc.cluster.local",
            "shop.svc.cluster.local.shop.svc.cluster.local",
        ] {
            assert_eq!(find(name), None, "{name}");
        }
    }

    #[test]
    fn the_most_precise_wildcard_counts_and_needs_a_label() {
        assert_eq!(find("api.example.com"), is("240.240.0.1", 0));
        assert_eq!(find("x.y.example.com"), is("240.240.0.2", 0));
        assert_eq!(find("x.deep.example.com"), is("240.240.0.3", 0));
        assert_eq!(find("deep.example.com"), is("240.240.0.2", 0));
        assert_eq!(find("example.com"), None);
        assert_eq!(find("empty.com"), None);
    }

    #[test]
    fn without_a_domain_there_are_full_names_only() {
        let rows = [row("web.shop.svc", &["10.0.0.1"], Some(("web", "shop")))];
        let table = Table::new(Place::new("", None), &BTreeMap::from(rows));
        assert_eq!(table.len(), 1);
        assert!(table.find("web.shop.svc").is_some());
        assert!(table.find("web").is_none() && table.find("web.shop").is_none());
    }
}
