//! The objects of a scenario as changes, in the form in which any source says them. Lines are
//! those of the scenario file wherever its texts are literal blocks; columns are of the text.

use super::{Scenario, hosts, registry};
use crate::failure::{Failure, INTERNAL};
use meltemi_api::Change;
use meltemi_api::yaml::Admission;
use meltemi_files::{Input, Options};
use meltemi_types::FieldPath;
use serde_json::{Value, json};
use std::sync::Arc;

/// Everything the scenario says of its mesh.
pub(super) fn changes(scenario: &Scenario) -> Result<Vec<Change>, Failure> {
    let content = &scenario.content;
    let mut texts = vec![("meshConfig".to_owned(), mesh_config(scenario))];
    texts.push(("config".to_owned(), content.config.clone()));
    texts.push(("kubeConfig".to_owned(), content.kube_config.clone()));
    texts.push(("registry".to_owned(), registry::objects(&content.registry)));
    let texts = texts
        .into_iter()
        .filter_map(|(field, text)| Some((field, text?)));
    let inputs: Vec<Input> = texts
        .map(|(field, text)| input(scenario, &field, &text))
        .collect();
    let mut changes = read(&inputs, &existing())?;
    hosts::complete(&mut changes);
    for (cluster, text) in &content.kube_objects_by_cluster {
        let options = Options {
            cluster: cluster.parse().map_err(|error| {
                let message = format!("{}: kubeObjectsByCluster: {error}", scenario.file);
                Failure::new(crate::failure::UNREADABLE, message)
            })?,
            ..existing()
        };
        let field = format!("kubeObjectsByCluster.{cluster}");
        changes.extend(read(&[input(scenario, &field, text)], &options)?);
    }
    Ok(changes)
}

/// A scenario says what is in a mesh, not what somebody is about to add to it.
fn existing() -> Options {
    Options {
        admission: Admission::Done,
        ..Options::default()
    }
}

fn read(inputs: &[Input], options: &Options) -> Result<Vec<Change>, Failure> {
    meltemi_files::read(inputs, options)
        .map_err(|error| Failure::new(INTERNAL, format!("a text cannot be read: {error}")))
}

/// A text of the scenario, moved down to the line on which it stands. The unit of most objects is
/// the file itself; further units carry the field, because each unit has findings of its own.
fn input(scenario: &Scenario, field: &str, text: &str) -> Input {
    let path = FieldPath::new(field);
    let block = scenario.typed.block_line(&path);
    let line = block.unwrap_or_else(|| scenario.typed.place(&path).line);
    let before = usize::try_from(line.saturating_sub(1)).unwrap_or(0);
    let name: Arc<str> = match field {
        "config" => scenario.file.clone(),
        field => format!("{}#{field}", scenario.file).into(),
    };
    Input::Text {
        name,
        bytes: format!("{}{text}", "\n".repeat(before)).into_bytes(),
    }
}

/// The ConfigMap in which a cluster keeps them.
fn mesh_config(scenario: &Scenario) -> Option<String> {
    let content = &scenario.content;
    let mut data = serde_json::Map::new();
    let mut put = |key: &str, value: &Option<Value>| {
        let text = value.as_ref().map(|value| Value::from(value.to_string()));
        data.extend(text.map(|text| (key.to_owned(), text)));
    };
    put("mesh", &content.mesh_config);
    put("meshNetworks", &content.mesh_networks);
    if data.contains_key("meshNetworks") && !data.contains_key("mesh") {
        data.insert("mesh".into(), "{}".into());
    }
    (!data.is_empty()).then(|| {
        let meta = json!({"name": "istio", "namespace": "istio-system"});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data});
        map.to_string()
    })
}
