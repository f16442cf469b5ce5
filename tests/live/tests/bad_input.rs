//! Bad input, written while traffic runs: the old behaviour goes on, one diagnostic says what is
//! wrong and where, everything else is served, also by a control plane that starts with it, and
//! correcting the file is all it takes.

use anyhow::{Context, Result, ensure};
use meltemi_bootstrap::XdsProtocol;
use meltemi_live::scene::{SOON, Scene, run};
use meltemi_live::shop::{self, Servers};
use meltemi_testkit::wait;
use serde_json::Value;

/// One mistake in the file of the VirtualService `reviews`.
struct Row {
    /// The mistake, as an edit of the good file.
    edit: (&'static str, &'static str),
    /// The code of the diagnostic.
    code: &'static str,
    /// The object that it names.
    object: &'static str,
    /// The field that it names.
    path: &'static str,
    /// The line that it names.
    line: u64,
}

const REVIEWS: &str = "VirtualService shop/reviews";

#[test]
fn not_yaml() -> Result<()> {
    check(
        "not-yaml",
        Row {
            edit: ("  http:", " http:"),
            code: "MLT0001",
            object: REVIEWS,
            path: "",
            line: 9,
        },
    )
}

#[test]
fn unknown_kind() -> Result<()> {
    check(
        "unknown-kind",
        Row {
            edit: ("kind: VirtualService", "kind: VirtualServise"),
            code: "MLT0002",
            object: "VirtualServise shop/reviews",
            path: "kind",
            line: 2,
        },
    )
}

#[test]
fn wrong_type() -> Result<()> {
    check(
        "wrong-type",
        Row {
            edit: ("weight: 100", "weight: most"),
            code: "MLT0003",
            object: REVIEWS,
            path: "spec.http[0].route[0].weight",
            line: 22,
        },
    )
}

#[test]
fn unknown_field() -> Result<()> {
    check(
        "unknown-field",
        Row {
            edit: ("weight: 100", "wieght: 100"),
            code: "MLT0004",
            object: REVIEWS,
            path: "spec.http[0].route[0].wieght",
            line: 22,
        },
    )
}

#[test]
fn duplicate_object() -> Result<()> {
    let twice = "weight: 100
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  namespace: shop
spec:
  hosts:
  - reviews
  http:
  - route:
    - destination:
        host: reviews
        subset: v2
";
    check(
        "duplicate-object",
        Row {
            edit: ("weight: 100\n", twice),
            code: "MLT0005",
            object: REVIEWS,
            path: "",
            line: 24,
        },
    )
}

#[test]
fn regex_that_envoy_refuses() -> Result<()> {
    check(
        "bad-regex",
        Row {
            edit: ("prefix: /", "regex: (?=/).*"),
            code: "MLT0101",
            object: REVIEWS,
            path: "spec.http[0].match[0].uri.regex",
            line: 13,
        },
    )
}

#[test]
fn port_out_of_range() -> Result<()> {
    check(
        "bad-port",
        Row {
            edit: (
                "        subset: v1",
                "        subset: v1\n        port:\n          number: 70000",
            ),
            code: "MLT0102",
            object: REVIEWS,
            path: "spec.http[0].route[0].destination.port.number",
            line: 23,
        },
    )
}

#[test]
fn missing_subset() -> Result<()> {
    check(
        "missing-subset",
        Row {
            edit: ("subset: v1", "subset: v9"),
            code: "MLT0201",
            object: REVIEWS,
            path: "spec.http[0].route[0].destination.subset",
            line: 19,
        },
    )
}

fn check(name: &str, row: Row) -> Result<()> {
    let plan = shop::plan(XdsProtocol::Delta, Servers::Two);
    run(name, &plan, |scene| {
        let text = breaks(scene, &row)?;
        heals(scene, &row, &text)?;
        starts_broken(scene, &row, &text)
    })
}

