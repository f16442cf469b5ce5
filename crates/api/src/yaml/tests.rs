//! Each diagnostic in its exact words, and what survives a mistake.

use super::*;
use crate::kinds::Kind;
use meltemi_types::{FieldPath, Severity};

fn documents(text: &str) -> Vec<Document> {
    read(text.as_bytes(), &Source::new("reviews.yaml"))
}

fn said(text: &str) -> Vec<String> {
    documents(text)
        .iter()
        .flat_map(|document| &document.diagnostics)
        .map(ToString::to_string)
        .collect()
}

fn objects(text: &str) -> Vec<String> {
    documents(text)
        .into_iter()
        .filter_map(|document| match document.outcome {
            Outcome::Object(object) => Some(object.key().to_string()),
            Outcome::Broken { .. } | Outcome::LeftOut | Outcome::Foreign | Outcome::Unclear => None,
        })
        .collect()
}

/// A VirtualService whose spec starts at line 6.
fn virtual_service(spec: &str) -> String {
    let head = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: \
                reviews\n  namespace: shop\nspec:\n";
    format!("{head}{spec}")
}

const ROUTES: &str = "  hosts: [reviews]
  http:
  - match:
    - uri:
        prefix: /
    route:
    - destination:
        host: reviews
    retries:
      attempts: 3
      perTryTimout: 2s
";

#[test]
fn an_unknown_field_has_its_line_and_the_word_that_was_meant() {
    assert_eq!(
        said(&virtual_service(ROUTES)),
        [
            "error[MLT0004]: VirtualService shop/reviews spec.http[0].retries.perTryTimout: \
          unknown field; did you mean \"perTryTimeout\"? (reviews.yaml:17:7)"
        ]
    );
}

#[test]
fn every_problem_of_a_document_is_reported() {
    let spec = "  hosts: reviews
  http:
  - retries:
      attempts: \"3\"
      perTryTimout: 2s
  - timeout: 10
  nmae: x
";
    assert_eq!(
        said(&virtual_service(spec)),
        [
            "error[MLT0003]: VirtualService shop/reviews spec.hosts: is the string \"reviews\", \
             not a list; write a list: a line of its own with '- ' for each item (reviews.yaml:7:10)",
            "error[MLT0003]: VirtualService shop/reviews spec.http[0].retries.attempts: is the \
             string \"3\", not a whole number; remove the quotes: 3 (reviews.yaml:10:17)",
            "error[MLT0004]: VirtualService shop/reviews spec.http[0].retries.perTryTimout: \
             unknown field; did you mean \"perTryTimeout\"? (reviews.yaml:11:7)",
            "error[MLT0003]: VirtualService shop/reviews spec.http[1].timeout: is the number 10, \
             not a string; put it in quotes: \"10\" (reviews.yaml:12:14)",
            "error[MLT0004]: VirtualService shop/reviews spec.nmae: unknown field; remove it, or \
             use \"hosts\", \"gateways\", \"http\", \"tls\", \"tcp\" or \"exportTo\" (reviews.yaml:13:3)",
        ]
    );
}

#[test]
fn a_word_of_no_enumeration_and_a_wrong_duration() {
    let text = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: \
                default\n  namespace: shop\nspec:\n  mtls:\n    mode: STRICKT\n";
    assert_eq!(
        said(text),
        [
            "error[MLT0008]: PeerAuthentication shop/default spec.mtls.mode: \"STRICKT\" is not an \
             allowed value; did you mean \"STRICT\"? Use \"UNSET\", \"DISABLE\", \"PERMISSIVE\" or \
             \"STRICT\" (reviews.yaml:8:11)"
        ]
    );
    let said = said(&virtual_service("  http:\n  - timeout: 10x\n"));
    assert_eq!(
        said,
        [
            "error[MLT0103]: VirtualService shop/reviews spec.http[0].timeout: \"10x\" is not a valid \
             duration; use numbers with the units h, m, s, ms, us or ns, as in 1h3m2.5s (reviews.yaml:8:14)"
        ]
    );
}

#[test]
fn yaml_1_1_words_ask_for_quotes() {
    assert_eq!(
        said(&virtual_service("  hosts: [on, 1.10]\n")),
        [
            "error[MLT0003]: VirtualService shop/reviews spec.hosts[0]: is the boolean on, not a \
             string; put it in quotes: \"on\" (reviews.yaml:7:11)",
            "error[MLT0003]: VirtualService shop/reviews spec.hosts[1]: is the number 1.10, not a \
             string; put it in quotes: \"1.10\" (reviews.yaml:7:15)",
        ]
    );
}

