//! Security policies are not translated yet, so they deny: failing open would be worse. Whatever
//! the workload served is refused with a diagnostic, until the policy is gone.

use anyhow::{Result, ensure};
use meltemi_bootstrap::XdsProtocol;
use meltemi_live::scene::{Scene, run};
use meltemi_live::shop::{self, Servers};

const FILE: &str = "security.yaml";

fn policy(kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata:\n  name: guard\n  namespace: \
         shop\nspec:\n  selector:\n    matchLabels:\n      app: reviews\n{spec}"
    )
}

fn mutual_tls(mode: &str) -> String {
    policy(
        "PeerAuthentication",
        &format!("  mtls:\n    mode: {mode}\n"),
    )
}

fn shop(name: &str, play: impl FnOnce(&mut Scene) -> Result<()>) -> Result<()> {
    run(name, &shop::plan(XdsProtocol::Delta, Servers::One), play)
}

#[test]
fn an_authorization_policy_denies() -> Result<()> {
    shop("authorization", |scene| {
        denies(scene, &policy("AuthorizationPolicy", "  action: ALLOW\n"))
    })
}

#[test]
fn a_request_authentication_denies() -> Result<()> {
    shop("request-authentication", |scene| {
        denies(scene, &policy("RequestAuthentication", ""))
    })
}

#[test]
fn strict_mutual_tls_denies_and_permissive_does_not() -> Result<()> {
    shop("mutual-tls", |scene| {
        let load = scene.load("reviews")?;
        scene.mesh.write(FILE, &mutual_tls("PERMISSIVE"))?;
        scene.mesh.write(shop::DETAILS, &shop::details("two"))?;
        scene.wait_answer("details", "two v1")?;
        scene.wait_synced()?;
        scene.wait_no_diagnostics()?;
        load.end()?.expect_only("one v1")?;
        denies(scene, &mutual_tls("STRICT"))
    })
}

/// The policy refuses everything and says so; without it everything works again.
fn denies(scene: &Scene, text: &str) -> Result<()> {
    scene.mesh.write(FILE, text)?;
    scene.wait_status("reviews", 403)?;
    let diagnostic = scene.wait_diagnostic()?;
    let of = |pointer| {
        let value = diagnostic.pointer(pointer);
        value.and_then(|v| v.as_str()).unwrap_or_default()
    };
    let got = (of("/code"), of("/severity"), of("/object/name"));
    ensure!(
        got == ("MLT0207", "error", "guard"),
        "not the diagnostic that was expected: {diagnostic}"
    );
    ensure!(
        of("/location/file").ends_with(FILE),
        "no file in {diagnostic}"
    );
    scene.mesh.remove(FILE)?;
    scene.wait_answer("reviews", "one v1")?;
    scene.wait_no_diagnostics()
}