/// The mistake is written under load: it is told, nothing changes, the rest goes on changing.
fn breaks(scene: &Scene, row: &Row) -> Result<String> {
    let load = scene.load("reviews")?;
    let bad = shop::edit(&shop::reviews("one", "v1"), row.edit)?;
    scene.mesh.write(shop::ROUTES, &bad)?;
    let text = expect(&scene.wait_diagnostic()?, row)?;
    scene.mesh.write(shop::DETAILS, &shop::details("two"))?;
    scene.wait_answer("details", "two v1")?;
    scene.wait_synced()?;
    let after = load.sent() + 20;
    wait::until("more load", SOON, || {
        Ok((load.sent() >= after).then_some(()))
    })?;
    load.end()?.expect_only("one v1")?;
    said(scene, &text, 1)?;
    Ok(text)
}

/// The corrected file takes effect, and the diagnostic goes.
fn heals(scene: &Scene, row: &Row, text: &str) -> Result<()> {
    scene
        .mesh
        .write(shop::ROUTES, &shop::reviews("three", "v2"))?;
    scene.wait_answer("reviews", "three v2")?;
    scene.wait_no_diagnostics()?;
    said(scene, text, 1)?;
    let fixed = format!("fixed[{}]: ", row.code);
    wait::until("the end of the diagnostic on stderr", SOON, || {
        let log = scene.mesh.plane.log();
        ensure!(
            log.lines().any(|line| line.starts_with(&fixed)),
            "{fixed:?} is not in {log}"
        );
        Ok(Some(()))
    })
}

/// A control plane that starts with the mistake tells it and serves the rest.
fn starts_broken(scene: &mut Scene, row: &Row, text: &str) -> Result<()> {
    let load = scene.load("details")?;
    let bad = shop::edit(&shop::reviews("one", "v1"), row.edit)?;
    scene.mesh.write(shop::ROUTES, &bad)?;
    expect(&scene.wait_diagnostic()?, row)?;
    scene.mesh.restart_plane()?;
    expect(&scene.wait_diagnostic()?, row)?;
    scene.wait_synced()?;
    load.end()?.expect_only("two v1")?;
    scene.mesh.write(shop::DETAILS, &shop::details("four"))?;
    scene.wait_answer("details", "four v1")?;
    said(scene, text, 3)?;
    scene
        .mesh
        .write(shop::ROUTES, &shop::reviews("five", "v1"))?;
    scene.wait_answer("reviews", "five v1")?;
    scene.wait_no_diagnostics()
}

/// Compares a diagnostic with what the row expects; its one-line text.
fn expect(diagnostic: &Value, row: &Row) -> Result<String> {
    let of = |pointer: &str| diagnostic.pointer(pointer).and_then(Value::as_str);
    let named = |part| of(part).unwrap_or_default();
    let object = format!(
        "{} {}/{}",
        named("/object/kind"),
        named("/object/namespace"),
        named("/object/name")
    );
    let file = named("/location/file");
    let line = diagnostic
        .pointer("/location/line")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let got = (
        named("/code"),
        object.as_str(),
        named("/path"),
        line,
        named("/severity"),
    );
    let want = (row.code, row.object, row.path, row.line, "error");
    ensure!(got == want, "{got:?} is not {want:?} in {diagnostic}");
    ensure!(
        file.ends_with(shop::ROUTES),
        "{file:?} is not the file that was written"
    );
    let text = of("/text").context("no text")?.to_owned();
    let start = format!("error[{}]: {}", row.code, row.object);
    let place = format!("{file}:{line}:");
    ensure!(
        text.starts_with(&start) && text.contains(&place) && !text.contains('\n'),
        "{text:?} does not start with {start:?} or lacks {place:?}"
    );
    Ok(text)
}

/// The one-line text is on stderr that many times.
fn said(scene: &Scene, text: &str, times: usize) -> Result<()> {
    wait::until("the diagnostic on stderr", SOON, || {
        let log = scene.mesh.plane.log();
        let count = log.lines().filter(|line| *line == text).count();
        ensure!(
            count == times,
            "{text:?} is {count} times, not {times}, in {log}"
        );
        Ok(Some(()))
    })
}
