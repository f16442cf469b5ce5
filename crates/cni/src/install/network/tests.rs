//! A folder as other network plugins leave it, and as they overwrite it.

use super::*;
use tempfile::TempDir;

const LIST: &str =
    "{ \"name\": \"n\",\n \"cniVersion\": \"0.4.0\", \"plugins\": [{\"type\": \"bridge\"}] }";
const SINGLE: &str = "{\"type\": \"bridge\", \"name\": \"n\", \"cniVersion\": \"0.3.1\"}";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn network(dir: &TempDir, only: &str, chained: bool) -> Network {
    Network {
        folder: dir.path().to_owned(),
        only: only.to_owned(),
        chained,
        entry: json!({"type": NAME, "pod_namespace": "istio-system"}),
    }
}

/// What is in the folder, by name.
fn found(dir: &TempDir) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(dir.path()).unwrap();
    let mut all: Vec<_> = entries
        .map(|entry| {
            let entry = entry.unwrap();
            let text = std::fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text)
        })
        .collect();
    all.sort();
    all
}

/// The types of the plugins that a runtime would call.
fn used(dir: &TempDir) -> Vec<String> {
    let network = network(dir, "", true);
    let all = network.files().unwrap();
    let text = std::fs::read(all.first().unwrap()).unwrap();
    let value: Value = serde_json::from_slice(&text).unwrap();
    let plugins = value["plugins"].as_array().cloned().unwrap_or(vec![value]);
    let kinds = plugins
        .iter()
        .map(|one| one["type"].as_str().unwrap().to_owned());
    kinds.collect()
}

#[test]
fn the_first_chain_gets_the_entry_and_comes_back_byte_for_byte() {
    let dir = folder(&[
        ("05-broken.conflist", "{"),
        ("10-a.conflist", LIST),
        ("20-b.conflist", LIST),
        ("README", "x"),
    ]);
    let before = found(&dir);
    let network = network(&dir, "", true);
    let changed = network.install().unwrap();
    assert_eq!(changed.len(), 1);
    assert!(changed[0].ends_with("10-a.conflist"));
    assert_eq!(
        network.install().unwrap(),
        [""; 0],
        "the second time nothing"
    );
    let text = std::fs::read(dir.path().join("10-a.conflist")).unwrap();
    assert!(Conflist::of_list(&text).unwrap().has(NAME));
    assert_eq!(network.remove().unwrap().len(), 1);
    assert_eq!(found(&dir), before);
}

#[test]
fn what_somebody_overwrites_is_put_back_and_their_text_is_what_stays() {
    let dir = folder(&[("10-a.conflist", LIST)]);
    let network = network(&dir, "", true);
    network.install().unwrap();
    let newer = LIST.replace("bridge", "ptp");
    std::fs::write(dir.path().join("10-a.conflist"), &newer).unwrap();
    assert_eq!(network.install().unwrap().len(), 1);
    assert_eq!(used(&dir), ["ptp", NAME]);
    // Somebody changes the chain and leaves our entry in: no text from before fits.
    let path = dir.path().join("10-a.conflist");
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("ptp", "vlan");
    std::fs::write(&path, text).unwrap();
    assert_eq!(network.install().unwrap(), [""; 0]);
    network.remove().unwrap();
    assert_eq!(used(&dir), ["vlan"]);
    assert_eq!(found(&dir).len(), 1);
}

#[test]
fn an_entry_of_another_version_is_replaced() {
    let dir = folder(&[("10-a.conflist", LIST)]);
    let older = Network {
        entry: json!({"type": NAME, "gone": 1}),
        ..network(&dir, "", true)
    };
    older.install().unwrap();
    let newer = network(&dir, "", true);
    assert_eq!(newer.install().unwrap().len(), 1);
    assert_eq!(used(&dir), ["bridge", NAME]);
    newer.remove().unwrap();
    assert_eq!(found(&dir), [("10-a.conflist".to_owned(), LIST.to_owned())]);
}

#[test]
fn the_entry_moves_when_another_configuration_comes_first() {
    let dir = folder(&[("10-a.conflist", LIST)]);
    let network = network(&dir, "", true);
    network.install().unwrap();
    std::fs::write(dir.path().join("05-b.conflist"), LIST).unwrap();
    assert_eq!(network.install().unwrap().len(), 2);
    assert_eq!(used(&dir), ["bridge", NAME]);
    let old = std::fs::read_to_string(dir.path().join("10-a.conflist")).unwrap();
    assert_eq!(old, LIST);
}

#[test]
fn a_single_plugin_becomes_a_chain_and_comes_back() {
    let dir = folder(&[("10-a.conf", SINGLE)]);
    let network = network(&dir, "", true);
    network.install().unwrap();
    assert_eq!(used(&dir), ["bridge", NAME]);
    assert_eq!(network.install().unwrap(), [""; 0]);
    // Its owner writes it again.
    let newer = SINGLE.replace("bridge", "ptp");
    std::fs::write(dir.path().join("10-a.conf"), &newer).unwrap();
    network.install().unwrap();
    assert_eq!(used(&dir), ["ptp", NAME]);
    network.remove().unwrap();
    assert_eq!(found(&dir), [("10-a.conf".to_owned(), newer)]);
}

#[test]
fn somebody_elses_list_is_not_overwritten() {
    let dir = folder(&[("10-a.conf", SINGLE), ("10-a.conflist", LIST)]);
    let before = found(&dir);
    let why = network(&dir, "", true).install().unwrap_err();
    assert!(why.contains("10-a.conflist is there"), "{why}");
    assert_eq!(found(&dir), before);
}

#[test]
fn without_a_configuration_it_says_what_it_waits_for() {
    let dir = folder(&[("10-a.conflist", "{}")]);
    let why = network(&dir, "", true).install().unwrap_err();
    assert!(why.contains("must be installed first"), "{why}");
    let old = LIST.replace("0.4.0", "0.2.0");
    let dir = folder(&[("10-a.conflist", &old)]);
    let why = network(&dir, "", true).install().unwrap_err();
    assert!(why.contains("0.2.0"), "{why}");
    assert_eq!(network(&dir, "", true).remove().unwrap(), [""; 0]);
}

#[test]
fn a_named_configuration_is_the_one() {
    let dir = folder(&[("10-a.conflist", LIST), ("20-b.conf", SINGLE)]);
    let named = network(&dir, "20-b.conf", true);
    named.install().unwrap();
    assert_eq!(used(&dir), ["bridge"]);
    let text = std::fs::read(dir.path().join("20-b.conflist")).unwrap();
    assert!(Conflist::of_list(&text).unwrap().has(NAME));
    assert_eq!(named.install().unwrap(), [""; 0]);
    assert!(network(&dir, "30-c.conf", true).install().is_err());
}

#[test]
fn alone_it_has_a_file_of_its_own() {
    let dir = folder(&[("10-a.conflist", LIST)]);
    let before = found(&dir);
    let network = network(&dir, "", false);
    assert_eq!(network.install().unwrap().len(), 1);
    assert_eq!(network.install().unwrap(), [""; 0]);
    let text = std::fs::read(dir.path().join(ALONE)).unwrap();
    let value: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(
        (&value["name"], &value["type"]),
        (&json!(NETWORK), &json!(NAME))
    );
    assert_eq!(used(&dir), ["bridge"]);
    assert_eq!(network.remove().unwrap().len(), 1);
    assert_eq!(found(&dir), before);
}
