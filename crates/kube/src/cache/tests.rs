//! What the cache does, case by case.

use super::*;
use k8s_openapi::api::core::v1::ServiceSpec;
use meltemi_api::{Meta, Resource};

fn key(name: &str) -> Arc<ObjectRef> {
    Arc::new(ObjectRef {
        cluster: Default::default(),
        kind: "Service".into(),
        namespace: Some("shop".parse().unwrap()),
        name: name.parse().unwrap(),
    })
}

fn item(name: &str, version: u64, ip: &str) -> Item {
    let mut meta = Meta::new((*key(name)).clone());
    meta.resource_version = Some(version.to_string().into());
    let spec = ServiceSpec {
        cluster_ip: Some(ip.into()),
        ..Default::default()
    };
    Item {
        key: key(name),
        version,
        claim: Claim::Good(Resource::new(meta, spec).into()),
        warnings: Vec::new(),
    }
}

fn broken(name: &str, version: u64) -> Item {
    let diagnostics = vec![Diagnostic::error(
        Code::WrongType,
        Origin::object(key(name), None),
        "odd",
        "even",
    )];
    Item {
        claim: Claim::Broken(Arc::new(Broken {
            object: key(name),
            selector: None,
            generation: None,
            diagnostics: diagnostics.into(),
        })),
        ..item(name, version, "")
    }
}

/// One letter for each change, with the name of the object.
fn told(changes: &[Change]) -> Vec<String> {
    let one = |change: &Change| match change {
        Change::Upsert(object) => format!("+{}", object.key().name),
        Change::Delete(key) => format!("-{}", key.name),
        Change::Broken(broken) => format!("!{}", broken.object.name),
        Change::Findings { diagnostics, .. } => format!("?{}", diagnostics.len()),
        Change::Synced { .. } => "synced".into(),
    };
    changes.iter().map(one).collect()
}

fn list(cache: &mut Cache, version: u64, items: Vec<Item>) -> Relisted {
    cache.begin();
    items.into_iter().for_each(|item| cache.listed(item));
    cache.finish(version)
}

#[test]
fn a_list_tells_what_differs_and_nothing_else() {
    let mut cache = Cache::new(OnGone::Delete);
    let first = list(&mut cache, 9, vec![item("a", 3, "1"), item("b", 4, "2")]);
    assert_eq!(told(&first.changes), ["+a", "+b"]);
    assert_eq!((first.missed, first.went_back), (0, false));
    let same = list(&mut cache, 10, vec![item("a", 3, "1"), item("b", 10, "2")]);
    assert_eq!(
        same,
        Relisted::default(),
        "another version is no difference"
    );
    let next = list(&mut cache, 12, vec![item("b", 11, "3"), item("c", 12, "4")]);
    assert_eq!(told(&next.changes), ["+b", "+c", "-a"]);
}

#[test]
fn an_unfinished_list_never_was() {
    let mut cache = Cache::new(OnGone::Delete);
    list(&mut cache, 9, vec![item("a", 3, "1")]);
    cache.begin();
    cache.listed(item("b", 4, "2"));
    let again = list(&mut cache, 9, vec![item("a", 3, "1")]);
    assert_eq!(again.changes, []);
}

#[test]
fn events_are_changes_unless_they_change_nothing() {
    let mut cache = Cache::new(OnGone::Delete);
    list(&mut cache, 9, vec![item("a", 3, "1")]);
    let put = |cache: &mut Cache, item| told(&cache.put(item).unwrap());
    assert_eq!(put(&mut cache, item("a", 10, "1")), [""; 0]);
    assert_eq!(put(&mut cache, item("a", 11, "2")), ["+a"]);
    assert_eq!(told(&cache.delete(&key("a"), 12).unwrap()), ["-a"]);
    assert_eq!(cache.delete(&key("a"), 13), Ok(Vec::new()));
    assert!(cache.is_empty());
    assert_eq!(cache.newest, 12);
}

#[test]
fn the_last_good_version_of_a_broken_object_is_not_deleted() {
    let mut cache = Cache::new(OnGone::Delete);
    list(&mut cache, 9, vec![item("a", 3, "1")]);
    assert_eq!(told(&cache.put(broken("a", 10)).unwrap()), ["!a"]);
    assert_eq!(told(&cache.put(broken("a", 11)).unwrap()), [""; 0]);
    assert!(cache.has_good());
    assert_eq!(told(&cache.put(item("a", 12, "1")).unwrap()), ["+a"]);
}

#[test]
fn warnings_come_and_go_with_their_object() {
    let mut cache = Cache::new(OnGone::Delete);
    let origin = Origin::object(key("a"), None);
    let warning = Diagnostic::warning(Code::UnknownField, origin, "unknown field", "remove it");
    let warned = Item {
        warnings: vec![warning],
        ..item("a", 3, "1")
    };
    assert_eq!(
        told(&list(&mut cache, 9, vec![warned]).changes),
        ["+a", "?1"]
    );
    assert_eq!(told(&cache.put(item("a", 10, "1")).unwrap()), ["+a", "?0"]);
}

#[test]
fn going_back_in_time_is_noticed() {
    let mut cache = Cache::new(OnGone::Delete);
    list(&mut cache, 9, vec![item("a", 8, "1")]);
    assert_eq!(cache.put(item("a", 7, "2")), Err(Regressed));
    assert_eq!(cache.delete(&key("a"), 7), Err(Regressed));
    assert_eq!(cache.reached(5), Err(Regressed));
    assert_eq!(cache.reached(20), Ok(()));
    let restored = list(&mut cache, 15, vec![item("a", 6, "0")]);
    assert!(restored.went_back);
    assert_eq!(told(&restored.changes), ["+a"]);
}

#[test]
fn what_a_watch_should_have_told_is_counted() {
    let mut cache = Cache::new(OnGone::Delete);
    list(&mut cache, 9, vec![item("a", 8, "1"), item("b", 8, "1")]);
    cache.reached(20).unwrap();
    let healed = list(&mut cache, 20, vec![item("a", 15, "2")]);
    assert_eq!(told(&healed.changes), ["+a", "-b"]);
    assert_eq!(healed.missed, 2);
    let late = list(&mut cache, 30, vec![item("a", 25, "3")]);
    assert_eq!(
        (late.changes.len(), late.missed),
        (1, 0),
        "the watch was about to say so"
    );
}

#[test]
fn what_must_not_go_is_kept_and_complained_about_once() {
    let mut cache = Cache::new(OnGone::Keep);
    list(&mut cache, 9, vec![item("a", 8, "1")]);
    assert_eq!(told(&cache.delete(&key("a"), 10).unwrap()), ["!a"]);
    assert_eq!(list(&mut cache, 11, vec![]).changes, []);
    assert_eq!(told(&cache.put(item("a", 12, "1")).unwrap()), ["+a"]);
}
