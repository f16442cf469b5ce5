//! What Meltemi does with a kind: watch it, know it without using it yet, leave it to others,
//! or take it for a mistake.

use super::removed;
use super::suggest;
use crate::kinds::{KINDS, Kind, KindInfo};

/// What a pair of apiVersion and kind is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Read.
    Watched(Kind),
    /// Known, but without effect yet.
    NotYet,
    /// A common Kubernetes kind that is none of our business.
    Foreign,
    /// A kind of a group that we know nothing about.
    Stranger { remedy: String },
    /// A mistake; `field` is the one to correct.
    Unknown {
        field: &'static str,
        message: String,
        remedy: String,
    },
}

/// Kinds of Istio's groups that are recognised only.
const ISTIO_NOT_YET: &[(&str, &[&str])] = &[
    ("networking.istio.io", &[]),
    ("security.istio.io", &[]),
    ("telemetry.istio.io", &[]),
    ("extensions.istio.io", &[]),
    (
        "gateway.networking.k8s.io",
        &[
            "BackendTLSPolicy",
            "GRPCRoute",
            "Gateway",
            "GatewayClass",
            "HTTPRoute",
            "ListenerSet",
            "ReferenceGrant",
            "TCPRoute",
            "TLSRoute",
            "UDPRoute",
        ],
    ),
    (
        "gateway.networking.x-k8s.io",
        &["XBackendTrafficPolicy", "XListenerSet", "XMesh"],
    ),
];

/// Kinds of the core group that are not read.
const CORE: &[&str] = &[
    "Binding",
    "Event",
    "LimitRange",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodTemplate",
    "ReplicationController",
    "ResourceQuota",
    "ServiceAccount",
];

/// Kinds of Kubernetes' other groups.
const COMMON: &[&str] = &[
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ControllerRevision",
    "CronJob",
    "CustomResourceDefinition",
    "DaemonSet",
    "Deployment",
    "Event",
    "FlowSchema",
    "HorizontalPodAutoscaler",
    "IPAddress",
    "Job",
    "Kustomization",
    "Lease",
    "MutatingWebhookConfiguration",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "ReplicaSet",
    "Role",
    "RoleBinding",
    "RuntimeClass",
    "ServiceCIDR",
    "StatefulSet",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];

/// What a document of this apiVersion and kind is to us.
pub(crate) fn classify(api_version: &str, kind: &str) -> Class {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if group == "mesh.istio.io" {
        return Class::Unknown {
            field: "kind",
            message: "mesh configuration is not an object of its own".into(),
            remedy: "put it into data.mesh of the ConfigMap istio of the root namespace".into(),
        };
    }
    if let Some(instead) = removed::instead(group, kind) {
        return Class::Unknown {
            field: "kind",
            message: format!("{kind} of {group} was removed from Istio"),
            remedy: instead.into(),
        };
    }
    if let Some(info) = watched(group, kind) {
        if info.versions.contains(&version) {
            return Class::Watched(info.kind);
        }
        return Class::Unknown {
            field: "apiVersion",
            message: format!("{api_version:?} is not a version of {kind}"),
            remedy: format!("use {:?}", newest(info)),
        };
    }
    if let Some((_, kinds)) = ISTIO_NOT_YET.iter().find(|(known, _)| *known == group) {
        if kinds.contains(&kind) {
            return Class::NotYet;
        }
        return unknown_kind(group, kind, kinds);
    }
    if group.is_empty() {
        if CORE.contains(&kind) && version == "v1" {
            return Class::Foreign;
        }
        let known = KINDS.iter().map(|info| info.name);
        if suggest::nearest(kind, known.chain(CORE.iter().copied())).is_some() {
            return unknown_kind(group, kind, CORE);
        }
        return Class::Stranger {
            remedy: kind_remedy(kind, COMMON),
        };
    }
    if group == "discovery.k8s.io" {
        return unknown_kind(group, kind, &[]);
    }
    let kubernetes = !group.contains('.') || group.ends_with(".k8s.io");
    if kubernetes && COMMON.contains(&kind) {
        return Class::Foreign;
    }
    let groups = ISTIO_NOT_YET.iter().map(|(group, _)| *group);
    match suggest::nearest(group, groups) {
        Some(near) => Class::Unknown {
            field: "apiVersion",
            message: format!("nothing is known of the group {group:?}"),
            remedy: format!("did you mean {near:?}?"),
        },
        None => Class::Stranger {
            remedy: kind_remedy(kind, COMMON),
        },
    }
}

