//! Values: Istio's names work, wrong ones are refused with their path, unknown ones are named.

use anyhow::{Context, Result};
use meltemi_api::yaml::{Outcome, Source, read_mesh_config, read_mesh_networks};
use meltemi_charts::{Object, helm, named, release, render, the};
use meltemi_testkit::helm::{MANIFESTS, answer};
use meltemi_testkit::paths;
use serde_json::Value;
use std::collections::BTreeSet;

#[test]
fn wrong_types_are_refused_with_their_path() -> Result<()> {
    let cases = [
        ("base", "base.excludedCRDs=x", "/base/excludedCRDs"),
        ("base", "base.enableCRDTemplate=true", "enableCRDTemplate"),
        ("meltemid", "replicaCount=two", "/replicaCount"),
        ("meltemid", "pilot.replicaCount=two", "/pilot/replicaCount"),
        (
            "meltemid",
            "global.logging.level=3",
            "/global/logging/level",
        ),
        ("meltemid", "revision=A_b", "/revision"),
        ("meltemid", "traceSampling=101", "/traceSampling"),
        ("meltemid", "cleanup.enable=false", "enable"),
        (
            "meltemid",
            "credentials.namespaces=a",
            "/credentials/namespaces",
        ),
        ("meltemid", "meshConfig=x", "/meshConfig"),
        (
            "gateway",
            "service.ports[0].port=http",
            "/service/ports/0/port",
        ),
        ("gateway", "kind=StatefulSet", "/kind"),
        ("cni", "cniBinDir=bin", "/cniBinDir"),
        ("cni", "cni.provider=calico", "/cni/provider"),
        ("gateway", "labels.a=1", "/labels/a"),
        (
            "meltemid",
            "global.proxy.autoInject=yes",
            "/global/proxy/autoInject",
        ),
        (
            "meltemid",
            "sidecarInjectorWebhook.reinvocationPolicy=Maybe",
            "/sidecarInjectorWebhook/reinvocationPolicy",
        ),
    ];
    for (chart, value, path) in cases {
        let error = render(chart, &[value]).err();
        let text = format!(
            "{:#}",
            error.with_context(|| format!("{chart} takes {value}"))?
        );
        assert!(text.contains(path), "{chart} {value}: {text}");
    }
    Ok(())
}

#[test]
fn what_istios_users_set_is_accepted() -> Result<()> {
    let values = [
        "pilot.cni.enabled=true",
        "global.proxy.holdApplicationUntilProxyStarts=true",
        "global.proxy.resources.requests.cpu=10m",
        "global.externalIstiod=false",
        "global.caAddress=ca:1",
        "sidecarInjectorWebhook.rewriteAppHTTPProbe=true",
        "keepaliveMaxServerConnectionAge=30m",
        "compatibilityVersion=1.28",
        "telemetry.enabled=true",
        "istiodRemote.enabled=false",
        "tag=1.2",
    ];
    // What pods are told of it is the injector's.
    let others = |values: &[&str]| -> Result<Vec<Object>> {
        let mut all = render("meltemid", values)?;
        all.retain(|object| object.name() != "istio-sidecar-injector");
        Ok(all)
    };
    assert_eq!(others(&values)?, others(&["tag=1.2"])?);
    render(
        "gateway",
        &["unknown.thing=1", "global.imagePullPolicy=Always"],
    )?;
    render(
        "base",
        &[
            "defaultRevision=default",
            "experimental.stableValidationPolicy=true",
        ],
    )?;
    Ok(())
}

