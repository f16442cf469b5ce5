//! What the pods run: our control plane and a stock Envoy take the command lines and files that
//! the charts give them.

use anyhow::{Context, Result, ensure};
use meltemi_bootstrap::{AdminAddress, Bootstrap, NodeFacts, StatsScope, XdsProtocol, XdsServer};
use meltemi_charts::{Object, render, texts, the};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::{envoy, paths};
use serde_json::Value;
use std::process::Command;

const CONTAINER: &str = "/spec/template/spec/containers/0";

fn arguments(object: &Object) -> Vec<&str> {
    texts(object.at(&format!("{CONTAINER}/args")))
}

#[test]
fn the_control_plane_knows_its_flags() -> Result<()> {
    let values = [
        &[][..],
        &[
            "plaintextXds.enabled=true",
            "global.logAsJson=true",
            "profile=strict",
        ],
    ];
    for values in values {
        let objects = render("meltemid", values)?;
        let deployment = the(&objects, "Deployment")?;
        let mut command = Command::new(paths::binary("meltemid")?);
        // Flags before --help are looked at, and nothing is started.
        let out = command.args(arguments(deployment)).arg("--help").output()?;
        let error = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "{:?}: {error}", arguments(deployment));
    }
    Ok(())
}

/// A gateway that is not injected.
const STOCK: &str = "image=docker.io/envoyproxy/envoy:distroless-v1.40.0";

fn bootstrap(objects: &[Object]) -> Result<Value> {
    let text = the(objects, "ConfigMap")?.text("/data/bootstrap.json");
    serde_json::from_str(text).context("the bootstrap is no JSON")
}

/// What `crates/bootstrap` makes for a proxy that speaks delta.
fn ours() -> Value {
    let bootstrap = Bootstrap {
        node: NodeFacts::new("router~1.1.1.1~a.b~b".into(), "a.b".into()),
        xds: XdsServer::Uds("/run/xds".into()),
        protocol: XdsProtocol::Delta,
        admin: AdminAddress {
            address: "127.0.0.1".into(),
            port: 15000,
        },
        stats: StatsScope::Istio,
        static_resources: None,
    };
    bootstrap.to_json()
}

#[test]
fn the_bootstrap_of_a_gateway_is_that_of_every_envoy() -> Result<()> {
    let (found, wanted) = (bootstrap(&render("gateway", &[STOCK])?)?, ours());
    let same = [
        "/admin",
        "/bootstrap_extensions",
        "/dynamic_resources/ads_config/api_type",
        "/dynamic_resources/ads_config/set_node_on_first_message_only",
        "/dynamic_resources/cds_config",
        "/dynamic_resources/lds_config",
        "/layered_runtime",
        "/stats_config",
    ];
    for pointer in same {
        ensure!(wanted.pointer(pointer).is_some(), "{pointer} is gone");
        assert_eq!(found.pointer(pointer), wanted.pointer(pointer), "{pointer}");
    }
    Ok(())
}

#[test]
fn a_gateway_dials_its_revision() -> Result<()> {
    let cases = [
        ("revision=", "istiod.istio-system.svc:15012"),
        ("revision=1-1", "istiod-1-1.istio-system.svc:15012"),
        ("global.istioNamespace=mesh", "istiod.mesh.svc:15012"),
        (
            "proxy.discoveryAddress=cp.example.com:443",
            "cp.example.com:443",
        ),
    ];
    for (value, address) in cases {
        let found = bootstrap(&render("gateway", &[STOCK, value])?)?;
        let service = "/dynamic_resources/ads_config/grpc_services/0/google_grpc";
        let service = found.pointer(service).context("no google_grpc")?;
        let text = |pointer: &str| service.pointer(pointer).and_then(Value::as_str);
        assert_eq!(text("/target_uri"), Some(address), "{value}");
        let host = address.rsplit_once(':').map(|(host, _)| host);
        let name = "/channel_args/args/grpc.ssl_target_name_override/string_value";
        assert_eq!(text(name), host, "{value}");
    }
    Ok(())
}

