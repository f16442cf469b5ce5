//! Who is called how: Istio's names and labels, and two revisions that do not meet.

use anyhow::{Context, Result};
use meltemi_charts::{Object, named, render, selects, the};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn ids(objects: &[Object]) -> BTreeSet<String> {
    objects.iter().map(Object::id).collect()
}

fn labels(object: &Object) -> Result<&Value> {
    let pod = object.pod().context("no pods")?;
    pod.pointer("/metadata/labels").context("no labels")
}

#[test]
fn two_revisions_share_no_object() -> Result<()> {
    let default = render("meltemid", &[])?;
    let other = render("meltemid", &["revision=1-1"])?;
    assert_eq!(default.len(), other.len());
    let shared: Vec<_> = ids(&default).intersection(&ids(&other)).cloned().collect();
    assert_eq!(shared, [""; 0]);
    let base = ids(&render("base", &[])?);
    let gateway = ids(&render("gateway", &[])?);
    for ours in [ids(&default), ids(&other)] {
        assert!(ours.is_disjoint(&base) && ours.is_disjoint(&gateway));
    }
    // The same revision under two spellings is the same.
    assert_eq!(
        ids(&render("meltemid", &["revision=default"])?),
        ids(&default)
    );
    Ok(())
}

#[test]
fn two_revisions_select_only_their_own_pods() -> Result<()> {
    let revisions = ["revision=", "revision=1-1"];
    for (i, mine) in revisions.iter().enumerate() {
        for (j, theirs) in revisions.iter().enumerate() {
            let objects = render("meltemid", &[mine, "global.networkPolicy.enabled=true"])?;
            let others = render("meltemid", &[theirs])?;
            let pods = labels(the(&others, "Deployment")?)?;
            let selectors = [
                ("Service", "/spec/selector"),
                ("Deployment", "/spec/selector/matchLabels"),
                ("PodDisruptionBudget", "/spec/selector/matchLabels"),
                ("NetworkPolicy", "/spec/podSelector/matchLabels"),
            ];
            for (kind, pointer) in selectors {
                let selector = the(&objects, kind)?.at(pointer);
                assert_eq!(
                    selects(selector, pods),
                    i == j,
                    "{kind} of {mine}, {theirs}"
                );
            }
            // Not the pod of the job that cleans up either.
            let job = labels(the(&others, "Job")?)?;
            assert!(!selects(
                the(&objects, "Service")?.at("/spec/selector"),
                job
            ));
        }
    }
    Ok(())
}

#[test]
fn the_control_plane_is_found_by_istios_tools() -> Result<()> {
    let cases = [
        ("revision=", "istiod", "istio", "pilot", "default"),
        ("revision=1-1", "istiod-1-1", "istio-1-1", "istiod", "1-1"),
    ];
    for (values, name, config, istio, revision) in cases {
        let objects = render("meltemid", &[values])?;
        let deployment = the(&objects, "Deployment")?;
        assert_eq!(deployment.name(), name);
        assert_eq!(
            deployment.text("/spec/template/spec/containers/0/name"),
            "discovery"
        );
        let labels = labels(deployment)?;
        let wanted = json!({
            "app": "istiod", "istio": istio, "istio.io/rev": revision,
            "app.kubernetes.io/name": "meltemi",
        });
        assert!(selects(&wanted, labels), "{labels}");
        named(&objects, "ConfigMap", config)?;
        let injector = config.replace("istio", "istio-sidecar-injector");
        named(&objects, "ConfigMap", &injector)?;
        let service = the(&objects, "Service")?;
        assert_eq!(service.name(), name);
        assert!(selects(
            &json!({"app": "istiod", "istio.io/rev": revision}),
            service.at("/metadata/labels")
        ));
        assert_eq!(service.at("/metadata/labels/istio.io~1tag"), &Value::Null);
    }
    Ok(())
}

#[test]
fn ports_have_istios_names_and_plaintext_is_asked_for() -> Result<()> {
    let ports = |objects: &[Object]| -> Result<Vec<String>> {
        let ports = the(objects, "Service")?.at("/spec/ports").clone();
        let ports = ports.as_array().context("no ports")?.clone();
        Ok(ports
            .iter()
            .map(|port| format!("{} {}->{}", port["name"], port["port"], port["targetPort"]))
            .map(|port| port.replace('"', ""))
            .collect())
    };
    let secure = [
        "https-dns 15012->15012",
        "https-webhook 443->15017",
        "http-monitoring 15014->15014",
    ];
    let default = render("meltemid", &[])?;
    assert_eq!(ports(&default)?, secure);
    assert!(!the(&default, "Deployment")?.0.to_string().contains("15010"));
    let plain = render("meltemid", &["plaintextXds.enabled=true"])?;
    assert_eq!(
        ports(&plain)?.first().map(String::as_str),
        Some("grpc-xds 15010->15010")
    );
    assert!(
        the(&plain, "Deployment")?
            .0
            .to_string()
            .contains("--grpcAddr=:15010")
    );
    Ok(())
}

#[test]
fn a_tag_is_one_more_service_of_the_revision() -> Result<()> {
    let objects = render("meltemid", &["revision=1-1", "revisionTags={prod}"])?;
    let services: Vec<_> = objects.iter().filter(|o| o.kind() == "Service").collect();
    let names: Vec<_> = services.iter().map(|service| service.name()).collect();
    assert_eq!(names, ["istiod-1-1", "istiod-revision-tag-prod"]);
    let selectors: BTreeSet<_> = services
        .iter()
        .map(|s| s.at("/spec/selector").to_string())
        .collect();
    assert_eq!(selectors.len(), 1);
    let tags = services
        .iter()
        .filter(|s| !s.at("/metadata/labels/istio.io~1tag").is_null());
    assert_eq!(tags.count(), 1);
    Ok(())
}

#[test]
fn a_gateway_is_labelled_by_its_release() -> Result<()> {
    let objects = render("gateway", &[])?;
    let pods = labels(the(&objects, "Deployment")?)?;
    // What `spec.selector` of a Gateway says, and external-dns looks for in Services.
    let gateway = json!({"istio": "ingressgateway"});
    let service = the(&objects, "Service")?;
    assert!(selects(&gateway, pods));
    assert!(selects(&gateway, service.at("/spec/selector")));
    assert!(selects(service.at("/spec/selector"), pods));
    assert_eq!(service.text("/spec/type"), "LoadBalancer");
    let named = render("gateway", &["name=edge", "labels.istio=outside"])?;
    let pods = labels(the(&named, "Deployment")?)?;
    assert!(
        selects(&json!({"app": "edge", "istio": "outside"}), pods),
        "{pods}"
    );
    Ok(())
}
