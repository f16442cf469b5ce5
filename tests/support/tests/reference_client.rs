//! The reference client against the real control plane, on the configuration of the demo.

use anyhow::{Context, Result};
use meltemi_bootstrap::{NodeFacts, XdsProtocol};
use meltemi_proto::urls::{CLUSTER, ENDPOINT, LISTENER, ROUTE};
use meltemi_testkit::ads_client::{AdsClient, Held, Keep};
use meltemi_testkit::mesh::Workload;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{Options, Plane};
use meltemi_testkit::wait;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);
/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(300);

struct Stage {
    plane: Plane,
    options: Options,
    config: PathBuf,
    _scratch: Scratch,
}

fn stage(name: &str) -> Result<Stage> {
    let scratch = Scratch::new(name)?;
    let config = scratch.path().join("config");
    std::fs::create_dir_all(&config)?;
    for entry in std::fs::read_dir(paths::repository().join("manifests/demo"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), config.join(entry.file_name()))?;
    }
    let directory = config.display().to_string();
    let mut options = Options::new(
        paths::binary("meltemid")?,
        directory,
        scratch.path().to_path_buf(),
    );
    let plane = Plane::start(&options)?;
    options.grpc = plane.grpc();
    Ok(Stage {
        plane,
        options,
        config,
        _scratch: scratch,
    })
}

fn frontend() -> NodeFacts {
    let address = Ipv4Addr::new(127, 0, 1, 11);
    Workload::new("frontend", ("frontend", ""), (address, 18081)).node(address)
}

async fn client(stage: &Stage, protocol: XdsProtocol) -> Result<AdsClient> {
    let server = (stage.plane.grpc(), protocol);
    let mut client = AdsClient::envoy(server, &frontend(), Keep::Bodies).await?;
    client.sync(DEADLINE).await?;
    Ok(client)
}

fn bodies(client: &AdsClient) -> BTreeMap<(String, String), Vec<u8>> {
    let mut all = BTreeMap::new();
    for type_url in [CLUSTER, ENDPOINT, LISTENER, ROUTE] {
        let held = client
            .kind(type_url)
            .map(|kind| kind.held.clone())
            .unwrap_or_default();
        let body = |held: Held| held.body.to_vec();
        all.extend(
            held.into_iter()
                .map(|(name, h)| ((type_url.to_owned(), name), body(h))),
        );
    }
    all
}

#[tokio::test]
async fn both_protocols_bring_the_same_bytes() -> Result<()> {
    let stage = stage("protocols")?;
    let delta = bodies(&client(&stage, XdsProtocol::Delta).await?);
    let sotw = bodies(&client(&stage, XdsProtocol::Sotw).await?);
    assert!(
        delta.keys().any(|(type_url, _)| type_url == ENDPOINT),
        "{:?}",
        delta.keys()
    );
    assert!(
        delta.keys().any(|(type_url, _)| type_url == ROUTE),
        "{:?}",
        delta.keys()
    );
    assert_eq!(delta, sotw);
    Ok(())
}

#[tokio::test]
async fn after_a_restart_unchanged_content_is_not_sent_and_a_change_is() -> Result<()> {
    let mut stage = stage("restart")?;
    let mut client = client(&stage, XdsProtocol::Delta).await?;
    let before = client.counts();
    stage.plane.stop()?;
    stage.plane = Plane::start(&stage.options)?;
    client.reconnect().await?;
    while let Some(update) = client.try_next(SILENCE).await? {
        assert!(
            update.changed.is_empty() && update.removed.is_empty(),
            "{update:?}"
        );
    }
    assert_eq!(client.counts().bytes, before.bytes);

    let file = stage.config.join("ratings.yaml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(
        &file,
        text.replace("perTryTimeout: 250ms", "perTryTimeout: 350ms"),
    )?;
    let update = client.next(DEADLINE).await?;
    let changed: Vec<_> = update.changed.iter().map(|r| r.name.as_str()).collect();
    assert_eq!((update.type_url.as_str(), changed), (ROUTE, vec!["9090"]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_response_is_counted_and_the_stream_goes_on() -> Result<()> {
    let stage = stage("refusal")?;
    let server = (stage.plane.grpc(), XdsProtocol::Delta);
    let mut client = AdsClient::envoy(server, &frontend(), Keep::Bodies).await?;
    client.refuse("not like this", DEADLINE).await?;
    assert_eq!((client.counts().responses, client.counts().refused), (1, 1));
    client
        .next(DEADLINE)
        .await
        .context("the stream should go on")?;
    wait::until("the refusal to be counted", DEADLINE, || {
        let refused = stage.plane.metrics()?.sum("meltemi_nacks_total");
        Ok((refused >= 1.0).then_some(()))
    })
}