#[test]
fn broken_syntax_costs_one_document_and_keeps_its_name() {
    let good = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    let text = format!(
        "{good}---\n{}{good}",
        virtual_service("  hosts: [reviews\n  http: x\n")
    );
    assert_eq!(objects(&text), ["Namespace shop", "Namespace shop"]);
    let broken = documents(&text).remove(1);
    let Outcome::Broken { object, .. } = broken.outcome else {
        panic!("{broken:?}");
    };
    assert_eq!(object.to_string(), "VirtualService shop/reviews");
    let text = broken.diagnostics.first().unwrap().to_string();
    assert!(
        text.starts_with("error[MLT0001]: VirtualService shop/reviews: not YAML: "),
        "{text}"
    );
    assert!(text.contains("(reviews.yaml:1"), "{text}");
}

#[test]
fn prose_is_not_yaml() {
    assert_eq!(
        said("just some words\n"),
        [
            "error[MLT0001]: File reviews.yaml: not an object, but a text or a list; start with the \
             fields apiVersion, kind and metadata (reviews.yaml:1:1)"
        ]
    );
    let document = documents("a: [\n").remove(0);
    assert_eq!(document.outcome, Outcome::Unclear);
    let [diagnostic] = document.diagnostics.as_slice() else {
        panic!()
    };
    let text = diagnostic.to_string();
    assert!(
        text.starts_with("error[MLT0001]: File reviews.yaml: not YAML: "),
        "{text}"
    );
    let documents = read(b"a: b\n\xff\n", &Source::new("x"));
    let text = documents.first().unwrap().diagnostics.first().unwrap();
    assert_eq!(
        text.to_string(),
        "error[MLT0001]: File x: not UTF-8 text; save the file as UTF-8 (x:2)"
    );
}

#[test]
fn duplicate_keys_are_errors() {
    assert_eq!(
        said(&virtual_service(
            "  hosts: [a]\n  http: [{route: [{destination: {host: a}}]}]\n  hosts: [b]\n"
        )),
        [
            "error[MLT0001]: VirtualService shop/reviews spec.hosts: this key is there twice; \
             remove one of the two (reviews.yaml:9:3)"
        ]
    );
}

#[test]
fn an_object_needs_kind_and_name() {
    assert_eq!(
        said("apiVersion: v1\nmetadata: {name: x}\n"),
        ["error[MLT0007]: File reviews.yaml: kind: is missing; set kind (reviews.yaml:1:1)"]
    );
    assert_eq!(
        said("apiVersion: v1\nkind: Service\nmetadata:\n  namespace: shop\n"),
        [
            "error[MLT0007]: File reviews.yaml: metadata.name: is missing; set metadata.name \
             (reviews.yaml:3:1)"
        ]
    );
    assert_eq!(
        said("apiVersion: v1\nkind: Service\nmetadata:\n  name: Shop\n"),
        [
            "error[MLT0107]: File reviews.yaml: metadata.name: \"Shop\" is not allowed; use at \
             most 253 of a-z, 0-9, '-' and '.', no empty part (reviews.yaml:4:3)"
        ]
    );
}

#[test]
fn kinds_that_are_not_read() {
    let kind = |api_version: &str, kind: &str| {
        said(&format!(
            "apiVersion: {api_version}\nkind: {kind}\nmetadata:\n  name: x\n"
        ))
    };
    assert_eq!(kind("apps/v1", "Deployment"), Vec::<String>::new());
    assert_eq!(
        kind("gateway.networking.k8s.io/v1", "Gateway"),
        [
            "warning[MLT0212]: Gateway default/x: Gateway is recognised, but has no effect yet; \
             everything else in the file is used (reviews.yaml:1:1)"
        ]
    );
    assert_eq!(
        kind("networking.istio.io/v1", "VirtualServce"),
        [
            "error[MLT0002]: VirtualServce default/x kind: \"VirtualServce\" is no kind of \
             networking.istio.io; did you mean \"VirtualService\"? (reviews.yaml:2:1)"
        ]
    );
    assert_eq!(
        kind("example.com/v1", "Thing"),
        [
            "error[MLT0002]: Thing default/x kind: \"Thing\" of \"example.com/v1\" is not a known \
             kind; check the spelling of apiVersion and kind, or remove the document (reviews.yaml:2:1)"
        ]
    );
    let source = Source {
        strangers: Strangers::Ignore,
        ..Source::new("x")
    };
    let text = b"apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\n";
    let documents = read(text, &source);
    assert_eq!(documents.first().unwrap().outcome, Outcome::Foreign);
}

