//! Against an authority that signs over TLS: who is asked, what it is told, and when again.

use super::*;
use crate::authority_double::{Desk, Root, asking, life, serve};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

const NAME: &str = "istiod.istio-system.svc";
const SOON: Duration = Duration::from_secs(30);

fn hour() -> (SystemTime, SystemTime) {
    life(Duration::from_secs(3600))
}

async fn authority(dir: &Path) -> (Authority, Arc<Desk>) {
    let root = Root::new("root");
    let (pem, leaf) = (root.pem.clone(), root.leaf(NAME, hour()));
    let (address, desk) = serve(root, leaf).await;
    (asking(address, dir, &pem), desk)
}

async fn next(held: &mut Held) -> Arc<Material> {
    let changed = tokio::time::timeout(SOON, held.changed()).await;
    changed.expect("no certificate in time").unwrap();
    held.borrow_and_update().clone().unwrap()
}

fn start(source: Source, output: Option<PathBuf>) -> Held {
    let settings = Settings { source, output };
    let (identity, held) = Identity::new(settings, Files::new());
    let (drainer, drain) = meltemi_runtime::drain::channel();
    tokio::spawn(async move {
        let _not_drained = drainer;
        identity.run(drain).await
    });
    held
}

#[tokio::test]
async fn a_trusted_authority_signs_for_the_token_and_is_asked_with_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, desk) = authority(dir.path()).await;
    let first = authority.ask().await.unwrap();
    fs::write(dir.path().join("token"), "another").unwrap();
    let second = authority.ask().await.unwrap();
    assert_ne!(first.serial, second.serial);
    assert_ne!(first.key, second.key, "each certificate has its own key");
    let told = desk.told.lock().unwrap();
    let tokens: Vec<_> = told
        .iter()
        .map(|told| told.authorization.as_deref())
        .collect();
    assert_eq!(tokens, [Some("Bearer the-token"), Some("Bearer another")]);
    assert_eq!(told[0].cluster.as_deref(), Some("Kubernetes"));
    assert_eq!(told[0].seconds, 3600);
}

/// What does not prove who it is, is told nothing.
#[tokio::test]
async fn t15_the_token_never_leaves_to_a_server_that_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let past = SystemTime::now() - Duration::from_secs(7200);
    let over = (past, past + Duration::from_secs(3600));
    for (case, name, counts) in [
        ("another name", "istiod.other.svc", hour()),
        ("an ended certificate", NAME, over),
    ] {
        let root = Root::new("root");
        let (pem, leaf) = (root.pem.clone(), root.leaf(name, counts));
        let (address, desk) = serve(root, leaf).await;
        let error = asking(address, dir.path(), &pem).ask().await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains("is not trusted as"), "{case}: {error}");
        assert!(desk.told.lock().unwrap().is_empty(), "{case}");
    }
}

/// Roots are those of the file, as it is now, or there are none.
#[tokio::test]
async fn t20_without_roots_nobody_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, desk) = authority(dir.path()).await;
    let swapped = Root::new("root").pem;
    for (case, roots, says) in [
        (
            "the roots were swapped",
            swapped.as_str(),
            "is not trusted as",
        ),
        ("no roots", "", "holds no certificate"),
        ("no PEM", "-----BEGIN CERTIFICATE-----\nx", "is no PEM"),
        (
            "a key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "holds no",
        ),
    ] {
        fs::write(dir.path().join("root.pem"), roots).unwrap();
        let error = authority.ask().await.unwrap_err().to_string();
        assert!(error.contains(says), "{case}: {error}");
    }
    fs::remove_file(dir.path().join("root.pem")).unwrap();
    let error = authority.ask().await.unwrap_err().to_string();
    assert!(error.contains("root.pem"), "{error}");
    assert!(desk.told.lock().unwrap().is_empty());
}

/// Without roots there is plaintext, and a token must not be on it.
#[tokio::test]
async fn t15_no_token_is_sent_in_plaintext() {
    let dir = tempfile::tempdir().unwrap();
    let (mut authority, _desk) = authority(dir.path()).await;
    let mut metadata = tonic::metadata::MetadataMap::new();
    authority.upstream.tell(&mut metadata).unwrap();
    assert!(metadata.get("authorization").is_some());
    authority.upstream.roots = None;
    let mut metadata = tonic::metadata::MetadataMap::new();
    authority.upstream.tell(&mut metadata).unwrap();
    assert!(metadata.get("authorization").is_none());
    assert!(metadata.get("clusterid").is_some());
}

#[tokio::test]
async fn certificates_are_renewed_before_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, desk) = authority(dir.path()).await;
    *desk.lifetime.lock().unwrap() = Some(Duration::from_secs(4));
    let mut held = start(Source::Authority(Box::new(authority)), None);
    let mut before = next(&mut held).await;
    for _ in 0..2 {
        let now = next(&mut held).await;
        assert_ne!(now.serial, before.serial);
        assert!(
            SystemTime::now() < before.not_after,
            "the one before counts still"
        );
        before = now;
    }
}

