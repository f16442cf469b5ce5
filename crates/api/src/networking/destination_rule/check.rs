//! What is wrong with a DestinationRule by itself.

mod balancer;
mod locality;
mod pool;
mod tls;

use super::{
    DestinationRule, PortTrafficPolicy, RetryBudget, Subset, TrafficPolicy, TunnelSettings,
};
use crate::check::value::{
    duration, export_to, host, is_wildcard_domain, label_name, labels, port, selector,
    wildcard_host,
};
use crate::check::{Check, Finding, Findings};
use meltemi_types::{Code, FieldPath};
use std::collections::BTreeSet;
use std::net::IpAddr;

impl Check for DestinationRule {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            host,
            traffic_policy,
            subsets,
            export_to: namespaces,
            workload_selector,
        } = self;
        wildcard_host(&at.field("host"), host, out);
        traffic_policy.check(&at.field("trafficPolicy"), out);
        let mut names = BTreeSet::new();
        for (index, subset) in subsets.iter().enumerate() {
            let at = at.field("subsets").index(index);
            subset.check(&at, out);
            if !subset.name.is_empty() && !names.insert(&*subset.name) {
                out.conflict(
                    &at.field("name"),
                    format!("the subset {:?} is there twice", subset.name),
                    "give each subset its own name",
                );
            }
        }
        export_to(&at.field("exportTo"), namespaces, out);
        if let Some(workloads) = workload_selector {
            let labels = at.field("workloadSelector").field("matchLabels");
            selector(&labels, &workloads.match_labels, out);
            only_own_namespace(&at.field("exportTo"), namespaces, out);
        }
    }
}

/// A rule for some workloads is seen by their namespace alone.
fn only_own_namespace(at: &FieldPath, namespaces: &[String], out: &mut Findings) {
    let own = out.namespace().map(|own| own.as_str().to_owned());
    let foreign = namespaces
        .iter()
        .any(|name| name != "." && own.as_ref().is_none_or(|own| own != name));
    if foreign {
        out.conflict(
            at,
            "a rule with a workloadSelector is exported to other namespaces",
            "export it to '.' alone",
        );
    }
}

impl Check for Subset {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            name,
            labels: selected,
            traffic_policy,
        } = self;
        if name.is_empty() {
            out.required(&at.field("name"), "the name of the subset");
        } else {
            label_name(&at.field("name"), name, out);
        }
        labels(&at.field("labels"), selected, out);
        traffic_policy.check(&at.field("trafficPolicy"), out);
    }
}

impl Check for TrafficPolicy {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            load_balancer,
            connection_pool,
            outlier_detection,
            tls,
            port_level_settings,
            tunnel,
            proxy_protocol,
            retry_budget,
        } = self;
        if *self == Self::default() {
            out.required(at, "a setting");
        }
        load_balancer.check(&at.field("loadBalancer"), out);
        locality::needs_outliers(load_balancer.as_ref(), outlier_detection.as_ref(), at, out);
        connection_pool.check(&at.field("connectionPool"), out);
        outlier_detection.check(&at.field("outlierDetection"), out);
        tls.check(&at.field("tls"), out);
        port_level_settings.check(&at.field("portLevelSettings"), out);
        if tunnel.is_some() && proxy_protocol.is_some() {
            out.conflict(
                &at.field("proxyProtocol"),
                "tunnel and proxyProtocol are both set",
                "keep one of them",
            );
        }
        tunnel.check(&at.field("tunnel"), out);
        retry_budget.check(&at.field("retryBudget"), out);
    }
}

impl Check for PortTrafficPolicy {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            port: selected,
            load_balancer,
            connection_pool,
            outlier_detection,
            tls,
        } = self;
        match selected {
            None => out.required(&at.field("port"), "the port"),
            Some(selected) => port(
                &at.field("port").field("number"),
                selected.number.into(),
                out,
            ),
        }
        if load_balancer.is_none()
            && connection_pool.is_none()
            && outlier_detection.is_none()
            && tls.is_none()
        {
            out.required(at, "a setting besides the port");
        }
        load_balancer.check(&at.field("loadBalancer"), out);
        locality::needs_outliers(load_balancer.as_ref(), outlier_detection.as_ref(), at, out);
        connection_pool.check(&at.field("connectionPool"), out);
        outlier_detection.check(&at.field("outlierDetection"), out);
        tls.check(&at.field("tls"), out);
    }
}

