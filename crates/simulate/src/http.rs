//! Inside of an HTTP connection: virtual host, route, cluster.

use crate::call::{Call, Tls};
use crate::outcome::{CallError, Outcome, Stop, Weighted};
use crate::request;
use meltemi_proto::envoy::config::route::v3 as envoy;
use meltemi_proto::envoy::config::route::v3::route::Action;
use meltemi_proto::envoy::config::route::v3::route_action::ClusterSpecifier;
use meltemi_proto::envoy::config::route::v3::virtual_host::TlsRequirementType;

/// What the routes do with the call; the route that decided.
pub(crate) fn route<'a>(
    config: &'a envoy::RouteConfiguration,
    call: &Call,
    outcome: &mut Outcome,
) -> Result<&'a envoy::Route, Stop> {
    if config.vhds.is_some() {
        return Err(Stop::unsupported("virtual hosts on demand"));
    }
    let host = virtual_host(config, &call.host).ok_or(CallError::NoVirtualHost)?;
    outcome.virtual_host.clone_from(&host.name);
    if host.matcher.is_some() {
        return Err(Stop::unsupported("a virtual host with a matcher"));
    }
    let all = host.require_tls == i32::from(TlsRequirementType::All);
    if all && call.tls == Tls::Plaintext {
        return Err(CallError::TlsRedirect.into());
    }
    for route in &host.routes {
        let matcher = route.r#match.as_ref();
        let matcher = matcher.ok_or_else(|| Stop::unsupported("a route that matches nothing"))?;
        if request::matches(matcher, call)? {
            outcome.route.clone_from(&route.name);
            send(route, outcome)?;
            return Ok(route);
        }
    }
    Err(CallError::NoRoute.into())
}

/// Exact domains, then the longest `*suffix`, then the longest `prefix*`, then `*`.
fn virtual_host<'a>(
    config: &'a envoy::RouteConfiguration,
    host: &str,
) -> Option<&'a envoy::VirtualHost> {
    let host = match config.ignore_port_in_host_matching {
        true => without_port(host),
        false => host,
    };
    let host = host.to_ascii_lowercase();
    let mut best: Option<((u8, usize), &envoy::VirtualHost)> = None;
    for candidate in &config.virtual_hosts {
        for domain in &candidate.domains {
            if let Some(rank) = rank(&domain.to_ascii_lowercase(), &host)
                && best.is_none_or(|(other, _)| rank > other)
            {
                best = Some((rank, candidate));
            }
        }
    }
    best.map(|(_, host)| host)
}

/// How well a domain fits; more is better.
fn rank(domain: &str, host: &str) -> Option<(u8, usize)> {
    if domain == "*" {
        return Some((0, 0));
    }
    if domain == host {
        return Some((3, 0));
    }
    if let Some(suffix) = domain.strip_prefix('*') {
        let fits = host.len() > suffix.len() && host.ends_with(suffix);
        return fits.then_some((2, suffix.len()));
    }
    let prefix = domain.strip_suffix('*')?;
    let fits = host.len() > prefix.len() && host.starts_with(prefix);
    fits.then_some((1, prefix.len()))
}

fn without_port(host: &str) -> &str {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) && (!name.contains(':') || name.ends_with(']')) => name,
        Some(_) | None => host,
    }
}

