//! What several kinds demand: selectors, targets, connection pools, TLS of servers, workloads.

use crate::constraint::{Row, Says::*};

/// A duration of at least a millisecond.
pub(super) const DURATION: crate::constraint::Says = Cel(
    "duration('1ms') <= duration(self)",
    "is not a duration of at least 1ms",
);
/// A port number.
pub(super) const PORT: crate::constraint::Says = Cel(
    "self >= 1 && self <= 65535",
    "is not a port from 1 to 65535",
);

/// The selector of most kinds.
pub(super) const SELECTOR: &[Row] = &[
    ("WorkloadSelector.matchLabels", MaxProperties(4096)),
    (
        "WorkloadSelector.matchLabels",
        Cel(
            "!self.exists(name, name.contains('*'))",
            "a label's name has a wildcard, which selectors do not know",
        ),
    ),
    (
        "WorkloadSelector.matchLabels",
        Cel("!self.exists(name, name == '')", "a label has no name"),
    ),
    ("WorkloadSelector.matchLabels{}", MaxLength(63)),
    (
        "WorkloadSelector.matchLabels{}",
        Cel(
            "!self.contains('*')",
            "a label's value has a wildcard, which selectors do not know",
        ),
    ),
];

/// The selector of Sidecar, ServiceEntry and EnvoyFilter.
pub(super) const WORKLOAD_SELECTOR: &[Row] = &[
    ("WorkloadSelector.labels", MaxProperties(256)),
    ("WorkloadSelector.labels{}", MaxLength(63)),
    (
        "WorkloadSelector.labels{}",
        Cel(
            "!self.contains('*')",
            "a label's value has a wildcard, which selectors do not know",
        ),
    ),
];

/// References to targets.
pub(super) const TARGETS: &[Row] = &[
    ("PolicyTargetReference", Required(&["kind", "name"])),
    ("PolicyTargetReference.group", MaxLength(253)),
    (
        "PolicyTargetReference.group",
        Pattern(r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$"),
    ),
    ("PolicyTargetReference.kind", MinLength(1)),
    ("PolicyTargetReference.kind", MaxLength(63)),
    (
        "PolicyTargetReference.kind",
        Pattern("^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$"),
    ),
    ("PolicyTargetReference.name", MinLength(1)),
    ("PolicyTargetReference.name", MaxLength(253)),
    (
        "PolicyTargetReference.namespace",
        Cel(
            "self == ''",
            "names another namespace, but a target lives in the namespace of its policy",
        ),
    ),
];

/// Selector or targets, of kinds that had one target at first.
pub(super) const ONE_ATTACHMENT: crate::constraint::Says = Cel(
    "[has(self.selector), has(self.targetRef), has(self.targetRefs)].filter(set, set).size() < 2",
    "more than one of selector, targetRef and targetRefs is set",
);

/// Connection pools.
pub(super) const POOL: &[Row] = &[
    ("TcpSettings.maxConnections", Format("int32")),
    ("HttpSettings.http1MaxPendingRequests", Format("int32")),
    ("HttpSettings.http2MaxRequests", Format("int32")),
    ("HttpSettings.maxRequestsPerConnection", Format("int32")),
    ("HttpSettings.maxRetries", Format("int32")),
    ("HttpSettings.maxConcurrentStreams", Format("int32")),
    ("TcpSettings.connectTimeout", DURATION),
    ("TcpSettings.maxConnectionDuration", DURATION),
    ("TcpKeepalive.time", DURATION),
    ("TcpKeepalive.interval", DURATION),
    ("HttpSettings.idleTimeout", DURATION),
    ("Http2KeepAlive.interval", DURATION),
    ("Http2KeepAlive.timeout", DURATION),
];

/// TLS termination.
pub(super) const SERVER_TLS: &[Row] = &[
    (
        "ServerTlsSettings",
        Cel(
            "!(has(self.tlsCertificates) && has(self.credentialNames))",
            "tlsCertificates and credentialNames are both set",
        ),
    ),
    (
        "ServerTlsSettings",
        Cel(
            "!(has(self.credentialName) && has(self.credentialNames))",
            "credentialName and credentialNames are both set",
        ),
    ),
    ("ServerTlsSettings.credentialNames", MinItems(1)),
    ("ServerTlsSettings.credentialNames", MaxItems(2)),
    ("ServerTlsSettings.tlsCertificates", MinItems(1)),
    ("ServerTlsSettings.tlsCertificates", MaxItems(2)),
    ("ServerTlsSettings.insecureSkipVerify", Nullable),
];

/// Workloads, as objects of their own, endpoints and templates.
pub(super) const WORKLOAD: &[Row] = &[
    (
        "WorkloadEntry",
        Cel(
            "!(has(self.ports) && has(self.address) && self.address.startsWith('unix://'))",
            "a Unix socket has no ports",
        ),
    ),
    ("WorkloadEntry.address", MaxLength(256)),
    (
        "WorkloadEntry.address",
        Cel(
            "!self.startsWith('unix://') || self.startsWith('unix:///') || self.startsWith('unix://@')",
            "a Unix socket is an absolute path, or an abstract name that starts with @",
        ),
    ),
    (
        "WorkloadEntry.address",
        Cel(
            "!(self.startsWith('unix://') && self.endsWith('/'))",
            "a Unix socket is a file, not a directory",
        ),
    ),
    ("WorkloadEntry.labels", MaxProperties(256)),
    ("WorkloadEntry.locality", MaxLength(2048)),
    ("WorkloadEntry.network", MaxLength(2048)),
    ("WorkloadEntry.serviceAccount", MaxLength(253)),
    ("WorkloadEntry.ports", MaxProperties(128)),
    (
        "WorkloadEntry.ports",
        Cel(
            "!self.exists(name, size(name) > 62 || !name.matches('^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?$'))",
            "a port's name is at most 62 letters, digits and '-', and no '-' at its ends",
        ),
    ),
    ("WorkloadEntry.ports{}", PORT),
];

/// Workloads that must be somewhere: all but templates.
pub(super) const WORKLOAD_ADDRESS: &[Row] = &[(
    "WorkloadEntry",
    Cel(
        "has(self.network) || has(self.address)",
        "neither address nor network says where the workload is",
    ),
)];
