//! Whose API server is believed: that of the control plane's own cluster, until others are supported.

use anyhow::{Result, ensure};
use meltemi_live::citadel::Citadel;
use meltemi_live::scene::SOON;
use meltemi_testkit::reviews::{Reviews, Token};
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server that counts who comes.
fn trap() -> Result<(SocketAddr, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, came) = (listener.local_addr()?, Arc::new(AtomicUsize::new(0)));
    let count = came.clone();
    std::thread::spawn(move || {
        for _stream in listener.incoming() {
            count.fetch_add(1, Ordering::AcqRel);
        }
    });
    Ok((address, came))
}

/// A kubeconfig for that server, as good and as bad ones are written.
fn kubeconfigs(server: SocketAddr, touched: &Path) -> Vec<(&'static str, String)> {
    let own = json!({"server": format!("https://{server}")});
    let token = json!({"token": "abc"});
    let exec = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
        "command": "touch", "args": [touched.display().to_string()],
    }});
    let provider = json!({"auth-provider": {"name": "gcp", "config": {
        "cmd-path": "touch", "cmd-args": touched.display().to_string(),
    }}});
    let (https, http) = (format!("https://{server}"), format!("http://{server}"));
    let proxy = json!({"server": https, "proxy-url": http});
    let open = json!({"server": https, "insecure-skip-tls-verify": true});
    let plain = json!({"server": http});
    let file = json!({"tokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token"});
    let keys = json!({"client-certificate": "/etc/passwd", "client-key": "/etc/shadow"});
    let cases = [
        ("token", own.clone(), token.clone()),
        ("plain", plain, token.clone()),
        ("exec", own.clone(), exec),
        ("provider", own.clone(), provider),
        ("insecure", open, token.clone()),
        ("proxy", proxy, token),
        ("file", own.clone(), file),
        ("keys", own, keys),
    ];
    let config = |(name, cluster, user)| {
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "far",
            "clusters": [{"name": "far", "cluster": cluster}],
            "contexts": [{"name": "far", "context": {"cluster": "far", "user": "far"}}],
            "users": [{"name": "far", "user": user}],
        });
        (name, text.to_string())
    };
    cases.map(config).into()
}

fn secret(name: &str, kubeconfig: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": name, "namespace": "istio-system", "resourceVersion": "1",
            "labels": {"istio/multiCluster": "true"},
            "annotations": {"networking.istio.io/cluster": name},
        },
        "stringData": {"far": kubeconfig},
    })
}

#[tokio::test]
async fn t21_no_other_cluster_is_connected_to() -> Result<()> {
    let (server, came) = trap()?;
    let place = tempfile::tempdir()?;
    let touched = place.path().join("touched");
    let all = kubeconfigs(server, &touched);
    let before = |reviews: &Reviews, config: &Path| -> Result<()> {
        for (name, kubeconfig) in &all {
            let far = format!("far-{name}");
            let path = format!("/api/v1/namespaces/istio-system/secrets/{far}");
            reviews.put(&path, secret(&far, kubeconfig));
            let near = format!("near-{name}");
            let text = secret(&near, kubeconfig).to_string();
            std::fs::write(config.join(format!("{near}.yaml")), text)?;
        }
        Ok(())
    };
    let citadel = Citadel::start_after("t21", (&[], &[]), before)?;
    wait::until("each of them to be said", SOON, || {
        let said = citadel.plane.get("/debug/diagnosticz")?;
        let said: Value = serde_json::from_str(&said)?;
        let lines = said.to_string();
        for (name, _) in &all {
            for place in ["far", "near"] {
                let known = lines.contains(&format!("{place}-{name}"));
                ensure!(known, "{place}-{name} is not in {lines}");
            }
        }
        ensure!(lines.contains("MLT0504"), "{lines}");
        ensure!(
            lines.contains("remote clusters are not supported"),
            "{lines}"
        );
        Ok(Some(()))
    })?;
    // Everything else is served meanwhile.
    let csr = citadel.openssl.p256()?;
    let caller = citadel.caller(Some(&Token::of("shop", "web", "web-0")))?;
    caller.sign(&csr.request, 0).await??;
    let came = came.load(Ordering::Acquire);
    ensure!(came == 0, "{came} connections");
    ensure!(!touched.exists(), "a program of a kubeconfig was run");
    Ok(())
}
