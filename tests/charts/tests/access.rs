//! Least privilege: what the accounts and pods of the charts may do.

use anyhow::{Context, Result};
use meltemi_api::Kind;
use meltemi_api::kinds::KINDS;
use meltemi_charts::access::{Rule, dangling, rules, too_much};
use meltemi_charts::pods::exposed;
use meltemi_charts::{render, the};

const VARIANTS: [(&str, &[&str]); 10] = [
    ("base", &[]),
    ("meltemid", &[]),
    (
        "meltemid",
        &["revision=1-1", "global.networkPolicy.enabled=true"],
    ),
    (
        "meltemid",
        &["credentials.namespaces={a,b}", "plaintextXds.enabled=true"],
    ),
    (
        "meltemid",
        &[
            "autoscaleEnabled=false",
            "profile=strict",
            "global.logAsJson=true",
        ],
    ),
    (
        "meltemid",
        &[
            "global.certSigners={example.com/mesh}",
            "env.ENABLE_CA_SERVER=false",
        ],
    ),
    ("gateway", &[]),
    ("gateway", &["image=a/b:c"]),
    ("gateway", &["kind=DaemonSet", "revision=1-1"]),
    (
        "gateway",
        &["serviceAccount.create=false", "networkGateway=net1"],
    ),
];

/// Accounts that other releases bring.
const OTHERS: [&str; 3] = [
    "istio-system/istiod",
    "istio-system/istiod-1-1",
    "istio-system/default",
];

#[test]
fn no_role_allows_too_much() -> Result<()> {
    for (chart, values) in VARIANTS {
        let objects = render(chart, values)?;
        assert_eq!(too_much(&rules(&objects)), [""; 0], "{chart} {values:?}");
    }
    Ok(())
}

#[test]
fn every_binding_has_both_ends() -> Result<()> {
    for (chart, values) in VARIANTS {
        let others: &[&str] = if chart == "gateway" { &OTHERS } else { &[] };
        let objects = render(chart, values)?;
        assert_eq!(dangling(&objects, others), [""; 0], "{chart} {values:?}");
    }
    Ok(())
}

#[test]
fn no_pod_is_more_than_restricted() -> Result<()> {
    let mut pods = 0;
    for (chart, values) in VARIANTS {
        let objects = render(chart, values)?;
        pods += objects
            .iter()
            .filter(|object| object.pod().is_some())
            .count();
        assert_eq!(exposed(&objects), [""; 0], "{chart} {values:?}");
    }
    assert_eq!(pods, 14, "each control plane has two, each gateway one");
    Ok(())
}

#[test]
fn secrets_of_all_namespaces_are_asked_for() -> Result<()> {
    let found = too_much(&rules(&render(
        "meltemid",
        &["credentials.allNamespaces=true"],
    )?));
    assert_eq!(found.len(), 1, "{found:?}");
    Ok(())
}

#[test]
fn signers_are_asked_where_they_are_named() -> Result<()> {
    let group = "certificates.k8s.io";
    let requests = "certificatesigningrequests";
    let needed = [
        ("create", requests),
        ("get", requests),
        ("delete", requests),
        ("update", "certificatesigningrequests/approval"),
    ];
    let without = rules(&render("meltemid", &[])?);
    let with = rules(&render("meltemid", &["global.certSigners={a.b/c}"])?);
    for (verb, resource) in needed {
        assert!(!allows(&without, verb, group, resource), "{verb}");
        assert!(allows(&with, verb, group, resource), "{verb} {resource}");
    }
    Ok(())
}

fn allows(rules: &[Rule], verb: &str, group: &str, resource: &str) -> bool {
    rules
        .iter()
        .any(|rule| rule.everywhere && rule.allows(verb, group, resource))
}

#[test]
fn every_watched_kind_may_be_read_and_every_mesh_kind_told_its_status() -> Result<()> {
    let rules = rules(&render("meltemid", &[])?);
    let mut missing = Vec::new();
    // Endpoints are mirrored into EndpointSlices; mesh configuration is a ConfigMap of one name.
    // What holds certificates is read where a Role says so.
    let watched =
        |kind: Kind| !matches!(kind, Kind::Endpoints | Kind::MeshConfig) && !kind.is_credential();
    for info in KINDS.iter().filter(|info| watched(info.kind)) {
        for verb in ["get", "list", "watch"] {
            if !allows(&rules, verb, info.group, info.plural) {
                missing.push(format!("{verb} {}/{}", info.group, info.plural));
            }
        }
        let status = format!("{}/status", info.plural);
        if info.group.ends_with("istio.io") && !allows(&rules, "patch", info.group, &status) {
            missing.push(format!("patch {}/{status}", info.group));
        }
    }
    assert_eq!(missing, [""; 0]);
    assert!(allows(
        &rules,
        "create",
        "authentication.k8s.io",
        "tokenreviews"
    ));
    assert!(allows(
        &rules,
        "create",
        "authorization.k8s.io",
        "subjectaccessreviews"
    ));
    assert!(!allows(&rules, "patch", "networking.istio.io", "gateways"));
    let (group, hooks) = (
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
    );
    assert!(allows(&rules, "patch", group, hooks));
    for verb in ["create", "delete", "update"] {
        assert!(!allows(&rules, verb, group, hooks), "{verb}");
    }
    Ok(())
}

#[test]
fn a_gateway_lets_its_control_plane_read_the_secrets_beside_it() -> Result<()> {
    let objects = render("gateway", &["revision=1-1"])?;
    let binding = the(&objects, "RoleBinding")?;
    let subjects = binding.at("/subjects").as_array().context("no subjects")?;
    let names: Vec<_> = subjects
        .iter()
        .filter_map(|subject| subject.get("name")?.as_str())
        .collect();
    assert_eq!(names, ["istio-ingressgateway", "istiod-1-1"]);
    Ok(())
}
