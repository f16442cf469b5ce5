//! The process itself: its flags, its exit codes (those of sysexits), its port file, its end.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{Options, Plane};
use meltemi_testkit::process::{Process, Spec};
use meltemi_testkit::wait;
use serde_json::Value;
use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

/// Runs `meltemid` to its end; its exit code and what it said.
fn end(dir: &Path, args: &[&str]) -> Result<(i32, String)> {
    let mut spec = Spec::new("meltemid", &paths::binary("meltemid")?, dir);
    spec.args = args.iter().map(OsString::from).collect();
    let mut process = Process::start(&spec)?;
    let status = wait::until("meltemid to end by itself", DEADLINE, || process.ended())?;
    let log = std::fs::read_to_string(process.log())?;
    Ok((status.code().context("ended by a signal")?, log))
}

fn expect(args: &[&str], code: i32, words: &str) -> Result<()> {
    let scratch = Scratch::new("process")?;
    let (got, said) = end(scratch.path(), args)?;
    ensure!(got == code, "{args:?} ended with {got}, not {code}: {said}");
    ensure!(said.contains(words), "{words:?} is not in: {said}");
    Ok(())
}

#[test]
fn help_and_version_are_answers() -> Result<()> {
    expect(&["--help"], 0, "--config-dir")?;
    expect(&["--version"], 0, env!("CARGO_PKG_VERSION"))
}

#[test]
fn wrong_usage_is_64() -> Result<()> {
    expect(&["--no-such-flag"], 64, "--no-such-flag")?;
    expect(&[], 64, "--config-dir")?;
    expect(
        &["--config-dir", ".", "--grpcAddr", "nowhere"],
        64,
        "--grpcAddr",
    )?;
    expect(
        &["--config-dir", ".", "--profile", "lax"],
        64,
        "use default or strict",
    )
}

#[test]
fn a_missing_directory_is_66() -> Result<()> {
    expect(&["--config-dir", "no/such/dir"], 66, "no/such/dir")
}

#[test]
fn a_taken_port_is_69() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let config = Scratch::new("process-config")?;
    let dir = config.path().display().to_string();
    for flag in ["--grpcAddr", "--httpAddr", "--monitoringAddr"] {
        expect(&["--config-dir", &dir, flag, &address], 69, &address)?;
    }
    Ok(())
}

#[test]
fn the_port_file_says_what_listens_until_sigterm() -> Result<()> {
    let scratch = Scratch::new("process-ports")?;
    let config = scratch.path().join("config");
    std::fs::create_dir(&config)?;
    let options = Options::new(
        paths::binary("meltemid")?,
        config.display().to_string(),
        scratch.path().to_path_buf(),
    );
    let mut plane = Plane::start(&options)?;
    let text = std::fs::read_to_string(scratch.path().join("meltemid.ports"))?;
    let ports: Value = serde_json::from_str(&text)?;
    let of = |name: &str| ports.get(name).and_then(Value::as_str);
    ensure!(
        ports["pid"] == plane.pid() && Path::new(&format!("/proc/{}", plane.pid())).exists(),
        "no such process: {text}"
    );
    ensure!(
        of("secureGrpc") == Some("") && of("webhook") == Some(""),
        "there is no certificate, so nothing to serve over TLS: {text}"
    );
    let mut open = Vec::new();
    for name in ["grpc", "http", "monitoring"] {
        let address: SocketAddr = of(name).context(name)?.parse()?;
        ensure!(
            address.ip().is_loopback() && address.port() != 0,
            "{name} is {address}"
        );
        TcpStream::connect(address).context(name)?;
        open.push(address);
    }
    ensure!(plane.get("/ready")?.trim() == "ready", "it is not ready");
    let version = plane.json("/version?output=json")?;
    ensure!(
        version["version"] == env!("CARGO_PKG_VERSION"),
        "another version: {version}"
    );
    plane.stop()?;
    for address in open {
        ensure!(
            TcpStream::connect(address).is_err(),
            "{address} still listens"
        );
    }
    Ok(())
}

#[test]
fn a_file_of_mesh_configuration_is_followed() -> Result<()> {
    let scratch = Scratch::new("process-mesh")?;
    let config = scratch.path().join("config");
    std::fs::create_dir(&config)?;
    let file = scratch.path().join("mesh.yaml");
    std::fs::write(&file, "connectTimeout: 5s\n")?;
    let mut options = Options::new(
        paths::binary("meltemid")?,
        config.display().to_string(),
        scratch.path().to_path_buf(),
    );
    options.args = vec!["--meshConfig".into(), file.clone().into()];
    let plane = Plane::start(&options)?;
    let timeout = |wanted: &str| {
        wait::until(wanted, DEADLINE, || {
            let mesh = plane.json("/debug/mesh")?;
            Ok((mesh["connectTimeout"] == wanted).then_some(()))
        })
    };
    let wrong = |is: bool| {
        wait::until("what is wrong to be said, or not", DEADLINE, || {
            let said = plane.diagnostics()?.to_string();
            Ok((said.contains("mesh.yaml") == is).then_some(()))
        })
    };
    timeout("5s")?;
    std::fs::write(&file, "connectTimeout: 7s\n")?;
    timeout("7s")?;
    std::fs::write(&file, "connectTimeout: [\n")?;
    wrong(true)?;
    timeout("7s")?;
    std::fs::write(&file, "connectTimeout: 9s\n")?;
    timeout("9s")?;
    wrong(false)
}
