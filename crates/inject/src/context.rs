//! All that a template may look at for one pod.

use crate::annotations;
use crate::owner::Owner;
use crate::pod;
use crate::proxy_config;
use crate::settings::Settings;
use crate::values::Values;
use meltemi_api::mesh_config::ProxyConfig;
use serde_json::Value;

/// One pod, seen by the templates: without what an earlier injection has put into it.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) pod: &'a Value,
    pub(crate) owner: &'a Owner,
    pub(crate) proxy: &'a ProxyConfig,
}

impl<'a> Context<'a> {
    pub(crate) fn values(&self) -> &'a Values {
        &self.settings.values
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&'a str> {
        pod::annotation(self.pod, key)
    }

    /// An annotation, or else the value at a path.
    pub(crate) fn said(&self, key: &str, path: &str) -> String {
        match self.annotation(key) {
            Some(text) => text.to_owned(),
            None => self.values().text(path),
        }
    }

    /// How traffic is captured.
    pub(crate) fn mode(&self) -> &str {
        let said = self.annotation(annotations::INTERCEPTION_MODE);
        said.unwrap_or(proxy_config::mode(self.proxy))
    }

    pub(crate) fn is_tproxy(&self) -> bool {
        self.mode() == "TPROXY"
    }

    pub(crate) fn has_cni(&self) -> bool {
        self.values().flag("pilot.cni.enabled")
    }

    /// Whether the proxy is a native sidecar. Anything but `false` means that it is.
    pub(crate) fn is_native(&self) -> bool {
        match self.annotation(annotations::NATIVE_SIDECAR) {
            Some(said) => said != "false",
            None => self.settings.is_native(),
        }
    }

    pub(crate) fn binds_low_ports(&self) -> bool {
        let path = "global.proxy.capNetBindService";
        annotations::boolean(&self.said(annotations::CAP_NET_BIND, path)) == Some(true)
    }

    /// Port of the agent; `0` for none.
    pub(crate) fn status_port(&self) -> String {
        self.said(annotations::STATUS_PORT, "global.proxy.statusPort")
    }

    /// The containers of the application.
    pub(crate) fn apps(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let all = pod::containers(self.pod, "containers").iter();
        all.filter(|container| pod::name(container) != pod::PROXY)
    }

    /// A variable of the agent, empty when it is not set.
    pub(crate) fn metadata(&self, key: &str) -> &str {
        let found = self.proxy.proxy_metadata.get(key);
        found.map_or("", String::as_str)
    }

    /// The image of the proxy, or of the init container when `path` is that of its values.
    pub(crate) fn image(&self, path: &str) -> String {
        let said = self.said(annotations::PROXY_IMAGE, path);
        if said.contains('/') {
            return said;
        }
        let values = self.values();
        let name = match said.is_empty() {
            true => values.text("global.proxy.image"),
            false => said,
        };
        let configured = self.proxy.image.as_ref();
        let configured = configured.and_then(|image| image.image_type.clone());
        let kind = match self.annotation(annotations::PROXY_IMAGE_TYPE) {
            Some(kind) => kind.to_owned(),
            None => configured.unwrap_or_else(|| values.text("global.variant")),
        };
        let tag = values.text("global.tag");
        let bare = |suffix| tag.strip_suffix(suffix);
        let bare = bare("-distroless")
            .or_else(|| bare("-debug"))
            .unwrap_or(&tag);
        let tag = match kind.as_str() {
            "" => tag.clone(),
            "default" => bare.to_owned(),
            kind => format!("{bare}-{kind}"),
        };
        let hub = values.text("global.hub");
        match (hub.is_empty(), tag.is_empty()) {
            (true, _) => name,
            (false, true) => format!("{hub}/{name}"),
            (false, false) => format!("{hub}/{name}:{tag}"),
        }
    }

    /// Labels that name the workload in telemetry: canonical name and revision.
    pub(crate) fn canonical(&self) -> [(String, String); 2] {
        let first = |keys: &[&str]| {
            let mut found = keys.iter().filter_map(|key| pod::label(self.pod, key));
            found.find(|value| !value.is_empty()).map(ToOwned::to_owned)
        };
        let name = first(&[
            "service.istio.io/canonical-name",
            "app.kubernetes.io/name",
            "app",
        ]);
        let keys = [
            "service.istio.io/canonical-revision",
            "app.kubernetes.io/version",
            "version",
        ];
        let revision = first(&keys);
        [
            (
                "service.istio.io/canonical-name".to_owned(),
                name.unwrap_or_else(|| self.owner.name.clone()),
            ),
            (
                "service.istio.io/canonical-revision".to_owned(),
                revision.unwrap_or_else(|| "latest".to_owned()),
            ),
        ]
    }
}
