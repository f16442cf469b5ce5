//! Verdicts on small texts.

use super::*;

fn judged(text: &str) -> Vec<(Verdict, Vec<String>)> {
    let source = Source::new("a.yaml");
    let all = Validator::new().text(text.as_bytes(), &source);
    let lines = |judged: &Judged| judged.diagnostics.iter().map(ToString::to_string).collect();
    all.iter()
        .map(|judged| (judged.verdict, lines(judged)))
        .collect()
}

fn one(text: &str) -> (Verdict, String) {
    let mut all = judged(text);
    assert_eq!(all.len(), 1, "{all:?}");
    let (verdict, lines) = all.remove(0);
    (verdict, lines.join("\n"))
}

fn telemetry(spec: &str) -> String {
    format!(
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata:\n  name: a\n  namespace: b\n\
         spec:\n  {spec}\n"
    )
}

#[test]
fn what_the_schema_alone_knows_is_said_with_its_place() {
    let group = telemetry("metrics: [{overrides: [{match: {customMetric: ''}}]}]");
    assert_eq!(
        one(&group),
        (
            Verdict::Invalid,
            "error[MLT0106]: Telemetry b/a spec.metrics[0].overrides[0].match.customMetric: \
             has 0 characters; use 1 or more (a.yaml:7:35)"
                .into()
        )
    );
}

#[test]
fn one_mistake_is_said_once() {
    let (verdict, text) = one(&telemetry("tracing: [{randomSamplingPercentage: 101}]"));
    assert_eq!(verdict, Verdict::Invalid);
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn null_is_absent_where_it_is_no_value() {
    assert_eq!(one(&telemetry("selector: null")).0, Verdict::Valid);
    let (verdict, text) = one(&telemetry("tracing: [null]"));
    assert_eq!(verdict, Verdict::Invalid, "{text}");
}

#[test]
fn other_peoples_kinds_are_valid() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: A_B}\n";
    assert_eq!(one(deployment), (Verdict::Valid, String::new()));
    let certificate = "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: a}\n";
    assert_eq!(one(certificate), (Verdict::Valid, String::new()));
}

#[test]
fn kinds_of_the_gateway_api_are_accepted_with_a_word() {
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\n";
    let (verdict, text) = one(route);
    assert_eq!(verdict, Verdict::Warn);
    assert!(text.contains("HTTPRoute is accepted unchecked"), "{text}");
    let (verdict, _) = one(&route.replace("HTTPRoute", "HTTPRoot"));
    assert_eq!(verdict, Verdict::Invalid);
}

#[test]
fn removed_kinds_name_what_took_their_place() {
    for (version, kind, now) in [
        (
            "authentication.istio.io/v1alpha1",
            "Policy",
            "PeerAuthentication",
        ),
        (
            "authentication.istio.io/v1alpha1",
            "MeshPolicy",
            "PeerAuthentication",
        ),
        (
            "rbac.istio.io/v1alpha1",
            "ServiceRole",
            "AuthorizationPolicy",
        ),
        (
            "rbac.istio.io/v1alpha1",
            "ClusterRbacConfig",
            "AuthorizationPolicy",
        ),
        ("config.istio.io/v1alpha2", "RouteRule", "VirtualService"),
        ("config.istio.io/v1alpha2", "handler", "Telemetry"),
        (
            "networking.istio.io/v1alpha3",
            "ExternalService",
            "ServiceEntry",
        ),
    ] {
        let text = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n");
        let (verdict, text) = one(&text);
        assert_eq!(verdict, Verdict::Invalid, "{kind}");
        assert!(text.contains(now) && text.contains("removed"), "{text}");
    }
}

#[test]
fn names_follow_rfc_1123() {
    let (verdict, text) = one(&telemetry("{}").replace("name: a", "name: Big_Name"));
    assert_eq!(verdict, Verdict::Invalid);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("metadata.name"), "{text}");
    let labels = telemetry("{}").replace("name: a", "name: a\n  labels: {a b: c, d: '-'}");
    let (verdict, text) = one(&labels);
    assert_eq!(verdict, Verdict::Invalid);
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn generated_names_are_names() {
    let text = telemetry("{}").replace("  name: a", "  generateName: a-");
    assert_eq!(one(&text), (Verdict::Valid, String::new()));
}

#[test]
fn unknown_fields_and_broken_text_have_places() {
    let (_, text) = one(&telemetry("traceing: []"));
    assert!(
        text.contains("spec.traceing: unknown field") && text.contains(":7:3"),
        "{text}"
    );
    let both = format!("{}---\na: [\n", telemetry("{}"));
    let all = judged(&both);
    assert_eq!(all[0].0, Verdict::Valid);
    assert_eq!(all[1].0, Verdict::Invalid);
    assert!(all[1].1[0].contains("(a.yaml:"), "{:?}", all[1]);
}
