//! Templates: what is added to a pod. The built-in ones are code; those of users are YAML without
//! Go's actions, because a template language of another program is not run here.

pub(crate) mod capture;
pub(crate) mod env;
pub(crate) mod fragment;
pub(crate) mod gateway;
pub(crate) mod grpc;
pub(crate) mod resources;
pub(crate) mod sidecar;
pub(crate) mod volumes;

use crate::annotations;
use crate::context::Context;
use crate::refusal::Refusal;
use crate::values::Values;
use meltemi_api::yaml::{Source, read_as};
use serde_json::Value;

/// The names of the templates of a pod, aliases followed once.
fn names(context: &Context<'_>) -> Vec<String> {
    let list = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items
            .filter_map(|item| Some(item.as_str()?.to_owned()))
            .collect()
    };
    let values = context.values();
    let chosen: Vec<String> = match context.annotation(annotations::TEMPLATES) {
        Some(said) => said.split(',').map(|name| name.trim().to_owned()).collect(),
        None => {
            let path = "sidecarInjectorWebhook.defaultTemplates";
            let defaults = values.at(path).map(list).unwrap_or_default();
            match defaults.is_empty() {
                true => vec!["sidecar".to_owned()],
                false => defaults,
            }
        }
    };
    let aliases = values.at("sidecarInjectorWebhook.aliases");
    let resolve = |name: String| match aliases.and_then(|all| all.get(&name)) {
        Some(alias) => list(alias),
        None => vec![name],
    };
    chosen.into_iter().flat_map(resolve).collect()
}

/// The templates that are code here; users may write others, also in their place.
pub const BUILT_IN: [&str; 3] = ["gateway", "grpc-agent", "sidecar"];

/// The fragments of all templates of a pod, in their order.
pub(crate) fn fragments(context: &Context<'_>) -> Result<Vec<Value>, Refusal> {
    names(context)
        .iter()
        .map(|name| one(context, name))
        .collect()
}

fn one(context: &Context<'_>, name: &str) -> Result<Value, Refusal> {
    if let Some(text) = user(context.values(), name) {
        return parsed(name, text);
    }
    match name {
        // As in [`BUILT_IN`].
        "sidecar" => sidecar::fragment(context)?.into_value(),
        "gateway" => gateway::fragment(context)?.into_value(),
        "grpc-agent" => grpc::agent(context)?.into_value(),
        _ => Err(unknown(context, name)),
    }
}

fn unknown(context: &Context<'_>, name: &str) -> Refusal {
    let why = format!(
        "there is no template {name:?}; there are sidecar, gateway, grpc-agent and those of \
         sidecarInjectorWebhook.templates{}",
        match name {
            "grpc-simple" => ": grpc-simple needs plaintext xDS, use grpc-agent instead",
            _ => "",
        }
    );
    match context.annotation(annotations::TEMPLATES) {
        Some(_) => Refusal::annotation(annotations::TEMPLATES, why),
        None => Refusal::settings(why),
    }
}

fn user<'a>(values: &'a Values, name: &str) -> Option<&'a str> {
    let all = values.at("sidecarInjectorWebhook.templates")?;
    all.get(name)?.as_str()
}

fn parsed(name: &str, text: &str) -> Result<Value, Refusal> {
    if text.contains("{{") {
        return Err(Refusal::settings(format!(
            "the template {name:?} has Go actions ({{{{ ... }}}}), which are not run; write what it \
             adds as plain YAML, or put it into the workload itself"
        )));
    }
    let mut documents = read_as::<Value>(text.as_bytes(), &Source::new(name)).into_iter();
    let wrong = |why: String| Refusal::settings(format!("the template {name:?}: {why}"));
    match (documents.next(), documents.next()) {
        (Some(document), None) => match document.value {
            Some(value @ Value::Object(_)) => Ok(value),
            Some(_) | None => {
                let found = document.diagnostics.first();
                let why = found.map_or("it is not a map of metadata and spec", |d| &d.message);
                Err(wrong(why.to_owned()))
            }
        },
        (None | Some(_), _) => Err(wrong("it must be one document".to_owned())),
    }
}
