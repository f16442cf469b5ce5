//! What a pod says of capture, as the flags that its init container would have got: annotations
//! first, since they are the contract between injector and plugin; then the arguments of the
//! container that tries the rules, because it listens where they say; then Istio's defaults.

use super::pod::env;
use k8s_openapi::api::core::v1::{Container, Pod};
use meltemi_capture::{FLAGS, Flag, Kind, Said};
use std::collections::BTreeMap;

/// The proxy's user and group where the pod does not say.
const PROXY: &str = "1337";
/// Ports of the proxy and its agent, which are never captured.
const PROXY_PORTS: &str = "15020,15021,15090";
/// How inbound traffic is captured.
pub(super) const MODE: &str = "sidecar.istio.io/interceptionMode";
const EXCLUDED_INBOUND: (&str, &str) = (
    "istio-local-exclude-ports",
    "traffic.sidecar.istio.io/excludeInboundPorts",
);

/// Flags by the annotations that say them, and what holds when nothing does.
const ANNOTATIONS: [(&str, &str, &str); 9] = [
    ("istio-inbound-interception-mode", MODE, "REDIRECT"),
    (
        "istio-service-cidr",
        "traffic.sidecar.istio.io/includeOutboundIPRanges",
        "*",
    ),
    (
        "istio-service-exclude-cidr",
        "traffic.sidecar.istio.io/excludeOutboundIPRanges",
        "",
    ),
    (
        "istio-inbound-ports",
        "traffic.sidecar.istio.io/includeInboundPorts",
        "*",
    ),
    (
        "istio-outbound-ports",
        "traffic.sidecar.istio.io/includeOutboundPorts",
        "",
    ),
    (
        "istio-local-outbound-ports-exclude",
        "traffic.sidecar.istio.io/excludeOutboundPorts",
        "",
    ),
    (
        "kube-virt-interfaces",
        "traffic.sidecar.istio.io/kubevirtInterfaces",
        "",
    ),
    (
        "kube-virt-interfaces",
        "istio.io/reroute-virtual-interfaces",
        "",
    ),
    (
        "istio-exclude-interfaces",
        "traffic.sidecar.istio.io/excludeInterfaces",
        "",
    ),
];

/// What arguments of a pod must not decide: what is done, and where.
const OURS: [&str; 6] = [
    "run-validation",
    "skip-rule-apply",
    "cleanup-only",
    "dry-run",
    "network-namespace",
    "proxy-gid",
];

/// What the pod says, with the container that tries its rules, if it has one, and its proxy.
pub(super) fn read(
    pod: &Pod,
    (tries, proxy): (Option<&Container>, &Container),
    is_native: bool,
) -> Said {
    let mut all = tries.map(arguments).unwrap_or_default();
    let metadata = &pod.metadata;
    let annotation = |key: &str| metadata.annotations.as_ref()?.get(key).cloned();
    for (flag, key, default) in ANNOTATIONS {
        match annotation(key) {
            Some(value) => drop(all.insert(flag, value)),
            None => drop(all.entry(flag).or_insert_with(|| default.to_owned())),
        }
    }
    let (flag, key) = EXCLUDED_INBOUND;
    match annotation(key) {
        Some(ports) => drop(all.insert(flag, format!("{PROXY_PORTS},{ports}"))),
        None => drop(all.entry(flag).or_insert_with(|| PROXY_PORTS.to_owned())),
    }
    let security = proxy.security_context.as_ref();
    // A proxy that is root, as with TPROXY, is told by its group alone.
    let owner = |id: Option<i64>| match id {
        Some(id) if id > 0 => id.to_string(),
        Some(_) | None => PROXY.to_owned(),
    };
    all.insert("proxy-uid", owner(security.and_then(|one| one.run_as_user)));
    all.insert(
        "proxy-gid",
        owner(security.and_then(|one| one.run_as_group)),
    );
    all.insert("cni-mode", "true".to_owned());
    if is_native {
        all.insert("native-nftables", "true".to_owned());
    }
    let variable = |name: &str| {
        let of = |container| env(container, name);
        tries.and_then(of).or_else(|| of(proxy))
    };
    Said::of(|flag| all.get(flag.long).cloned(), variable)
}

/// The flags of a container that calls `istio-iptables`; what is no flag of it is passed over.
fn arguments(container: &Container) -> BTreeMap<&'static str, String> {
    let mut all = BTreeMap::new();
    let mut words = container.args.iter().flatten();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let Some(flag) = FLAGS.iter().find(|flag| is_called(flag, name)) else {
            continue;
        };
        let value = match (value, flag.kind) {
            (Some(value), _) => value,
            (None, Kind::Switch) => "true".to_owned(),
            (None, Kind::Value | Kind::Variable) => words.next().cloned().unwrap_or_default(),
        };
        if !OURS.contains(&flag.long) {
            all.insert(flag.long, value);
        }
    }
    all
}

fn is_called(flag: &Flag, name: &str) -> bool {
    let long = name
        .strip_prefix("--")
        .is_some_and(|name| name == flag.long);
    let mut letters = name.strip_prefix('-').unwrap_or_default().chars();
    let short = (letters.next(), letters.next());
    flag.kind != Kind::Variable && (long || (flag.short.is_some() && short == (flag.short, None)))
}
