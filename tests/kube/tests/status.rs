//! What is written into the status of objects, by one writer and by two, on an API server that
//! refuses.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test panics when it fails"
)]

use meltemi_kube::{
    Access, Fence, Pace, Proxies, Seen, StatusWriter, Verdict, Word, Words, Writing, connect,
};
use meltemi_kube_tests::{Followed, impatient, rule, rules};
use meltemi_testkit::api_server::{ApiServer, Refusal, Written};
use meltemi_types::{Code, Diagnostic, ObjectRef, Origin};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(20);
const NAME: &str = "DestinationRule shop/web";

/// A writer on a double that holds one DestinationRule.
struct Stage {
    server: ApiServer,
    followed: Followed,
    writer: Writer,
}

fn web(generation: i64) -> Value {
    let mut object = rule("web", &json!({"host": "web"}));
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.insert("generation".into(), json!(generation));
    metadata.insert("uid".into(), json!("u-1"));
    object
}

/// A writer that leads, and what it listens to.
struct Writer {
    words: watch::Sender<Words>,
    leads: watch::Sender<bool>,
    fence: Fence,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn writer(server: &ApiServer, seen: Seen) -> Writer {
    let dir = tempfile::tempdir().unwrap();
    let access = Access::Kubeconfig(server.kubeconfig(dir.path()).unwrap());
    let (words, said) = watch::channel(Words::new());
    let (leads, leading) = watch::channel(true);
    let fence = Fence::default();
    fence.hold(Some(Duration::from_secs(60)));
    let writer = StatusWriter::new(Writing {
        client: connect(&access).await.unwrap(),
        seen,
        leads: leading,
        fence: fence.clone(),
        words: said,
        about: "conditions",
        by: "istiod-0".into(),
        revision: "default".into(),
        pace: pace(),
    });
    Writer {
        words,
        leads,
        fence,
        task: tokio::spawn(writer.run()),
    }
}

fn pace() -> Pace {
    Pace {
        retry: Duration::from_millis(20),
        retry_longest: Duration::from_millis(100),
        settle: Duration::from_secs(2),
        again: Duration::from_millis(50),
        ..Pace::default()
    }
}

impl Stage {
    async fn start(object: Value) -> Self {
        let server = ApiServer::start().unwrap();
        server.install(&meltemi_kube_tests::events());
        server.apply(object);
        let followed = Followed::synced(&server, impatient()).await.unwrap();
        let writer = writer(&server, followed.seen()).await;
        Self {
            server,
            followed,
            writer,
        }
    }

    fn key(&self) -> Arc<ObjectRef> {
        self.followed.held[NAME].key().clone()
    }

    fn say(&self, generation: i64, bad: bool) {
        let origin = Origin::object(self.key(), None);
        let error = Diagnostic::error(Code::UnknownHost, origin, "no such host", "add it");
        let verdict = Verdict {
            generation,
            findings: if bad { vec![error] } else { Vec::new() },
            proxies: Proxies {
                all: 2,
                running: 2,
                ..Proxies::default()
            },
        };
        self.writer
            .words
            .send_replace([(self.key(), Arc::new(Word::from(verdict)))].into());
    }