#[tokio::test]
async fn an_authority_that_is_away_takes_nothing_and_is_asked_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, desk) = authority(dir.path()).await;
    *desk.lifetime.lock().unwrap() = Some(Duration::from_secs(2));
    let mut held = start(Source::Authority(Box::new(authority)), None);
    let first = next(&mut held).await;
    *desk.lifetime.lock().unwrap() = None;
    // Longer than its whole life, not only half of it.
    let over = crate::authority_double::until(|| SystemTime::now() > first.not_after);
    tokio::time::timeout(SOON, over).await.unwrap();
    assert!(desk.told.lock().unwrap().len() > 1, "it is asked");
    assert_eq!(held.borrow().as_ref().unwrap().serial, first.serial);
    *desk.lifetime.lock().unwrap() = Some(Duration::from_secs(3600));
    assert_ne!(next(&mut held).await.serial, first.serial);
}

#[tokio::test]
async fn files_are_written_whole_or_stay() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let root = Root::new("root");
    let (first, second) = (root.material(), root.material());
    output::write(&out, &first).unwrap();
    let read = |name: &str| fs::read(out.join(name)).unwrap();
    assert_eq!(read("cert-chain.pem"), first.chain);
    assert_eq!(read("root-cert.pem"), first.roots);
    assert_eq!(read("key.pem"), *first.key.expose());
    let mode = fs::metadata(out.join("key.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    // As good as a full disk: one of the new files cannot be made.
    fs::create_dir_all(out.join(".cert-chain.pem.new/full")).unwrap();
    output::write(&out, &second).unwrap_err();
    assert_eq!(
        read("key.pem"),
        *first.key.expose(),
        "the key stays with its certificate"
    );
    assert_eq!(read("cert-chain.pem"), first.chain);
    fs::remove_dir_all(out.join(".cert-chain.pem.new")).unwrap();
    output::write(&out, &second).unwrap();
    assert_eq!(read("cert-chain.pem"), second.chain);
    assert_eq!(
        fs::read_dir(&out).unwrap().count(),
        3,
        "nothing is left over"
    );
}

/// What Envoy gets is in memory; only the copy for others in the pod is on a disk.
#[tokio::test]
async fn renewal_goes_on_in_memory_while_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (authority, desk) = authority(dir.path()).await;
    *desk.lifetime.lock().unwrap() = Some(Duration::from_secs(4));
    let mut held = start(Source::Authority(Box::new(authority)), Some(out.clone()));
    let first = next(&mut held).await;
    let written = || fs::read(out.join("cert-chain.pem")).ok();
    let copied = crate::authority_double::until(|| written().as_deref() == Some(&first.chain));
    tokio::time::timeout(SOON, copied).await.unwrap();
    // As good as a full disk: no new file can be finished.
    fs::create_dir_all(out.join(".cert-chain.pem.new/full")).unwrap();
    let mut serials = vec![first.serial.clone()];
    for _ in 0..2 {
        serials.push(next(&mut held).await.serial.clone());
    }
    serials.dedup();
    assert_eq!(serials.len(), 3, "each is another one");
    assert_eq!(
        written().as_deref(),
        Some(&*first.chain),
        "the copy stays whole"
    );
    let key = fs::read(out.join("key.pem")).unwrap();
    assert_eq!(key, *first.key.expose(), "with its key");
    fs::remove_dir_all(out.join(".cert-chain.pem.new")).unwrap();
    let last = next(&mut held).await;
    let copied = crate::authority_double::until(|| written().as_deref() == Some(&last.chain));
    tokio::time::timeout(SOON, copied).await.unwrap();
}

#[tokio::test]
async fn mounted_files_are_followed_and_only_those_that_fit_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str| dir.path().join(name);
    let root = Root::new("root");
    let put = |material: &Material| output::write(dir.path(), material).unwrap();
    let (first, second) = (root.material(), root.material());
    put(&first);
    let mounted = Mounted {
        chain: of("cert-chain.pem"),
        key: of("key.pem"),
        roots: of("root-cert.pem"),
    };
    let mut held = start(Source::Mounted(mounted.clone()), Some(of("copy")));
    assert_eq!(next(&mut held).await.serial, first.serial);
    assert_eq!(fs::read(of("copy/cert-chain.pem")).unwrap(), first.chain);
    fs::write(of("key.pem"), second.key.expose()).unwrap();
    assert!(
        mounted
            .read()
            .unwrap_err()
            .to_string()
            .contains("not that of the certificate")
    );
    put(&second);
    assert_eq!(next(&mut held).await.serial, second.serial);
}

#[tokio::test]
async fn published_roots_are_followed_and_a_broken_file_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root-cert.pem");
    let put = |text: &str| {
        fs::write(dir.path().join("fresh"), text).unwrap();
        fs::rename(dir.path().join("fresh"), &path).unwrap();
    };
    let (first, second) = (Root::new("first").pem, Root::new("second").pem);
    put(&first);
    let (bundle, mut roots) = Bundle::new(path.clone(), Files::new());
    let (drainer, drain) = meltemi_runtime::drain::channel();
    let run = tokio::spawn(bundle.run(drain));
    let told = |roots: &mut Roots| roots.borrow_and_update().to_vec();
    roots.changed().await.unwrap();
    assert_eq!(told(&mut roots), first.as_bytes());
    for broken in ["", "-----BEGIN CERTIFICATE-----\nx", "nothing"] {
        put(broken);
        let quiet = tokio::time::timeout(Duration::from_millis(300), roots.changed()).await;
        assert!(quiet.is_err(), "{broken:?} changes nothing");
    }
    let both = format!("{first}{second}");
    put(&both);
    roots.changed().await.unwrap();
    assert_eq!(told(&mut roots), both.as_bytes());
    drainer.start();
    run.await.unwrap().unwrap();
}
