//! Events: what `kubectl describe` shows below an object. One for an object that is refused, one when
//! it is well again; the same one again within ten minutes counts on instead of being a new one.

use super::patch::News;
use super::seen::Known;
use k8s_openapi::jiff::Timestamp;
use meltemi_types::ObjectRef;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who reports.
const CONTROLLER: &str = "meltemi.io/status";
/// How long an event counts on.
const SPAN: Duration = Duration::from_secs(600);
/// How many are remembered.
const REMEMBERED: usize = 1024;
/// Characters of a note; the API server takes 1024 bytes.
const NOTE: usize = 1000;

/// What was told, so that it is told once.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<(Arc<ObjectRef>, Key), Series>);

/// Kind, reason and note.
type Key = (&'static str, String, String);

#[derive(Debug)]
struct Series {
    name: String,
    count: u32,
    at: Instant,
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Post {
    /// A new event.
    Create { path: String, body: Value },
    /// Once more.
    Count { path: String, body: Value },
}

/// Who tells, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) by: &'a str,
    pub(crate) now: Instant,
    pub(crate) wall: Timestamp,
}

impl Told {
    /// What to send for the news about an object.
    pub(crate) fn post(
        &mut self,
        (object, known, group): (&Arc<ObjectRef>, &Known, &str),
        news: &News,
        moment: Moment<'_>,
    ) -> Post {
        let Moment { by, now, wall } = moment;
        self.0
            .retain(|_, series| now.duration_since(series.at) < SPAN);
        let namespace = object.namespace.as_ref().map_or("default", |n| n.as_str());
        let root = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        let time = wall.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let key = (news.kind, news.reason.clone(), news.note.clone());
        if let Some(series) = self.0.get_mut(&(object.clone(), key.clone())) {
            series.count += 1;
            series.at = now;
            let body = json!({"series": {"count": series.count, "lastObservedTime": time}});
            let path = format!("{root}/{}", series.name);
            return Post::Count { path, body };
        }
        let name = format!("{}.{:x}", object.name, wall.as_nanosecond());
        let body = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": time,
            "reportingController": CONTROLLER,
            "reportingInstance": by,
            "action": "Configure",
            "type": news.kind,
            "reason": news.reason,
            "note": news.note.chars().take(NOTE).collect::<String>(),
            "regarding": {
                "apiVersion": format!("{group}/{}", known.version),
                "kind": &*object.kind,
                "namespace": namespace,
                "name": object.name.as_str(),
                "uid": known.uid,
                "resourceVersion": known.resource_version,
            },
        });
        if self.0.len() < REMEMBERED {
            let series = Series {
                name,
                count: 1,
                at: now,
            };
            self.0.insert((object.clone(), key), series);
        }
        Post::Create { path: root, body }
    }

    /// The event of this name is gone: the next one is new.
    pub(crate) fn forget(&mut self, object: &Arc<ObjectRef>) {
        self.0.retain(|(of, _), _| of != object);
    }
}

#[cfg(test)]
mod tests {
    use super::super::decide::tests::object;
    use super::*;

    #[test]
    fn the_same_again_counts_on_for_ten_minutes() {
        let (mut told, start) = (Told::default(), Instant::now());
        let news = News {
            kind: "Warning",
            reason: "UnknownSubset".into(),
            note: "n".repeat(5000),
        };
        let known = Known {
            version: "v1",
            uid: "u".into(),
            ..Known::default()
        };
        let wall: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        let mut post = |after: u64| {
            let moment = Moment {
                by: "istiod-0",
                now: start + Duration::from_secs(after),
                wall,
            };
            told.post(
                (&object("Gateway"), &known, "networking.istio.io"),
                &news,
                moment,
            )
        };
        let Post::Create { path, body } = post(0) else {
            panic!("a new one");
        };
        assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/shop/events");
        assert_eq!(body["eventTime"], "2026-01-01T00:00:00.500000Z");
        assert_eq!(body["regarding"]["apiVersion"], "networking.istio.io/v1");
        assert!(body["note"].as_str().unwrap().len() <= 1000);
        let name = body["metadata"]["name"].as_str().unwrap().to_owned();
        let Post::Count { path, body } = post(60) else {
            panic!("the same again");
        };
        assert!(path.ends_with(&name), "{path}");
        assert_eq!(body["series"]["count"], 2);
        assert!(matches!(post(661), Post::Create { .. }));
    }
}