#[test]
fn what_an_api_server_refuses_is_a_warning_in_objects_that_exist() {
    let text = b"apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports:\n  \
        - {name: http, port: 80}\n  - {name: http, port: 8080}\n";
    let judge = |admission| {
        let source = Source {
            admission,
            ..Source::new("x")
        };
        let document = read(text, &source).remove(0);
        let severities: Vec<Severity> = document.diagnostics.iter().map(|d| d.severity).collect();
        (matches!(document.outcome, Outcome::Object(_)), severities)
    };
    assert_eq!(judge(Admission::Pending), (false, vec![Severity::Error]));
    assert_eq!(judge(Admission::Done), (true, vec![Severity::Warning]));
}

#[test]
fn good_objects_know_where_their_fields_stand() {
    let text = virtual_service(ROUTES).replace("perTryTimout", "perTryTimeout");
    let document = documents(&text).remove(0);
    assert_eq!(document.diagnostics, []);
    let Outcome::Object(Object::VirtualService(object)) = document.outcome else {
        panic!();
    };
    assert_eq!(object.spec.hosts, ["reviews"]);
    let at = |path: &str| {
        let origin = object.origin_at(&FieldPath::new(path));
        origin.location.unwrap().to_string()
    };
    assert_eq!(at("spec.http[0].retries.attempts"), "reviews.yaml:16:7");
    assert_eq!(at("spec.http[0].route[0].weight"), "reviews.yaml:13:7");
    assert_eq!(at("spec.http[0]"), "reviews.yaml:9:5");
    assert_eq!(at(""), "reviews.yaml:1:1");
}

#[test]
fn kubernetes_kinds_are_read_strictly_but_their_status_is_not() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  creationTimestamp: null\nspec:\n  ports:\n  - \
                name: http\n    port: 80\n    targetPort: http\n    nodeProt: 1\nstatus:\n  loadBalancer: {}\n  news: 1\n";
    assert_eq!(
        said(text),
        [
            "error[MLT0004]: Service default/web spec.ports[0].nodeProt: unknown field; did you \
             mean \"nodePort\"? (reviews.yaml:11:5)"
        ]
    );
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, creationTimestamp: 2024-01-01T00:00:00Z}\n\
               spec:\n  containers:\n  - name: app\n    resources: {limits: {cpu: 2}}\n  newField: 1\nstatus: {podIP: 10.0.0.1}\n";
    assert_eq!(
        said(pod),
        [
            "warning[MLT0004]: Pod default/web spec.newField: unknown field; remove it, or check \
             its spelling and indentation (reviews.yaml:8:3)"
        ]
    );
    let Outcome::Object(Object::Pod(pod)) = documents(pod).remove(0).outcome else {
        panic!();
    };
    assert_eq!(pod.meta.created, Some(1_704_067_200));
    let ips: Vec<_> = pod.spec.ips.iter().map(ToString::to_string).collect();
    assert_eq!(ips, ["10.0.0.1"]);
}

#[test]
fn lists_are_opened_and_json_is_yaml() {
    let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
	{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"a": "b"}}},
	{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bank", "name": "dup"}}
]}"#;
    assert_eq!(objects(text), ["Namespace shop"]);
    assert_eq!(
        said(text),
        [
            "error[MLT0001]: Namespace bank metadata.name: this key is there twice; remove one of \
             the two (reviews.yaml:3:73)"
        ]
    );
}

#[test]
fn anchors_and_merges_work() {
    let text = virtual_service(
        "  hosts: [a]
  http:
  - name: a
    match: [{uri: {prefix: /a}}]
    retries: &retries {attempts: 2, perTryTimeout: 1s}
    route: &route [{destination: {host: a}}]
  - name: b
    match: [{uri: {prefix: /b}}]
    retries:
      <<: *retries
      attempts: 5
    route: *route
  - name: c
    retries: *retries
    route: *route
",
    );
    let Outcome::Object(Object::VirtualService(object)) = documents(&text).remove(0).outcome else {
        panic!("{:?}", said(&text));
    };
    let attempts: Vec<_> = object
        .spec
        .http
        .iter()
        .map(|route| serde_json::to_value(&route.retries).unwrap()["attempts"].clone())
        .collect();
    assert_eq!(attempts, [2, 5, 2]);
}

#[test]
fn a_bomb_of_aliases_is_refused_fast() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let alias = format!("*a{}", level - 1);
        let items = [alias.as_str(); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let text = said(&text).remove(0);
    assert!(text.contains("larger than 2000000 values"), "{text}");
    let deep = said(&"[".repeat(5000)).remove(0);
    assert!(deep.starts_with("error[MLT0001]"), "{deep}");
}

