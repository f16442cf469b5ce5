//! Endpoints: `ENDPOINT, STATUS, OUTLIER CHECK, CLUSTER`.

use super::{address, place};
use crate::args::live::OnlyEndpoints;
use crate::dump::{Found, field, items, text};
use crate::table::Table;
use serde_json::{Value, json};

/// One host of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    cluster: String,
    host: String,
    port: Option<u64>,
    endpoint: String,
    status: String,
    /// `OK`, `FAILED`, or "" when it is not known.
    outlier: &'static str,
}

impl Row {
    fn new(cluster: &str, at: &Value, (status, outlier): (String, &'static str)) -> Self {
        let (host, port) = place(at);
        Self {
            cluster: cluster.to_owned(),
            host,
            port,
            endpoint: address(at),
            status: match status.as_str() {
                "" | "UNKNOWN" => "HEALTHY".to_owned(),
                _ => status,
            },
            outlier,
        }
    }
}

/// The hosts in Envoy's `/clusters?format=json`, with what Envoy found out itself.
pub(super) fn of_clusters(document: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    for cluster in items(document, "cluster_statuses") {
        let name = text(cluster, "name");
        for host in items(cluster, "host_statuses") {
            let health = field(host, "health_status").unwrap_or(&Value::Null);
            let ejected = field(health, "failed_outlier_check").and_then(Value::as_bool);
            let failing = field(health, "failed_active_health_check").and_then(Value::as_bool);
            let status = match failing {
                Some(true) => "UNHEALTHY".to_owned(),
                _ => text(health, "eds_health_status"),
            };
            let outlier = if ejected == Some(true) {
                "FAILED"
            } else {
                "OK"
            };
            let at = field(host, "address").unwrap_or(&Value::Null);
            rows.push(Row::new(&name, at, (status, outlier)));
        }
    }
    rows.sort();
    rows
}

/// The hosts in a dump.
pub(super) fn of_dump(found: &[Found]) -> Vec<Row> {
    let mut rows = Vec::new();
    for one in found {
        let localities = items(&one.body, "endpoints");
        for host in localities.flat_map(|locality| items(locality, "lb_endpoints")) {
            let at = field(host, "endpoint").and_then(|endpoint| field(endpoint, "address"));
            let status = text(host, "health_status");
            rows.push(Row::new(
                &one.name,
                at.unwrap_or(&Value::Null),
                (status, ""),
            ));
        }
    }
    rows.sort();
    rows
}

/// Whether an endpoint is asked for.
pub(super) fn shown(row: &Row, only: &OnlyEndpoints) -> bool {
    let OnlyEndpoints {
        address,
        port,
        of,
        status,
    } = only;
    let is = |text: &str, wanted: &Option<String>| {
        wanted
            .as_ref()
            .is_none_or(|wanted| text.eq_ignore_ascii_case(wanted))
    };
    is(&row.host, address)
        && is(&row.cluster, of)
        && is(&row.status, status)
        && port.is_none_or(|port| row.port == Some(u64::from(port)))
}

/// The table.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["ENDPOINT", "STATUS", "OUTLIER CHECK", "CLUSTER"]);
    for row in rows {
        table.row(vec![
            row.endpoint.clone(),
            row.status.clone(),
            row.outlier.to_owned(),
            row.cluster.clone(),
        ]);
    }
    table
}

/// The list for scripts.
pub(super) fn document(rows: &[Row]) -> Value {
    let rows = rows.iter().map(|row| {
        json!({
            "cluster": row.cluster,
            "address": row.endpoint,
            "status": row.status,
            "outlierCheck": row.outlier,
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let host = |address: &str, health: Value| json!({"address": {"socket_address": {"address": address, "port_value": 80}}, "health_status": health});
        of_clusters(&json!({"cluster_statuses": [
            {"name": "outbound|80||a", "host_statuses": [
                host("10.0.0.2", json!({"eds_health_status": "HEALTHY", "failed_outlier_check": true})),
                host("fd00::1", json!({"eds_health_status": "DRAINING"})),
            ]},
            {"name": "agent", "host_statuses": [{"address": {"pipe": {"path": "./var/x"}}, "health_status": {}}]},
        ]}))
    }

    #[test]
    fn a_host_is_a_line() {
        let expected = "\
ENDPOINT        STATUS    OUTLIER CHECK  CLUSTER
unix://./var/x  HEALTHY   OK             agent
10.0.0.2:80     HEALTHY   FAILED         outbound|80||a
[fd00::1]:80    DRAINING  OK             outbound|80||a
";
        assert_eq!(table(&rows()).text(), expected);
    }

    #[test]
    fn filters_know_address_port_cluster_and_status() {
        let only = |address: &str, of: &str, status: &str| OnlyEndpoints {
            address: (!address.is_empty()).then(|| address.to_owned()),
            port: None,
            of: (!of.is_empty()).then(|| of.to_owned()),
            status: (!status.is_empty()).then(|| status.to_owned()),
        };
        let count = |only: &OnlyEndpoints| rows().iter().filter(|row| shown(row, only)).count();
        assert_eq!(count(&only("", "", "")), 3);
        assert_eq!(count(&only("10.0.0.2", "", "")), 1);
        assert_eq!(count(&only("", "outbound|80||a", "")), 2);
        assert_eq!(count(&only("", "", "draining")), 1);
        let port = OnlyEndpoints {
            port: Some(80),
            ..OnlyEndpoints::default()
        };
        assert_eq!(count(&port), 2);
    }
}
