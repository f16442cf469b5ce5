//! Mesh mTLS between real Envoys: nobody asked for it and it is spoken; what a PeerAuthentication
//! demands holds on both sides.

use anyhow::{Result, ensure};
use meltemi_bootstrap::XdsProtocol;
use meltemi_live::scene::{SOON, Scene, run};
use meltemi_live::shop::{self, Servers};
use meltemi_testkit::http::{Client, Request};
use meltemi_testkit::mesh::{Plan, Workload};
use meltemi_testkit::wait;
use std::net::Ipv4Addr;
use std::time::Duration;

const PEERS: &str = "peers.yaml";
const RULES: &str = "rules.yaml";

/// The shop, of which every Envoy has a certificate and every Pod says so.
fn plan() -> Result<Plan> {
    let mut plan = shop::plan(XdsProtocol::Delta, Servers::One);
    let all = std::mem::take(&mut plan.workloads).into_iter();
    plan.workloads = all.map(Workload::certified).collect();
    let labels = (
        "  labels:\n",
        "  labels:\n    security.istio.io/tlsMode: istio\n",
    );
    let pod = shop::edit(&shop::pod("v1", 12), labels)?;
    plan.files.insert("pod-v1.yaml".into(), pod);
    Ok(plan)
}

fn peers(mode: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: all\n  \
         namespace: shop\nspec:\n  mtls:\n    mode: {mode}\n"
    )
}

fn rules(mode: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: reviews\n  \
         namespace: shop\nspec:\n  host: reviews\n  trafficPolicy:\n    tls:\n      mode: {mode}\n  \
         subsets:\n  - name: v1\n    labels:\n      version: v1\n"
    )
}

/// How many TLS handshakes the client's Envoy has done with servers.
fn handshakes(scene: &Scene) -> Result<u64> {
    let client = scene.mesh.member("client")?;
    let stats = client.envoy.admin().stats()?;
    Ok(stats.sum("cluster.outbound|", ".ssl.handshake"))
}

/// Somebody who is not in the mesh calls the server's Envoy in clear.
fn plaintext(scene: &Scene) -> Result<u16> {
    let at = scene.mesh.at(Ipv4Addr::new(127, 0, 1, 12), 9080)?;
    let client = Client::new(Duration::from_secs(5));
    Ok(client.send(&Request::get(at, "reviews", "/"))?.status)
}

fn wait_plaintext_refused(scene: &Scene) -> Result<()> {
    wait::until("plaintext to be refused", SOON, || match plaintext(scene) {
        Ok(status) => anyhow::bail!("it is answered with {status}"),
        Err(_) => Ok(Some(())),
    })
}

#[test]
fn mtls_is_automatic_and_modes_hold() -> Result<()> {
    run("mtls", &plan()?, |scene| {
        ensure!(handshakes(scene)? > 0, "the first answers came in clear");
        ensure!(plaintext(scene)? == 200, "PERMISSIVE takes plaintext too");

        scene.mesh.write(PEERS, &peers("STRICT"))?;
        wait_plaintext_refused(scene)?;
        scene.wait_answer("reviews", "one v1")?;
        scene.wait_no_diagnostics()?;

        scene.mesh.write(PEERS, &peers("DISABLE"))?;
        scene.wait_answer("reviews", "one v1")?;
        wait::until("plaintext to be answered", SOON, || {
            Ok((plaintext(scene)? == 200).then_some(()))
        })?;
        scene.mesh.write(RULES, &rules("ISTIO_MUTUAL"))?;
        scene.wait_status("reviews", 503)?;

        scene.mesh.write(PEERS, &peers("STRICT"))?;
        scene.wait_answer("reviews", "one v1")?;
        scene.mesh.write(RULES, &rules("DISABLE"))?;
        scene.wait_status("reviews", 503)
    })
}
