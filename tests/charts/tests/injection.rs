//! Injection: which webhook an API server asks about which pod, what the injector is told, and a
//! gateway that is nothing but what is injected.

use anyhow::{Context, Result};
use meltemi_charts::{Object, named, render, texts, the};
use serde_json::{Value, json};

/// The webhooks of one configuration.
fn webhooks(configuration: &Object) -> Result<&Vec<Value>> {
    configuration
        .at("/webhooks")
        .as_array()
        .context("no webhooks")
}

/// Whether a selector of expressions selects labels, as an API server sees it.
fn selects(selector: &Value, labels: &Value) -> bool {
    let expressions = selector.pointer("/matchExpressions");
    let mut expressions = expressions.and_then(Value::as_array).into_iter().flatten();
    expressions.all(|expression| {
        let at = |key: &str| expression.get(key).unwrap_or(&Value::Null);
        let found = labels.get(at("key").as_str().unwrap_or_default());
        let found = found.and_then(Value::as_str);
        let among = found.is_some_and(|found| texts(at("values")).contains(&found));
        match at("operator").as_str() {
            Some("In") => among,
            Some("NotIn") => !among,
            Some("DoesNotExist") => found.is_none(),
            operator => {
                assert_eq!(operator, Some("Exists"), "{expression}");
                found.is_some()
            }
        }
    })
}

/// The names of the webhooks that are asked, without their common end.
fn asked(configuration: &Object, namespace: &Value, pod: &Value) -> Result<Vec<String>> {
    let at = |hook: &Value, key: &str| hook.get(key).cloned().unwrap_or_default();
    let all = webhooks(configuration)?.iter().filter(|hook| {
        selects(&at(hook, "namespaceSelector"), namespace)
            && selects(&at(hook, "objectSelector"), pod)
    });
    all.map(|hook| {
        let name = hook.get("name").and_then(Value::as_str);
        let name = name.and_then(|name| name.strip_suffix(".sidecar-injector.istio.io"));
        Ok(name.context("a name")?.to_owned())
    })
    .collect()
}

#[test]
fn an_api_server_asks_whom_labels_name() -> Result<()> {
    let default = render("meltemid", &[])?;
    let default = the(&default, "MutatingWebhookConfiguration")?;
    let other = render("meltemid", &["revision=r"])?;
    let other = the(&other, "MutatingWebhookConfiguration")?;
    assert_eq!(default.name(), "istio-sidecar-injector");
    assert_eq!(other.name(), "istio-sidecar-injector-r");
    let inject = |value: &str| json!({"sidecar.istio.io/inject": value});
    let rev = json!({"istio.io/rev": "r"});
    let both = json!({"istio.io/rev": "r", "sidecar.istio.io/inject": "true"});
    let refused = json!({"istio.io/rev": "r", "sidecar.istio.io/inject": "false"});
    let none = json!({});
    let enabled = json!({"istio-injection": "enabled"});
    let disabled = json!({"istio-injection": "disabled"});
    let two = json!({"istio-injection": "enabled", "istio.io/rev": "r"});
    let gateway = json!({"istio.io/rev": "default", "sidecar.istio.io/inject": "true"});
    for (namespace, pod, by_default, by_r) in [
        (&none, &none, "", ""),
        (&none, &inject("true"), "object", ""),
        (&none, &rev, "", "rev.object"),
        (&none, &both, "", "rev.object"),
        (&none, &refused, "", ""),
        (&none, &gateway, "rev.object", ""),
        (&enabled, &none, "namespace", ""),
        (&enabled, &inject("false"), "", ""),
        (&enabled, &rev, "namespace", ""),
        (&disabled, &none, "", ""),
        (&disabled, &inject("true"), "", ""),
        (&rev, &none, "", "rev.namespace"),
        (&rev, &gateway, "", "rev.namespace"),
        (&rev, &inject("false"), "", ""),
        (&two, &none, "namespace", ""),
    ] {
        let found = asked(default, namespace, pod)?.join(" ");
        assert_eq!(found, by_default, "default: {namespace} {pod}");
        let found = asked(other, namespace, pod)?.join(" ");
        assert_eq!(found, by_r, "r: {namespace} {pod}");
    }
    Ok(())
}

#[test]
fn namespaces_that_say_nothing_take_part_on_demand() -> Result<()> {
    let values = ["sidecarInjectorWebhook.enableNamespacesByDefault=true"];
    let objects = render("meltemid", &values)?;
    let hooks = the(&objects, "MutatingWebhookConfiguration")?;
    for (namespace, by) in [
        (json!({"kubernetes.io/metadata.name": "shop"}), "auto"),
        (json!({"kubernetes.io/metadata.name": "kube-system"}), ""),
    ] {
        assert_eq!(asked(hooks, &namespace, &json!({}))?.join(" "), by);
    }
    Ok(())
}

#[test]
fn every_webhook_fails_closed_and_asks_its_revision() -> Result<()> {
    let values = ["revision=r", "revisionTags={prod,default}"];
    let objects = render("meltemid", &values)?;
    let entries = ["rev.namespace", "rev.object", "namespace", "object"];
    for (name, tag, count) in [
        ("istio-sidecar-injector-r", None, 2),
        ("istio-revision-tag-prod", Some("prod"), 2),
        ("istio-revision-tag-default", Some("default"), 4),
    ] {
        let hooks = named(&objects, "MutatingWebhookConfiguration", name)?;
        // How the process finds them.
        assert_eq!(hooks.text("/metadata/labels/istio.io~1rev"), "r");
        let label = hooks.at("/metadata/labels/istio.io~1tag");
        assert_eq!(label.as_str(), tag, "{name}");
        let found = webhooks(hooks)?;
        assert_eq!(found.len(), count, "{name}");
        for (hook, entry) in found.iter().zip(entries) {
            let expected = json!({
                "name": format!("{entry}.sidecar-injector.istio.io"),
                "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Fail", "reinvocationPolicy": "Never",
                "clientConfig": {"service": {
                    "name": "istiod-r", "namespace": "istio-system", "path": "/inject", "port": 443,
                }},
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                    "resources": ["pods"],
                }],
                "namespaceSelector": hook.get("namespaceSelector"),
                "objectSelector": hook.get("objectSelector"),
            });
            assert_eq!(*hook, expected, "{name}");
        }
    }
    Ok(())
}

