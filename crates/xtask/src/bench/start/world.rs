//! The cluster of `bench start`: objects as large as kubelet and controllers write them, with all
//! that the mesh never reads.

use meltemi_testkit::api_server::ApiServer;
use serde_json::{Value, json};

pub(super) const SERVICES: usize = 1000;
/// Pods of each service.
const PODS: usize = 10;
const NODES: usize = 100;
const NAMESPACES: usize = 20;
/// How every address begins.
pub(super) const ADDRESSES: &str = "10.";

/// Puts everything into the double.
pub(super) fn fill(server: &ApiServer) {
    let put = |object: Value| server.apply(object);
    put(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"mesh": ""},
        "metadata": {"name": "istio", "namespace": "istio-system"},
    }));
    (0..NAMESPACES).for_each(|number| put(namespace(number)));
    (0..NODES).for_each(|number| put(node(number)));
    for index in 0..SERVICES {
        put(service(index));
        put(slice(index));
        (0..PODS).for_each(|number| put(pod(index, number)));
    }
}

/// The address of the last pod.
pub(super) fn last_address() -> String {
    address(SERVICES - 1, PODS - 1)
}

fn address(index: usize, number: usize) -> String {
    format!(
        "{ADDRESSES}{}.{}.{}",
        1 + number,
        index / 250,
        1 + index % 250
    )
}

fn space(index: usize) -> String {
    format!("team-{:02}", index % NAMESPACES)
}

fn app(index: usize) -> String {
    format!("backend-{index:04}")
}

/// The hash that a ReplicaSet gives its pods.
fn hash(index: usize) -> String {
    format!("{:08x}f", index.wrapping_mul(2_654_435_761) & 0xffff_ffff)
}

fn pod_name(index: usize, number: usize) -> String {
    let suffix = (index * PODS + number).wrapping_mul(40_503) & 0xf_ffff;
    format!("{}-{}-{suffix:05x}", app(index), hash(index))
}

fn uid(kind: u32, number: usize) -> String {
    format!("{kind:08x}-7c1e-4b6a-9d2f-{number:012x}")
}

/// The zone of a node.
fn zone(node: usize) -> &'static str {
    match node % 3 {
        0 => "eu-central-1a",
        1 => "eu-central-1b",
        _ => "eu-central-1c",
    }
}

fn metadata(name: &str, namespace: &str, labels: Value) -> Value {
    json!({
        "name": name, "namespace": namespace, "labels": labels,
        "creationTimestamp": "2026-03-01T10:15:30Z",
    })
}

/// Adds a field.
fn add(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value.into());
    }
}

/// What somebody who writes an object leaves in it.
fn managed(manager: &str, fields: Value) -> Value {
    json!({
        "manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "time": "2026-03-01T10:15:31Z", "fieldsV1": fields,
    })
}

fn namespace(number: usize) -> Value {
    let name = space(number);
    json!({
        "apiVersion": "v1", "kind": "Namespace", "status": {"phase": "Active"},
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
    })
}

fn node(number: usize) -> Value {
    let name = format!("node-{number:03}.pool-a.example.internal");
    let zone = zone(number);
    let images: Vec<_> = (0..20)
        .map(|image| json!({"names": [format!("registry.example/team/image-{image}:v1.{image}.0")], "sizeBytes": 48_000_000 + image}))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": uid(1, number), "labels": {
            "kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64",
            "topology.kubernetes.io/region": "eu-central-1", "topology.kubernetes.io/zone": zone,
        }},
        "spec": {"podCIDR": format!("10.{number}.0.0/24")},
        "status": {
            "addresses": [{"type": "InternalIP", "address": format!("192.0.2.{}", 1 + number)}],
            "images": images,
        },
    })
}

fn service(index: usize) -> Value {
    let mut metadata = metadata(&app(index), &space(index), json!({"app": app(index)}));
    add(&mut metadata, "uid", uid(2, index));
    add(
        &mut metadata,
        "managedFields",
        json!([managed(
            "kubectl-client-side-apply",
            json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}},
               "f:spec": {"f:internalTrafficPolicy": {}, "f:ports": {".": {},
               "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}}}}})
        )]),
    );
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {
            "clusterIP": format!("172.20.{}.{}", index / 250, 1 + index % 250),
            "ipFamilies": ["IPv4"], "sessionAffinity": "None", "type": "ClusterIP",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
            "selector": {"app": app(index)},
        },
        "status": {"loadBalancer": {}},
    })
}