#[test]
fn pilot_wins_over_the_top() -> Result<()> {
    let values = [
        "replicaCount=4",
        "pilot.replicaCount=3",
        "pilot.autoscaleEnabled=false",
        "pilot.env.A=1",
    ];
    let objects = render("meltemid", &values)?;
    let deployment = the(&objects, "Deployment")?;
    assert_eq!(deployment.at("/spec/replicas"), 3);
    assert!(
        deployment
            .0
            .to_string()
            .contains(r#"{"name":"A","value":"1"}"#)
    );
    assert!(the(&objects, "HorizontalPodAutoscaler").is_err());
    Ok(())
}

#[test]
fn images_and_levels_follow_the_values() -> Result<()> {
    let cases = [
        ("global.hub=h", "h/meltemid:0.1.0", "info"),
        ("global.tag=2", "docker.io/meltemi/meltemid:2", "info"),
        (
            "variant=distroless",
            "docker.io/meltemi/meltemid:0.1.0-distroless",
            "info",
        ),
        ("image=a/b:c", "a/b:c", "info"),
        (
            "global.logging.level=all:info\\,default:debug",
            "docker.io/meltemi/meltemid:0.1.0",
            "debug",
        ),
        (
            "global.logging.level=default:none",
            "docker.io/meltemi/meltemid:0.1.0",
            "off",
        ),
        (
            "global.logging.level=warn",
            "docker.io/meltemi/meltemid:0.1.0",
            "warn",
        ),
    ];
    for (value, image, level) in cases {
        let objects = render("meltemid", &[value])?;
        for kind in ["Deployment", "Job"] {
            let found = the(&objects, kind)?
                .text("/spec/template/spec/containers/0/image")
                .to_owned();
            assert_eq!(found, image, "{kind} {value}");
        }
        let text = the(&objects, "Deployment")?.0.to_string();
        let wanted = format!(r#"{{"name":"MELTEMI_LOG","value":"{level}"}}"#);
        assert!(text.contains(&wanted), "{value}");
    }
    Ok(())
}

#[test]
fn a_budget_needs_more_than_one_replica() -> Result<()> {
    let budget = |values: &[&str]| -> Result<bool> {
        Ok(the(&render("meltemid", values)?, "PodDisruptionBudget").is_ok())
    };
    assert!(budget(&[])?);
    assert!(!budget(&["autoscaleMin=1"])?);
    assert!(!budget(&["autoscaleEnabled=false", "replicaCount=1"])?);
    assert!(!budget(&[
        "global.defaultPodDisruptionBudget.enabled=false"
    ])?);
    Ok(())
}

#[test]
fn the_mesh_configuration_is_one_that_we_read() -> Result<()> {
    let values = [
        "meshConfig.trustDomain=td",
        "meshConfig.defaultConfig.holdApplicationUntilProxyStarts=true",
        "meshConfig.accessLogFile=/dev/stdout",
        "global.meshID=m",
        "global.meshNetworks.n.endpoints[0].fromRegistry=c",
        "global.meshNetworks.n.gateways[0].address=1.1.1.1",
        "global.meshNetworks.n.gateways[0].port=15443",
    ];
    for values in [&[][..], &values] {
        let objects = render("meltemid", values)?;
        let config = named(&objects, "ConfigMap", "istio")?;
        let mesh = read_mesh_config(config.text("/data/mesh").as_bytes(), &Source::new("mesh"));
        assert!(
            matches!(mesh.outcome, Outcome::Object(_)),
            "{:?}",
            mesh.diagnostics
        );
        assert_eq!(mesh.diagnostics, [], "{}", config.text("/data/mesh"));
        let networks = config.text("/data/meshNetworks").as_bytes();
        let networks = read_mesh_networks(networks, &Source::new("meshNetworks"));
        assert_eq!(
            networks.outcome,
            Outcome::LeftOut,
            "{:?}",
            networks.diagnostics
        );
    }
    let text = named(&render("meltemid", &values)?, "ConfigMap", "istio")?
        .text("/data/mesh")
        .to_owned();
    assert!(
        text.contains("trustDomain: td") && text.contains("discoveryAddress: istiod."),
        "{text}"
    );
    Ok(())
}

/// The notes, which `helm template` does not show.
fn notes(chart: &str, values: &[&str]) -> Result<String> {
    let helm = helm()?;
    let release = release(chart)?;
    let mut command = helm.command("install");
    command
        .args([release.release, &format!("charts/{chart}")])
        .args(["--namespace", release.namespace, "--dry-run=client"])
        .args(values.iter().flat_map(|value| ["--set", value]));
    let text = answer(&mut command)?;
    let (_, notes) = text.split_once("NOTES:").context("no notes")?;
    Ok(notes.to_owned())
}

#[test]
fn the_notes_name_values_without_effect() -> Result<()> {
    for manifest in MANIFESTS {
        let plain = notes(manifest.chart, &[])?;
        assert!(plain.contains("Next:"), "{plain}");
        assert!(
            !plain.contains("has no effect"),
            "{}: {plain}",
            manifest.chart
        );
        let typo = notes(manifest.chart, &["replicaz=3"])?;
        assert!(
            typo.contains(r#"the value "replicaz" has no effect"#),
            "{typo}"
        );
    }
    Ok(())
}

#[test]
fn the_schema_knows_every_value() -> Result<()> {
    for manifest in MANIFESTS {
        let dir = paths::repository().join("charts").join(manifest.chart);
        let values: Value =
            serde_yaml::from_str(&std::fs::read_to_string(dir.join("values.yaml"))?)?;
        let schema = std::fs::read_to_string(dir.join("values.schema.json"))?;
        let schema: Value = serde_json::from_str(&schema)?;
        let mut known = BTreeSet::new();
        for pointer in ["/properties", "/$defs/settings/properties"] {
            let properties = schema.pointer(pointer).and_then(Value::as_object);
            known.extend(properties.into_iter().flat_map(|p| p.keys().cloned()));
        }
        let values = values.as_object().context("no values")?;
        let strangers: Vec<_> = values.keys().filter(|key| !known.contains(*key)).collect();
        assert_eq!(strangers, [""; 0], "{}", manifest.chart);
    }
    Ok(())
}
