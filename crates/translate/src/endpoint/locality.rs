//! Which endpoints come first: <https://istio.io/latest/docs/tasks/traffic-management/locality-load-balancing/>.
//!
//! The first setting present wins: the rule's, the service's `trafficDistribution`, the mesh's.
//! The surprise: because the mesh's is on by default, merely adding `outlierDetection` to a rule
//! makes endpoints near the client come first; without it nothing does, since Envoy would never
//! notice that it should fail over.

use crate::cluster::policy::Policy;
use crate::view::View;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_api::networking::destination_rule::{
    Distribute, Failover, LoadBalancerSettings, LocalityLbSetting, TrafficPolicy,
};
use meltemi_model::{Endpoint, Service, Snapshot};
use meltemi_types::Locality;

/// The label of services whose sessions outlive an endpoint's readiness.
pub(crate) const PERSISTENT_SESSION: &str = "istio.io/persistent-session";

const NETWORK: &str = "topology.istio.io/network";
const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const SUBZONE: &str = "topology.istio.io/subzone";
const CLUSTER: &str = "topology.istio.io/cluster";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// The setting in force for one cluster, before it is looked at from a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting<'a> {
    distribute: &'a [Distribute],
    failover: &'a [Failover],
    /// Labels that decide how near an endpoint is.
    labels: Vec<&'a str>,
}

impl Setting<'_> {
    /// True when the weights of localities must count.
    pub(crate) fn is_weighted(&self) -> bool {
        !self.distribute.is_empty() || !self.failover.is_empty() || !self.labels.is_empty()
    }
}

/// The setting in force; `None` when place does not matter.
pub(crate) fn setting<'a>(
    policy: &Policy<'a>,
    service: &'a Service,
    mesh: &'a MeshConfig,
) -> Option<Setting<'a>> {
    let own = policy.load_balancer;
    if own.is_some_and(|lb| lb.zone_aware_lb_setting.is_some()) {
        return None;
    }
    let detects = policy.outlier_detection.is_some();
    if let Some(written) = own.and_then(|lb| lb.locality_lb_setting.as_ref()) {
        return written_setting(written, detects);
    }
    let near = service.traffic_distribution.as_deref().map(near_labels);
    if let Some(labels) = near.filter(|labels| !labels.is_empty()) {
        return Some(Setting {
            distribute: &[],
            failover: &[],
            labels,
        });
    }
    written_setting(mesh.locality_lb_setting.as_ref()?, detects)
}

fn written_setting(written: &LocalityLbSetting, detects: bool) -> Option<Setting<'_>> {
    let LocalityLbSetting {
        distribute,
        failover,
        failover_priority,
        enabled,
    } = written;
    if *enabled == Some(false) {
        return None;
    }
    if !distribute.is_empty() {
        return Some(Setting {
            distribute,
            failover: &[],
            labels: Vec::new(),
        });
    }
    detects.then(|| Setting {
        distribute: &[],
        failover,
        labels: failover_priority.iter().map(String::as_str).collect(),
    })
}

/// The labels that Kubernetes' `trafficDistribution` stands for.
fn near_labels(text: &str) -> Vec<&'static str> {
    match text {
        "PreferClose" | "PreferSameZone" => vec![NETWORK, REGION, ZONE],
        "PreferSameNode" => vec![NETWORK, REGION, ZONE, SUBZONE, HOSTNAME],
        _ => Vec::new(),
    }
}

/// A setting, looked at from one place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Preference {
    /// Where the client runs.
    pub client: Locality,
    /// What is preferred.
    pub how: How,
}

/// What is preferred.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// Localities get these shares.
    Distribute(Vec<(String, u32)>),
    /// Near endpoints come first.
    Failover {
        /// Labels with the client's values, the most important first.
        labels: Vec<(String, String)>,
        /// Whether the locality counts too.
        places: bool,
        /// The region that takes over for the client's, before all others.
        region: Option<String>,
    },
}

/// How far an endpoint is, nearest first: by labels, then by place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u32, u32);

impl Preference {
    /// The setting as a client of `view` sees it; `None` when nothing in it is about its place.
    pub(super) fn of(setting: &Setting<'_>, view: &View<'_>) -> Option<Self> {
        let client = view.key.locality.clone();
        if !setting.distribute.is_empty() {
            let mut rules = setting.distribute.iter();
            let Distribute { from: _, to } = rules.find(|rule| covers(&rule.from, &client))?;
            let shares = to.iter().map(|(place, share)| (place.clone(), *share));
            let how = How::Distribute(shares.collect());
            return Some(Self { client, how });
        }
        let mut rules = setting.failover.iter();
        let rule = rules.find(|rule| *rule.from == *client.region);
        let labels = setting.labels.iter().map(|label| client_label(label, view));
        let how = How::Failover {
            labels: labels.collect(),
            places: setting.labels.is_empty() || !setting.failover.is_empty(),
            region: rule.map(|Failover { from: _, to }| to.clone()),
        };
        Some(Self { client, how })
    }

    /// How far an endpoint is.
    pub(super) fn rank(&self, endpoint: &Endpoint) -> Rank {
        match &self.how {
            How::Distribute(_) => Rank::default(),
            How::Failover {
                labels,
                places,
                region,
            } => {
                let place = self.distance(&endpoint.locality, region.as_deref());
                Rank(mismatch(labels, endpoint), if *places { place } else { 0 })
            }
        }
    }

