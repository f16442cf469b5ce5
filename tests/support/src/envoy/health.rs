//! Is everything that an Envoy subscribed to there, accepted and warm?

use super::admin::{Admin, Stats};
use anyhow::Result;
use serde_json::Value;

/// What is wrong with an Envoy, in words; empty when it is healthy: no update of any type was
/// rejected, every subscription (CDS, LDS, each route configuration, each EDS cluster) has had a
/// success, nothing is warming, the server is LIVE.
///
/// # Errors
/// The admin interface does not answer.
pub fn problems(admin: &Admin) -> Result<Vec<String>> {
    let stats = admin.stats()?;
    let mut problems = rejected(&stats);
    problems.extend(missing(&stats, &admin.clusters()?));
    for gauge in [
        "cluster_manager.warming_clusters",
        "listener_manager.total_listeners_warming",
    ] {
        let warming = stats.get(gauge);
        if warming != 0 {
            problems.push(format!("{gauge} is {warming}"));
        }
    }
    if !admin.is_live()? {
        problems.push("the server is not LIVE".to_owned());
    }
    Ok(problems)
}

fn rejected(stats: &Stats) -> Vec<String> {
    let all = stats
        .matching("", ".update_rejected")
        .filter(|(_, count)| *count != 0);
    all.map(|(name, count)| format!("{name} is {count}"))
        .collect()
}

/// Subscriptions that have never had an answer which Envoy accepted.
fn missing(stats: &Stats, clusters: &Value) -> Vec<String> {
    let fixed = [
        "cluster_manager.cds.update_success",
        "listener_manager.lds.update_success",
    ];
    let routes = stats
        .matching(".rds.", ".update_success")
        .map(|(name, _)| name.to_owned());
    let wanted = fixed
        .map(str::to_owned)
        .into_iter()
        .chain(routes)
        .chain(endpoints(clusters));
    let without = wanted.filter(|name| stats.get(name) == 0);
    without.map(|name| format!("{name} is 0")).collect()
}

/// The success counter of every EDS cluster; the stat name differs from the name by a final `;`.
fn endpoints(clusters: &Value) -> Vec<String> {
    let all = clusters["cluster_statuses"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let eds = all
        .iter()
        .filter(|cluster| cluster.get("eds_service_name").is_some());
    let name = |cluster: &Value| {
        let observed = cluster["observability_name"]
            .as_str()
            .or_else(|| cluster["name"].as_str());
        format!("cluster.{}.update_success", observed.unwrap_or_default())
    };
    eds.map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn clusters() -> Value {
        json!({"cluster_statuses": [
            {"name": "static", "observability_name": "static"},
            {"name": "a", "observability_name": "a;", "eds_service_name": "a"},
        ]})
    }

    #[test]
    fn an_eds_cluster_without_an_answer_is_missing() {
        let text = "cluster_manager.cds.update_success: 1\n\
                    listener_manager.lds.update_success: 1\n\
                    http.x.rds.80.update_success: 0\ncluster.a;.update_success: 0\n";
        let found = missing(&Stats::parse(text), &clusters());
        let want = [
            "http.x.rds.80.update_success is 0",
            "cluster.a;.update_success is 0",
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn any_rejection_counts() {
        let stats = Stats::parse("http.x.rds.80.update_rejected: 2\n");
        assert_eq!(rejected(&stats), ["http.x.rds.80.update_rejected is 2"]);
    }
}
