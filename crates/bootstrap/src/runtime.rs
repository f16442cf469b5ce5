//! Switches of Envoy itself: the runtime layers and the bootstrap extensions.
//!
//! RE2's default limit of 100 refuses plain regexes of VirtualServices; Istio raises it to 32768,
//! and so does every bootstrap of ours. Switches are booleans: a text Envoy shows in `/runtime`, and
//! goes on with its default. The last layer is open to the admin interface.

use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(crate) fn layers() -> Value {
    layers_with(&BTreeMap::new())
}

/// The layers with a user's settings: an empty text removes one of ours.
pub(crate) fn layers_with(user: &BTreeMap<String, String>) -> Value {
    let mut istio = json!({
        "envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update": false,
        "envoy.reloadable_features.http_reject_path_with_fragment": false,
        "envoy.reloadable_features.fixed_heap_use_allocated": true,
        "re2.max_program_size.error_level": "32768",
    });
    if let Some(istio) = istio.as_object_mut() {
        for (name, text) in user {
            match text.as_str() {
                "" => drop(istio.remove(name)),
                "true" => drop(istio.insert(name.clone(), true.into())),
                "false" => drop(istio.insert(name.clone(), false.into())),
                text => drop(istio.insert(name.clone(), text.into())),
            }
        }
    }
    json!({"layers": [
        {"name": "global config", "static_layer": istio},
        {"name": "admin", "admin_layer": {}},
    ]})
}

pub(crate) fn extensions() -> Value {
    let url = "type.googleapis.com/\
               envoy.extensions.bootstrap.internal_listener.v3.InternalListener";
    json!([{
        "name": "envoy.bootstrap.internal_listener",
        "typed_config": {"@type": url},
    }])
}