#[test]
fn metadata_comes_from_labels_values_and_environment() -> Result<()> {
    let values = [
        STOCK,
        "env.ISTIO_META_HTTP10=1",
        "networkGateway=net1",
        "global.multiCluster.clusterName=c1",
    ];
    let objects = render("gateway", &values)?;
    let found = bootstrap(&objects)?;
    let metadata = found.pointer("/node/metadata").context("no metadata")?;
    for (key, value) in [
        ("HTTP10", "1"),
        ("NETWORK", "net1"),
        ("REQUESTED_NETWORK_VIEW", "net1"),
        ("CLUSTER_ID", "c1"),
        ("NAMESPACE", "istio-system"),
    ] {
        assert_eq!(metadata.get(key), Some(&Value::from(value)), "{key}");
    }
    let pods = the(&objects, "Deployment")?.at("/spec/template/metadata/labels");
    assert_eq!(metadata.get("LABELS"), Some(pods));
    Ok(())
}

#[test]
fn envoy_takes_the_command_line_and_the_bootstrap() -> Result<()> {
    let envoy = envoy::find()?;
    for values in [
        &[STOCK][..],
        &[
            STOCK,
            "proxy.concurrency=2",
            "networkGateway=net1",
            "logging.level=debug",
        ],
    ] {
        let objects = render("gateway", values)?;
        let scratch = Scratch::new("gateway-chart")?;
        let file = |name: &str, text: &str| -> Result<String> {
            let path = scratch.path().join(name);
            std::fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let token = file("istio-token", "a.b.c")?;
        let root = file("root-cert.pem", "-----BEGIN CERTIFICATE-----\n")?;
        let text = bootstrap(&objects)?.to_string();
        for mounted in [
            "/var/run/secrets/tokens/istio-token",
            "/var/run/secrets/istio/root-cert.pem",
        ] {
            ensure!(text.contains(mounted), "{mounted} is not used");
        }
        let text = text
            .replace("/var/run/secrets/tokens/istio-token", &token)
            .replace("/var/run/secrets/istio/root-cert.pem", &root);
        let path = file("bootstrap.json", &text)?;
        let known = [
            ("$(INSTANCE_IP)", "127.0.0.1"),
            ("$(INSTANCE_IPS)", "127.0.0.1"),
            ("$(POD_NAME)", "pod"),
            ("$(POD_NAMESPACE)", "ns"),
            ("$(NODE_NAME)", "node"),
            ("/etc/envoy/bootstrap.json", &path),
        ];
        let deployment = the(&objects, "Deployment")?;
        let filled = arguments(deployment).into_iter().map(|argument| {
            known.iter().fold(argument.to_owned(), |text, (from, to)| {
                text.replace(from, to)
            })
        });
        let filled: Vec<_> = filled.collect();
        ensure!(
            !filled.iter().any(|argument| argument.contains("$(")),
            "{filled:?}"
        );
        let out = Command::new(&envoy)
            .args(&filled)
            .args(["--mode", "validate"])
            .output()?;
        let error = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "envoy refuses: {error}");
    }
    Ok(())
}

#[test]
fn every_variable_of_the_command_line_is_in_the_environment() -> Result<()> {
    let objects = render("gateway", &[STOCK])?;
    let deployment = the(&objects, "Deployment")?;
    let environment = deployment.at(&format!("{CONTAINER}/env"));
    let names: Vec<_> = environment
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variable| variable.get("name")?.as_str())
        .collect();
    let mut used = 0;
    for argument in arguments(deployment) {
        for part in argument.split("$(").skip(1) {
            let name = part.split(')').next().unwrap_or_default();
            assert!(names.contains(&name), "{name} of {argument}");
            used += 1;
        }
    }
    assert!(used >= 5, "only {used} are used");
    Ok(())
}
