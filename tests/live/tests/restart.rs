//! The control plane stops and starts again under load: traffic goes on, content that has not
//! changed is not sent again, changes arrive.

use anyhow::{Result, ensure};
use meltemi_bootstrap::XdsProtocol;
use meltemi_live::scene::{Scene, run};
use meltemi_live::shop::{self, Servers};

const SENT: &str = "meltemi_resources_sent_total";

#[test]
fn restart_over_delta() -> Result<()> {
    unchanged(
        "restart-delta",
        XdsProtocol::Delta,
        &["cds", "eds", "lds", "rds"],
    )
}

/// Over the state of the world a client does not say which routes and endpoints it has.
#[test]
fn restart_over_the_state_of_the_world() -> Result<()> {
    unchanged("restart-sotw", XdsProtocol::Sotw, &["cds", "lds"])
}

/// Nothing of these types is sent again; then a change arrives.
fn unchanged(name: &str, protocol: XdsProtocol, types: &[&str]) -> Result<()> {
    run(name, &shop::plan(protocol, Servers::Two), |scene| {
        let of = |scene: &Scene, short: &str| -> Result<f64> {
            let metrics = scene.mesh.plane.metrics()?;
            Ok(metrics.with(SENT, &format!("type=\"{short}\"")))
        };
        for short in types {
            ensure!(of(scene, short)? >= 1.0, "no {short} was ever sent");
        }
        restart(scene)?;
        for short in types {
            let again = of(scene, short)?;
            ensure!(again == 0.0, "{again} resources of {short} were sent again");
        }
        change(scene)?;
        for short in types {
            // What came of the change: one route table, and nothing that was late.
            let want = if *short == "rds" { 1.0 } else { 0.0 };
            let sent = of(scene, short)?;
            ensure!(
                sent == want,
                "{sent} resources of {short} were sent, not {want}"
            );
        }
        Ok(())
    })
}

/// No request fails while the control plane is away, nor when it is back.
fn restart(scene: &mut Scene) -> Result<()> {
    scene.wait_synced()?;
    let load = scene.load("reviews")?;
    let before = scene.mesh.plane.pid();
    scene.mesh.restart_plane()?;
    ensure!(before != scene.mesh.plane.pid(), "it is the same process");
    scene.wait_synced()?;
    load.end()?.expect_only("one v1")
}

/// What changes after the restart arrives.
fn change(scene: &Scene) -> Result<()> {
    scene
        .mesh
        .write(shop::ROUTES, &shop::reviews("two", "v2"))?;
    scene.wait_answer("reviews", "two v2")?;
    scene.wait_synced()?;
    scene.wait_no_diagnostics()
}
