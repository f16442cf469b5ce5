//! Objects that no sane user writes: extreme numbers, empty lists, names that are no names. They
//! are handed to the registry past the checks that would hold them back, as an API server without
//! our webhook would.

use meltemi_api::Change;
use meltemi_api::networking::destination_rule::DestinationRule;
use meltemi_api::networking::sidecar::Sidecar;
use meltemi_api::networking::virtual_service::VirtualService;
use meltemi_api::yaml::{self, Outcome, Source};
use meltemi_api::{Meta, Object, Resource};
use meltemi_types::{ClusterId, ObjectRef};
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::Arc;

/// What came of a text: objects as they are read, or forced past the checks.
pub(crate) fn changes(text: &str) -> Vec<Change> {
    let documents = yaml::read(text.as_bytes(), &Source::new("odd.yaml"));
    let read = documents
        .into_iter()
        .filter_map(|document| match document.outcome {
            Outcome::Object(object) => Some(Change::Upsert(object)),
            Outcome::Broken { object, .. } => forced(&object, text).map(Change::Upsert),
            Outcome::LeftOut | Outcome::Foreign | Outcome::Unclear => None,
        });
    read.collect()
}

/// The object without its checks, when it is at least of the right types.
fn forced(object: &Arc<ObjectRef>, text: &str) -> Option<Object> {
    let value: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    let spec = value.get("spec")?.clone();
    let meta = Meta::new(ObjectRef {
        cluster: ClusterId::default(),
        ..ObjectRef::clone(object)
    });
    macro_rules! of {
        ($kind:ident) => {{
            let spec: $kind = serde_yaml::from_value(spec).ok()?;
            Some(Object::$kind(Arc::new(Resource::new(meta, spec))))
        }};
    }
    match &*object.kind {
        "VirtualService" => of!(VirtualService),
        "DestinationRule" => of!(DestinationRule),
        "Sidecar" => of!(Sidecar),
        _ => None,
    }
}

/// Texts at the edges of what a field takes.
fn text() -> impl Strategy<Value = String> {
    let fixed = select(
        &[
            "",
            "*",
            "**",
            "*.",
            ".",
            "..",
            "/",
            "%",
            "%%",
            "%REQ(x)%",
            "a b",
            "~",
            "~/*",
            "*/*",
            "a/b/c",
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "unix:///x",
            "@request.auth.claims.a",
            ":authority",
            "host",
            "(",
            "(?=a)",
            "é",
            "a.shop.svc.cluster.local",
            "A.SHOP.SVC.CLUSTER.LOCAL",
            "a.shop.svc.cluster.local.",
            "v1",
        ][..],
    );
    prop_oneof![4 => fixed.prop_map(str::to_owned), 1 => "[ -~]{0,12}"]
        .prop_map(|text| json_text(&text))
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn number() -> impl Strategy<Value = i64> {
    select(
        &[
            -1,
            0,
            1,
            80,
            100,
            65_535,
            65_536,
            4_294_967_295,
            4_294_967_296,
            i64::MAX,
        ][..],
    )
}

fn span() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "0s",
            "-1s",
            "1ms",
            "1ns",
            "1h",
            "9223372036s",
            "100000h",
            "x",
            "",
        ][..],
    )
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    let api = match kind {
        "Service" | "Pod" => "v1",
        _ => "networking.istio.io/v1",
    };
    format!(
        "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"
    )
}

fn name() -> impl Strategy<Value = &'static str> {
    select(&["a", "b", "a.b", "0"][..])
}

fn service() -> impl Strategy<Value = String> {
    let address = select(&["", "None", "10.96.0.1", "0.0.0.0", "::", "x", "127.0.0.1"][..]);
    let kind = select(&["ClusterIP", "ExternalName", "NodePort"][..]);
    let port = (number(), text(), number());
    (name(), address, kind, text(), port).prop_map(|(name, address, kind, external, (port, title, target))| {
        let spec = format!(
            "{{clusterIP: \"{address}\", type: {kind}, externalName: {external}, selector: {{app: a}}, \
             ports: [{{port: {port}, name: {title}, targetPort: {target}}}, {{port: 80, name: http}}]}}"
        );
        object("Service", name, &spec)
    })
}

