//! What the source says when the API server fails.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test panics when it fails"
)]

use meltemi_api::Object;
use meltemi_kube::Tuning;
use meltemi_kube_tests::five::{B, held, ip, moved, server};
use meltemi_kube_tests::{
    Followed, config_maps, impatient, mesh, policies, policy, rule, rules, service, services,
};
use meltemi_testkit::api_server::{ApiServer, Expiry};
use serde_json::json;
use std::time::Duration;

const RULE: &str = "DestinationRule shop/web";

/// The lists among the queries since the last call; asking how far the store is is none.
fn lists(server: &ApiServer) -> Vec<String> {
    let mut queries = server.queries();
    queries.retain(|query| query.contains("sendInitialEvents") || query.contains("limit="));
    // Nor is looking whether a kind was installed meanwhile.
    queries.retain(|query| {
        !query.starts_with("/api/v1/namespaces?limit=1") && !query.contains(".istio.io/")
    });
    queries
}

#[tokio::test]
async fn lists_that_stream_and_pages_say_the_same() {
    let server = server();
    let streamed = Followed::synced(&server, impatient()).await.unwrap();
    assert!(
        server
            .queries()
            .iter()
            .any(|query| query.contains("sendInitialEvents"))
    );
    server.without_streaming();
    let paged = Followed::synced(&server, impatient()).await.unwrap();
    let pages = server.queries();
    let of_services = pages
        .iter()
        .filter(|q| q.starts_with("/api/v1/services?limit="));
    assert_eq!(of_services.count(), 3, "five services in pages of two");
    assert_eq!(streamed.held, paged.held);
    assert_eq!(paged.held.len(), 5);
}

#[tokio::test]
async fn events_are_changes_unless_they_change_nothing() {
    let server = server();
    let mut followed = Followed::synced(&server, impatient()).await.unwrap();
    server.apply(service("a", "10.1.0.1"));
    server.apply(service("a", "10.1.0.9"));
    server.delete(&services(), "shop", "b");
    held(&mut followed, (B, false)).await;
    moved(&mut followed, "10.1.0.9").await;
    assert_eq!(followed.told, ["+Service shop/a", "-Service shop/b"]);
}

