//! Objects as an API server gives them: JSON in; the same objects, checks and words out as for a
//! document of a file.
//!
//! What machines write in bulk (Pods, EndpointSlices, Nodes, Services) goes the short way: only
//! the fields that the mesh reads are decoded. Whatever is odd there, and every mesh kind, goes
//! the way of documents, which names each mistake by its field.

mod lean;
mod pool;

pub use pool::Pool;

use crate::kinds::Kind;
use crate::yaml::{self, Admission, Outcome, Source, Strangers};
use meltemi_types::{ClusterId, Diagnostic, Namespace};

/// What came of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// An object, or one that is broken, or, without a usable name, unclear.
    pub outcome: Outcome,
    /// What is wrong with it; warnings when the outcome is an object.
    pub diagnostics: Vec<Diagnostic>,
}

/// The bytes are not JSON: the transport's fault, not a user's.
#[derive(Debug, thiserror::Error)]
#[error("an object of the API server is not JSON")]
pub struct NotJson(#[source] serde_json::Error);

/// Reads an object of a kind that is its own document (not [`Kind::MeshConfig`]). apiVersion and
/// kind may be missing, as they are in lists. Parts that equal what is in the pool are shared.
///
/// # Errors
/// The bytes are not JSON.
pub fn read(
    kind: Kind,
    json: &[u8],
    cluster: &ClusterId,
    pool: &mut Pool,
) -> Result<Judged, NotJson> {
    if let Some(object) = lean::read(kind, json, (cluster, pool)) {
        return Ok(Judged {
            outcome: Outcome::Object(object),
            diagnostics: Vec::new(),
        });
    }
    let mut value: serde_json::Value = serde_json::from_slice(json).map_err(NotJson)?;
    if let Some(metadata) = value.get_mut("metadata").and_then(|m| m.as_object_mut()) {
        metadata.remove("managedFields");
    }
    let document = yaml::stored::document(kind, &value, &source(cluster));
    Ok(Judged {
        outcome: document.outcome,
        diagnostics: document.diagnostics,
    })
}

fn source(cluster: &ClusterId) -> Source {
    Source {
        cluster: cluster.clone(),
        file: "the API server".into(),
        root_namespace: Namespace::istio_system(),
        strangers: Strangers::Ignore,
        admission: Admission::Stored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use meltemi_types::Severity;
    use serde_json::json;
    use std::net::IpAddr;

    fn judge(kind: Kind, value: &serde_json::Value) -> Judged {
        read(
            kind,
            value.to_string().as_bytes(),
            &ClusterId::default(),
            &mut Pool::default(),
        )
        .unwrap()
    }

    fn object(judged: Judged) -> Object {
        let Outcome::Object(object) = judged.outcome else {
            panic!("{judged:?}");
        };
        object
    }

    #[test]
    fn a_pod_keeps_what_the_mesh_reads() {
        let judged = judge(
            Kind::Pod,
            &json!({
                "metadata": {
                    "name": "web-0", "namespace": "shop", "labels": {"app": "web"}, "uid": "u",
                    "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
                    "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
                },
                "spec": {
                    "nodeName": "n1", "serviceAccountName": "web", "volumes": [{"name": "v"}],
                    "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}],
                },
                "status": {
                    "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
                    "conditions": [
                        {"type": "Initialized", "status": "True"},
                        {"type": "Ready", "status": "False", "lastProbeTime": null},
                    ],
                },
            }),
        );
        let Object::Pod(pod) = object(judged) else {
            panic!()
        };
        assert_eq!(pod.meta.resource_version.as_deref(), Some("7"));
        assert_eq!(pod.meta.created, Some(1_767_225_600));
        assert!(pod.meta.annotations.is_empty());
        assert_eq!(pod.spec.node.as_deref(), Some("n1"));
        assert_eq!(pod.spec.ips[..], ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert!(!pod.spec.ready && pod.spec.ports.is_empty());
    }

    #[test]
    fn both_ways_make_the_same_pod() {
        let container = json!({"name": "c", "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 81}]});
        let text = json!({
            "metadata": {"name": "web-0", "namespace": "shop"},
            "spec": {"containers": [container], "hostNetwork": true, "subdomain": "db", "hostname": ""},
            "status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "phase": "Failed"},
        });
        let Object::Pod(short) = object(judge(Kind::Pod, &text)) else {
            panic!()
        };
        let long = yaml::stored::document(Kind::Pod, &text, &source(&ClusterId::default()));
        assert_eq!(long.outcome, Outcome::Object(Object::Pod(short.clone())));
        assert_eq!((short.spec.ports.len(), short.spec.ips.len()), (1, 2));
        assert!(short.spec.finished && short.spec.ready && short.spec.host_network);
    }

    #[test]
    fn a_mistake_names_its_field_and_no_line() {
        let judged = judge(
            Kind::VirtualService,
            &json!({
                "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"hosts": "web", "http": []},
            }),
        );
        assert!(matches!(judged.outcome, Outcome::Broken { .. }));
        let text = judged.diagnostics[0].to_string();
        assert!(
            text.contains("VirtualService shop/web spec.hosts"),
            "{text}"
        );
        assert!(!text.contains(".yaml") && !text.contains(":1:1"), "{text}");
    }

    #[test]
    fn unknown_fields_are_those_of_a_newer_version_unless_they_restrict() {
        let spec = json!({"host": "web", "later": 1});
        let meta = json!({"name": "web", "namespace": "shop"});
        let judged = judge(
            Kind::DestinationRule,
            &json!({"apiVersion": "networking.istio.io/v1", "metadata": meta, "spec": spec}),
        );
        assert_eq!(judged.diagnostics[0].severity, Severity::Warning);
        assert_eq!(object(judged).kind(), Kind::DestinationRule);
        let judged = judge(
            Kind::AuthorizationPolicy,
            &json!({"metadata": meta, "spec": {"rules": [{"unless": []}]}}),
        );
        assert!(
            matches!(judged.outcome, Outcome::Broken { .. }),
            "{judged:?}"
        );
    }

    #[test]
    fn what_control_planes_say_of_an_entry_makes_it_no_other_one() {
        let read = |status: serde_json::Value| {
            let meta = json!({"name": "vm", "namespace": "shop", "generation": 1});
            let spec = json!({"address": "10.0.0.7"});
            let entry = json!({"metadata": meta, "spec": spec, "status": status});
            object(judge(Kind::WorkloadEntry, &entry))
        };
        let ours = json!({"type": "Accepted", "status": "True", "observedGeneration": 1});
        let healthy = json!({"type": "Healthy", "status": "False"});
        assert_eq!(
            read(json!({"conditions": [ours], "observedGeneration": 1})),
            read(json!({}))
        );
        let Object::WorkloadEntry(entry) = read(json!({"conditions": [ours, healthy]})) else {
            panic!()
        };
        let status = entry.status.as_ref().unwrap();
        assert_eq!(status.condition("Healthy"), Some(false));
        assert_eq!(status.conditions.len(), 1);
    }

    #[test]
    fn both_ways_make_the_same_service() {
        let plain = json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"clusterIP": "10.1.0.1", "ports": [{"port": 80, "targetPort": "http"}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        });
        let Object::Service(short) = object(judge(Kind::Service, &plain)) else {
            panic!()
        };
        let long = yaml::stored::document(Kind::Service, &plain, &source(&ClusterId::default()));
        assert_eq!(
            long.outcome,
            Outcome::Object(Object::Service(short.clone()))
        );
        assert!(short.status.is_some());
        let nothing = read(
            Kind::Service,
            b"{",
            &ClusterId::default(),
            &mut Pool::default(),
        );
        assert!(nothing.is_err());
    }
}
