//! The flags that others script against exist. (That this test exists also makes a plain
//! `cargo test` build the binary, which the tests of the mesh start.)

use std::process::Command;

const FIXED: [&str; 14] = [
    "--config-dir",
    "--kubeconfig",
    "--grpcAddr",
    "--secureGRPCAddr",
    "--httpAddr",
    "--httpsAddr",
    "--monitoringAddr",
    "--meshConfig",
    "--networksConfig",
    "--domain",
    "--clusterID",
    "--shutdownDuration",
    "--port-file",
    "--log-format",
];

#[test]
fn the_fixed_flags_are_in_the_help() {
    let out = Command::new(env!("CARGO_BIN_EXE_meltemid"))
        .arg("--help")
        .output()
        .expect("meltemid runs");
    let help = String::from_utf8_lossy(&out.stdout);
    for flag in FIXED {
        assert!(help.contains(&format!(" {flag} ")), "{flag}: {help}");
    }
}
