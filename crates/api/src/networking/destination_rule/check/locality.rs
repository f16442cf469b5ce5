//! Load balancing by locality and zone.

use super::super::{
    Distribute, Failover, LoadBalancerSettings, LocalityLbSetting, OutlierDetection,
    ZoneAwareLbSetting,
};
use crate::check::{Check, Finding, Findings};
use meltemi_types::{Code, FieldPath};

/// Labels that stand for a place: `failover` speaks about the same thing.
const TOPOLOGY: &[&str] = &[
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
];

impl Check for LocalityLbSetting {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            distribute,
            failover,
            failover_priority,
            enabled: _,
        } = self;
        for (field, set) in [
            ("failover", !failover.is_empty()),
            ("failoverPriority", !failover_priority.is_empty()),
        ] {
            if set && !distribute.is_empty() {
                out.conflict(
                    &at.field(field),
                    format!("distribute and {field} are both set"),
                    "keep one of them",
                );
            }
        }
        for (index, rule) in distribute.iter().enumerate() {
            let earlier = distribute.iter().take(index);
            let at = at.field("distribute").index(index);
            rule.check(&at, out);
            if let Some(other) = earlier
                .into_iter()
                .find(|other| overlap(&other.from, &rule.from))
            {
                out.conflict(
                    &at.field("from"),
                    format!("{:?} overlaps with {:?}", rule.from, other.from),
                    "say about each locality once",
                );
            }
        }
        failover.check(&at.field("failover"), out);
        priorities(failover, failover_priority, at, out);
    }
}

/// `failover` together with `failoverPriority` leaves out the labels of places.
fn priorities(failover: &[Failover], labels: &[String], at: &FieldPath, out: &mut Findings) {
    if failover.is_empty() {
        return;
    }
    for (index, label) in labels.iter().enumerate() {
        let key = label.split_once('=').map_or(label.as_str(), |(key, _)| key);
        if TOPOLOGY.contains(&key) {
            out.conflict(
                &at.field("failoverPriority").index(index),
                format!("{key:?} beside failover"),
                "remove the label, or remove failover",
            );
        }
    }
}

impl Check for Distribute {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self { from, to } = self;
        locality(&at.field("from"), from, out);
        let at_to = at.field("to");
        let mut sum = 0_u64;
        for (index, (place, weight)) in to.iter().enumerate() {
            let at = at_to.field(place);
            locality(&at, place, out);
            if let Some((other, _)) = to
                .iter()
                .take(index)
                .find(|(other, _)| overlap(other, place))
            {
                out.conflict(
                    &at,
                    format!("{place:?} overlaps with {other:?}"),
                    "say about each locality once",
                );
            }
            if !(1..=100).contains(weight) {
                out.out_of_range(&at, format!("the share {weight}"), "use 1 to 100");
            }
            sum += u64::from(*weight);
        }
        if sum != 100 {
            out.invalid(
                &at_to,
                format!("the shares sum up to {sum}"),
                "make them sum up to 100",
            );
        }
    }
}

/// A locality: `*` may stand for its last part alone.
fn locality(at: &FieldPath, text: &str, out: &mut Findings) {
    let parts: Vec<&str> = text.split('/').collect();
    let last = parts.len().saturating_sub(1);
    let well = parts.len() <= 3
        && parts.iter().enumerate().all(|(i, part)| {
            !part.is_empty() && (!part.contains('*') || (*part == "*" && i == last))
        });
    if !well {
        out.invalid(
            at,
            format!("{text:?} is not a locality"),
            "use region/zone/subzone, where the last part may be *",
        );
    }
}

/// True when some place is meant by both.
fn overlap(one: &str, other: &str) -> bool {
    let mut pairs = one.split('/').zip(other.split('/'));
    pairs.all(|(a, b)| a == b || a == "*" || b == "*")
}

impl Check for Failover {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self { from, to } = self;
        if from == to {
            out.invalid(
                &at.field("to"),
                format!("{from:?} fails over to itself"),
                "name another region",
            );
        }
        for (field, region) in [("from", from), ("to", to)] {
            if region.contains(['/', '*']) {
                out.invalid(
                    &at.field(field),
                    format!("{region:?} is not a region"),
                    "name a region, without zones and '*'",
                );
            }
        }
    }
}

