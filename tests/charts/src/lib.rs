//! The Helm charts, rendered by the real helm: objects to ask questions about, and the questions
//! that more than one test asks.
//!
//! A question returns what is wrong, so that the tests here can show that it finds something.

pub mod access;
pub mod pods;

use anyhow::{Context, Result, anyhow, ensure};
use meltemi_testkit::helm::{Helm, MANIFESTS, Manifest};
use serde::Deserialize;
use serde_json::Value;
use std::sync::OnceLock;

/// A rendered object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object(pub Value);

impl Object {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// Its namespace; empty when it has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    /// `KIND NAMESPACE/NAME`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{} {}/{}", self.kind(), self.namespace(), self.name())
    }

    /// What is at a JSON pointer; null when there is nothing.
    #[must_use]
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The text at a JSON pointer; empty when there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// What its pods look like, if it has any.
    #[must_use]
    pub fn pod(&self) -> Option<&Value> {
        match self.kind() {
            "Deployment" | "DaemonSet" | "Job" => self.0.pointer("/spec/template"),
            _ => None,
        }
    }
}

/// The release of a chart that `manifests/cluster` is made from.
///
/// # Errors
/// There is no such chart.
pub fn release(chart: &str) -> Result<Manifest> {
    let mut all = MANIFESTS.into_iter();
    all.find(|manifest| manifest.chart == chart)
        .with_context(|| format!("there is no chart {chart}"))
}

/// Helm, looked for once.
///
/// # Errors
/// There is none; the error names the command that builds it.
pub fn helm() -> Result<&'static Helm> {
    static HELM: OnceLock<Result<Helm, String>> = OnceLock::new();
    let found = HELM.get_or_init(|| Helm::find().map_err(|error| format!("{error:#}")));
    found.as_ref().map_err(|error| anyhow!("{error}"))
}

/// The objects of a chart, hooks too. Each of `values` is a value of `--set`.
///
/// # Errors
/// There is no helm, or it refuses.
pub fn render(chart: &str, values: &[&str]) -> Result<Vec<Object>> {
    let options: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
    objects(&helm()?.template(&release(chart)?, &options)?)
}

/// The objects of a text.
///
/// # Errors
/// It is no YAML.
pub fn objects(text: &str) -> Result<Vec<Object>> {
    let mut all = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document)?;
        if !value.is_null() {
            ensure!(
                value.get("kind").is_some(),
                "an object without kind: {value}"
            );
            all.push(Object(value));
        }
    }
    Ok(all)
}

/// The one object of a kind.
///
/// # Errors
/// There is none, or more than one.
pub fn the<'a>(objects: &'a [Object], kind: &str) -> Result<&'a Object> {
    let mut found = objects.iter().filter(|object| object.kind() == kind);
    let first = found
        .next()
        .with_context(|| format!("there is no {kind}"))?;
    ensure!(found.next().is_none(), "there is more than one {kind}");
    Ok(first)
}

/// The object of a kind and a name.
///
/// # Errors
/// There is none.
pub fn named<'a>(objects: &'a [Object], kind: &str, name: &str) -> Result<&'a Object> {
    let is_it = |object: &&Object| object.kind() == kind && object.name() == name;
    let found = objects.iter().find(is_it);
    found.with_context(|| format!("there is no {kind} {name}"))
}

/// The texts of a list.
#[must_use]
pub fn texts(list: &Value) -> Vec<&str> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).collect()
}

/// Whether labels fulfil a selector of labels, which must not be empty.
#[must_use]
pub fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|wanted| {
        !wanted.is_empty()
            && wanted
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
    })
}
