//! Traffic through real Envoys, over delta and over the state of the world: what is written
//! arrives, what is removed goes, and no Envoy has ever refused anything.

use anyhow::{Result, ensure};
use meltemi_bootstrap::XdsProtocol;
use meltemi_live::scene::{SOON, Scene, run, who};
use meltemi_live::shop::{self, Servers};
use meltemi_testkit::wait;

const SPLIT: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  namespace: shop
spec:
  hosts:
  - reviews
  http:
  - match:
    - uri:
        prefix: /any
    route:
    - destination:
        host: reviews
  - match:
    - uri:
        prefix: /retry
    route:
    - destination:
        host: reviews
        subset: v1
    retries:
      attempts: 2
      retryOn: 5xx
  - match:
    - headers:
        end-user:
          exact: jason
    route:
    - destination:
        host: reviews
        subset: v2
  - headers:
      response:
        set:
          x-version: split
    route:
    - destination:
        host: reviews
        subset: v1
      weight: 80
    - destination:
        host: reviews
        subset: v2
      weight: 20
";

#[test]
fn traffic_over_delta() -> Result<()> {
    traffic("traffic-delta", XdsProtocol::Delta)
}

#[test]
fn traffic_over_the_state_of_the_world() -> Result<()> {
    traffic("traffic-sotw", XdsProtocol::Sotw)
}

fn traffic(name: &str, protocol: XdsProtocol) -> Result<()> {
    run(name, &shop::plan(protocol, Servers::Two), |scene| {
        split(scene)?;
        header(scene)?;
        retry(scene)?;
        endpoints(scene)?;
        service(scene)?;
        scope(scene)?;
        scene.wait_no_diagnostics()?;
        scene.mesh.assert_healthy()
    })
}

fn split(scene: &Scene) -> Result<()> {
    const CALLS: u32 = 1000;
    scene.mesh.write(shop::ROUTES, SPLIT)?;
    wait::until("the split to arrive", SOON, || {
        let answer = scene.ask("reviews", "/", &[])?;
        Ok((answer.header("x-version") == "split").then_some(()))
    })?;
    let counts = scene.count(CALLS, "/", &[])?;
    let of = |name: &str| counts.get(name).copied().unwrap_or_default();
    ensure!(
        of("v1") + of("v2") == CALLS,
        "not all were answered: {counts:?}"
    );
    ensure!(
        of("v1").abs_diff(CALLS * 8 / 10) <= CALLS * 6 / 100,
        "not 80/20: {counts:?}"
    );
    Ok(())
}

fn header(scene: &Scene) -> Result<()> {
    let counts = scene.count(20, "/", &[("end-user", "jason")])?;
    ensure!(counts.get("v2") == Some(&20), "not all to v2: {counts:?}");
    Ok(())
}

/// Status 500 is not among what Istio retries unasked.
fn retry(scene: &Scene) -> Result<()> {
    let answer = scene.ask("reviews", "/retry?fail_first=1&status=500&key=retry", &[])?;
    ensure!(
        answer.status == 200,
        "the first failure was not retried: {answer:?}"
    );
    let stats = scene.mesh.member("client")?.envoy.admin().stats()?;
    let success = stats.sum("reviews.shop", ".upstream_rq_retry_success");
    ensure!(success == 1, "{success} retries succeeded, not 1");
    Ok(())
}

/// The Pod of v2 goes and comes back.
fn endpoints(scene: &Scene) -> Result<()> {
    let both = |scene: &Scene| {
        Ok(scene
            .count(40, "/any", &[])?
            .into_keys()
            .collect::<Vec<_>>())
    };
    let found: Result<Vec<String>> = both(scene);
    ensure!(found? == ["v1", "v2"], "both versions should answer");
    scene.mesh.remove(shop::POD_V2)?;
    wait::until("v2 to go", SOON, || {
        let names = both(scene)?;
        ensure!(names == ["v1"], "{names:?} answer");
        Ok(Some(()))
    })?;
    scene.mesh.write(shop::POD_V2, &shop::pod("v2", 13))?;
    wait::until("v2 to come back", SOON, || {
        let names = both(scene)?;
        ensure!(names == ["v1", "v2"], "{names:?} answer");
        Ok(Some(()))
    })
}

/// A Service comes and goes.
fn service(scene: &Scene) -> Result<()> {
    scene.wait_status("extra", 502)?;
    scene
        .mesh
        .write("extra.yaml", &shop::service("extra", "version: v2"))?;
    scene.wait_answer("extra", " v2")?;
    scene.mesh.remove("extra.yaml")?;
    scene.wait_status("extra", 502)
}

/// The client sees less, then everything again.
fn scope(scene: &Scene) -> Result<()> {
    let reviews = "./reviews.shop.svc.cluster.local";
    scene.mesh.write(shop::CLIENT, &shop::client(reviews))?;
    scene.wait_status("details", 502)?;
    let answer = scene.ask("reviews", "/any", &[])?;
    ensure!(
        answer.status == 200,
        "reviews should still answer: {}",
        who(&answer)
    );
    scene.mesh.write(shop::CLIENT, &shop::client("./*"))?;
    scene.wait_answer("details", "one v1")
}