impl Check for TunnelSettings {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            protocol,
            target_host,
            target_port,
        } = self;
        if let Some(protocol) = protocol.as_deref()
            && !matches!(protocol, "" | "CONNECT" | "POST")
        {
            out.invalid(
                &at.field("protocol"),
                format!("{protocol:?} opens no tunnel"),
                "use CONNECT or POST",
            );
        }
        let bare = target_host.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_err() {
            host(&at.field("targetHost"), target_host, out);
            if target_host.starts_with('*') && is_wildcard_domain(target_host) && target_host != "*"
            {
                out.push(Finding::error(
                    Code::InvalidHost,
                    &at.field("targetHost"),
                    format!("{target_host:?} names no single host"),
                    "name the host",
                ));
            }
        }
        port(&at.field("targetPort"), (*target_port).into(), out);
    }
}

impl Check for RetryBudget {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            percent,
            budget_interval,
            min_retry_concurrency: _,
        } = self;
        if let Some(percent) = percent
            && !percent.is_percentage()
        {
            out.out_of_range(
                &at.field("percent"),
                format!("{percent} percent"),
                "use 0 to 100",
            );
        }
        duration(&at.field("budgetInterval"), *budget_interval, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn rules_subsets_and_ports() {
        table::<DestinationRule>(&[
            ("{host: a}", ""),
            (
                "{host: '*.a.com', subsets: [{name: v1, labels: {version: v1}}]}",
                "",
            ),
            ("{}", "Required spec.host"),
            ("{host: 1.1.1.1}", "InvalidHost spec.host"),
            (
                "{host: a, subsets: [{}, {name: a_b}, {name: c}, {name: c, labels: {x: '*'}}]}",
                "Required spec.subsets[0].name|InvalidValue spec.subsets[1].name|\
                 InvalidValue spec.subsets[3].labels.x|Conflict spec.subsets[3].name",
            ),
            (
                "{host: a, trafficPolicy: {}}",
                "Required spec.trafficPolicy",
            ),
            (
                "{host: a, trafficPolicy: {portLevelSettings: [{tls: {mode: DISABLE}}, \
                 {port: {number: 0}}]}}",
                "Required spec.trafficPolicy.portLevelSettings[0].port|\
                 OutOfRange spec.trafficPolicy.portLevelSettings[1].port.number|\
                 Required spec.trafficPolicy.portLevelSettings[1]",
            ),
            (
                "{host: a, workloadSelector: {matchLabels: {app: a}}, exportTo: [., other]}",
                "Conflict spec.exportTo",
            ),
            (
                "{host: a, workloadSelector: {}}",
                "ignoredfield spec.workloadSelector.matchLabels",
            ),
        ]);
    }

    #[test]
    fn tunnels_and_retry_budgets() {
        table::<TrafficPolicy>(&[
            ("{tunnel: {targetHost: a.com, targetPort: 443}}", ""),
            (
                "{tunnel: {targetHost: 10.0.0.1, targetPort: 443, protocol: POST}}",
                "",
            ),
            (
                "{tunnel: {targetHost: '*.a', targetPort: 0, protocol: GET}, proxyProtocol: {}}",
                "Conflict spec.proxyProtocol|InvalidValue spec.tunnel.protocol|\
                 InvalidHost spec.tunnel.targetHost|OutOfRange spec.tunnel.targetPort",
            ),
            ("{retryBudget: {percent: 20.5}}", ""),
            (
                "{retryBudget: {percent: 101, budgetInterval: 0s}}",
                "OutOfRange spec.retryBudget.percent|\
                 InvalidDuration spec.retryBudget.budgetInterval",
            ),
        ]);
    }
}
