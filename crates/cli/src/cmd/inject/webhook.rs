//! The selectors of the injection webhooks, which an API server evaluates before it asks: the first
//! stage of the decision. They look at labels only.

use std::collections::BTreeMap;

/// Whether a webhook of a revision (empty for the default one) selects a pod in a namespace with
/// these labels, `k=v,...`; if not, why.
pub(super) fn selects(
    labels: &str,
    pod: &serde_json::Value,
    revision: &str,
) -> Result<(), &'static str> {
    let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
    let namespace: BTreeMap<&str, &str> = pairs.collect();
    let of_pod = |key: &str| pod.get("metadata")?.get("labels")?.get(key)?.as_str();
    let mine = match revision {
        "" => "default",
        revision => revision,
    };
    let is_default = mine == "default";
    if of_pod(meltemi_inject::INJECT) == Some("false") {
        return Err("its label sidecar.istio.io/inject is false");
    }
    match (
        namespace.get("istio-injection"),
        namespace.get("istio.io/rev"),
    ) {
        (Some(&"enabled"), _) if is_default => Ok(()),
        (Some(&"enabled"), _) => Err("the namespace belongs to the default revision"),
        (Some(_), _) => Err("the namespace's label istio-injection is not enabled"),
        (None, Some(rev)) if *rev == mine => Ok(()),
        (None, Some(_)) => Err("the namespace belongs to another revision"),
        (None, None) => match of_pod("istio.io/rev") {
            Some(rev) if rev == mine => Ok(()),
            Some(_) => Err("its label istio.io/rev names another revision"),
            None if is_default && of_pod(meltemi_inject::INJECT) == Some("true") => Ok(()),
            None => Err("neither the namespace nor the pod asks for it"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::selects;
    use serde_json::json;

    #[test]
    fn who_is_injected_by_whom() {
        let inject = |value: &str| json!({"sidecar.istio.io/inject": value});
        let rev = json!({"istio.io/rev": "r"});
        let refused = json!({"istio.io/rev": "r", "sidecar.istio.io/inject": "false"});
        let none = json!({});
        for (namespace, pod, by_default, by_r) in [
            ("", &none, false, false),
            ("", &inject("true"), true, false),
            ("", &rev, false, true),
            ("", &refused, false, false),
            ("istio-injection=enabled", &none, true, false),
            ("istio-injection=enabled", &inject("false"), false, false),
            ("istio-injection=enabled", &rev, true, false),
            ("istio-injection=disabled", &inject("true"), false, false),
            ("istio.io/rev=r", &none, false, true),
            ("istio.io/rev=r", &inject("false"), false, false),
            ("istio-injection=enabled,istio.io/rev=r", &none, true, false),
        ] {
            let pod = json!({"metadata": {"labels": pod}});
            assert_eq!(
                selects(namespace, &pod, "").is_ok(),
                by_default,
                "{namespace} {pod}"
            );
            assert_eq!(
                selects(namespace, &pod, "r").is_ok(),
                by_r,
                "{namespace} {pod}"
            );
        }
    }
}