    /// The object's status, once it is as it should be.
    async fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let object = self.server.get(&rules(), "shop", "web").unwrap();
            if is(&object["status"]) {
                return object["status"].clone();
            }
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}: {object:#}"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn condition<'s>(status: &'s Value, kind: &str) -> &'s Value {
    let all = status["conditions"].as_array();
    let mut all = all.into_iter().flatten();
    all.find(|c| c["type"] == kind).unwrap_or(&Value::Null)
}

fn is(status: &Value, kind: &str, value: &str) -> bool {
    condition(status, kind)["status"] == value
}

/// Which of the writes were of status, and their answers.
fn codes(writes: &[Written]) -> Vec<u16> {
    let of_status = writes.iter().filter(|w| w.path.contains("/status?"));
    of_status.map(|write| write.code).collect()
}

#[tokio::test]
async fn an_object_says_what_became_of_it_and_events_say_when_that_changed() {
    let mut object = web(1);
    let healthy = json!({"type": "Other", "status": "True"});
    object["status"] = json!({"conditions": [healthy.clone()], "theirs": 1});
    let stage = Stage::start(object).await;
    stage.say(1, true);
    let bad = stage
        .until("the error", |s| is(s, "Accepted", "False"))
        .await;
    assert_eq!(condition(&bad, "Accepted")["reason"], "UnknownHost");
    assert_eq!(condition(&bad, "Other"), &healthy, "another's stays");
    assert_eq!(bad["theirs"], 1);
    assert_eq!(bad["validationMessages"][0]["type"]["code"], "MLT0202");
    assert_eq!(bad["observedGeneration"], 1);
    stage.say(1, false);
    let good = stage
        .until("the good end", |s| is(s, "Programmed", "True"))
        .await;
    let text = condition(&good, "Programmed")["message"].as_str().unwrap();
    assert_eq!(text, "2 of 2 proxies of istiod-0 run it");
    assert!(good.get("validationMessages").is_none(), "{good:#}");
    stage
        .until("both events", |_| {
            let events = meltemi_kube_tests::events();
            stage.server.count(&events) == 2
        })
        .await;
    let posts = stage.server.writes();
    let posts: Vec<_> = posts.iter().filter(|w| w.method == "POST").collect();
    let kinds: Vec<_> = posts
        .iter()
        .map(|w| w.body["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["Warning", "Normal"]);
    assert_eq!(posts[0].body["regarding"]["uid"], "u-1");
}

#[tokio::test]
async fn a_status_changes_no_object_of_the_mesh() {
    let mut stage = Stage::start(web(1)).await;
    stage.say(1, false);
    stage
        .until("the status", |s| is(s, "Accepted", "True"))
        .await;
    stage
        .followed
        .during(Duration::from_millis(400))
        .await
        .unwrap();
    assert!(stage.followed.told.is_empty(), "{:?}", stage.followed.told);
    // The same said again is not written again, nor is it by a writer that begins.
    assert_eq!(codes(&stage.server.writes()), [200]);
    stage.writer.leads.send_replace(false);
    stage.writer.leads.send_replace(true);
    let second = writer(&stage.server, stage.followed.seen()).await;
    let said = stage.writer.words.borrow().clone();
    second.words.send_replace(said);
    stage
        .followed
        .during(Duration::from_millis(400))
        .await
        .unwrap();
    assert_eq!(codes(&stage.server.writes()), [] as [u16; 0]);
}

#[tokio::test]
async fn a_new_leader_takes_nothing_back_before_proxies_had_time_to_come() {
    let mut stage = Stage::start(web(1)).await;
    stage.say(1, false);
    stage
        .until("the status", |s| is(s, "Programmed", "True"))
        .await;
    let second = writer(&stage.server, stage.followed.seen()).await;
    let verdict = Verdict {
        generation: 1,
        ..Verdict::default()
    };
    second
        .words
        .send_replace([(stage.key(), Arc::new(Word::from(verdict)))].into());
    stage
        .followed
        .during(Duration::from_millis(500))
        .await
        .unwrap();
    assert_eq!(codes(&stage.server.writes()), [200]);
    // Then it says what it knows.
    stage
        .until("the truth", |s| is(s, "Programmed", "Unknown"))
        .await;
}

#[tokio::test]
async fn who_does_not_lead_writes_nothing() {
    let mut stage = Stage::start(web(1)).await;
    stage.writer.leads.send_replace(false);
    stage.say(1, false);
    stage
        .followed
        .during(Duration::from_millis(300))
        .await
        .unwrap();
    assert!(stage.server.writes().is_empty());
    // It thinks that it leads, but its time is over.
    stage.writer.fence.hold(None);
    stage.writer.leads.send_replace(true);
    stage
        .followed
        .during(Duration::from_millis(300))
        .await
        .unwrap();
    assert!(stage.server.writes().is_empty());
    stage.writer.fence.hold(Some(Duration::from_secs(60)));
    stage
        .until("the status", |s| is(s, "Accepted", "True"))
        .await;
}

#[tokio::test]
async fn an_api_server_that_cannot_is_asked_again_and_not_at_once() {
    let stage = Stage::start(web(1)).await;
    let busy = |retry_after| Refusal {
        code: 429,
        retry_after,
    };
    let down = Refusal {
        code: 503,
        retry_after: None,
    };
    stage.server.refuse_writes(&[busy(Some(1)), down]);
    let begun = Instant::now();
    stage.say(1, false);
    stage
        .until("the status", |s| is(s, "Accepted", "True"))
        .await;
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "Retry-After is heeded"
    );
    assert_eq!(codes(&stage.server.writes()), [429, 503, 200]);
}

#[tokio::test]
async fn an_object_that_another_has_written_or_deleted_is_no_trouble() {
    let mut stage = Stage::start(web(1)).await;
    // The write comes over a version that the source has not shown yet.
    let conflict = Refusal {
        code: 409,
        retry_after: None,
    };
    stage.server.refuse_writes(&[conflict]);
    stage.say(1, false);
    stage
        .until("the status", |s| is(s, "Accepted", "True"))
        .await;
    assert_eq!(codes(&stage.server.writes()), [409, 200]);
    let gone = Refusal {
        code: 404,
        retry_after: None,
    };
    stage.server.refuse_writes(&[gone]);
    stage.say(1, true);
    stage
        .followed
        .during(Duration::from_millis(300))
        .await
        .unwrap();
    assert_eq!(codes(&stage.server.writes()), [404]);
}

#[tokio::test]
async fn objects_of_another_revision_and_older_words_are_left_alone() {
    let mut object = web(2);
    object["metadata"]["labels"] = json!({"istio.io/rev": "canary"});
    let mut stage = Stage::start(object).await;
    stage.say(2, false);
    stage
        .followed
        .during(Duration::from_millis(300))
        .await
        .unwrap();
    assert!(stage.server.writes().is_empty());
    stage.server.apply(web(3));
    stage
        .followed
        .until("the object", |f| !f.told.is_empty())
        .await
        .unwrap();
    stage.say(2, true);
    stage
        .followed
        .during(Duration::from_millis(300))
        .await
        .unwrap();
    assert!(
        stage.server.writes().is_empty(),
        "generation 2 is not the newest"
    );
    stage.say(3, true);
    stage
        .until("the status", |s| is(s, "Accepted", "False"))
        .await;
}
