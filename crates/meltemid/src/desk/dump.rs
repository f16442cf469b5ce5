//! What a proxy should have, in the parts of Envoy's own `/config_dump`, so that the two can be
//! laid side by side (`istioctl proxy-status POD` does). Only the dynamic resources are in it.
//!
//! What the API marks as sensitive is blacked out, as Envoy does it.

use crate::plane::Held;
use meltemi_proto::envoy::admin::v3::clusters_config_dump::DynamicCluster;
use meltemi_proto::envoy::admin::v3::endpoints_config_dump::DynamicEndpointConfig;
use meltemi_proto::envoy::admin::v3::listeners_config_dump::{
    DynamicListener, DynamicListenerState,
};
use meltemi_proto::envoy::admin::v3::routes_config_dump::DynamicRouteConfig;
use meltemi_proto::envoy::admin::v3::{
    ClustersConfigDump, ConfigDump, EndpointsConfigDump, ListenersConfigDump, RoutesConfigDump,
};
use meltemi_proto::google::protobuf::Any;
use meltemi_proto::resource::Encoded;
use meltemi_proto::{any, pool, sensitive};
use meltemi_translate::document::{Selection, proxy_resources};
use meltemi_types::TypeUrl;
use meltemi_types::xds::{CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, PROXY_CONFIG, ROUTE};
use serde_json::{Value, json};

const BOOTSTRAP: TypeUrl = "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump";
const CLUSTERS: TypeUrl = "type.googleapis.com/envoy.admin.v3.ClustersConfigDump";
const ENDPOINTS: TypeUrl = "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump";
const LISTENERS: TypeUrl = "type.googleapis.com/envoy.admin.v3.ListenersConfigDump";
const SCOPED: TypeUrl = "type.googleapis.com/envoy.admin.v3.ScopedRoutesConfigDump";
const ROUTES: TypeUrl = "type.googleapis.com/envoy.admin.v3.RoutesConfigDump";
const SECRETS: TypeUrl = "type.googleapis.com/envoy.admin.v3.SecretsConfigDump";
const EXTENSIONS: TypeUrl = "type.googleapis.com/envoy.admin.v3.EcdsConfigDump";

/// The parts of a dump, in their order. Those of which a proxy gets nothing are there and empty.
pub(super) const PARTS: [TypeUrl; 8] = [
    BOOTSTRAP, CLUSTERS, ENDPOINTS, LISTENERS, SCOPED, ROUTES, SECRETS, EXTENSIONS,
];

/// The dump. Endpoints are in it when they are asked for, as in Envoy's.
pub(super) fn envoys(held: &Held, endpoints: bool) -> Result<ConfigDump, String> {
    let parts = PARTS
        .into_iter()
        .filter(|url| endpoints || *url != ENDPOINTS);
    let part = |url: TypeUrl| match url {
        CLUSTERS => clusters(held),
        ENDPOINTS => endpoint_configs(held),
        LISTENERS => listeners(held),
        ROUTES => routes(held),
        empty => Ok(Any {
            type_url: empty.to_owned(),
            ..Any::default()
        }),
    };
    Ok(ConfigDump {
        configs: parts.map(part).collect::<Result<_, String>>()?,
    })
}

/// The dump as JSON.
pub(super) fn json(dump: &ConfigDump) -> Result<Value, String> {
    let bytes = any::pack(dump).value;
    pool::to_json("envoy.admin.v3.ConfigDump", &bytes).map_err(|e| e.to_string())
}

/// The resources of some types, which are named as in `cds,lds`.
pub(super) fn typed(held: &Held, types: &str) -> Result<Value, String> {
    let urls = types.split(',').filter_map(|short| match short {
        "cds" => Some(CLUSTER),
        "eds" => Some(ENDPOINT),
        "lds" => Some(LISTENER),
        "rds" => Some(ROUTE),
        "nds" => Some(NAME_TABLE),
        "pcds" => Some(PROXY_CONFIG),
        _ => None,
    });
    let mut configs = Vec::new();
    for url in urls {
        for resource in held.assigned.resources(url) {
            configs.push(shown(resource)?);
        }
        // Whom it believes is told beside all else.
        if url == PROXY_CONFIG {
            for resource in held.trust.resources.values() {
                configs.push(shown(resource)?);
            }
        }
    }
    json(&ConfigDump { configs })
}