fn slice(index: usize) -> Value {
    let labels = json!({
        "app": app(index), "kubernetes.io/service-name": app(index),
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    });
    let endpoints = (0..PODS).map(|number| {
        let name = pod_name(index, number);
        let pod = index * PODS + number;
        json!({
            "addresses": [address(index, number)],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": format!("node-{:03}.pool-a.example.internal", pod % NODES),
            "targetRef": {"kind": "Pod", "name": name, "namespace": space(index), "uid": uid(3, pod)},
            "zone": zone(pod % NODES),
        })
    });
    let mut metadata = metadata(&format!("{}-x7k2p", app(index)), &space(index), labels);
    add(&mut metadata, "uid", uid(4, index));
    add(&mut metadata, "generation", 12);
    add(
        &mut metadata,
        "ownerReferences",
        json!([{"apiVersion": "v1", "kind": "Service",
        "name": app(index), "uid": uid(2, index), "controller": true}]),
    );
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
        "addressType": "IPv4", "endpoints": endpoints.collect::<Vec<_>>(),
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

fn pod(index: usize, number: usize) -> Value {
    let mut metadata = metadata(
        &pod_name(index, number),
        &space(index),
        json!({
            "app": app(index), "version": "v1", "pod-template-hash": hash(index),
            "app.kubernetes.io/part-of": "shop", "app.kubernetes.io/managed-by": "Helm",
        }),
    );
    let pod = index * PODS + number;
    add(&mut metadata, "uid", uid(3, pod));
    add(
        &mut metadata,
        "generateName",
        format!("{}-{}-", app(index), hash(index)),
    );
    add(
        &mut metadata,
        "annotations",
        json!({
            "prometheus.io/scrape": "true", "prometheus.io/port": "9090",
            "checksum/config": format!("{:064x}", index),
        }),
    );
    add(
        &mut metadata,
        "ownerReferences",
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "name": format!("{}-{}", app(index), hash(index)), "uid": uid(5, index),
        "controller": true, "blockOwnerDeletion": true}]),
    );
    add(
        &mut metadata,
        "managedFields",
        json!([
            managed("kube-controller-manager", template_fields()),
            managed("kubelet", status_fields()),
        ]),
    );
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": pod_spec(index, pod), "status": pod_status(index, number),
    })
}

fn template_fields() -> Value {
    json!({"f:metadata": {"f:annotations": {".": {}, "f:checksum/config": {}},
        "f:generateName": {}, "f:labels": {".": {}, "f:app": {}, "f:version": {},
        "f:pod-template-hash": {}}, "f:ownerReferences": {}},
        "f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:env": {}, "f:image": {},
        "f:imagePullPolicy": {}, "f:livenessProbe": {}, "f:name": {}, "f:ports": {},
        "f:readinessProbe": {}, "f:resources": {}, "f:volumeMounts": {}}},
        "f:dnsPolicy": {}, "f:enableServiceLinks": {}, "f:restartPolicy": {},
        "f:schedulerName": {}, "f:securityContext": {}, "f:serviceAccountName": {},
        "f:terminationGracePeriodSeconds": {}, "f:volumes": {}}})
}

fn status_fields() -> Value {
    let condition = json!({".": {}, "f:lastProbeTime": {}, "f:lastTransitionTime": {},
        "f:status": {}, "f:type": {}});
    json!({"f:status": {"f:conditions": {
        "k:{\"type\":\"ContainersReady\"}": condition, "k:{\"type\":\"Initialized\"}": condition,
        "k:{\"type\":\"Ready\"}": condition}, "f:containerStatuses": {}, "f:hostIP": {},
        "f:phase": {}, "f:podIP": {}, "f:podIPs": {}, "f:startTime": {}}})
}

fn pod_spec(index: usize, pod: usize) -> Value {
    let env: Vec<_> = (0..8)
        .map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("value-{n}-of-{}", app(index))}))
        .collect();
    let probe = json!({"httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"},
        "periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3});
    json!({
        "containers": [{
            "name": "app", "image": format!("registry.example/team/{}:v1.4.2", app(index)),
            "imagePullPolicy": "IfNotPresent", "env": env,
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"},
                {"name": "metrics", "containerPort": 9090, "protocol": "TCP"}],
            "resources": {"limits": {"memory": "256Mi"},
                "requests": {"cpu": "100m", "memory": "128Mi"}},
            "livenessProbe": probe, "readinessProbe": probe,
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "volumeMounts": [{"name": "token", "readOnly": true,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        }],
        "volumes": [{"name": "token", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}}],
        "nodeName": format!("node-{:03}.pool-a.example.internal", pod % NODES),
        "serviceAccountName": app(index), "serviceAccount": app(index),
        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
        "securityContext": {}, "terminationGracePeriodSeconds": 30, "enableServiceLinks": true,
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists",
            "effect": "NoExecute", "tolerationSeconds": 300}],
        "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
    })
}

fn pod_status(index: usize, number: usize) -> Value {
    let ip = address(index, number);
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "lastProbeTime": null,
            "lastTransitionTime": "2026-03-01T10:15:40Z"})
    };
    let kinds = ["PodScheduled", "Initialized", "ContainersReady", "Ready"];
    json!({
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "hostIP": format!("192.0.2.{}", 1 + (index * PODS + number) % NODES),
        "startTime": "2026-03-01T10:15:30Z", "qosClass": "Burstable",
        "conditions": kinds.map(condition),
        "containerStatuses": [{
            "name": "app", "ready": true, "started": true, "restartCount": 0,
            "image": format!("registry.example/team/{}:v1.4.2", app(index)),
            "imageID": format!("registry.example/team/{}@sha256:{:064x}", app(index), index),
            "containerID": format!("containerd://{:064x}", index * PODS + number),
            "state": {"running": {"startedAt": "2026-03-01T10:15:39Z"}}, "lastState": {},
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pod_is_behind_its_service() {
        let slice = slice(999);
        let last = slice["endpoints"][PODS - 1].clone();
        assert_eq!(last["addresses"][0], last_address());
        let pod = pod(999, PODS - 1);
        assert_eq!(pod["metadata"]["name"], last["targetRef"]["name"]);
        assert_eq!(pod["status"]["podIP"], last_address());
        assert!(pod.to_string().len() > 3000, "{}", pod.to_string().len());
    }
}
