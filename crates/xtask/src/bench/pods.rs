//! `bench pods`: pods injected a second, through TLS and HTTP, and what a pod's names cost.
//!
//! A release build on one core, asked by `meltemi-podload` on another over connections that are kept,
//! as an API server keeps them. What counts is the CPU that the control plane itself has used
//! (schedstat of its threads), not that of who asks. The limits of the webhook for one address
//! (bytes that are read at once, connections) are as everywhere: these loads stay below.
//!
//! Then the agent of a pod is asked for names of the mesh, as by `bench dns`; and on a real node, with
//! the builds of the tests, pods are made with a proxy and without one: how long until each is ready.

use super::cost::{self, Cost};
use super::table::Table;
use super::{dns, load};
use crate::shell::say;
use anyhow::{Context, Result};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::reviews::Reviews;
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Pods a second of one core.
const RATE: f64 = 2000.0;
const SECONDS: u64 = 10;
/// Connections that an API server asks on while many pods are made at once.
const CONNECTIONS: usize = 32;
const DOORS: [&str; 4] = [
    "--secureGRPCAddr",
    "--httpAddr",
    "--monitoringAddr",
    "--httpsAddr",
];
const DEADLINE: Duration = Duration::from_secs(20);
const ROOT: &str = "/api/v1/namespaces/istio-system/configmaps/istio-ca-root-cert";
const CONFIG: &str = "/api/v1/namespaces/istio-system/configmaps/istio-sidecar-injector";

/// True when every pod gets its proxy and the bound holds.
pub(crate) fn run() -> Result<bool> {
    say("pods of Deployments over 32 connections of HTTPS, control plane on one core");
    let dir = super::release()?;
    let mut table = Table::default();
    table.note("load average of the last minute", &cost::load_average()?);
    injections(&dir, &mut table)?;
    say("names of 1000 services, asked of the agent of a pod over UDP");
    dns::measure(&dir, &mut table)?;
    readiness(&mut table)?;
    Ok(table.end())
}

/// From a pod's creation until `kubectl wait` has seen it ready.
fn readiness(table: &mut Table) -> Result<()> {
    let scratch = Scratch::new("bench-ready")?;
    let file = scratch.path().join("figures.json");
    crate::e2e::readiness(&file)?;
    let text = std::fs::read_to_string(&file).context("the test wrote no figures")?;
    let figures: Value = serde_json::from_str(&text)?;
    let seconds = |name: &str| figures.get(name).and_then(Value::as_f64);
    let (plain, proxied) = (seconds("plain"), seconds("proxied"));
    let (plain, proxied) = plain.zip(proxied).context("figures are missing")?;
    table.note(
        "a pod without a proxy is ready after",
        &format!("{plain:.2} s"),
    );
    table.note(
        "a pod with a proxy is ready after",
        &format!("{proxied:.2} s"),
    );
    Ok(())
}