#[test]
fn webhooks_that_others_make_are_left_to_them() -> Result<()> {
    let none = render("meltemid", &["global.operatorManageWebhooks=true"])?;
    assert!(the(&none, "MutatingWebhookConfiguration").is_err());
    let values = [
        "istiodRemote.injectionURL=https://a.example/inject/cluster/b",
        "istiodRemote.injectionCABundle=YQ==",
    ];
    let objects = render("meltemid", &values)?;
    let hooks = the(&objects, "MutatingWebhookConfiguration")?;
    let client = json!({"url": "https://a.example/inject/cluster/b", "caBundle": "YQ=="});
    for hook in webhooks(hooks)? {
        assert_eq!(hook.get("clientConfig"), Some(&client));
    }
    let deployment = the(&objects, "Deployment")?.0.to_string();
    let off = r#"{"name":"INJECTION_WEBHOOK_CONFIG_NAME","value":""}"#;
    assert!(deployment.contains(off), "{deployment}");
    Ok(())
}

#[test]
fn the_injector_is_told_what_pods_are_made_of() -> Result<()> {
    let told = |values: &[&str]| -> Result<(Value, Value)> {
        let objects = render("meltemid", values)?;
        let map = named(&objects, "ConfigMap", "istio-sidecar-injector")?;
        let values = serde_json::from_str(map.text("/data/values"))?;
        Ok((values, serde_yaml::from_str(map.text("/data/config"))?))
    };
    let (values, config) = told(&[])?;
    for (path, expected) in [
        ("/global/hub", json!("docker.io/meltemi")),
        ("/global/tag", json!("0.1.0")),
        ("/global/proxy/image", json!("proxy")),
        ("/global/proxy_init/image", json!("proxy")),
        ("/global/istioNamespace", json!("istio-system")),
        ("/revision", json!("")),
    ] {
        assert_eq!(values.pointer(path), Some(&expected), "{path}");
    }
    assert_eq!(config.get("policy"), Some(&json!("enabled")));
    let (values, config) = told(&[
        "tag=1",
        "pilot.cni.enabled=true",
        "pilot.env.ENABLE_NATIVE_SIDECARS=false",
        "sidecarInjectorWebhook.templates.extra=spec: {}",
        "sidecarInjectorWebhook.neverInjectSelector[0].matchLabels.a=b",
        "global.proxy.autoInject=disabled",
    ])?;
    for (path, expected) in [
        ("/global/tag", json!("1")),
        ("/pilot/cni/enabled", json!(true)),
        ("/pilot/env/ENABLE_NATIVE_SIDECARS", json!(false)),
    ] {
        assert_eq!(values.pointer(path), Some(&expected), "{path}");
    }
    for (path, expected) in [
        ("/policy", json!("disabled")),
        ("/templates/extra", json!("spec: {}")),
        ("/neverInjectSelector", json!([{"matchLabels": {"a": "b"}}])),
    ] {
        assert_eq!(config.pointer(path), Some(&expected), "{path}");
    }
    let (values, _) = told(&["global.tag=2", "tag=1"])?;
    assert_eq!(values.pointer("/global/tag"), Some(&json!("2")));
    Ok(())
}

#[test]
fn a_gateway_says_what_is_injected() -> Result<()> {
    let values = [
        "proxy.concurrency=2",
        "logging.level=debug",
        "networkGateway=net1",
        "podAnnotations.a=b",
    ];
    let objects = render("gateway", &values)?;
    assert!(the(&objects, "ConfigMap").is_err(), "there is no bootstrap");
    let pod = the(&objects, "Deployment")?.pod().context("a pod")?;
    let at = |path: &str| pod.pointer(path).cloned().unwrap_or_default();
    assert_eq!(at("/spec/containers/0/name"), "istio-proxy");
    assert_eq!(at("/spec/containers/0/image"), "auto");
    for absent in ["command", "args", "readinessProbe", "volumeMounts"] {
        assert_eq!(at(&format!("/spec/containers/0/{absent}")), Value::Null);
    }
    assert_eq!(at("/spec/volumes"), Value::Null);
    let annotations = json!({
        "a": "b", "inject.istio.io/templates": "gateway",
        "prometheus.io/path": "/stats/prometheus", "prometheus.io/port": "15020",
        "prometheus.io/scrape": "true", "proxy.istio.io/config": "{\"concurrency\":2}",
        "sidecar.istio.io/logLevel": "debug",
    });
    assert_eq!(at("/metadata/annotations"), annotations);
    let labels = at("/metadata/labels");
    for (key, value) in [
        ("sidecar.istio.io/inject", "true"),
        ("istio.io/rev", "default"),
        ("istio", "ingressgateway"),
        ("topology.istio.io/network", "net1"),
    ] {
        assert_eq!(labels.get(key), Some(&json!(value)), "{key}");
    }
    Ok(())
}