/// Everything of a proxy with versions and the objects that it comes from.
pub(super) fn resources(held: &Held) -> Result<Value, String> {
    let mut document = proxy_resources(
        &held.node,
        &held.assigned,
        Selection::default(),
        &held.diagnostics,
    )?;
    let kinds = document.get_mut("resources").and_then(Value::as_object_mut);
    for (kind, all) in kinds.into_iter().flatten() {
        let url = meltemi_translate::document::KINDS
            .iter()
            .find(|k| k.0 == kind);
        let all = all.as_array_mut().into_iter().flatten();
        for (shown_as, encoded) in all.zip(held.assigned.resources(url.map_or("", |k| k.1))) {
            let clear = sensitive::cover(encoded.type_url, &encoded.body);
            let Some(covered) = clear.map_err(|e| e.to_string())? else {
                continue;
            };
            let name = meltemi_proto::urls::message_name(encoded.type_url);
            let covered = pool::to_json(name, &covered).map_err(|e| e.to_string())?;
            if let Some(fields) = shown_as.as_object_mut() {
                fields.insert("resource".into(), json!(covered));
            }
        }
    }
    Ok(document)
}

/// A resource without what is sensitive in it.
fn shown(encoded: &Encoded) -> Result<Any, String> {
    let covered = sensitive::cover(encoded.type_url, &encoded.body).map_err(|e| e.to_string())?;
    Ok(Any {
        type_url: encoded.type_url.to_owned(),
        value: covered.map_or_else(|| encoded.body.clone(), Into::into),
    })
}

fn clusters(held: &Held) -> Result<Any, String> {
    let each = held.assigned.resources(CLUSTER).map(|cluster| {
        Ok(DynamicCluster {
            version_info: cluster.version.to_string(),
            cluster: Some(shown(cluster)?),
            ..DynamicCluster::default()
        })
    });
    let dump = ClustersConfigDump {
        dynamic_active_clusters: each.collect::<Result<_, String>>()?,
        ..ClustersConfigDump::default()
    };
    Ok(any::pack(&dump))
}

fn endpoint_configs(held: &Held) -> Result<Any, String> {
    let each = held.assigned.resources(ENDPOINT).map(|endpoints| {
        Ok(DynamicEndpointConfig {
            version_info: endpoints.version.to_string(),
            endpoint_config: Some(shown(endpoints)?),
            ..DynamicEndpointConfig::default()
        })
    });
    let dump = EndpointsConfigDump {
        dynamic_endpoint_configs: each.collect::<Result<_, String>>()?,
        ..EndpointsConfigDump::default()
    };
    Ok(any::pack(&dump))
}

fn listeners(held: &Held) -> Result<Any, String> {
    let each = held.assigned.resources(LISTENER).map(|listener| {
        Ok(DynamicListener {
            name: listener.name.to_string(),
            active_state: Some(DynamicListenerState {
                version_info: listener.version.to_string(),
                listener: Some(shown(listener)?),
                ..DynamicListenerState::default()
            }),
            ..DynamicListener::default()
        })
    });
    let dump = ListenersConfigDump {
        dynamic_listeners: each.collect::<Result<_, String>>()?,
        ..ListenersConfigDump::default()
    };
    Ok(any::pack(&dump))
}

fn routes(held: &Held) -> Result<Any, String> {
    let each = held.assigned.resources(ROUTE).map(|route| {
        Ok(DynamicRouteConfig {
            version_info: route.version.to_string(),
            route_config: Some(shown(route)?),
            ..DynamicRouteConfig::default()
        })
    });
    let dump = RoutesConfigDump {
        dynamic_route_configs: each.collect::<Result<_, String>>()?,
        ..RoutesConfigDump::default()
    };
    Ok(any::pack(&dump))
}
