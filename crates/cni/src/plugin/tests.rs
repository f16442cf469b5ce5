//! Calls as a runtime makes them, and pods as injectors make them.

use super::*;
use k8s_openapi::api::core::v1::Pod;
use meltemi_capture::{Dns, Inbound, Mode, Outbound};
use std::collections::BTreeMap;
use std::net::IpAddr;

fn call(variables: &[(&str, &str)], conf: &Value) -> Result<Option<Value>, Failure> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    answer(conf.to_string().as_bytes(), &variable)
}

fn code(answer: Result<Option<Value>, Failure>) -> u32 {
    answer.unwrap_err().code
}

#[test]
fn versions_are_told_and_others_refused() {
    let told = call(&[(COMMAND, "VERSION")], &json!({"cniVersion": "0.4.0"}));
    let told = told.unwrap().unwrap();
    assert_eq!(told["cniVersion"], "0.4.0");
    assert_eq!(told["supportedVersions"], json!(VERSIONS));
    for version in ["0.2.0", "2.0.0"] {
        let conf = json!({"cniVersion": version});
        assert_eq!(code(call(&[(COMMAND, "DEL")], &conf)), 1, "{version}");
    }
}

#[test]
fn errors_have_the_codes_of_the_specification() {
    let variable = |_: &str| Some("DEL".to_owned());
    let broken = answer(b"{\"cniVersion\": ", &variable).unwrap_err();
    assert_eq!(broken.code, 6);
    let json = broken.json("1.0.0");
    let keys: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["cniVersion", "code", "details", "msg"]);
    let strange = json!({"cniVersion": "1.0.0", "exclude_namespaces": "a"});
    assert_eq!(code(call(&[(COMMAND, "DEL")], &strange)), 7);
    assert_eq!(code(call(&[(COMMAND, "MOVE")], &json!({}))), 4);
    assert_eq!(code(call(&[], &json!({}))), 4);
    let nowhere = json!({"cniVersion": "1.1.0", "cni_agent_run_dir": "/nowhere"});
    assert_eq!(code(call(&[(COMMAND, "STATUS")], &nowhere)), 50);
}

#[test]
fn what_the_plugins_before_have_said_is_passed_on() {
    let pod = "IgnoreUnknown=1;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=dns";
    let mut conf = json!({"cniVersion": "0.4.0", "exclude_namespaces": ["kube-system"]});
    let add = [(COMMAND, "ADD"), ("CNI_ARGS", pod)];
    assert_eq!(
        call(&add, &conf).unwrap(),
        Some(json!({"cniVersion": "0.4.0"}))
    );
    let result = json!({"cniVersion": "0.4.0", "ips": [{"address": "1.1.1.1/24"}], "x": 1});
    conf["prevResult"] = result.clone();
    assert_eq!(call(&add, &conf).unwrap(), Some(result.clone()));
    // Nobody's pod, and the installer's own.
    assert_eq!(
        call(&[(COMMAND, "ADD")], &conf).unwrap(),
        Some(result.clone())
    );
    conf["pod_namespace"] = json!("istio-system");
    conf["own_pod_prefix"] = json!("istio-cni-node-");
    let own = "K8S_POD_NAMESPACE=istio-system;K8S_POD_NAME=istio-cni-node-x";
    let own = [(COMMAND, "ADD"), ("CNI_ARGS", own)];
    assert_eq!(call(&own, &conf).unwrap(), Some(result));
    assert_eq!(call(&[(COMMAND, "DEL")], &conf).unwrap(), None);
}

fn injected() -> Value {
    json!({
        "metadata": {"name": "a", "namespace": "n", "annotations": {"sidecar.istio.io/status": "{}"}},
        "spec": {
            "initContainers": [{"name": "istio-validation", "args": [
                "istio-iptables", "-p", "15101", "-z=15106", "-u", "1337", "-m", "REDIRECT",
                "-i", "", "-x", "", "-b", "*", "-d", "15090,15021,15020",
                "--log_output_level=default:info", "--run-validation", "--skip-rule-apply",
                "--dual-stack=true",
            ]}],
            "containers": [
                {"name": "app"},
                {"name": "istio-proxy", "args": ["proxy", "sidecar"]},
            ],
        },
    })
}

fn verdict(pod: &Value) -> pod::Verdict {
    let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
    pod::judge(&pod, false)
}

fn settings(pod: &Value) -> Settings {
    let pod::Verdict::Capture(said) = verdict(pod) else {
        panic!("{pod} is not captured")
    };
    assert!(!Errand::read(&said).unwrap().skips_rules);
    let around = Surroundings {
        addresses: vec![IpAddr::from([10, 0, 0, 1])],
        ..Surroundings::default()
    };
    Settings::read(&said, &around).unwrap().settings
}