impl Check for ZoneAwareLbSetting {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            enabled: _,
            failover,
            failover_priority,
            min_cluster_size,
        } = self;
        if !failover.is_empty() && !failover_priority.is_empty() {
            out.conflict(
                &at.field("failoverPriority"),
                "failover and failoverPriority are both set",
                "keep one of them",
            );
        }
        failover.check(&at.field("failover"), out);
        for (index, label) in failover_priority.iter().enumerate() {
            let key = label.split_once('=').map_or(label.as_str(), |(key, _)| key);
            if TOPOLOGY.contains(&key) {
                out.invalid(
                    &at.field("failoverPriority").index(index),
                    format!("{key:?} is what zones are about already"),
                    "remove the label",
                );
            }
        }
        if *min_cluster_size == Some(0) {
            out.out_of_range(&at.field("minClusterSize"), "0 endpoints", "use 1 or more");
        }
    }
}

/// Without outlier detection no endpoint ever fails, so nothing fails over.
pub(super) fn needs_outliers(
    balancer: Option<&LoadBalancerSettings>,
    outliers: Option<&OutlierDetection>,
    at: &FieldPath,
    out: &mut Findings,
) {
    let Some(setting) = balancer.and_then(|lb| lb.locality_lb_setting.as_ref()) else {
        return;
    };
    let fails_over = !setting.failover.is_empty() || !setting.failover_priority.is_empty();
    if fails_over && outliers.is_none() {
        out.push(Finding::warning(
            Code::IgnoredField,
            &at.field("outlierDetection"),
            "failover needs outlier detection",
            "add outlierDetection",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{table, verdicts};
    use crate::networking::destination_rule::TrafficPolicy;

    #[test]
    fn localities() {
        table::<LocalityLbSetting>(&[
            ("{distribute: [{from: a/b, to: {a/b: 80, 'c/*': 20}}]}", ""),
            (
                "{failover: [{from: a, to: b}], failoverPriority: [app]}",
                "",
            ),
            (
                "{distribute: [{from: a/b, to: {a: 100}}, {from: 'a/*', to: {c: 50}}]}",
                "InvalidValue spec.distribute[1].to|Conflict spec.distribute[1].from",
            ),
            (
                "{distribute: [{from: '*/b', to: {a: 0, 'a/*': 100}}]}",
                "InvalidValue spec.distribute[0].from|OutOfRange spec.distribute[0].to.a|\
                 Conflict spec.distribute[0].to.a/*",
            ),
            (
                "{distribute: [{from: a, to: {a: 100}}], failover: [{from: a/b, to: '*'}]}",
                "Conflict spec.failover|InvalidValue spec.failover[0].from|\
                 InvalidValue spec.failover[0].to",
            ),
            (
                "{failover: [{from: a, to: a}], \
                 failoverPriority: [topology.kubernetes.io/zone]}",
                "InvalidValue spec.failover[0].to|Conflict spec.failoverPriority[0]",
            ),
        ]);
        table::<ZoneAwareLbSetting>(&[
            ("{enabled: true, failoverPriority: [app]}", ""),
            (
                "{failover: [{from: a, to: '*'}], failoverPriority: \
                 [topology.kubernetes.io/region], minClusterSize: 0}",
                "Conflict spec.failoverPriority|InvalidValue spec.failover[0].to|\
                 InvalidValue spec.failoverPriority[0]|OutOfRange spec.minClusterSize",
            ),
        ]);
    }

    #[test]
    fn failover_without_outlier_detection_is_a_warning() {
        let lb = "loadBalancer: {localityLbSetting: {failoverPriority: [app]}}";
        assert_eq!(
            verdicts::<TrafficPolicy>(&format!("{{{lb}}}")),
            ["ignoredfield spec.outlierDetection"]
        );
        assert!(verdicts::<TrafficPolicy>(&format!("{{{lb}, outlierDetection: {{}}}}")).is_empty());
    }
}
