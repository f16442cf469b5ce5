//! The chart `base`: the definitions of `crds/`, unchanged, and kept when the release goes.

use anyhow::{Context, Result};
use meltemi_charts::{Object, objects, render};
use meltemi_testkit::{helm, paths};
use serde_json::Value;

fn definitions(values: &[&str]) -> Result<Vec<Object>> {
    let mut all = render("base", values)?;
    all.retain(|object| object.kind() == "CustomResourceDefinition");
    all.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(all)
}

#[test]
fn the_chart_holds_the_definitions_of_the_repository() -> Result<()> {
    let found = std::fs::read_to_string(paths::repository().join(helm::DEFINITIONS))?;
    assert!(
        found == helm::definitions()?,
        "{} is not current; run: cargo xtask generate",
        helm::DEFINITIONS
    );
    Ok(())
}

#[test]
fn only_metadata_is_added_to_a_definition() -> Result<()> {
    let mut wanted = objects(&helm::definitions()?)?;
    wanted.sort_by(|a, b| a.name().cmp(b.name()));
    assert_eq!(wanted.len(), 15);
    let mut found = definitions(&[])?;
    for definition in &mut found {
        let metadata = definition
            .0
            .get_mut("metadata")
            .and_then(Value::as_object_mut);
        let metadata = metadata.context("no metadata")?;
        metadata.remove("annotations").context("no annotations")?;
        metadata.remove("labels").context("no labels")?;
    }
    assert!(found == wanted, "a definition is not what crds/ says");
    Ok(())
}

#[test]
fn definitions_stay_when_the_release_goes() -> Result<()> {
    let all = definitions(&[])?;
    assert_eq!(all.len(), 15);
    for definition in all {
        let policy = definition.text("/metadata/annotations/helm.sh~1resource-policy");
        assert_eq!(policy, "keep", "{}", definition.name());
    }
    Ok(())
}

#[test]
fn definitions_can_be_left_to_another_release() -> Result<()> {
    let without = definitions(&[
        "base.excludedCRDs={gateways.networking.istio.io,telemetries.telemetry.istio.io}",
    ])?;
    assert_eq!(without.len(), 13);
    assert!(
        !without
            .iter()
            .any(|object| object.name() == "gateways.networking.istio.io")
    );
    assert_eq!(definitions(&["base.enableCRDTemplates=false"])?.len(), 0);
    Ok(())
}
