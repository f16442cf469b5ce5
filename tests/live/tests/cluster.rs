//! The control plane on a cluster: the double of an API server, which can be stopped at will.

use anyhow::{Result, ensure};
use meltemi_testkit::api_server::ApiServer;
use meltemi_testkit::plane::{Options, Plane};
use meltemi_testkit::{paths, wait};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterIP": "10.1.0.1", "ports": [{"port": 80, "name": "http"}]},
    })
}

/// The mesh configuration of revision `canary`.
fn mesh(text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio-canary", "namespace": "mesh"},
        "data": {"mesh": text},
    })
}

fn wait_for_diagnostic(plane: &Plane, wanted: bool) -> Result<()> {
    wait::until("the mesh configuration's diagnostic", SOON, || {
        let said = plane.diagnostics()?.to_string().contains("MLT0401");
        Ok((said == wanted).then_some(()))
    })
}

fn wait_for(plane: &Plane, host: &str) -> Result<()> {
    wait::until(&format!("{host} in the registry"), SOON, || {
        let page = plane.get("/debug/registryz")?;
        Ok(page.contains(host).then_some(()))
    })
}

#[test]
fn a_cluster_is_followed_through_restarts_of_its_api_server() -> Result<()> {
    let server = ApiServer::start()?;
    server.apply(service("a"));
    server.apply(mesh("connectTimeout: 3s"));
    let dir = tempfile::tempdir()?;
    let mut options = Options::new(paths::binary("meltemid")?, String::new(), dir.path().into());
    options.config.clear();
    let kubeconfig = server.kubeconfig(dir.path())?;
    options.args = vec!["--kubeconfig".into(), kubeconfig.into()];
    options.env = vec![
        ("POD_NAMESPACE".into(), "mesh".into()),
        ("REVISION".into(), "canary".into()),
    ];
    let mut plane = Plane::start(&options)?;
    wait_for(&plane, "a.shop.svc.cluster.local")?;
    server.apply(mesh("connectTimeout: ["));
    wait_for_diagnostic(&plane, true)?;
    server.apply(mesh("connectTimeout: 4s"));
    wait_for_diagnostic(&plane, false)?;
    for name in ["b", "c"] {
        server.go_away();
        server.apply(service(name));
        ensure!(plane.get("/ready")?.contains("ready"), "readiness stays");
        server.come_back();
        wait_for(&plane, &format!("{name}.shop.svc.cluster.local"))?;
    }
    plane.stop()
}