#[tokio::test]
async fn a_version_that_expired_costs_a_list_and_no_change() {
    for expiry in [Expiry::Event, Expiry::Answer, Expiry::TooLarge] {
        let server = server();
        let mut followed = Followed::synced(&server, impatient()).await.unwrap();
        server.apply_in_silence(service("b", "10.1.0.8"));
        server.compact(expiry);
        followed
            .until("the change", |f| ip(f, B) == Some("10.1.0.8"))
            .await
            .unwrap();
        server.apply(service("a", "10.1.0.9"));
        moved(&mut followed, "10.1.0.9").await;
        assert_eq!(
            followed.told,
            ["+Service shop/b", "+Service shop/a"],
            "{expiry:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_away_takes_nothing_along() {
    let server = server();
    let tuning = Tuning {
        probe: Duration::from_millis(100),
        ..impatient()
    };
    let mut followed = Followed::synced(&server, tuning).await.unwrap();
    server.go_away();
    followed
        .until("the complaint", |f| !f.findings.is_empty())
        .await
        .unwrap();
    assert!(followed.findings["API server of Kubernetes"].contains("MLT0502"));
    server.apply(service("a", "10.1.0.9"));
    server.come_back();
    moved(&mut followed, "10.1.0.9").await;
    followed
        .until("its end", |f| f.findings.is_empty())
        .await
        .unwrap();
    assert_eq!(followed.told, ["+Service shop/a"]);
}

#[tokio::test]
async fn a_server_that_comes_later_is_waited_for() {
    let server = server();
    server.go_away();
    let mut followed = Followed::start(&server, impatient()).await.unwrap();
    followed.during(Duration::from_millis(300)).await.unwrap();
    assert!(!followed.synced && followed.told.is_empty());
    server.come_back();
    followed.until("sync", |f| f.synced).await.unwrap();
    assert_eq!(followed.held.len(), 5);
}

#[tokio::test]
async fn restarts_change_nothing() {
    let server = server();
    let mut followed = Followed::synced(&server, impatient()).await.unwrap();
    let _first = server.queries();
    for _ in 0..20 {
        server.go_away();
        followed.during(Duration::from_millis(20)).await.unwrap();
        server.come_back();
        followed.during(Duration::from_millis(60)).await.unwrap();
    }
    server.apply(service("a", "10.1.0.9"));
    moved(&mut followed, "10.1.0.9").await;
    assert_eq!(followed.told, ["+Service shop/a"]);
    assert_eq!(
        lists(&server),
        [""; 0],
        "watches go on from where they were"
    );
}

#[tokio::test]
async fn a_server_that_is_back_is_asked_at_once() {
    let server = server();
    let patient = Tuning {
        retry: Duration::from_secs(60),
        retry_longest: Duration::from_secs(60),
        ..impatient()
    };
    let mut followed = Followed::synced(&server, patient).await.unwrap();
    let _first = server.queries();
    server.go_away();
    followed
        .until("the complaint", |f| !f.findings.is_empty())
        .await
        .unwrap();
    server.apply(service("a", "10.1.0.9"));
    server.come_back();
    moved(&mut followed, "10.1.0.9").await;
    assert_eq!(
        lists(&server),
        [""; 0],
        "nothing was said against the version"
    );
}

#[tokio::test]
async fn a_watch_that_is_dead_is_replaced() {
    let server = server();
    let mut followed = Followed::synced(&server, impatient()).await.unwrap();
    server.hush();
    followed.during(Duration::from_millis(300)).await.unwrap();
    server.apply(service("a", "10.1.0.9"));
    server.speak();
    moved(&mut followed, "10.1.0.9").await;
    assert_eq!(followed.told, ["+Service shop/a"]);
}

#[tokio::test]
async fn a_kind_that_may_not_be_read_keeps_the_source_from_being_in_sync() {
    let server = server();
    server.permit(&services(), false);
    let mut followed = Followed::start(&server, impatient()).await.unwrap();
    followed
        .until("the complaint", |f| !f.findings.is_empty())
        .await
        .unwrap();
    let said = &followed.findings["Kubernetes services"];
    assert!(
        said.contains("MLT0501") && said.contains("list and watch on services"),
        "{said}"
    );
    followed.during(Duration::from_millis(500)).await.unwrap();
    assert!(!followed.synced);
    server.permit(&services(), true);
    followed.until("sync", |f| f.synced).await.unwrap();
    assert!(followed.findings.is_empty());
    server.permit(&services(), false);
    server.cut();
    followed
        .until("the complaint", |f| !f.findings.is_empty())
        .await
        .unwrap();
    assert_eq!(followed.held.len(), 5, "what was read stays");
    server.apply(rule("web", &json!({"host": "a"})));
    held(&mut followed, (RULE, true)).await;
    assert_eq!(followed.findings.len(), 1, "other kinds go on");
}

#[tokio::test]
async fn a_kind_may_come_and_go() {
    let server = server();
    let mut followed = Followed::synced(&server, impatient()).await.unwrap();
    server.install(&rules());
    server.install(&policies());
    server.apply(rule("web", &json!({"host": "a"})));
    server.apply(policy("deny"));
    followed.until("both", |f| f.held.len() == 7).await.unwrap();
    server.uninstall(&rules());
    server.uninstall(&policies());
    server.cut();
    held(&mut followed, (RULE, false)).await;
    followed
        .until("the alarm", |f| !f.findings.is_empty())
        .await
        .unwrap();
    assert!(
        followed.held.contains_key("AuthorizationPolicy shop/deny"),
        "it still denies"
    );
    let said = followed.findings.values().next().unwrap();
    assert!(
        said.contains("MLT0503") && said.contains("authorizationpolicies"),
        "{said}"
    );
}

#[tokio::test]
async fn an_object_that_no_schema_allows_is_alone() {
    let server = server();
    server.apply(rule("good", &json!({"host": "a"})));
    server.apply(rule("odd", &json!({"host": ["a"]})));
    let mut followed = Followed::synced(&server, impatient()).await.unwrap();
    assert!(followed.held.contains_key("DestinationRule shop/good"));
    let why = &followed.broken["DestinationRule shop/odd"];
    assert!(why.contains("DestinationRule shop/odd spec.host"), "{why}");
    server.apply(rule("good", &json!({"host": "a", "trafficPolicy": 7})));
    followed
        .until("the mistake", |f| f.broken.len() == 2)
        .await
        .unwrap();
    assert!(
        followed.held.contains_key("DestinationRule shop/good"),
        "the last good version"
    );
}

#[tokio::test]
async fn what_a_watch_hid_is_found_by_comparing() {
    let server = server();
    let tuning = Tuning {
        compare: Duration::from_millis(600),
        ..impatient()
    };
    let mut followed = Followed::synced(&server, tuning).await.unwrap();
    server.apply_in_silence(service("a", "10.1.0.9"));
    moved(&mut followed, "10.1.0.9").await;
    assert_eq!(followed.told, ["+Service shop/a"]);
}

#[tokio::test]
async fn mesh_configuration_is_read_again_and_keeps_its_last_good() {
    const MESH: &str = "MeshConfig istio-system/istio";
    let timeout = |followed: &Followed| match followed.held.get(MESH) {
        Some(Object::MeshConfig(mesh)) => mesh.spec.connect_timeout.map(|t| t.to_string()),
        _ => None,
    };
    let server = server();
    server.apply(mesh("connectTimeout: ["));
    let mut followed = Followed::start(&server, impatient()).await.unwrap();
    followed
        .until("the mistake", |f| f.broken.contains_key(MESH))
        .await
        .unwrap();
    followed.during(Duration::from_millis(500)).await.unwrap();
    assert!(!followed.synced, "there is nothing to start with");
    server.apply(mesh("connectTimeout: 3s"));
    followed.until("sync", |f| f.synced).await.unwrap();
    assert_eq!(timeout(&followed).as_deref(), Some("3s"));
    server.apply(mesh("connectTimeout: 4s"));
    followed
        .until("4 s", |f| timeout(f).as_deref() == Some("4s"))
        .await
        .unwrap();
    server.delete(&config_maps(), "istio-system", "istio");
    followed
        .until("the complaint", |f| f.broken.contains_key(MESH))
        .await
        .unwrap();
    assert_eq!(timeout(&followed).as_deref(), Some("4s"));
    server.apply(mesh("connectTimeout: 4s"));
    followed
        .until("its end", |f| f.broken.is_empty())
        .await
        .unwrap();
}
