//! The threats of reliability.md 1.2 to the agent: servers that say to be the control plane, and roots
//! that prove nobody. The agent is a process; `cargo xtask guards` takes the guards away.

mod impostor;
mod local;

use anyhow::{Context, Result, ensure};
use impostor::{Heard, Root, serve};
use meltemi_agent_tests::pod::{Pod, SOON};
use meltemi_testkit::wait;
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::runtime::Runtime;

const NAME: &str = "istiod.istio-system.svc";
const ROOTS: &str = "var/run/secrets/istio/root-cert.pem";
const TOKEN: &str = "var/run/secrets/tokens/istio-token";
/// Certificates of the tests count until then, or have ended then.
const LATER: i32 = 2120;
const BEFORE: i32 = 2021;

/// A pod whose control plane is at that address, with a token and these roots.
fn pod(name: &str, plane: SocketAddr, roots: Option<&str>) -> Result<Pod> {
    let mut pod = Pod::alone(name)?;
    pod.config = json!({
        "controlPlaneAuthPolicy": "MUTUAL_TLS",
        "discoveryAddress": plane.to_string(),
    });
    pod.env.push(("ISTIOD_SAN".into(), NAME.into()));
    write(&pod, TOKEN, "the-token")?;
    if let Some(roots) = roots {
        write(&pod, ROOTS, roots)?;
    }
    Ok(pod)
}

fn write(pod: &Pod, name: &str, text: &str) -> Result<()> {
    let path: PathBuf = pod.scratch.path().join("root").join(name);
    std::fs::create_dir_all(path.parent().context("no folder")?)?;
    Ok(std::fs::write(path, text)?)
}

/// The agent comes, does not believe it, says so, and tells nothing.
fn expect_silence(pod: &mut Pod, heard: &Heard, says: &str) -> Result<()> {
    pod.start()?;
    let said = wait::until(&format!("the agent to say {says:?}"), SOON, || {
        ensure!(heard.told().is_empty(), "it tells {:?}", heard.told());
        Ok(pod.log().contains(says).then_some(()))
    });
    said.with_context(|| pod.log())?;
    ensure!(heard.told().is_empty(), "it tells {:?}", heard.told());
    Ok(())
}

#[test]
fn t15_the_token_is_shown_to_the_control_plane_alone() -> Result<()> {
    let runtime = Runtime::new()?;
    let (root, swapped) = (Root::new("root")?, Root::new("root")?);
    for (case, server) in [
        ("t15-name", root.server("istiod.other.svc", LATER)?),
        ("t15-ended", root.server(NAME, BEFORE)?),
        ("t15-swapped", swapped.server(NAME, LATER)?),
    ] {
        let (plane, heard) = serve(&runtime, Some(server))?;
        let mut pod = pod(case, plane, Some(&root.pem))?;
        let silence = expect_silence(&mut pod, &heard, "is not trusted as");
        silence.context(case)?;
        ensure!(heard.came() > 0, "{case}: nobody came");
    }
    // The control plane is shown it, so there was something to tell.
    let (plane, heard) = serve(&runtime, Some(root.server(NAME, LATER)?))?;
    let mut pod = pod("t15-good", plane, Some(&root.pem))?;
    pod.start()?;
    let shown = Some("Bearer the-token".to_owned());
    wait::until("the token to be shown", SOON, || {
        Ok(heard.told().contains(&shown).then_some(()))
    })
}

#[test]
fn t15_no_token_goes_out_in_plaintext() -> Result<()> {
    let runtime = Runtime::new()?;
    let root = Root::new("root")?;
    // Where TLS is expected, plaintext is not spoken to.
    let (plane, heard) = serve(&runtime, None)?;
    let mut careful = pod("t15-plain", plane, Some(&root.pem))?;
    expect_silence(&mut careful, &heard, "is not trusted as")?;
    ensure!(heard.came() > 0, "nobody came");
    drop(careful);
    // Where plaintext was asked for, there is a call, and no token in it.
    let (plane, heard) = serve(&runtime, None)?;
    let mut plain = pod("t15-none", plane, Some(&root.pem))?;
    plain.config = json!({"discoveryAddress": plane.to_string()});
    plain.start()?;
    wait::until("a call in plaintext", SOON, || {
        Ok((!heard.told().is_empty()).then_some(()))
    })?;
    let told = heard.told();
    ensure!(told.iter().all(Option::is_none), "it tells {told:?}");
    Ok(())
}

#[test]
fn t20_who_has_no_roots_believes_nobody() -> Result<()> {
    let runtime = Runtime::new()?;
    let root = Root::new("system")?;
    let (plane, heard) = serve(&runtime, Some(root.server(NAME, LATER)?))?;
    for (case, roots, variable, says) in [
        ("t20-empty", Some(" \n"), None, "root is empty"),
        ("t20-missing", None, None, "there is no file with"),
        (
            "t20-system",
            Some(root.pem.as_str()),
            Some("SYSTEM"),
            "prove no control plane",
        ),
    ] {
        let mut pod = system(case, (plane, &root), roots)?;
        let set = variable.map(|value| ("XDS_ROOT_CA".to_owned(), value.to_owned()));
        pod.env.extend(set);
        pod.start()?;
        let code = pod.ended(SOON).context(case)?;
        let log = pod.log();
        ensure!(code != 0 && log.contains(says), "{case}: {code} {log}");
    }
    for (case, roots, says) in [
        ("t20-junk", "junk", "holds no certificate"),
        ("t20-cut", "-----BEGIN CERTIFICATE-----\nx", "is no PEM"),
        (
            "t20-key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "holds no certificate",
        ),
    ] {
        let mut pod = system(case, (plane, &root), Some(roots))?;
        expect_silence(&mut pod, &heard, says).context(case)?;
    }
    ensure!(heard.told().is_empty(), "{:?}", heard.told());
    Ok(())
}

/// A pod on a system that believes the root.
fn system(name: &str, (plane, root): (SocketAddr, &Root), roots: Option<&str>) -> Result<Pod> {
    let mut pod = pod(name, plane, roots)?;
    write(&pod, "etc/ssl/certs/ca-certificates.crt", &root.pem)?;
    let file = pod
        .scratch
        .path()
        .join("root/etc/ssl/certs/ca-certificates.crt");
    let file = file.display().to_string();
    pod.env.push(("SSL_CERT_FILE".into(), file));
    Ok(pod)
}
