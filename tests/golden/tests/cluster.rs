//! One mesh, read from files and from an API server, is the same mesh: every proxy of the goldens
//! gets the same bytes.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use meltemi_api::yaml::{self, Outcome, Source};
use meltemi_golden::{Case, Composed, compose};
use meltemi_kube_tests::{Followed, impatient};
use meltemi_testkit::api_server::ApiServer;

#[tokio::test]
async fn files_and_api_server_make_the_same_bytes() {
    let mut compared = 0;
    for case in Case::all().unwrap() {
        let text = std::fs::read_to_string(case.dir.join("input.yaml")).unwrap();
        let (_, body) = text.split_once("\n---\n").unwrap();
        let alone = std::fs::read_dir(&case.dir).unwrap().all(|entry| {
            let name = entry.unwrap().file_name();
            !name.to_string_lossy().starts_with("cluster-")
        });
        // What users get wrong is kept out of a real API server, or stored and isolated.
        let documents = yaml::read_whole(body.as_bytes(), &Source::new("input.yaml"));
        let good = |whole: &yaml::Whole| matches!(whole.document.outcome, Outcome::Object(_));
        if !alone || !documents.iter().all(good) {
            continue;
        }
        let server = ApiServer::start().unwrap();
        for whole in documents {
            server.apply(whole.content.unwrap().value);
        }
        let source = Followed::start(&server, impatient()).await.unwrap();
        let changes = source.first().await.unwrap();
        let resources = |composed: &Composed| {
            let all = compose::resources(&composed.assigned);
            let named = all.into_values().flatten();
            named
                .map(|(name, one)| (name, one.body.clone()))
                .collect::<Vec<_>>()
        };
        let files = resources(&case.compose());
        let cluster = resources(&compose::compose(changes, &case.proxy));
        assert_eq!(files, cluster, "{}", case.name);
        compared += 1;
    }
    assert!(compared > 50, "only {compared} cases");
}
