//! Pages about rules beside traffic: how pods are injected, what telemetry and authorization are in
//! force. Names and shapes are istiod's.
//!
//! Where istiod shows the text of a template, we have it for templates of users only: ours are code,
//! which is said in place of a text.

use super::pages::Reply;
use crate::webhook::Injector;
use meltemi_inject::BUILT_IN;
use meltemi_model::Snapshot;
use serde_json::{Map, Value, json};

/// The templates of the injector, by name; with `values` what they are filled in with.
pub(super) fn inject(injector: Option<&Injector>, with_values: bool) -> Reply {
    // Where no webhook is served there are no templates.
    let Some(injector) = injector else {
        return Reply::Json(json!({}));
    };
    let settings = match injector.settings() {
        Ok(settings) => settings,
        Err(why) => return Reply::Refused(503, format!("{why}\n")),
    };
    if with_values {
        return Reply::Json(settings.values.whole().clone());
    }
    let built_in = BUILT_IN.map(|name| {
        (
            name.to_owned(),
            json!("built in, see docs/how-to/inject.md"),
        )
    });
    let mut all = Map::from_iter(built_in);
    let written = settings.values.at("sidecarInjectorWebhook.templates");
    let written = written.and_then(Value::as_object);
    all.extend(
        written
            .into_iter()
            .flatten()
            .map(|(n, v)| (n.clone(), v.clone())),
    );
    Reply::Json(Value::Object(all))
}

/// What MeshConfig says of telemetry. Objects of kind Telemetry have no effect, so none is in force.
pub(super) fn telemetryz(snapshot: &Snapshot) -> Value {
    let config = &snapshot.mesh.config;
    json!({
        "namespace_to_telemetries": {},
        "root_namespace": snapshot.mesh.root_namespace,
        "mesh": {
            "enableTracing": config.enable_tracing,
            "accessLogFile": config.access_log_file,
            "accessLogFormat": config.access_log_format,
            "accessLogEncoding": config.access_log_encoding,
            "defaultProviders": config.default_providers,
            "extensionProviders": config.extension_providers,
        },
    })
}

/// The policies that deny, by namespace: whom each selects, and why.
pub(super) fn authorizationz(snapshot: &Snapshot) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for guard in &snapshot.security.guards {
        let shown = json!({
            "kind": guard.origin.object.kind,
            "name": guard.origin.object.name,
            "namespace": guard.namespace,
            "whole_namespace": guard.selector.is_none(),
            "effect": "denies: the policy cannot be translated (MLT0207)",
        });
        let of_namespace = all
            .entry(guard.namespace.to_string())
            .or_insert_with(|| json!([]));
        if let Some(list) = of_namespace.as_array_mut() {
            list.push(shown);
        }
    }
    json!({"authorization_policies": {
        "namespace_to_policies": all,
        "root_namespace": snapshot.mesh.root_namespace,
    }})
}
