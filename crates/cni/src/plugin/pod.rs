//! Whether the traffic of a pod is to be captured, by what the injector has made of it.

use super::said;
use k8s_openapi::api::core::v1::{Container, Pod};
use meltemi_capture::Said;

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its traffic is captured by these flags.
    Capture(Said),
    /// It is left alone; the text says why.
    Skip(&'static str),
}

const PROXY: &str = "istio-proxy";
/// It captures by itself.
const CAPTURES: &str = "istio-init";
/// It tries the rules that we write.
const TRIES: &str = "istio-validation";
const INJECT: &str = "sidecar.istio.io/inject";
const STATUS: &str = "sidecar.istio.io/status";

/// Judges a pod. `is_native`: this node uses nft itself.
pub(super) fn judge(pod: &Pod, is_native: bool) -> Verdict {
    let Some(spec) = &pod.spec else {
        return Verdict::Skip("it has no containers");
    };
    let inits = || spec.init_containers.iter().flatten();
    let named = |name: &str| inits().chain(&spec.containers).find(|one| one.name == name);
    let metadata = &pod.metadata;
    let label = metadata.labels.as_ref().and_then(|all| all.get(INJECT));
    let annotation = |key: &str| metadata.annotations.as_ref()?.get(key);
    let said_no = |value: Option<&String>| value.is_some_and(|value| flag_is_false(value));
    if spec.host_network == Some(true) {
        return Verdict::Skip("it is in the node's network");
    }
    if named(CAPTURES).is_some() {
        return Verdict::Skip("its init container captures its traffic");
    }
    if said_no(label) || said_no(annotation(INJECT)) {
        return Verdict::Skip("it wants no proxy");
    }
    if annotation(STATUS).is_none() {
        return Verdict::Skip("nothing was injected into it");
    }
    let Some(proxy) = named(PROXY) else {
        return Verdict::Skip("it has no proxy");
    };
    if env(proxy, "DISABLE_ENVOY") == Some("true") {
        return Verdict::Skip("its proxy has no Envoy");
    }
    let kind = proxy.args.as_ref().and_then(|args| args.get(1));
    if kind.is_some_and(|kind| kind != "sidecar") {
        return Verdict::Skip("its proxy is no sidecar");
    }
    if mode(annotation(said::MODE), proxy) == Some("NONE") {
        return Verdict::Skip("its interception mode is NONE");
    }
    Verdict::Capture(said::read(pod, (named(TRIES), proxy), is_native))
}

fn mode<'a>(annotation: Option<&'a String>, proxy: &'a Container) -> Option<&'a str> {
    let told = || env(proxy, "ISTIO_META_INTERCEPTION_MODE");
    annotation.map(String::as_str).or_else(told)
}

/// A variable of a container that is written out.
pub(super) fn env<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    let mut all = container.env.iter().flatten();
    // Of two, the last counts.
    all.rfind(|one| one.name == name)?.value.as_deref()
}

/// False in one of Go's spellings.
fn flag_is_false(text: &str) -> bool {
    matches!(text, "0" | "f" | "F" | "false" | "FALSE" | "False")
}
