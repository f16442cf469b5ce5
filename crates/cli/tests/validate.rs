//! `meltemi validate` as scripts use it: verdicts, exit codes, and the one line for each finding.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const GOOD: &str =
    "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata:\n  name: a\nspec: {}\n";
const BAD: &str = "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata:\n  name: b\nspec:\n  \
                   tracing:\n  - randomSamplingPercentage: 101\n";
const ODD: &str = "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata:\n  name: c\nspec:\n  tracing: [{}, {}]\n";

/// Exit code and stdout of `meltemi validate -f - WORDS` with this on stdin.
fn validate(text: &str, words: &[&str]) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meltemi"))
        .args(["validate", "-f", "-"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn verdicts_decide_the_exit_code() {
    assert_eq!(
        validate(GOOD, &[]),
        (0, "1 valid, 0 warn, 0 invalid\n".into())
    );
    let (code, out) = validate(BAD, &[]);
    assert_eq!(code, 1);
    assert_eq!(
        out,
        "error[MLT0102]: Telemetry default/b spec.tracing[0].randomSamplingPercentage: 101 is not \
         a percentage; use a number from 0 to 100 (-:7:5)\n0 valid, 0 warn, 1 invalid\n"
    );
    assert_eq!(validate(ODD, &[]).0, 0);
    let (code, out) = validate(ODD, &["--fail-on", "warning"]);
    assert_eq!(code, 1);
    assert!(
        out.starts_with("warning[MLT0109]: Telemetry default/c spec.tracing[1]: "),
        "{out}"
    );
    assert_eq!(validate("a: [\n", &[]).0, 1);
}

#[test]
fn json_says_the_same() {
    let (code, out) = validate(&format!("{GOOD}---\n{BAD}"), &["-o", "json"]);
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["kind"], "ValidationReport");
    assert_eq!(report["summary"]["valid"], 1);
    assert_eq!(report["summary"]["invalid"], 1);
    let object = &report["objects"][1];
    assert_eq!(object["document"], 2);
    assert_eq!(object["name"], "b");
    assert_eq!(object["verdict"], "invalid");
    let found = &object["diagnostics"][0];
    assert_eq!(found["path"], "spec.tracing[0].randomSamplingPercentage");
    assert_eq!((&found["line"], &found["column"]), (&13.into(), &5.into()));
}

#[test]
fn mesh_settings_are_no_objects() {
    assert_eq!(
        validate("connectTimeout: 3s\n", &["--as", "MeshConfig"]).0,
        0
    );
    assert_eq!(
        validate("connectTimeout: soon\n", &["--as", "MeshConfig"]).0,
        1
    );
    let networks = "networks:\n  n:\n    endpoints:\n    - fromRegistry: cluster.local\n";
    let (code, out) = validate(networks, &["--as", "MeshNetworks"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("networks.n.endpoints[0].fromRegistry"),
        "{out}"
    );
    let good = networks.replace("cluster.local", "c1");
    assert_eq!(validate(&good, &["--as", "MeshNetworks"]).0, 0);
}

#[test]
fn a_directory_is_read_whole_and_what_is_not_there_is_named() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("validate-directory");
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("a.yaml"), GOOD).unwrap();
    fs::write(root.join("b.yaml"), BAD).unwrap();
    let run = |path: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meltemi"));
        command.args(["validate", "-f"]).arg(path).output().unwrap()
    };
    let output = run(&root);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("1 valid, 0 warn, 1 invalid\n"), "{text}");
    assert!(text.contains("b.yaml:7:5"), "{text}");
    assert_eq!(run(&root.join("none.yaml")).status.code(), Some(66));
}