#[test]
fn a_pod_without_annotations_is_captured_as_its_arguments_say() {
    let found = settings(&injected());
    assert_eq!((found.outbound_port, found.inbound_port), (15101, 15106));
    assert_eq!(found.outbound, Outbound::Only(Vec::new()));
    assert_eq!(
        found.inbound,
        Inbound::Except(vec![15090, 15021, 15020]),
        "as the init container would"
    );
    assert_eq!((found.uids, found.gids), (vec![1337], vec![1337]));
}

#[test]
fn annotations_win_over_arguments() {
    let mut pod = injected();
    let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
    for (key, value) in [
        ("includeOutboundIPRanges", "10.0.0.0/8"),
        ("excludeInboundPorts", "81,15020"),
        ("excludeOutboundPorts", "5432"),
        ("includeInboundPorts", "*"),
        ("excludeInterfaces", "net1"),
    ] {
        annotations.insert(format!("traffic.sidecar.istio.io/{key}"), json!(value));
    }
    annotations.insert(said::MODE.to_owned(), json!("TPROXY"));
    pod["spec"]["containers"][1]["securityContext"] = json!({"runAsUser": 0, "runAsGroup": 5});
    pod["spec"]["initContainers"][0]["env"] =
        json!([{"name": "ISTIO_META_DNS_CAPTURE", "value": "true"}]);
    let found = settings(&pod);
    assert_eq!(
        found.outbound,
        Outbound::Only(vec!["10.0.0.0/8".parse().unwrap()])
    );
    assert_eq!(
        found.inbound,
        Inbound::Except(vec![15020, 15021, 15090, 81])
    );
    assert_eq!(found.excluded_outbound_ports, [5432]);
    assert_eq!(found.excluded_nics.len(), 1);
    assert_eq!((found.mode, found.dns), (Mode::Tproxy, Dns::All));
    assert_eq!((found.uids, found.gids), (vec![1337], vec![5]));
}

#[test]
fn a_pod_that_says_nothing_gets_the_defaults() {
    let mut pod = injected();
    pod["spec"]["initContainers"] = json!([
        {"name": "istio-proxy", "restartPolicy": "Always", "args": ["proxy", "sidecar"]}
    ]);
    pod["spec"]["containers"] = json!([{"name": "app"}]);
    let found = settings(&pod);
    assert_eq!((found.outbound_port, found.inbound_port), (15001, 15006));
    assert_eq!(
        (found.outbound, found.mode),
        (Outbound::All, Mode::Redirect)
    );
    assert_eq!(found.inbound, Inbound::Except(vec![15020, 15021, 15090]));
    assert!(found.excluded_outbound_ports.is_empty() && found.dns == Dns::Off);
}

#[test]
fn pods_that_are_not_ours_are_left_alone() {
    let cases = [
        ("/spec/hostNetwork", json!(true)),
        ("/spec/initContainers/0/name", json!("istio-init")),
        ("/spec/containers/1/name", json!("proxy")),
        ("/spec/containers/1/args/1", json!("router")),
        (
            "/spec/containers/1/env",
            json!([{"name": "DISABLE_ENVOY", "value": "true"}]),
        ),
        ("/metadata/annotations", json!({})),
        (
            "/metadata/labels",
            json!({"sidecar.istio.io/inject": "False"}),
        ),
        (
            "/metadata/annotations/sidecar.istio.io~1interceptionMode",
            json!("NONE"),
        ),
        ("/metadata/annotations/sidecar.istio.io~1inject", json!("f")),
    ];
    for (path, value) in cases {
        let mut pod = injected();
        let (parent, key) = path.rsplit_once('/').unwrap();
        match pod.pointer_mut(path) {
            Some(place) => *place = value,
            None => {
                let key = key.replace("~1", "/");
                pod.pointer_mut(parent).unwrap()[key] = value;
            }
        }
        assert!(
            matches!(verdict(&pod), pod::Verdict::Skip(_)),
            "{path}: {pod}"
        );
    }
}

#[test]
fn what_cannot_be_read_refuses_the_pod() {
    let mut pod = injected();
    pod["metadata"]["annotations"]["traffic.sidecar.istio.io/excludeOutboundPorts"] = json!("x");
    let pod::Verdict::Capture(said) = verdict(&pod) else {
        panic!("it is not captured")
    };
    let refused = Settings::read(&said, &Surroundings::default()).unwrap_err();
    assert!(
        refused[0]
            .to_string()
            .contains("-o/--istio-local-outbound-ports-exclude=\"x\"")
    );
}
