//! The kernel takes every golden, and nft prints its rules as they are written, without which a
//! second run could not know them again.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use meltemi_capture_tests::{Backend, Pod};
use meltemi_testkit::paths;
use std::io::Write;
use std::process::Stdio;

/// Gives a tool its input; what it printed.
fn given(pod: &Pod, tool: &str, (args, input): (&[&str], &str)) -> String {
    let mut command = pod.command(tool);
    command.args(args).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    meltemi_capture_tests::pod::good(&child.wait_with_output().unwrap()).unwrap()
}

#[test]
fn every_golden_is_taken() {
    let folder = paths::repository().join("tests/capture/testdata");
    let mut rules = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let pod = Pod::new(Backend::Nft).unwrap();
        for part in text.split("\n=== ").skip(1) {
            let (title, input) = part.split_once('\n').unwrap();
            let input = format!("{input}\n");
            match title {
                "iptables-restore" | "ip6tables-restore" => {
                    given(&pod, title, (&["--noflush"], &input));
                    rules += input.matches("\n-A ").count();
                }
                "nft" => {
                    given(&pod, "nft", (&["-f", "-"], &input));
                    let mut printed = String::new();
                    for table in input.lines().filter_map(|line| line.strip_prefix("table ")) {
                        let table = table.trim_end_matches(" {");
                        let list = format!("--stateless --numeric-priority list table {table}");
                        let list: Vec<&str> = list.split(' ').collect();
                        printed.push_str(&given(&pod, "nft", (&list, "")));
                    }
                    let words = |text: &str| -> Vec<String> {
                        text.split_whitespace().map(ToOwned::to_owned).collect()
                    };
                    assert_eq!(words(&printed), words(&input), "{}", path.display());
                }
                _ => {}
            }
        }
    }
    assert!(rules > 200, "{rules} rules were tried");
}
