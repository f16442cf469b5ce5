//! Routes, a line each: `NAME, VHOST NAME, DOMAINS, MATCH, VIRTUAL SERVICE`.

use super::object;
use crate::dump::{Found, field, items, text};
use crate::table::Table;
use serde_json::Value;

/// How many domains are shown.
const DOMAINS: usize = 2;

/// The table; the order of routes is the order in which Envoy tries them.
pub(super) fn table(found: &[Found]) -> Table {
    let mut table = Table::new(&["NAME", "VHOST NAME", "DOMAINS", "MATCH", "VIRTUAL SERVICE"]);
    let mut found: Vec<&Found> = found.iter().collect();
    found.sort_by_key(|one| (one.name.parse::<u64>().unwrap_or(u64::MAX), &one.name));
    for one in found {
        for host in items(&one.body, "virtual_hosts") {
            let domains = domains(host);
            let start = [&one.name, &text(host, "name"), &domains].map(String::clone);
            let row = |end: [String; 2]| start.iter().cloned().chain(end).collect();
            let mut routes = items(host, "routes").peekable();
            if routes.peek().is_none() {
                table.row(row(["/*".to_owned(), "404".to_owned()]));
            }
            for route in routes {
                table.row(row([matched(route), object(route, "virtual-service")]));
            }
        }
    }
    table
}

/// Those that say something: neither with a port, nor absolute, nor a longer form of another.
fn domains(host: &Value) -> String {
    let all: Vec<&str> = items(host, "domains").filter_map(Value::as_str).collect();
    if let [only] = all.as_slice() {
        return (*only).to_owned();
    }
    let ported = |domain: &str| match domain.starts_with('[') {
        true => !domain.ends_with(']'),
        false => domain.contains(':') || domain.ends_with('.'),
    };
    let short: Vec<&str> = all.iter().copied().filter(|one| !ported(one)).collect();
    let longer = |domain: &str| {
        [".svc.cluster.local", ".svc"].iter().any(|end| {
            let stem = domain.strip_suffix(end);
            stem.is_some_and(|stem| short.contains(&stem))
        })
    };
    let kept: Vec<&str> = short.iter().copied().filter(|one| !longer(one)).collect();
    let shown = kept
        .iter()
        .take(DOMAINS)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match kept.len().saturating_sub(DOMAINS) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

/// The path that a route takes; other conditions are counted.
pub(super) fn matched(route: &Value) -> String {
    let Some(rule) = field(route, "match") else {
        return String::new();
    };
    let mut said = Vec::new();
    for (name, before, after) in [
        ("prefix", "", "*"),
        ("path_separated_prefix", "PathPrefix:", ""),
        ("path", "", ""),
    ] {
        let value = text(rule, name);
        if !value.is_empty() {
            said.push(format!("{before}{value}{after}"));
        }
    }
    if let Some(regex) = field(rule, "safe_regex") {
        said.push(format!("regex {}", text(regex, "regex")));
    }
    said.join(" ")
}

/// A route configuration inside a listener.
pub(super) fn inline(config: &Value) -> String {
    let hosts: Vec<&Value> = items(config, "virtual_hosts").collect();
    if let [host] = hosts.as_slice()
        && let Some(name) = all_to(host)
    {
        return cluster(&name);
    }
    let shown = hosts.iter().map(|host| {
        let all: Vec<&str> = items(host, "domains").filter_map(Value::as_str).collect();
        let routes: Vec<String> = items(host, "routes").map(matched).collect();
        match all.as_slice() {
            ["*"] | [] => routes.join(", "),
            all => format!("{} {}", all.join("/"), routes.join(", ")),
        }
    });
    format!("Inline Route: {}", shown.collect::<Vec<_>>().join("; "))
}

/// The cluster of a virtual host that sends everything there.
fn all_to(host: &Value) -> Option<String> {
    let domains: Vec<&str> = items(host, "domains").filter_map(Value::as_str).collect();
    let routes: Vec<&Value> = items(host, "routes").collect();
    match (domains.as_slice(), routes.as_slice()) {
        (["*"], [route]) if matched(route) == "/*" => {
            let name = text(field(route, "route")?, "cluster");
            (!name.is_empty()).then_some(name)
        }
        _ => None,
    }
}

/// A cluster as a destination; those that are named for what they do stand alone.
pub(super) fn cluster(name: &str) -> String {
    match name.contains("Cluster") {
        true => name.to_owned(),
        false => format!("Cluster: {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_route_is_a_line_and_a_host_without_any_is_404() {
        let rule = "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/reviews";
        let metadata = json!({"filter_metadata": {"istio": {"config": rule}}});
        let body = json!({"virtual_hosts": [
            {"name": "reviews:80", "domains": ["reviews", "reviews:80", "reviews.shop", "reviews.shop.svc",
              "10.0.0.1", "10.0.0.1:80"],
             "routes": [
                {"match": {"prefix": "/new"}, "metadata": metadata},
                {"match": {"safe_regex": {"regex": "/a.*"}}},
            ]},
            {"name": "none", "domains": ["*"]},
        ]});
        let found = |name: &str, body| Found {
            name: name.to_owned(),
            state: "ACTIVE",
            version: String::new(),
            body,
        };
        let text = table(&[found("80", body)]).text();
        let expected = "\
NAME  VHOST NAME  DOMAINS                           MATCH        VIRTUAL SERVICE
  80  reviews:80  reviews, reviews.shop + 1 more...  /new*        reviews.shop
  80  reviews:80  reviews, reviews.shop + 1 more...  regex /a.*   -
  80  none        *                                 /*           404
";
        let squeeze = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(squeeze(&text), squeeze(expected), "{text}");
    }

    #[test]
    fn an_inline_route_to_one_cluster_is_that_cluster() {
        let all = json!({"virtual_hosts": [{"domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "inbound|80||"}}]}]});
        assert_eq!(inline(&all), "Cluster: inbound|80||");
        let some =
            json!({"virtual_hosts": [{"domains": ["a"], "routes": [{"match": {"path": "/x"}}]}]});
        assert_eq!(inline(&some), "Inline Route: a /x");
    }
}
