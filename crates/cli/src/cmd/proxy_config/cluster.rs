//! Clusters: `SERVICE FQDN, PORT, SUBSET, DIRECTION, TYPE, DESTINATION RULE`.

use super::object;
use crate::args::live::OnlyClusters;
use crate::dump::{Found, field, text};
use crate::table::Table;

/// The parts of a name `DIRECTION|PORT|SUBSET|HOST`.
struct Parts<'a> {
    direction: &'a str,
    port: &'a str,
    subset: &'a str,
    host: &'a str,
}

impl<'a> Parts<'a> {
    fn of(name: &'a str) -> Self {
        let words: Vec<&str> = name.splitn(4, '|').collect();
        match words.as_slice() {
            [direction, port, subset, host] => Self {
                direction,
                port,
                subset,
                host,
            },
            _ => Self {
                direction: "",
                port: "",
                subset: "",
                host: name,
            },
        }
    }
}

/// Whether a cluster is asked for.
pub(super) fn shown(name: &str, only: &OnlyClusters) -> bool {
    let OnlyClusters {
        fqdn,
        port,
        subset,
        direction,
    } = only;
    let parts = Parts::of(name);
    let has = |text: &str, wanted: &Option<String>| {
        wanted
            .as_ref()
            .is_none_or(|wanted| text.contains(wanted.as_str()))
    };
    has(parts.host, fqdn)
        && has(parts.subset, subset)
        && direction
            .as_ref()
            .is_none_or(|wanted| parts.direction.eq_ignore_ascii_case(wanted))
        && port.is_none_or(|port| parts.port == port.to_string())
}

/// The table.
pub(super) fn table(found: &[Found]) -> Table {
    let mut table = Table::new(&[
        "SERVICE FQDN",
        "PORT",
        "SUBSET",
        "DIRECTION",
        "TYPE",
        "DESTINATION RULE",
    ]);
    for one in found {
        let parts = Parts::of(&one.name);
        // Envoy leaves out what is the default.
        let kind = match (text(&one.body, "type"), field(&one.body, "cluster_type")) {
            (kind, _) if !kind.is_empty() => kind,
            (_, Some(custom)) => text(custom, "name"),
            (_, None) => "STATIC".to_owned(),
        };
        let cells = [parts.host, parts.port, parts.subset, parts.direction];
        let mut cells: Vec<String> = cells.into_iter().map(str::to_owned).collect();
        cells.extend([kind, object(&one.body, "destination-rule")]);
        table.row(cells);
    }
    table.sorted()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn only(fqdn: &str, port: u16, subset: &str, direction: &str) -> OnlyClusters {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        OnlyClusters {
            fqdn: text(fqdn),
            port: (port > 0).then_some(port),
            subset: text(subset),
            direction: text(direction),
        }
    }

    #[test]
    fn each_filter_looks_at_its_own_part_of_the_name() {
        let name = "outbound|9080|v1|reviews.shop.svc.cluster.local";
        assert!(shown(name, &only("", 0, "", "")));
        assert!(shown(name, &only("reviews.shop", 9080, "v1", "outbound")));
        assert!(!shown(name, &only("v1", 0, "", "")));
        assert!(!shown(name, &only("", 908, "", "")));
        assert!(!shown(name, &only("", 0, "", "inbound")));
        assert!(shown("BlackHoleCluster", &only("Black", 0, "", "")));
        assert!(!shown("BlackHoleCluster", &only("", 80, "", "")));
    }

    #[test]
    fn a_row_has_the_parts_of_the_name() {
        let found = |name: &str, body| Found {
            name: name.to_owned(),
            state: "ACTIVE",
            version: String::new(),
            body,
        };
        let rule = "/apis/networking.istio.io/v1/namespaces/shop/destination-rule/reviews";
        let metadata = json!({"filter_metadata": {"istio": {"config": rule}}});
        let text = table(&[
            found(
                "outbound|9080|v1|a.b",
                json!({"type": "EDS", "metadata": metadata}),
            ),
            found("xds-grpc", json!({})),
        ])
        .text();
        let expected = "\
SERVICE FQDN  PORT  SUBSET  DIRECTION  TYPE    DESTINATION RULE
a.b           9080  v1      outbound   EDS     reviews.shop
xds-grpc         -  -       -          STATIC  -
";
        assert_eq!(text, expected);
    }
}