fn send(route: &envoy::Route, outcome: &mut Outcome) -> Result<(), Stop> {
    let action = match &route.action {
        Some(Action::Route(action)) => action,
        Some(Action::Redirect(_) | Action::DirectResponse(_)) => return Ok(()),
        Some(Action::FilterAction(_) | Action::NonForwardingAction(_)) | None => {
            return Err(Stop::unsupported("a route without a known action"));
        }
    };
    match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => outcome.cluster.clone_from(name),
        Some(ClusterSpecifier::WeightedClusters(all)) => {
            let weighted = all.clusters.iter().map(|one| Weighted {
                cluster: one.name.clone(),
                weight: one.weight.as_ref().map_or(0, |weight| weight.value),
            });
            outcome.weighted = weighted.collect();
        }
        Some(
            ClusterSpecifier::ClusterHeader(_)
            | ClusterSpecifier::ClusterSpecifierPlugin(_)
            | ClusterSpecifier::InlineClusterSpecifierPlugin(_),
        )
        | None => return Err(Stop::unsupported("a cluster that the request names")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;
    use serde_json::{Value, json};

    fn host_of(config: &Value, host: &str) -> Option<String> {
        let config = message("envoy.config.route.v3.RouteConfiguration", config);
        Some(virtual_host(&config, host)?.name.clone())
    }

    #[test]
    fn the_most_specific_domain_wins() {
        let host = |name: &str, domain: &str| json!({"name": name, "domains": [domain]});
        let hosts = json!([
            host("all", "*"),
            host("prefix", "a.*"),
            host("short", "*.com"),
            host("long", "*.example.com"),
            host("exact", "a.example.com"),
            host("port", "a.example.com:80"),
        ]);
        let strict = json!({"name": "x", "virtual_hosts": hosts});
        let of = |host: &str| host_of(&strict, host).unwrap();
        assert_eq!(of("a.example.com"), "exact");
        assert_eq!(of("A.example.com"), "exact");
        assert_eq!(of("a.example.com:80"), "port");
        assert_eq!(of("b.example.com"), "long");
        assert_eq!(of("b.com"), "short");
        assert_eq!(of("a.org"), "prefix");
        assert_eq!(of("a.example.com:81"), "prefix");
        assert_eq!(of("x"), "all");
        let loose =
            json!({"name": "x", "virtual_hosts": hosts, "ignore_port_in_host_matching": true});
        assert_eq!(host_of(&loose, "a.example.com:81").unwrap(), "exact");
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("::1"), "::1");
    }

    fn outcome(virtual_host: &Value, call: &Call) -> (Outcome, Result<(), Stop>) {
        let config = json!({"name": "x", "virtual_hosts": [virtual_host]});
        let config = message("envoy.config.route.v3.RouteConfiguration", &config);
        let mut outcome = Outcome::default();
        let result = route(&config, call, &mut outcome).map(|_| ());
        (outcome, result)
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        let split = json!({"clusters": [{"name": "v1", "weight": 9}, {"name": "v2", "weight": 1}]});
        let host = json!({"name": "vh", "domains": ["a"], "routes": [
            {"name": "split", "match": {"prefix": "/s"}, "route": {"weighted_clusters": split}},
            {"name": "away", "match": {"prefix": "/r"}, "redirect": {"host_redirect": "b"}},
            {"name": "one", "match": {"path": "/"}, "route": {"cluster": "c"}},
        ]});
        let call = |path: &str| Call {
            host: "a".into(),
            path: path.into(),
            ..Call::new(80)
        };
        let (split, _) = outcome(&host, &call("/s"));
        assert_eq!(
            (split.route.as_str(), split.cluster.as_str()),
            ("split", "")
        );
        assert_eq!(split.weighted.len(), 2);
        let (away, result) = outcome(&host, &call("/r"));
        assert_eq!(
            (away.route.as_str(), away.cluster.as_str(), result),
            ("away", "", Ok(()))
        );
        assert_eq!(outcome(&host, &call("/")).0.cluster, "c");
        assert_eq!(
            outcome(&host, &call("/x")).1,
            Err(CallError::NoRoute.into())
        );
        let other = Call {
            host: "b".into(),
            ..call("/")
        };
        assert_eq!(
            outcome(&host, &other).1,
            Err(CallError::NoVirtualHost.into())
        );
    }

    #[test]
    fn plaintext_is_redirected_where_tls_is_required() {
        let host = json!({"name": "vh", "domains": ["*"], "require_tls": "ALL", "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "c"}},
        ]});
        let call = Call::new(80);
        assert_eq!(outcome(&host, &call).1, Err(CallError::TlsRedirect.into()));
        let call = Call {
            tls: Tls::Tls,
            ..call
        };
        assert_eq!(outcome(&host, &call).0.cluster, "c");
    }
}
