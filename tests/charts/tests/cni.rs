//! What captures traffic from the nodes: it has the folders of a node, and little else.

#![allow(
    clippy::indexing_slicing,
    reason = "JSON: what is absent reads as null"
)]

use anyhow::{Context, Result};
use meltemi_charts::access::{dangling, rules, too_much};
use meltemi_charts::pods::exposed;
use meltemi_charts::{Object, named, render, selects, the};
use serde_json::Value;

const CONTAINER: &str = "/spec/template/spec/containers/0";

fn variable(set: &Object, name: &str) -> Result<Value> {
    let all = set.at(&format!("{CONTAINER}/env")).as_array();
    let mut all = all.context("no environment")?.iter();
    let found = all.find(|one| one.get("name").and_then(Value::as_str) == Some(name));
    Ok(found.with_context(|| format!("no {name}"))?.clone())
}

#[test]
fn it_is_root_for_the_folders_of_the_node_and_has_no_more_rights() -> Result<()> {
    let objects = render("cni", &[])?;
    let node = "DaemonSet istio-system/istio-cni-node";
    let wrong = [
        "may run as root",
        "does not say which user it runs as",
        "mounts files of its node",
    ];
    assert_eq!(
        exposed(&objects),
        wrong.map(|what| format!("{node}: {what}"))
    );
    let set = the(&objects, "DaemonSet")?;
    let volumes = set.at("/spec/template/spec/volumes").as_array();
    let folders: Vec<_> = volumes
        .context("no volumes")?
        .iter()
        .filter_map(|volume| volume.pointer("/hostPath/path")?.as_str())
        .collect();
    assert_eq!(
        folders,
        ["/opt/cni/bin", "/etc/cni/net.d", "/var/run/istio-cni"]
    );
    Ok(())
}

#[test]
fn its_token_which_lies_on_every_node_reads_pods_one_by_one() -> Result<()> {
    for values in [
        &[][..],
        &[
            "provider=multus",
            "chained=false",
            "resourceQuotas.enabled=true",
        ],
    ] {
        let objects = render("cni", values)?;
        assert_eq!(dangling(&objects, &[]), [""; 0]);
        let rules = rules(&objects);
        assert_eq!(too_much(&rules), [""; 0]);
        assert_eq!(rules.len(), 2, "{rules:?}");
        let everywhere: Vec<_> = rules.iter().filter(|rule| rule.everywhere).collect();
        assert!(everywhere.iter().all(|rule| rule.allows("get", "", "pods")));
        for verb in ["list", "watch", "delete", "patch", "create"] {
            assert!(
                !rules.iter().any(|rule| rule.allows(verb, "", "pods")),
                "{verb}"
            );
        }
        // Of one name alone.
        assert!(
            !rules
                .iter()
                .any(|rule| rule.allows("get", "apps", "daemonsets"))
        );
    }
    Ok(())
}

#[test]
fn it_is_found_by_istios_names_and_is_no_part_of_the_mesh() -> Result<()> {
    let objects = render("cni", &[])?;
    let set = named(&objects, "DaemonSet", "istio-cni-node")?;
    assert_eq!(set.text(&format!("{CONTAINER}/name")), "install-cni");
    let labels = set.at("/spec/template/metadata/labels");
    assert!(selects(set.at("/spec/selector/matchLabels"), labels));
    assert_eq!(labels.get("k8s-app"), Some(&Value::from("istio-cni-node")));
    assert_eq!(
        labels.get("sidecar.istio.io/inject"),
        Some(&Value::from("false"))
    );
    assert_eq!(
        set.text("/spec/template/spec/priorityClassName"),
        "system-node-critical"
    );
    // The plugin knows the pods of its installer by this name.
    assert_eq!(variable(set, "DAEMONSET_NAME")?["value"], set.name());
    Ok(())
}

#[test]
fn values_reach_the_node() -> Result<()> {
    let values = [
        "cniBinDir=/home/kubernetes/bin",
        "cni.cniConfDir=/var/cni",
        "cniConfFileName=10-a.conflist",
        "excludeNamespaces={kube-system,istio-system}",
        "chained=false",
        "logging.level=none",
        "global.nativeNftables=true",
        "global.tag=2",
    ];
    let objects = render("cni", &values)?;
    let set = the(&objects, "DaemonSet")?;
    for (name, value) in [
        ("CNI_CONF_NAME", "10-a.conflist"),
        ("EXCLUDE_NAMESPACES", "kube-system,istio-system"),
        ("CHAINED_CNI_PLUGIN", "false"),
        ("PLUGIN_LOG_LEVEL", "none"),
        ("MELTEMI_LOG", "off"),
        ("NATIVE_NFTABLES", "true"),
    ] {
        assert_eq!(variable(set, name)?["value"], value, "{name}");
    }
    assert_eq!(
        set.text(&format!("{CONTAINER}/image")),
        "docker.io/meltemi/cni:2"
    );
    let volumes = set.at("/spec/template/spec/volumes").to_string();
    assert!(volumes.contains("/home/kubernetes/bin") && volumes.contains("/var/cni"));
    let has_network = |values: &[&str]| -> Result<bool> {
        Ok(the(&render("cni", values)?, "NetworkAttachmentDefinition").is_ok())
    };
    assert!(has_network(&["provider=multus"])? && !has_network(&[])?);
    Ok(())
}