#[test]
fn comments_and_empty_documents_are_nothing() {
    assert_eq!(documents(""), []);
    assert_eq!(documents("# nothing\n---\n---\n# still\n"), []);
}

#[test]
fn a_broken_policy_tells_whom_it_selects() {
    let text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: \
                shop}\nspec:\n  selector:\n    matchLabels: {app: web}\n  action: DENNY\n";
    let Outcome::Broken { selector, .. } = documents(text).remove(0).outcome else {
        panic!();
    };
    let labels = [("app", "web")].into_iter().collect();
    assert_eq!(selector, Some(Selector::new(labels)));
    let vague = text.replace("matchLabels", "matchLables");
    let Outcome::Broken { selector, object } = documents(&vague).remove(0).outcome else {
        panic!();
    };
    assert_eq!(selector, None);
    assert_eq!(&*object.kind, Kind::AuthorizationPolicy.name());
}

#[test]
fn mesh_config_comes_in_its_config_map_or_bare() {
    let map = |mesh: &str| {
        let head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: istio\n  namespace: \
                    istio-system\ndata:\n";
        format!("{head}{mesh}")
    };
    let text =
        map("  mesh: |\n    trustDomain: example.org\n    defaultConfig:\n      concurrency: 2\n");
    let Outcome::Object(Object::MeshConfig(mesh)) = documents(&text).remove(0).outcome else {
        panic!("{:?}", said(&text));
    };
    assert_eq!(mesh.spec.trust_domain.as_deref(), Some("example.org"));
    let origin = mesh.origin_at(&FieldPath::new("defaultConfig.concurrency"));
    assert_eq!(origin.location.unwrap().to_string(), "reviews.yaml:10:7");
    assert_eq!(
        said(&map("  mesh: |-\n    trustDomian: example.org\n")),
        [
            "error[MLT0004]: MeshConfig istio-system/istio trustDomian: unknown field; did you \
             mean \"trustDomain\"? (reviews.yaml:8:5)"
        ]
    );
    let bare = read_mesh_config(b"trustDomain: [1]\n", &Source::new("mesh.yaml"));
    assert_eq!(
        bare.diagnostics.first().unwrap().to_string(),
        "error[MLT0003]: MeshConfig istio-system/istio trustDomain: is a list, not a string; \
         write a string (mesh.yaml:1:14)"
    );
    let other = text.replace("istio-system", "shop");
    let Outcome::Object(Object::ConfigMap(map)) = documents(&other).remove(0).outcome else {
        panic!("another ConfigMap is one that holds no authorities");
    };
    assert_eq!(map.spec.authorities, None);
}

#[test]
fn checks_have_lines_too() {
    let spec = "  hosts: [reviews]\n  http:\n  - match:\n    - uri: {regex: \"a(?=b)\"}\n    \
                route:\n    - destination: {host: reviews, port: {number: 70000}}\n";
    let said = said(&virtual_service(spec));
    assert_eq!(said.len(), 2, "{said:#?}");
    let regex = "error[MLT0101]: VirtualService shop/reviews spec.http[0].match[0].uri.regex: ";
    let text = said.first().unwrap();
    assert!(
        text.starts_with(regex) && text.ends_with("(reviews.yaml:10:13)"),
        "{text}"
    );
    let port = "error[MLT0102]: VirtualService shop/reviews spec.http[0].route[0].destination.port.number: ";
    let text = said.last().unwrap();
    assert!(
        text.starts_with(port) && text.ends_with("(reviews.yaml:12:43)"),
        "{text}"
    );
}

#[test]
fn kubernetes_kinds_are_checked_as_an_api_server_would() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports:\n  - {name: a, \
                   port: 0}\n  - {name: a, port: 80}\n";
    let texts = said(service);
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert!(
        texts
            .iter()
            .all(|text| text.contains("Service default/web spec.ports["))
    );
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web}\n\
                 addressType: IPv4\nendpoints:\n- addresses: [10.0.0.1, \"::1\"]\nports: [{port: 80}]\n";
    assert_eq!(
        said(slice),
        [
            "error[MLT0107]: EndpointSlice default/web endpoints[0].addresses[1]: \"::1\" is no \
             IPv4 address; correct it, or change addressType (reviews.yaml:6:25)"
        ]
    );
}

#[test]
fn values_are_written() {
    let labels: Vec<&str> = vec!["a", "b"];
    assert_eq!(write(&labels).unwrap(), "- a\n- b\n");
}