/// Pods a second.
fn injections(dir: &Path, table: &mut Table) -> Result<()> {
    let scratch = Scratch::new("bench-pods")?;
    let reviews = Reviews::start(&["istio-system", "shop"])?;
    reviews.put(CONFIG, config());
    let plane = load::plane((dir, &scratch), &reviews, &DOORS)?;
    let map = wait::until(
        "the root certificate",
        DEADLINE,
        || Ok(reviews.object(ROOT)),
    )?;
    let roots = map.pointer("/data/root-cert.pem").context("no root")?;
    for (what, containers) in [("a pod", 1), ("a pod of 15 containers", 15)] {
        let body = review(&pod(containers));
        let bytes = body.to_string().len();
        let work = json!({
            "server": plane.webhook()?, "roots": roots, "bodies": [body],
            "connections": CONNECTIONS, "seconds": SECONDS,
        });
        let before = Cost::of(plane.pid())?;
        let done = load::run((dir, "meltemi-podload"), &work)?;
        let used = Cost::of(plane.pid())?.since(&before).as_secs_f64();
        let number = |name: &str| done.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let answered = number("answered");
        let rate = answered / used;
        let row = format!("{what}: injections a second of CPU");
        match containers {
            1 => table.holds(&row, &format!("{rate:.0}"), rate >= RATE),
            _ => table.note(&row, &format!("{rate:.0}")),
        }
        let row = format!("{what}: injections a second, one core each side");
        table.note(&row, &format!("{:.0}", answered / number("seconds")));
        let row = format!("{what}: CPU of the control plane for each");
        table.note(&row, &format!("{:.0} us", used * 1e6 / answered));
        for percent in [50, 99] {
            let row = format!("{what}: until the answer, {percent} of 100 within");
            let micros = number(&format!("p{percent}_us"));
            table.note(&row, &format!("{:.2} ms", micros / 1000.0));
        }
        let row = format!("{what}: bytes of the question");
        table.note(&row, &bytes.to_string());
    }
    let resident = Cost::of(plane.pid())?.resident_mib();
    table.note("resident memory afterwards", &format!("{resident:.2} MiB"));
    Ok(())
}

/// What the charts make of the injector's settings, in short.
fn config() -> Value {
    let values = json!({"global": {"hub": "registry.example/mesh", "tag": "1.0"}, "revision": ""});
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio-sidecar-injector", "namespace": "istio-system", "resourceVersion": "1"},
        "data": {"config": "policy: enabled\n", "values": values.to_string()},
    })
}

/// A pod as its ReplicaSet makes it, with what the API server has filled in and put in itself.
fn pod(containers: u32) -> Value {
    let containers: Vec<Value> = (0..containers).map(container).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": "checkout-7c9d8f6b5d-", "namespace": "shop", "creationTimestamp": null,
            "labels": {
                "app": "checkout", "app.kubernetes.io/name": "checkout", "version": "v3",
                "pod-template-hash": "7c9d8f6b5d",
            },
            "annotations": {
                "prometheus.io/scrape": "true", "prometheus.io/port": "9090",
                "checksum/config": "b3c1c2f4a9d87c55d1f0a5e0f2f5b1d9",
            },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-7c9d8f6b5d",
                "uid": "5b2f3a60-7a54-4d0e-b1ce-6f1f0a8d2b11", "controller": true,
                "blockOwnerDeletion": true,
            }],
            "managedFields": [{
                "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
                "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:containers": {}}},
            }],
        },
        "spec": {
            "containers": containers,
            "volumes": [
                {"name": "config", "configMap": {"name": "checkout", "defaultMode": 420}},
                {"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace",
                        "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
                ]}},
            ],
            "serviceAccountName": "checkout", "serviceAccount": "checkout",
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst", "securityContext": {}, "schedulerName": "default-scheduler",
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300},
            ],
            "priority": 0, "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {},
    })
}

fn container(index: u32) -> Value {
    let port = 8080 + index;
    let probe = |path: &str| {
        json!({
            "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        })
    };
    let mounts = json!([
        {"name": "config", "mountPath": "/etc/app", "readOnly": true},
        {"name": "kube-api-access-x7k2p", "readOnly": true,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
    ]);
    json!({
        "name": format!("app-{index}"), "image": "registry.example/shop/checkout:3.4.1",
        "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
        "env": [
            {"name": "LOG_LEVEL", "value": "info"},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "checkout", "key": "password"}}},
        ],
        "resources": {
            "limits": {"cpu": "1", "memory": "512Mi"}, "requests": {"cpu": "250m", "memory": "256Mi"},
        },
        "volumeMounts": mounts, "livenessProbe": probe("/live"), "readinessProbe": probe("/ready"),
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    })
}

/// The question that an API server asks about it.
fn review(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "namespace": "shop", "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "uid": "c1b4c1b0-3c0a-4c7e-9d8e-0a1b2c3d4e5f",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
            },
            "object": pod, "oldObject": null, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}
