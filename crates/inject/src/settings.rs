//! What the injector is told once, for all pods.

use crate::values::Values;
use meltemi_api::Resource;
use meltemi_api::mesh_config::{MeshConfig, ProxyConfig};
use meltemi_api::networking::proxy_config as object;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The settings of an injector.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The charts' values.
    pub values: Values,
    /// Mesh configuration, the defaults included.
    pub(crate) mesh: MeshConfig,
    /// What it says of every proxy.
    pub(crate) proxy: ProxyConfig,
    /// ProxyConfigs of the mesh, in any order.
    pub proxy_configs: ProxyConfigs,
    /// Whether pods that do not say get a native sidecar.
    pub native: Native,
    /// The oldest kubelet's minor version: native sidecars are there from 33 on.
    pub kubelet_minor: u32,
    /// The compliance policy of the control plane, such as `fips-140-2`; mostly empty.
    pub compliance: String,
    /// The root certificate comes from a ClusterTrustBundle instead of a ConfigMap.
    pub trust_bundles: TrustBundles,
}

/// ProxyConfigs as users wrote them.
pub type ProxyConfigs = Arc<Vec<Arc<Resource<object::ProxyConfig>>>>;

/// Whether the proxy is a native sidecar: an init container that stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Native {
    /// Where every kubelet knows them.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where pods find the root certificate of the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustBundles {
    /// In the ConfigMap `istio-ca-root-cert` of their namespace.
    #[default]
    ConfigMap,
    /// In the ClusterTrustBundle of the mesh.
    Cluster,
}

/// The oldest minor version of Kubernetes whose sidecars are native without being asked.
const NATIVE_SINCE: u32 = 33;

impl Settings {
    /// Settings of values and environment, over which a mesh configuration is laid.
    ///
    /// The mesh configuration that the charts make of values (the control plane's address, the
    /// mesh's id, the image's type) lies below `mesh`.
    #[must_use]
    pub fn new(values: Values, mesh: MeshConfig, env: &BTreeMap<String, String>) -> Self {
        let variable = |name: &str| {
            let value = values.text(&format!("pilot.env.{name}"));
            env.get(name).cloned().unwrap_or(value)
        };
        let native = match variable("ENABLE_NATIVE_SIDECARS").as_str() {
            "true" => Native::Always,
            "false" => Native::Never,
            _ => Native::Auto,
        };
        let trust_bundles = match variable("ENABLE_CLUSTER_TRUST_BUNDLE_API").as_str() {
            "true" => TrustBundles::Cluster,
            _ => TrustBundles::ConfigMap,
        };
        let compliance = variable("COMPLIANCE_POLICY");
        let mesh = MeshConfig::defaults()
            .merge(chart_mesh(&values))
            .merge(mesh);
        Self {
            values,
            proxy: mesh.proxy_config(),
            mesh,
            proxy_configs: ProxyConfigs::default(),
            native,
            kubelet_minor: NATIVE_SINCE,
            compliance,
            trust_bundles,
        }
    }

    /// Whether a pod that does not say gets a native sidecar.
    pub(crate) fn is_native(&self) -> bool {
        match self.native {
            Native::Always => true,
            Native::Never => false,
            Native::Auto => self.kubelet_minor >= NATIVE_SINCE,
        }
    }

    /// The revision as the charts say it.
    pub(crate) fn revision(&self) -> String {
        self.values.text("revision")
    }
}

/// The mesh configuration that the charts make of values.
fn chart_mesh(values: &Values) -> MeshConfig {
    let mut proxy = serde_json::Map::new();
    let mut put = |key: &str, value: serde_json::Value| proxy.insert(key.to_owned(), value);
    let remote = values.text("global.remotePilotAddress");
    let revision = values.text("revision");
    let namespace = values.text("global.istioNamespace");
    match (remote.is_empty(), revision.is_empty()) {
        (false, _) => put("discoveryAddress", json!(format!("{remote}:15012"))),
        (true, true) => put(
            "discoveryAddress",
            json!(format!("istiod.{namespace}.svc:15012")),
        ),
        (true, false) => {
            let address = format!("istiod-{revision}.{namespace}.svc:15012");
            put("discoveryAddress", json!(address))
        }
    };
    let id = values.text("global.meshID");
    if !id.is_empty() {
        put("meshId", json!(id));
    }
    let variant = [
        values.text("global.proxy.variant"),
        values.text("global.variant"),
    ];
    if let Some(variant) = variant.iter().find(|variant| !variant.is_empty()) {
        put("image", json!({"imageType": variant}));
    }
    if let Some(tracing) = tracing(values) {
        put("tracing", tracing);
    }
    let base = json!({"defaultConfig": proxy});
    let base: MeshConfig = serde_json::from_value(base).unwrap_or_default();
    let user = values.at("meshConfig").cloned();
    let user: MeshConfig = user
        .and_then(|user| serde_json::from_value(user).ok())
        .unwrap_or_default();
    base.merge(user)
}

/// Where spans go, of the values that the charts had before `meshConfig` did.
fn tracing(values: &Values) -> Option<serde_json::Value> {
    let said = |path: &str, or: &str| match values.text(&format!("global.tracer.{path}")) {
        text if text.is_empty() => or.to_owned(),
        text => text,
    };
    match values.text("global.proxy.tracer").as_str() {
        "zipkin" => {
            let namespace = values.text("global.istioNamespace");
            let address = said("zipkin.address", &format!("zipkin.{namespace}:9411"));
            Some(json!({"zipkin": {"address": address}}))
        }
        "datadog" => {
            let address = said("datadog.address", "$(HOST_IP):8126");
            Some(json!({"datadog": {"address": address}}))
        }
        "lightstep" => Some(json!({"lightstep": {
            "address": said("lightstep.address", ""),
            "accessToken": said("lightstep.accessToken", ""),
        }})),
        _ => None,
    }
}
