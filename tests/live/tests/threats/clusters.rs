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

/// Clusters of a kubeconfig, as good and as bad ones are written; who calls has a token.
fn clusters(server: SocketAddr) -> Vec<(&'static str, Value)> {
    let (https, http) = (format!("https://{server}"), format!("http://{server}"));
    let of = |more: Value| {
        let mut cluster = json!({"server": https});
        if let (Some(all), Value::Object(more)) = (cluster.as_object_mut(), more) {
            all.extend(more);
        }
        cluster
    };
    vec![
        ("token", of(json!({}))),
        ("plain", json!({"server": http})),
        ("bare", json!({"server": server.to_string()})),
        ("local", json!({"server": "file:///etc/passwd"})),
        (
            "someone",
            json!({"server": format!("https://me:secret@{server}")}),
        ),
        ("insecure", of(json!({"insecure-skip-tls-verify": true}))),
        ("proxy", of(json!({"proxy-url": http}))),
        (
            "socks",
            of(json!({"proxy-url": format!("socks5://{server}")})),
        ),
        ("name", of(json!({"tls-server-name": "kubernetes.default"}))),
        (
            "roots-file",
            of(json!({"certificate-authority": "/etc/passwd"})),
        ),
        (
            "roots-data",
            of(json!({"certificate-authority-data": "AAAA"})),
        ),
    ]
}

/// Users of a kubeconfig; some want to run a program, which touches a file.
fn users(server: SocketAddr, touched: &Path) -> Vec<(&'static str, Value)> {
    let touched = touched.display().to_string();
    let exec = |version: &str, command: &str, args: Value| {
        json!({"exec": {
            "apiVersion": format!("client.authentication.k8s.io/{version}"),
            "interactiveMode": "Never", "command": command, "args": args,
        }})
    };
    let provider =
        |name: &str, config: Value| json!({"auth-provider": {"name": name, "config": config}});
    let gcp = json!({"cmd-path": "touch", "cmd-args": touched});
    let oidc = json!({"idp-issuer-url": format!("https://{server}"), "client-id": "mesh",
        "refresh-token": "abc", "id-token": "abc"});
    let token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let shell = json!(["-c", format!("touch {touched}")]);
    vec![
        ("exec", exec("v1", "touch", json!([touched]))),
        ("exec-old", exec("v1beta1", "touch", json!([touched]))),
        ("exec-shell", exec("v1", "/bin/sh", shell)),
        ("provider", provider("gcp", gcp)),
        ("provider-oidc", provider("oidc", oidc)),
        ("file", json!({"tokenFile": token_file})),
        (
            "keys",
            json!({"client-certificate": "/etc/passwd", "client-key": "/etc/shadow"}),
        ),
        (
            "keys-data",
            json!({"client-certificate-data": "AAAA", "client-key-data": "AAAA"}),
        ),
        (
            "password",
            json!({"username": "admin", "password": "admin"}),
        ),
        (
            "another",
            json!({"token": "abc", "as": "admin", "as-groups": ["system:masters"]}),
        ),
    ]
}

/// Kubeconfigs for that server, by name.
fn kubeconfigs(server: SocketAddr, touched: &Path) -> Vec<(&'static str, String)> {
    let config = |cluster: Value, user: Value| {
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "far",
            "clusters": [{"name": "far", "cluster": cluster}],
            "contexts": [{"name": "far", "context": {"cluster": "far", "user": "far"}}],
            "users": [{"name": "far", "user": user}],
        });
        text.to_string()
    };
    let token = json!({"token": "abc"});
    let own = json!({"server": format!("https://{server}")});
    let clusters = clusters(server).into_iter();
    let clusters = clusters.map(|(name, cluster)| (name, config(cluster, token.clone())));
    let users = users(server, touched).into_iter();
    let users = users.map(|(name, user)| (name, config(own.clone(), user)));
    clusters.chain(users).collect()
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
    ensure!(all.len() >= 20, "{} kubeconfigs", all.len());
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
