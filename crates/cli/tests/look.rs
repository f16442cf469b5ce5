//! `meltemi proxy-config` on what a real Envoy said: the sidecar of the shop of `tests/live`, saved
//! once, without the list of extensions that it was built with. `BLESS=1` writes the tables anew.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn data(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("tests/data/look").join(name)
}

fn meltemi(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meltemi"));
    command.args(words).output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The table is as it was last read by a person.
fn table(what: &[&str], dump: &str, golden: &str) {
    let file = data(dump);
    let words = [&["pc"], what, &["--file", file.to_str().unwrap()]].concat();
    let run = meltemi(&words);
    let (out, err) = (text(run.stdout), text(run.stderr));
    assert_eq!((run.status.code(), err.as_str()), (Some(0), ""), "{out}");
    let path = data(golden);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &out).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(out, expected, "{}", path.display());
}

#[test]
fn tables_of_a_real_envoy() {
    for what in ["cluster", "listener", "route", "secret"] {
        table(&[what], "config_dump.json", &format!("{what}.txt"));
    }
    table(&["endpoint"], "clusters.json", "endpoint.txt");
    let start = ["bootstrap", "-o", "table"];
    table(&start, "config_dump.json", "bootstrap.txt");
}

#[test]
fn filters_leave_out_what_is_not_asked_for() {
    let narrow = ["cluster", "--subset", "v1", "--direction", "outbound"];
    table(&narrow, "config_dump.json", "cluster-v1.txt");
    let one = ["endpoint", "--port", "9080"];
    table(&one, "clusters.json", "endpoint-9080.txt");
}

#[test]
fn a_private_key_that_somebody_saved_is_not_printed() {
    let mut dump: Value =
        serde_json::from_str(&std::fs::read_to_string(data("config_dump.json")).unwrap()).unwrap();
    let configs = dump["configs"].as_array_mut().unwrap();
    let secrets = configs
        .iter_mut()
        .find(|one| {
            one["@type"]
                .as_str()
                .unwrap()
                .ends_with("SecretsConfigDump")
        })
        .unwrap();
    let all = secrets["static_secrets"].as_array_mut().unwrap();
    let own = all
        .iter_mut()
        .find(|one| one["secret"].get("tls_certificate").is_some())
        .unwrap();
    own["secret"]["tls_certificate"]["private_key"]["inline_string"] = "PRIVATE KEY".into();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("with-a-key.json");
    std::fs::write(&file, dump.to_string()).unwrap();
    for what in ["secret", "all"] {
        for format in ["json", "yaml", "table"] {
            let words = ["pc", what, "-o", format, "-f", file.to_str().unwrap()];
            let run = meltemi(&words);
            assert_eq!(run.status.code(), Some(0), "{what} {format}");
            assert!(!text(run.stdout).contains("PRIVATE KEY"), "{what} {format}");
        }
    }
}

#[test]
fn what_is_no_dump_is_65_and_what_is_not_there_66() {
    let file = data("cluster.txt");
    let run = meltemi(&["pc", "cluster", "--file", file.to_str().unwrap()]);
    assert_eq!(run.status.code(), Some(65));
    let run = meltemi(&["pc", "cluster", "--file", "/nonexistent"]);
    assert_eq!(run.status.code(), Some(66));
    assert!(text(run.stderr).starts_with("meltemi: /nonexistent: "));
}
