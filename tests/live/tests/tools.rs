//! What istioctl, Kiali and Prometheus ask a control plane: their requests, and what they read of
//! the answers. Names of fields are compared, because those are what such tools know.

use anyhow::{Context, Result, ensure};
use meltemi_bootstrap::{NodeFacts, XdsProtocol};
use meltemi_live::shop::service;
use meltemi_proto::any::unpack;
use meltemi_proto::envoy::admin::v3::{ClustersConfigDump, ListenersConfigDump};
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use meltemi_proto::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use meltemi_proto::urls::CLUSTER;
use meltemi_testkit::ads_client::{AdsClient, Keep};
use meltemi_testkit::lease::Door;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{Options, Plane};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const NODE: &str = "sidecar~127.0.0.1~web-0.shop~shop.svc.cluster.local";

struct Stage {
    plane: Plane,
    proxy: AdsClient,
    _scratch: Scratch,
}

impl Stage {
    /// A control plane with one service and one proxy that has everything.
    async fn start(name: &str, args: &[&str]) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let config = scratch.path().join("config");
        std::fs::create_dir(&config)?;
        std::fs::write(
            config.join("reviews.yaml"),
            service("reviews", "app: reviews"),
        )?;
        let config = config.display().to_string();
        let binary = paths::binary("meltemid")?;
        let mut options = Options::new(binary, config, scratch.path().to_path_buf());
        options.args = args.iter().map(Into::into).collect();
        let plane = Plane::start(&options)?;
        let mut node = NodeFacts::new(NODE.to_owned(), "web.shop".to_owned());
        node.metadata
            .insert("ISTIO_VERSION".into(), json!("1.31.0"));
        let server = (plane.grpc(), XdsProtocol::Delta);
        let mut proxy = AdsClient::envoy(server, &node, Keep::Bodies).await?;
        proxy.sync(SOON).await?;
        // The last acknowledgements are on their way.
        proxy.try_next(Duration::from_millis(200)).await?;
        Ok(Self {
            plane,
            proxy,
            _scratch: scratch,
        })
    }

    /// Asks as istioctl does: one request with a made-up nonce, one answer.
    async fn ask(
        &self,
        type_url: &str,
        names: &[&str],
    ) -> Result<DiscoveryResponse, tonic::Status> {
        let address = format!("http://{}", self.plane.grpc());
        let connected = AggregatedDiscoveryServiceClient::connect(address).await;
        let mut client = connected.map_err(|e| tonic::Status::unknown(e.to_string()))?;
        let request = DiscoveryRequest {
            node: Some(Node {
                id: "sidecar~10.0.0.9~test-1.istio-system~istio-system.svc.cluster.local".into(),
                ..Node::default()
            }),
            type_url: type_url.to_owned(),
            resource_names: names.iter().map(ToString::to_string).collect(),
            response_nonce: "2026-01-01 00:00:00 +0000 UTC m=+0.1".into(),
            ..DiscoveryRequest::default()
        };
        let answers = client
            .stream_aggregated_resources(tokio_stream::iter([request]))
            .await?;
        let answer = answers.into_inner().message().await?;
        answer.ok_or_else(|| tonic::Status::unknown("the stream was closed"))
    }

    /// The page as istioctl prints it.
    async fn page(&self, name: &str) -> Result<String> {
        let answer = self.ask("istio.io/debug", &[name]).await?;
        let [resource] = &answer.resources[..] else {
            anyhow::bail!("{} resources", answer.resources.len());
        };
        ensure!(
            resource.type_url == "istio.io/debug",
            "{}",
            resource.type_url
        );
        Ok(String::from_utf8(resource.value.to_vec())?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn istioctl_reads_the_state_of_proxies() -> Result<()> {
    let stage = Stage::start("tools-status", &[]).await?;
    let answer = stage.ask("istio.io/debug/syncz", &[]).await?;
    let control = answer.control_plane.context("nobody answers")?.identifier;
    let control: Value = serde_json::from_str(&control)?;
    ensure!(control["Component"] == "istiod", "{control}");
    ensure!(control["ID"] == "meltemid", "{control}");
    let version = control["Info"]["version"].as_str().unwrap_or_default();
    ensure!(version.starts_with("1."), "{control}");

    let [resource] = &answer.resources[..] else {
        anyhow::bail!("{} proxies", answer.resources.len());
    };
    let config: ClientConfig = unpack(resource)?;
    let node = config.node.context("no node")?;
    ensure!(node.id == "web-0.shop", "{}", node.id);
    let said = node.metadata.context("no metadata")?.fields;
    let said: BTreeSet<&str> = said.keys().map(String::as_str).collect();
    ensure!(
        said == BTreeSet::from(["CLUSTER_ID", "ISTIO_VERSION", "NAMESPACE"]),
        "{said:?}"
    );
    let types = &config.generic_xds_configs;
    ensure!(types.len() >= 3, "{types:?}");
    ensure!(types.is_sorted_by_key(|t| t.type_url.clone()), "{types:?}");
    for one in types {
        ensure!(one.config_status() == ConfigStatus::Synced, "{one:?}");
        ensure!(
            one.last_updated.is_some() && one.error_state.is_none(),
            "{one:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn istioctl_reads_what_a_proxy_should_have() -> Result<()> {
    let stage = Stage::start("tools-dump", &[]).await?;
    let answer = stage
        .ask("istio.io/debug/config_dump", &["web-0.shop"])
        .await?;
    let parts: Vec<&str> = answer
        .resources
        .iter()
        .map(|any| any.type_url.as_str())
        .collect();
    let short = |url: &str| url.rsplit('.').next().unwrap_or_default().to_owned();
    ensure!(
        parts.iter().map(|url| short(url)).collect::<Vec<_>>()
            == [
                "BootstrapConfigDump",
                "ClustersConfigDump",
                "ListenersConfigDump",
                "ScopedRoutesConfigDump",
                "RoutesConfigDump",
                "SecretsConfigDump",
                "EcdsConfigDump"
            ],
        "{parts:?}"
    );
    let clusters = answer.resources.get(1).context("no clusters")?;
    let clusters: ClustersConfigDump = unpack(clusters)?;
    let held = &stage.proxy.kind(CLUSTER).context("no clusters")?.held;
    ensure!(
        clusters.dynamic_active_clusters.len() == held.len(),
        "{held:?}"
    );
    for cluster in clusters.dynamic_active_clusters {
        let version = cluster.version_info;
        ensure!(
            held.values().any(|held| held.version == version),
            "{version}"
        );
    }
    let listeners = answer.resources.get(2).context("no listeners")?;
    let listeners: ListenersConfigDump = unpack(listeners)?;
    ensure!(!listeners.dynamic_listeners.is_empty(), "no listeners");

    let stranger = stage
        .ask("istio.io/debug/config_dump", &["web-9.shop"])
        .await?;
    let said = stranger.resources.first().context("nothing")?.value.clone();
    let said = String::from_utf8(said.to_vec())?;
    let words =
        "Proxy not connected to this Pilot instance. It may be connected to another instance.";
    ensure!(said.contains(words), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn istioctl_reads_pages() -> Result<()> {
    let stage = Stage::start("tools-pages", &[]).await?;
    let list: Vec<String> = serde_json::from_str(&stage.page("list").await?)?;
    for name in [
        "syncz",
        "config_dump",
        "registryz",
        "endpointShardz",
        "configz",
        "edsz",
        "adsz",
        "authorizationz",
        "inject",
        "telemetryz",
    ] {
        ensure!(list.iter().any(|one| one == name), "{name}: {list:?}");
    }
    for name in &list {
        let page = stage.page(&format!("{name}?proxyID=web-0.shop")).await?;
        let read: Result<Value, _> = serde_json::from_str(&page);
        ensure!(read.is_ok_and(|page| !page.is_null()), "{name}: {page}");
    }
    let eds = stage.page("edsz?proxyID=web-0").await?;
    ensure!(eds.contains("reviews.shop.svc.cluster.local"), "{eds}");
    for (name, words) in [
        ("nothing", "404 page not found"),
        (
            "config_dump",
            "You must provide a proxyID in the query string",
        ),
        (
            "config_dump?proxyID=x.y",
            "It may be connected to another instance.",
        ),
    ] {
        let page = stage.page(name).await?;
        ensure!(page.contains(words), "{name}: {page}");
    }
    let two = stage.ask("istio.io/debug", &["list", "syncz"]).await;
    ensure!(
        two.as_ref()
            .is_err_and(|s| s.code() == tonic::Code::InvalidArgument),
        "{two:?}"
    );
    Ok(())
}

/// The fields that Kiali and istiod's own users know, by page.
const FIELDS: [(&str, &str, &[&str]); 5] = [
    (
        "/debug/syncz",
        "/0",
        &[
            "cluster_id",
            "proxy",
            "proxy_type",
            "proxy_version",
            "istio_version",
            "cluster_sent",
            "cluster_acked",
            "listener_sent",
            "listener_acked",
            "endpoint_sent",
            "endpoint_acked",
            "resources",
        ],
    ),
    (
        "/debug/registryz",
        "/0",
        &[
            "Attributes",
            "hostname",
            "ports",
            "clusterVIPs",
            "Resolution",
            "MeshExternal",
        ],
    ),
    (
        "/debug/connections",
        "/clients/0",
        &["connectionId", "connectedAt", "address"],
    ),
    (
        "/debug/adsz",
        "/clients/0",
        &[
            "connectionId",
            "connectedAt",
            "address",
            "labels",
            "metadata",
        ],
    ),
    ("/debug/clusterz", "/0", &["id", "secretName", "syncStatus"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn kiali_and_scripts_read_pages() -> Result<()> {
    let stage = Stage::start("tools-http", &[]).await?;
    let plane = &stage.plane;
    for (path, at, fields) in FIELDS {
        let page = plane.json(path)?;
        let one = page.pointer(at).and_then(Value::as_object);
        let one = one.with_context(|| format!("{path}: {page}"))?;
        for field in fields {
            ensure!(one.contains_key(*field), "{path} has no {field}: {page}");
        }
    }
    let syncz = plane.json("/debug/syncz?namespace=shop")?;
    ensure!(
        syncz[0]["proxy"] == "web-0.shop" && syncz[0]["cluster_sent"] == syncz[0]["cluster_acked"],
        "{syncz}"
    );
    ensure!(
        plane.json("/debug/syncz?namespace=bank")? == json!([]),
        "another namespace"
    );
    let dump = plane.json("/debug/config_dump?proxyID=web-0.shop&include_eds")?;
    let configs = dump["configs"].as_array().context("no configs")?;
    ensure!(configs.len() == 8, "{} parts", configs.len());
    let version = plane.get("/version")?;
    ensure!(
        version.starts_with("1.31.0-") && version.ends_with("-Clean"),
        "{version}"
    );
    // istioctl writes the slash twice, and follows.
    let client = meltemi_testkit::http::Client::new(SOON);
    let at = plane.http()?;
    let twice = client.send(&meltemi_testkit::http::Request::get(
        at,
        "localhost",
        "//version",
    ))?;
    ensure!(
        twice.status == 308 && twice.header("location") == "/version",
        "{twice:?}"
    );
    let index = plane.get("/debug")?;
    ensure!(
        index.contains("href='/debug/syncz'") && index.contains("<html>"),
        "{index}"
    );
    Ok(())
}

/// Istio's names for what this control plane can tell, and whether they have labels.
const METRICS: [&str; 15] = [
    "pilot_xds",
    "pilot_xds_pushes{",
    "pilot_xds_push_time_bucket{",
    "pilot_xds_config_size_bytes_bucket{",
    "pilot_total_xds_rejects{",
    "pilot_total_xds_internal_errors",
    "pilot_push_triggers{",
    "pilot_k8s_reg_events{",
    "pilot_proxy_convergence_time_bucket{",
    "pilot_services",
    "pilot_virt_services",
    "pilot_info{",
    "istio_build{component=\"pilot\"",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
];

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_metrics() -> Result<()> {
    let stage = Stage::start("tools-metrics", &[]).await?;
    let text = stage.plane.get("/metrics")?;
    for name in METRICS {
        ensure!(
            text.lines().any(|line| line.starts_with(name)),
            "{name}\n{text}"
        );
    }
    let mut series = 0;
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (name, value) = line.rsplit_once(' ').context("no value")?;
        ensure!(value.parse::<f64>().is_ok(), "{line}");
        let base = name.split('{').next().unwrap_or_default();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| base.strip_suffix(end));
        let family = family
            .filter(|f| text.contains(&format!("# TYPE {f} histogram")))
            .unwrap_or(base);
        for said in ["HELP", "TYPE"] {
            ensure!(
                text.contains(&format!("# {said} {family} ")),
                "{said} of {family}"
            );
        }
        ensure!(!line.contains("web-0"), "a proxy is no label: {line}");
        series += 1;
    }
    ensure!(series < 1500, "{series} series");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_of_logs_are_shown_and_set() -> Result<()> {
    let door = Door::take()?;
    let port = door.address();
    let flag = format!("--ctrlz_port={}", port.port());
    let _stage = Stage::start("tools-levels", &[&flag]).await?;
    let client = meltemi_testkit::http::Client::new(SOON);
    let level = || -> Result<Value> {
        let scope: Value = serde_json::from_str(&client.text(port, "/scopej/xds")?)?;
        Ok(scope["output_level"].clone())
    };
    ensure!(level()? == "info", "it starts with info");
    let set = |scope: &str, body: &str| {
        client.send(&meltemi_testkit::http::Request {
            method: "PUT",
            address: port,
            host: "localhost",
            path: &format!("/scopej/{scope}"),
            headers: &[("content-type", "application/json")],
            body: body.as_bytes(),
        })
    };
    ensure!(
        set("xds", r#"{"name":"xds","output_level":"debug"}"#)?.status == 202,
        "accepted"
    );
    ensure!(level()? == "debug", "it is debug now");
    ensure!(set("nothing", "{}")?.status == 400, "an unknown scope");
    ensure!(
        set("xds", r#"{"output_level":"loud"}"#)?.status == 400,
        "an unknown level"
    );
    let all: Value = serde_json::from_str(&client.text(port, "/scopej/")?)?;
    ensure!(all.as_array().is_some_and(|all| all.len() > 4), "{all}");
    Ok(())
}