fn http_rule() -> impl Strategy<Value = String> {
    let matches = prop_oneof![
        text().prop_map(|t| format!("match: [{{uri: {{regex: {t}}}}}]")),
        text().prop_map(|t| format!("match: [{{uri: {{prefix: {t}}}}}, {{}}]")),
        (text(), text())
            .prop_map(|(k, v)| format!("match: [{{headers: {{{k}: {{prefix: {v}}}}}}}]")),
        (text(), text())
            .prop_map(|(k, v)| format!("match: [{{withoutHeaders: {{{k}: {{regex: {v}}}}}}}]")),
        (text(), number())
            .prop_map(|(k, p)| format!("match: [{{queryParams: {{{k}: {{}}}}, port: {p}}}]")),
        Just("match: []".to_owned()),
    ];
    let action = prop_oneof![
        (text(), text(), number()).prop_map(|(h, s, w)| format!(
            "route: [{{destination: {{host: {h}, subset: {s}}}, weight: {w}}}, {{destination: {{host: a}}, weight: {w}}}]"
        )),
        (text(), number()).prop_map(|(h, p)| format!(
            "route: [{{destination: {{host: {h}, port: {{number: {p}}}}}}}]"
        )),
        (text(), number()).prop_map(|(u, c)| format!("redirect: {{uri: {u}, redirectCode: {c}, port: {c}}}")),
        (text(), number()).prop_map(|(b, c)| format!("directResponse: {{status: {c}, body: {{string: {b}}}}}")),
        text().prop_map(|n| format!("delegate: {{name: {n}}}")),
        Just("route: []".to_owned()),
    ];
    let more = prop_oneof![
        span().prop_map(|s| format!("timeout: \"{s}\"")),
        (span(), text(), number()).prop_map(|(s, t, n)| format!(
            "retries: {{attempts: {n}, perTryTimeout: \"{s}\", retryOn: {t}}}"
        )),
        (text(), text()).prop_map(|(k, v)| format!(
            "headers: {{request: {{set: {{{k}: {v}}}, remove: [{v}]}}}}"
        )),
        (text(), text()).prop_map(|(m, r)| format!(
            "rewrite: {{uriRegexRewrite: {{match: {m}, rewrite: {r}}}}}"
        )),
        (span(), number()).prop_map(|(s, n)| format!(
            "fault: {{delay: {{fixedDelay: \"{s}\", percent: {n}}}, abort: {{httpStatus: {n}}}}}"
        )),
        (text(), number())
            .prop_map(|(h, n)| format!("mirror: {{host: {h}}}, mirrorPercentage: {{value: {n}}}")),
        (text(), span()).prop_map(|(o, s)| format!(
            "corsPolicy: {{allowOrigins: [{{regex: {o}}}], maxAge: \"{s}\"}}"
        )),
    ];
    (matches, action, more)
        .prop_map(|(matches, action, more)| format!("{{{matches}, {action}, {more}}}"))
}

fn virtual_service() -> impl Strategy<Value = String> {
    let hosts = prop::collection::vec(text(), 0..3);
    let rules = prop::collection::vec(http_rule(), 0..3);
    let l4 = prop_oneof![
        (text(), number()).prop_map(|(h, n)| format!(
            "tcp: [{{match: [{{destinationSubnets: [{h}], port: {n}}}], route: [{{destination: {{host: {h}}}, weight: {n}}}]}}]"
        )),
        (text(), number()).prop_map(|(h, n)| format!(
            "tls: [{{match: [{{sniHosts: [{h}, \"*\"], port: {n}}}], route: [{{destination: {{host: {h}}}}}]}}]"
        )),
        Just("exportTo: [\"~\"]".to_owned()),
    ];
    (name(), hosts, rules, l4).prop_map(|(name, hosts, rules, l4)| {
        let spec = format!(
            "{{hosts: [{}], http: [{}], {l4}}}",
            hosts.join(", "),
            rules.join(", ")
        );
        object("VirtualService", name, &spec)
    })
}

fn destination_rule() -> impl Strategy<Value = String> {
    let policy = prop_oneof![
        (number(), span()).prop_map(|(n, s)| format!(
            "connectionPool: {{tcp: {{maxConnections: {n}, connectTimeout: \"{s}\"}}, http: {{maxRetries: {n}, idleTimeout: \"{s}\"}}}}"
        )),
        (number(), span()).prop_map(|(n, s)| format!(
            "outlierDetection: {{consecutive5xxErrors: {n}, interval: \"{s}\", minHealthPercent: {n}}}"
        )),
        (text(), number()).prop_map(|(t, n)| format!(
            "loadBalancer: {{consistentHash: {{httpHeaderName: {t}, maglev: {{tableSize: {n}}}}}}}"
        )),
        (text(), number()).prop_map(|(t, n)| format!(
            "loadBalancer: {{localityLbSetting: {{distribute: [{{from: {t}, to: {{{t}: {n}}}}}]}}}}, outlierDetection: {{}}"
        )),
        (text(), text()).prop_map(|(a, b)| format!("tls: {{mode: SIMPLE, sni: {a}, subjectAltNames: [{b}]}}")),
        (span(), number()).prop_map(|(s, n)| format!(
            "loadBalancer: {{simple: ROUND_ROBIN, warmup: {{duration: \"{s}\", minimumPercent: {n}, aggression: {n}}}}}"
        )),
    ];
    (name(), text(), policy, text(), number()).prop_map(|(name, host, policy, subset, port)| {
        let spec = format!(
            "{{host: {host}, trafficPolicy: {{{policy}}}, subsets: [{{name: {subset}}}, {{name: {subset}, \
             trafficPolicy: {{portLevelSettings: [{{port: {{number: {port}}}}}]}}}}]}}"
        );
        object("DestinationRule", name, &spec)
    })
}

fn sidecar() -> impl Strategy<Value = String> {
    let mode = select(&["NONE", "IPTABLES", "DEFAULT"][..]);
    (name(), text(), number(), text(), mode).prop_map(|(name, bind, port, host, mode)| {
        let port = format!("port: {{number: {port}, protocol: {bind}, name: p}}");
        let spec = format!(
            "{{ingress: [{{{port}, bind: {bind}, defaultEndpoint: {host}, captureMode: {mode}}}], \
             egress: [{{{port}, bind: {bind}, hosts: [{host}], captureMode: {mode}}}, {{hosts: [{host}, \"./*\"]}}]}}"
        );
        object("Sidecar", name, &spec)
    })
}

/// Any odd object.
pub(crate) fn any_object() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => service(),
        4 => virtual_service(),
        3 => destination_rule(),
        2 => sidecar(),
    ]
}
