//! The settings that pods are injected by: the injector's ConfigMap, the mesh configuration and the
//! ProxyConfigs in force, and the oldest kubelet. Made when one of them is new, never for a pod.

use crate::plane::Plane;
use meltemi_api::yaml::{Source, read_as};
use meltemi_inject::{Given, ProxyConfigs, Settings, Values};
use meltemi_kube::Told;
use meltemi_model::mesh::Mesh;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Makes the settings.
pub(crate) struct Injector {
    pub(crate) plane: Plane,
    pub(crate) told: watch::Receiver<Told>,
    pub(crate) kubelet: watch::Receiver<Option<u32>>,
    /// The revision of this control plane, for the case that the values do not say it.
    pub(crate) revision: String,
    pub(crate) made: Mutex<Option<Made>>,
}

/// What was made, and of what.
pub(crate) struct Made {
    mesh: Arc<Mesh>,
    proxies: ProxyConfigs,
    told: Told,
    kubelet: Option<u32>,
    /// The values that were good last.
    values: Result<Values, Arc<str>>,
    given: Given,
}

impl Injector {
    /// The settings that hold now.
    pub(crate) fn settings(&self) -> Given {
        let snapshot = self.plane.snapshot();
        let (mesh, proxies) = (snapshot.mesh.clone(), snapshot.proxy_configs.clone());
        let kubelet = *self.kubelet.borrow();
        let told = self.told.borrow().clone();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*made
            && Arc::ptr_eq(&made.mesh, &mesh)
            && Arc::ptr_eq(&made.proxies, &proxies)
            && made.kubelet == kubelet
            && same(&made.told, &told)
        {
            return made.given.clone();
        }
        let before = made.take().map(|made| made.values);
        let values = self.values(&told, before);
        let given = values.clone().map(|values| {
            let mesh = mesh.config.as_ref().clone();
            let mut settings = Settings::new(values, mesh, &BTreeMap::new());
            settings.proxy_configs = proxies.clone();
            if let Some(minor) = kubelet {
                settings.kubelet_minor = minor;
            }
            Arc::new(settings)
        });
        *made = Some(Made {
            mesh,
            proxies,
            told,
            kubelet,
            values,
            given: given.clone(),
        });
        given
    }

    /// What the ConfigMap says; what it said before when it cannot be read now.
    fn values(
        &self,
        told: &Told,
        before: Option<Result<Values, Arc<str>>>,
    ) -> Result<Values, Arc<str>> {
        let read = match told {
            Told::Says(keys) => read(keys),
            Told::Absent | Told::Unread => Err(format!(
                "revision {:?} has no ConfigMap for its injector (istio-sidecar-injector); install its \
                 chart again",
                self.revision
            )),
        };
        match (read, before) {
            (Ok(mut values), _) => {
                if !matches!(self.revision.as_str(), "" | "default") {
                    values.overlay(json!({"revision": self.revision}));
                }
                Ok(values)
            }
            (Err(why), Some(Ok(values))) => {
                tracing::warn!(%why, "the injector's settings stay as they are");
                Ok(values)
            }
            (Err(why), Some(Err(_)) | None) => {
                tracing::warn!(%why, "no pod can be injected");
                Err(why.into())
            }
        }
    }
}

/// Whether nothing new was told, without reading it.
fn same(one: &Told, other: &Told) -> bool {
    match (one, other) {
        (Told::Says(one), Told::Says(other)) => Arc::ptr_eq(one, other),
        (Told::Absent, Told::Absent) | (Told::Unread, Told::Unread) => true,
        (Told::Says(_) | Told::Absent | Told::Unread, _) => false,
    }
}

/// What the keys `values` and `config` say, over the defaults.
fn read(keys: &BTreeMap<String, String>) -> Result<Values, String> {
    let mut values = Values::defaults();
    let tree = |key: &str| match keys.get(key) {
        Some(text) => tree(key, text),
        None => Ok(json!({})),
    };
    values.overlay(tree("values")?);
    let config = tree("config")?;
    let mut hook = serde_json::Map::new();
    for key in [
        "aliases",
        "alwaysInjectSelector",
        "defaultTemplates",
        "injectedAnnotations",
        "neverInjectSelector",
        "templates",
    ] {
        if let Some(value) = config.get(key).filter(|value| !value.is_null()) {
            hook.insert(key.to_owned(), value.clone());
        }
    }
    values.overlay(json!({"sidecarInjectorWebhook": hook}));
    if let Some(policy) = config.get("policy") {
        values.overlay(json!({"global": {"proxy": {"autoInject": policy}}}));
    }
    Ok(values)
}

/// One document that is a map; JSON is YAML.
fn tree(key: &str, text: &str) -> Result<Value, String> {
    let source = Source::new(format!("istio-sidecar-injector, key {key}"));
    let mut documents = read_as::<Value>(text.as_bytes(), &source).into_iter();
    let document = documents.next();
    let wrong = |why: &str| {
        Err(format!(
            "ConfigMap istio-sidecar-injector, key {key}: {why}"
        ))
    };
    match document {
        None => Ok(json!({})),
        Some(document) => match document.value {
            Some(Value::Null) => Ok(json!({})),
            Some(value @ Value::Object(_)) => Ok(value),
            Some(_) => wrong("it is not a map"),
            None => {
                let found = document.diagnostics.first();
                wrong(found.map_or("it cannot be read", |found| &found.message))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: &str, values: &str) -> BTreeMap<String, String> {
        [("config", config), ("values", values)]
            .map(|(key, text)| (key.to_owned(), text.to_owned()))
            .into()
    }

    #[test]
    fn both_keys_lie_over_the_defaults() {
        let keys = keys(
            "policy: disabled\ndefaultTemplates: [sidecar, extra]\ntemplates: {extra: 'spec: {}'}\n\
             neverInjectSelector:\n- matchLabels: {job: 'yes'}\ntemplate: ignored\n",
            r#"{"global": {"hub": "h", "proxy": {"logLevel": "info"}}, "revision": "r"}"#,
        );
        let values = read(&keys).unwrap();
        for (path, text) in [
            ("global.hub", "h"),
            ("global.proxy.logLevel", "info"),
            ("global.proxy.autoInject", "disabled"),
            ("global.proxy.statusPort", "15020"),
            ("revision", "r"),
            ("sidecarInjectorWebhook.templates.extra", "spec: {}"),
        ] {
            assert_eq!(values.text(path), text, "{path}");
        }
        let hook = |key: &str| values.at(&format!("sidecarInjectorWebhook.{key}"));
        assert_eq!(hook("defaultTemplates"), Some(&json!(["sidecar", "extra"])));
        assert_eq!(
            hook("neverInjectSelector"),
            Some(&json!([{"matchLabels": {"job": "yes"}}]))
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (config, values, named) in [
            ("[", "{}", "key config"),
            ("", "7", "key values: it is not a map"),
            ("- a", "", "key config: it is not a map"),
        ] {
            let why = read(&keys(config, values)).unwrap_err();
            assert!(why.contains(named), "{config:?} {values:?}: {why}");
        }
        read(&keys("", "")).unwrap();
    }
}