fn watched(group: &str, kind: &str) -> Option<&'static KindInfo> {
    KINDS
        .iter()
        .find(|info| info.group == group && info.name == kind)
}

fn unknown_kind(group: &str, kind: &str, also: &[&str]) -> Class {
    let of = match group {
        "" => "of Kubernetes' core group".to_owned(),
        group => format!("of {group}"),
    };
    Class::Unknown {
        field: "kind",
        message: format!("{kind:?} is no kind {of}"),
        remedy: kind_remedy(kind, also),
    }
}

fn kind_remedy(kind: &str, also: &[&str]) -> String {
    if let Some(info) = KINDS.iter().find(|info| info.name == kind) {
        return format!("use apiVersion {:?} for {kind}", newest(info));
    }
    let names = KINDS
        .iter()
        .map(|info| info.name)
        .chain(also.iter().copied());
    match suggest::nearest(kind, names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => "check the spelling of apiVersion and kind, or remove the document".into(),
    }
}

fn newest(info: &KindInfo) -> String {
    let version = info.versions.first().copied().unwrap_or_default();
    match info.group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(api_version: &str, kind: &str) -> String {
        match classify(api_version, kind) {
            Class::Unknown {
                field,
                message,
                remedy,
            } => format!("{field}: {message}; {remedy}"),
            Class::Watched(_) | Class::NotYet | Class::Foreign | Class::Stranger { .. } => {
                "no mistake".into()
            }
        }
    }

    #[test]
    fn accepted_versions_are_watched() {
        for version in ["v1", "v1beta1", "v1alpha3"] {
            let class = classify(&format!("networking.istio.io/{version}"), "Sidecar");
            assert_eq!(class, Class::Watched(Kind::Sidecar));
        }
        assert_eq!(classify("v1", "Service"), Class::Watched(Kind::Service));
    }

    #[test]
    fn neighbours_are_left_alone() {
        assert_eq!(classify("apps/v1", "Deployment"), Class::Foreign);
        assert_eq!(classify("v1", "ServiceAccount"), Class::Foreign);
        assert_eq!(
            classify("rbac.authorization.k8s.io/v1", "ClusterRole"),
            Class::Foreign
        );
        assert_eq!(
            classify("gateway.networking.k8s.io/v1", "HTTPRoute"),
            Class::NotYet
        );
        let class = classify("cert-manager.io/v1", "Certificate");
        assert!(matches!(class, Class::Stranger { .. }), "{class:?}");
    }

    #[test]
    fn mistakes_name_the_word_that_was_meant() {
        assert_eq!(
            unknown("networking.istio.io/v1", "VirtualServce"),
            "kind: \"VirtualServce\" is no kind of networking.istio.io; did you mean \"VirtualService\"?"
        );
        assert_eq!(
            unknown("security.istio.io/v1alpha1", "PeerAuthentication"),
            "apiVersion: \"security.istio.io/v1alpha1\" is not a version of PeerAuthentication; \
             use \"security.istio.io/v1\""
        );
        assert_eq!(
            unknown("v1", "VirtualService"),
            "kind: \"VirtualService\" is no kind of Kubernetes' core group; \
             use apiVersion \"networking.istio.io/v1\" for VirtualService"
        );
        assert_eq!(
            unknown("networking.istio.oi/v1", "VirtualService"),
            "apiVersion: nothing is known of the group \"networking.istio.oi\"; \
             did you mean \"networking.istio.io\"?"
        );
    }
}