    /// 0 in the same subzone, 1 in the zone, 2 in the region, 3 elsewhere, 4 where the client's
    /// region does not fail over to.
    fn distance(&self, there: &Locality, takes_over: Option<&str>) -> u32 {
        let here = &self.client;
        match () {
            () if here.region != there.region => match takes_over {
                Some(region) if *region != *there.region => 4,
                Some(_) | None => 3,
            },
            () if here.zone != there.zone => 2,
            () if here.subzone != there.subzone => 1,
            () => 0,
        }
    }
}

/// The number of labels minus the length of the prefix that matches. A network that differs
/// counts for all labels and does not end the comparison.
fn mismatch(labels: &[(String, String)], endpoint: &Endpoint) -> u32 {
    let count = u32::try_from(labels.len()).unwrap_or(u32::MAX);
    let mut far = 0_u32;
    for (index, (key, value)) in (0..).zip(labels) {
        if endpoint_label(key, endpoint) == value {
            continue;
        }
        if index == 0 && key == NETWORK {
            far = count;
            continue;
        }
        return far.saturating_add(count.saturating_sub(index));
    }
    far
}

/// `key` compares with the client's label, `key=value` with the value.
fn client_label(label: &str, view: &View<'_>) -> (String, String) {
    if let Some((key, value)) = label.split_once('=') {
        return (key.to_owned(), value.to_owned());
    }
    let class = view.key;
    let value = match label {
        NETWORK => class.network.as_ref().map_or("", |n| n.as_str()),
        REGION => &class.locality.region,
        ZONE => &class.locality.zone,
        SUBZONE => &class.locality.subzone,
        CLUSTER => class.cluster.as_str(),
        HOSTNAME => class.node_name.as_deref().unwrap_or(""),
        other => class.labels.value(other).unwrap_or(""),
    };
    (label.to_owned(), value.to_owned())
}

fn endpoint_label<'a>(key: &str, endpoint: &'a Endpoint) -> &'a str {
    match key {
        NETWORK => endpoint.network.as_ref().map_or("", |n| n.as_str()),
        REGION => &endpoint.locality.region,
        ZONE => &endpoint.locality.zone,
        SUBZONE => &endpoint.locality.subzone,
        CLUSTER => endpoint.cluster.as_str(),
        HOSTNAME => endpoint.workload.node.as_deref().unwrap_or(""),
        other => endpoint.workload.labels.value(other).unwrap_or(""),
    }
}

/// True when a pattern (`region/zone/subzone`, each part may be `*`, missing parts are any)
/// covers a locality.
pub(super) fn covers(pattern: &str, locality: &Locality) -> bool {
    let parts = [&locality.region, &locality.zone, &locality.subzone];
    let fits = |(wanted, part): (&str, &&std::sync::Arc<str>)| wanted == "*" || *wanted == ***part;
    pattern.split('/').zip(&parts).all(fits)
}

/// True when some policy may balance by locality, so that a proxy's place matters.
#[must_use]
pub fn locality_decides(snapshot: &Snapshot) -> bool {
    let mesh = &snapshot.mesh.config;
    let mesh_detects =
        (mesh.default_traffic_policy.as_ref()).is_some_and(|p| p.outlier_detection.is_some());
    let shares =
        (mesh.locality_lb_setting.as_ref()).is_some_and(|s| written_setting(s, false).is_some());
    let (enabled, mut services) = (mesh.locality_enabled(), snapshot.services.iter());
    let rules = || snapshot.policies.iter().flat_map(|rule| policies(rule));
    shares
        || (enabled && mesh_detects)
        || rules().any(|policy| asks(policy, enabled || mesh_detects))
        || services.any(|s| {
            (s.traffic_distribution.as_deref()).is_some_and(|t| !near_labels(t).is_empty())
        })
}

/// True when some service or policy prefers endpoints on the client's own node.
#[must_use]
pub fn node_decides(snapshot: &Snapshot) -> bool {
    let near = |s: &Service| s.traffic_distribution.as_deref().map(near_labels);
    let local = |s: &Service| s.node_local || near(s).is_some_and(|l| l.contains(&HOSTNAME));
    let mesh = snapshot.mesh.config.locality_lb_setting.iter();
    let rules = snapshot.policies.iter().flat_map(|rule| policies(rule));
    let rules = rules.flat_map(balancers);
    let mut settings = mesh.chain(rules.filter_map(|lb| lb.locality_lb_setting.as_ref()));
    snapshot.services.iter().any(|service| local(service))
        || settings.any(|s| s.failover_priority.iter().any(|label| label == HOSTNAME))
}

fn policies(rule: &meltemi_model::TrafficRule) -> impl Iterator<Item = &TrafficPolicy> {
    let subsets = rule.subsets.iter();
    let subsets = subsets.filter_map(|s| s.subset.traffic_policy.as_ref());
    rule.policy.as_deref().into_iter().chain(subsets)
}

fn balancers(policy: &TrafficPolicy) -> impl Iterator<Item = &LoadBalancerSettings> {
    let ports = policy.port_level_settings.iter();
    let ports = ports.filter_map(|port| port.load_balancer.as_ref());
    policy.load_balancer.iter().chain(ports)
}

/// True when a policy may make place matter.
fn asks(policy: &TrafficPolicy, enabled: bool) -> bool {
    let mut ports = policy.port_level_settings.iter();
    let detects =
        policy.outlier_detection.is_some() || ports.any(|port| port.outlier_detection.is_some());
    (enabled && detects) || balancers(policy).any(|lb| lb.locality_lb_setting.is_some())
}
