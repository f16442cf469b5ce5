//! Real directories, real editors' habits. Each test waits for what is said, with a deadline.

use crate::{Directory, OpenError, Options};
use meltemi_api::Change;
use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(20);

struct Rig {
    root: tempfile::TempDir,
    changes: mpsc::Receiver<Vec<Change>>,
    waiting: VecDeque<String>,
    task: JoinHandle<()>,
}

fn namespaces(names: &[&str]) -> String {
    let one =
        |name: &&str| format!("---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n");
    names.iter().map(one).collect()
}

impl Rig {
    /// A followed directory with these files, after it was read.
    async fn new(files: &[(&str, String)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(root.path().join(name), text).unwrap();
        }
        let directory = Directory::open(root.path(), Options::default()).unwrap();
        let (out, changes) = mpsc::channel(16);
        let task = tokio::spawn(async move { directory.run(out).await.unwrap() });
        Self {
            root,
            changes,
            waiting: VecDeque::new(),
            task,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// What is said next, in short.
    async fn next(&mut self) -> String {
        while self.waiting.is_empty() {
            let batch = tokio::time::timeout(DEADLINE, self.changes.recv());
            let batch = batch.await.expect("nothing was said in time").unwrap();
            self.waiting.extend(batch.into_iter().map(short));
        }
        self.waiting.pop_front().unwrap()
    }

    async fn synced(mut self) -> Self {
        while self.next().await != "synced" {}
        self
    }

    /// Renames a complete file to `name`, as editors save.
    fn save(&self, name: &str, text: &str) {
        let temporary = self.path(".saving");
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, self.path(name)).unwrap();
    }
}

fn short(change: Change) -> String {
    match change {
        Change::Upsert(object) => format!("+{}", object.meta().name()),
        Change::Delete(key) => format!("-{}", key.name),
        Change::Broken(broken) => format!("!{}", broken.object.name),
        Change::Findings { diagnostics, .. } => {
            let codes: Vec<_> = diagnostics.iter().map(|d| d.code.to_string()).collect();
            codes.join(" ")
        }
        Change::Synced { .. } => "synced".into(),
    }
}

#[tokio::test]
async fn the_first_reading_ends_with_synced() {
    let mut rig = Rig::new(&[
        ("b.yaml", namespaces(&["b"])),
        ("a.yml", namespaces(&["a"])),
    ])
    .await;
    assert_eq!(rig.next().await, "+a");
    assert_eq!(rig.next().await, "+b");
    assert_eq!(rig.next().await, "synced");
}

#[tokio::test]
async fn a_rename_is_seen_at_once() {
    let mut rig = Rig::new(&[("a.yaml", namespaces(&["a"]))])
        .await
        .synced()
        .await;
    let mut best = DEADLINE;
    for round in 0..5 {
        let start = Instant::now();
        rig.save("a.yaml", &namespaces(&["a", &format!("n{round}")]));
        assert_eq!(rig.next().await, format!("+n{round}"));
        best = best.min(start.elapsed());
        if round > 0 {
            assert_eq!(rig.next().await, format!("-n{}", round - 1));
        }
    }
    // Far below the settling time and the sweep: events, not polling, brought it.
    assert!(best < Duration::from_millis(50), "{best:?}");
}

#[tokio::test]
async fn in_place_writes_new_files_and_subdirectories_are_seen() {
    let mut rig = Rig::new(&[("a.yaml", namespaces(&["a"]))])
        .await
        .synced()
        .await;
    fs::write(rig.path("a.yaml"), namespaces(&["a", "b"])).unwrap();
    assert_eq!(rig.next().await, "+b");
    fs::write(rig.path("c.yaml"), namespaces(&["c"])).unwrap();
    assert_eq!(rig.next().await, "+c");
    fs::create_dir(rig.path("sub")).unwrap();
    fs::write(rig.path("sub/d.yaml"), namespaces(&["d"])).unwrap();
    assert_eq!(rig.next().await, "+d");
    fs::remove_dir_all(rig.path("sub")).unwrap();
    assert_eq!(rig.next().await, "-d");
}

#[tokio::test]
async fn deleted_files_take_their_objects_along_broken_or_not() {
    let mut rig = Rig::new(&[
        ("a.yaml", namespaces(&["a"])),
        ("b.yaml", namespaces(&["b"])),
    ])
    .await
    .synced()
    .await;
    fs::remove_file(rig.path("a.yaml")).unwrap();
    assert_eq!(rig.next().await, "-a");
    rig.save("b.yaml", &(namespaces(&["b"]) + "spec: [\n"));
    assert_eq!(rig.next().await, "!b");
    fs::remove_file(rig.path("b.yaml")).unwrap();
    assert_eq!(rig.next().await, "-b");
}

#[tokio::test]
async fn a_truncated_file_is_not_an_empty_one() {
    let mut rig = Rig::new(&[("a.yaml", namespaces(&["a"]))])
        .await
        .synced()
        .await;
    // Truncated, then written: nothing is deleted in between.
    fs::write(rig.path("a.yaml"), "").unwrap();
    fs::write(rig.path("a.yaml"), namespaces(&["a", "b"])).unwrap();
    assert_eq!(rig.next().await, "+b");
    // Empty for good: believed after a moment.
    fs::write(rig.path("a.yaml"), "").unwrap();
    assert_eq!(rig.next().await, "-a");
    assert_eq!(rig.next().await, "-b");
}

#[tokio::test]
async fn a_file_that_is_moved_away_and_back_says_nothing() {
    let mut rig = Rig::new(&[("a.yaml", namespaces(&["a"]))])
        .await
        .synced()
        .await;
    fs::rename(rig.path("a.yaml"), rig.path("a.yaml~")).unwrap();
    fs::write(rig.path("a.yaml"), namespaces(&["a", "b"])).unwrap();
    assert_eq!(rig.next().await, "+b");
}

#[tokio::test]
async fn prose_keeps_the_objects_until_it_is_fixed() {
    let mut rig = Rig::new(&[("a.yaml", namespaces(&["a"]))])
        .await
        .synced()
        .await;
    rig.save("a.yaml", "oops: [\n");
    assert_eq!(rig.next().await, "MLT0001");
    rig.save("a.yaml", &namespaces(&["a", "b"]));
    assert_eq!(rig.next().await, "+b");
    assert_eq!(rig.next().await, "");
}

#[tokio::test]
async fn a_symlink_swap_as_kubernetes_mounts_do_it() {
    let root = tempfile::tempdir().unwrap();
    let version = |name: &str, text: String| {
        fs::create_dir(root.path().join(name)).unwrap();
        fs::write(root.path().join(name).join("a.yaml"), text).unwrap();
    };
    version("..1", namespaces(&["a"]));
    symlink("..1", root.path().join("..data")).unwrap();
    symlink("..data/a.yaml", root.path().join("a.yaml")).unwrap();
    let directory = Directory::open(root.path(), Options::default()).unwrap();
    let (out, changes) = mpsc::channel(16);
    let task = tokio::spawn(async move { directory.run(out).await.unwrap() });
    let mut rig = Rig {
        root,
        changes,
        waiting: VecDeque::new(),
        task,
    }
    .synced()
    .await;
    fs::create_dir(rig.path("..2")).unwrap();
    fs::write(rig.path("..2/a.yaml"), namespaces(&["a", "b"])).unwrap();
    symlink("..2", rig.path("..data_tmp")).unwrap();
    fs::rename(rig.path("..data_tmp"), rig.path("..data")).unwrap();
    fs::remove_dir_all(rig.path("..1")).unwrap();
    assert_eq!(rig.next().await, "+b");
}

#[tokio::test]
async fn a_directory_that_vanishes_keeps_what_it_said() {
    let mut rig = Rig::new(&[("a.yaml", namespaces(&["a"]))])
        .await
        .synced()
        .await;
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(rig.root.path(), elsewhere.path().join("moved")).unwrap();
    assert_eq!(rig.next().await, "MLT0006");
    fs::create_dir(rig.root.path()).unwrap();
    fs::write(rig.path("a.yaml"), namespaces(&["a", "b"])).unwrap();
    let mut said = vec![rig.next().await, rig.next().await];
    said.sort();
    assert_eq!(said, ["", "+b"]);
}

#[tokio::test]
async fn dropping_the_receiver_ends_it() {
    let rig = Rig::new(&[]).await.synced().await;
    drop(rig.changes);
    tokio::time::timeout(DEADLINE, rig.task)
        .await
        .unwrap()
        .unwrap();
}

#[test]
fn a_directory_must_exist() {
    let missing = Directory::open("/no/such/directory", Options::default());
    assert!(matches!(missing, Err(OpenError::Missing { .. })));
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = Directory::open(file.path(), Options::default());
    assert!(matches!(file, Err(OpenError::NotADirectory { .. })));
}
