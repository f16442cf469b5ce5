//! A real Envoy on a hand-made assignment, over delta and over `SotW`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use meltemi_proto::resource::Encoded;
use meltemi_proto::urls;
use meltemi_testkit::lease::Door;
use meltemi_xds::{Event, Limits};
use meltemi_xds_tests::{Desk, Proxy, Serving, Stats, mesh};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SECOND: Duration = Duration::from_secs(1);

/// A workload that answers every request with its name.
async fn workload(name: &'static str) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{name}",
                name.len()
            );
            // A client that left needs no answer.
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Ok(port)
}

fn sum(stats: &Stats, end: &str) -> u64 {
    let found = stats.iter().filter(|(name, _)| name.ends_with(end));
    found.map(|(_, value)| value).sum()
}

struct Stand {
    desk: Arc<Desk>,
    serving: Serving,
    proxy: Proxy,
    listener: Door,
}

fn everything(port: u16, listener: SocketAddr) -> Vec<Arc<Encoded>> {
    vec![
        mesh::cluster("one", SECOND),
        mesh::endpoints("one", &[("127.0.0.1", port)]),
        mesh::listener("in", listener, "r"),
        mesh::route("r", "one"),
    ]
}

async fn stand(api: &str) -> Result<Stand> {
    let desk = Arc::new(Desk::default());
    let (port, listener) = (workload("one").await?, Door::take()?);
    desk.edit(&everything(port, listener.address()), &[]);
    let serving = Serving::start(&desk, 0, Limits::default()).await?;
    let proxy = Proxy::start(serving.address, api).await?;
    proxy.until_answered(listener.address(), 200).await?;
    Ok(Stand {
        desk,
        serving,
        proxy,
        listener,
    })
}

/// Sends a request, edits everything, takes a cluster away, and leaves nothing refused or warming.
async fn lives(api: &str) -> Result<()> {
    let stand = stand(api).await?;
    let Stand {
        desk,
        proxy,
        listener,
        ..
    } = &stand;
    desk.until_synced().await?;
    assert_eq!(proxy.state().await?, "LIVE");
    let two = workload("two").await?;
    desk.edit(
        &[
            mesh::cluster("two", SECOND),
            mesh::endpoints("two", &[("127.0.0.1", two)]),
            mesh::route("r", "two"),
        ],
        &[(urls::CLUSTER, "one"), (urls::ENDPOINT, "one")],
    );
    desk.until_synced().await?;
    assert_eq!(proxy.until_answered(listener.address(), 200).await?, "two");
    desk.edit(&[mesh::cluster("two", 2 * SECOND)], &[]);
    let warm = |s: &Stats| sum(s, "cluster_manager.warming_clusters") == 0;
    desk.until_synced().await?;
    let stats = proxy.until("warming ends", warm).await?;
    assert_eq!(sum(&stats, "update_rejected"), 0);
    assert_eq!(
        sum(&stats, "cluster_manager.active_clusters"),
        2,
        "xds and two"
    );
    for end in [
        "cds.update_success",
        "lds.update_success",
        "rds.r.update_success",
    ] {
        assert!(sum(&stats, end) >= 1, "{end}");
    }
    assert!(
        stats
            .get("cluster.two.update_success")
            .is_some_and(|n| *n >= 1)
    );
    assert!(
        !desk
            .events()
            .iter()
            .any(|e| matches!(e, Event::Nacked { .. }))
    );
    stand.serving.stop().await
}

#[tokio::test]
async fn delta_lives() -> Result<()> {
    lives("DELTA_GRPC").await
}

#[tokio::test]
async fn sotw_lives() -> Result<()> {
    lives("GRPC").await
}

/// A control plane that starts again with the same content says nothing that Envoy holds, and a
/// change afterwards still arrives.
async fn reconnects(api: &str, silent: &[&str]) -> Result<()> {
    let (one, two) = (workload("one").await?, workload("two").await?);
    let listener = Door::take()?;
    let mut held = everything(one, listener.address());
    held.push(mesh::cluster("two", SECOND));
    held.push(mesh::endpoints("two", &[("127.0.0.1", two)]));
    let desk = Arc::new(Desk::default());
    desk.edit(&held, &[]);
    let serving = Serving::start(&desk, 0, Limits::default()).await?;
    let address = serving.address;
    let proxy = Proxy::start(address, api).await?;
    proxy.until_answered(listener.address(), 200).await?;
    desk.until_synced().await?;
    serving.stop().await?;

    let again = Arc::new(Desk::default());
    again.edit(&held, &[]);
    let serving = Serving::start(&again, address.port(), Limits::default()).await?;
    let end = tokio::time::Instant::now() + 40 * SECOND;
    loop {
        let clients = serving.clients.snapshot();
        match clients.first() {
            Some(client) if client.types.len() == 4 => break,
            _ if tokio::time::Instant::now() > end => bail!("no reconnect: {clients:?}"),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    // A change comes after whatever the new server had to say first.
    again.edit(&[mesh::route("r", "two")], &[]);
    again.until_synced().await?;
    let clients = serving.clients.snapshot();
    for status in clients.iter().flat_map(|client| &client.types) {
        let quiet = status.sent_nonce.is_none();
        assert_eq!(quiet, silent.contains(&status.short), "{status:?}");
    }
    assert_eq!(proxy.until_answered(listener.address(), 200).await?, "two");
    again.edit(&[mesh::cluster("one", 2 * SECOND)], &[]);
    again.until_synced().await?;
    let stats = proxy.stats().await?;
    assert_eq!(sum(&stats, "cluster_manager.warming_clusters"), 0);
    assert_eq!(sum(&stats, "update_rejected"), 0);
    serving.stop().await
}

#[tokio::test]
async fn delta_reconnects_in_silence() -> Result<()> {
    reconnects("DELTA_GRPC", &["cds", "eds", "lds"]).await
}

#[tokio::test]
async fn sotw_reconnects_without_a_full_state() -> Result<()> {
    reconnects("GRPC", &["cds", "lds"]).await
}

/// Waits until the desk hears who is to blame, and says who.
async fn blamed(desk: &Desk) -> Result<Vec<String>> {
    let culprits = |events: &[Event]| -> Vec<String> {
        let of = |event: &Event| match event {
            Event::Nacked { culprits, .. } => culprits.clone(),
            Event::Acked { .. }
            | Event::Synced { .. }
            | Event::Confirmed { .. }
            | Event::Refused { .. }
            | Event::Subscribed { .. }
            | Event::Detached => Vec::new(),
        };
        let names = events.iter().flat_map(of);
        names
            .map(|culprit| culprit.refused.name.to_string())
            .collect()
    };
    desk.until("a refusal", |events| !culprits(events).is_empty())
        .await?;
    Ok(culprits(&desk.events()))
}

/// One bad resource of each type beside good ones: it alone stays behind.
async fn isolates(api: &str) -> Result<()> {
    let stand = stand(api).await?;
    let Stand {
        desk,
        proxy,
        listener,
        ..
    } = &stand;
    let (other, third) = (Door::take()?, Door::take()?);
    desk.edit(
        &[
            mesh::listener("other", other.address(), "bad"),
            mesh::listener("third", third.address(), "good"),
            mesh::bad_route("bad", "one"),
            mesh::route("good", "one"),
        ],
        &[],
    );
    assert_eq!(blamed(desk).await?, ["bad"]);
    proxy.until_answered(third.address(), 200).await?;
    desk.edit(&[mesh::route("bad", "one")], &[]);
    proxy.until_answered(other.address(), 200).await?;
    proxy.until_answered(listener.address(), 200).await?;
    desk.until_synced().await?;

    let stand = self::stand(api).await?;
    let Stand {
        desk,
        proxy,
        listener,
        ..
    } = &stand;
    let two = workload("two").await?;
    desk.edit(
        &[
            mesh::bad_cluster("bad"),
            mesh::cluster("two", SECOND),
            mesh::endpoints("two", &[("127.0.0.1", two)]),
            mesh::route("r", "two"),
        ],
        &[],
    );
    assert_eq!(blamed(desk).await?, ["bad"]);
    desk.until_synced().await?;
    assert_eq!(proxy.until_answered(listener.address(), 200).await?, "two");

    let stand = self::stand(api).await?;
    let Stand {
        desk,
        proxy,
        listener,
        ..
    } = &stand;
    desk.edit(
        &[
            mesh::endpoints("one", &[("no address", 80)]),
            mesh::cluster("two", SECOND),
            mesh::endpoints("two", &[("127.0.0.1", two)]),
        ],
        &[],
    );
    assert_eq!(blamed(desk).await?, ["one"]);
    desk.until_synced().await?;
    assert_eq!(proxy.until_answered(listener.address(), 200).await?, "one");
    desk.edit(&[mesh::route("r", "two")], &[]);
    desk.until_synced().await?;
    assert_eq!(proxy.until_answered(listener.address(), 200).await?, "two");
    Ok(())
}

#[tokio::test]
async fn delta_isolates_the_bad() -> Result<()> {
    isolates("DELTA_GRPC").await
}

#[tokio::test]
async fn sotw_isolates_the_bad() -> Result<()> {
    isolates("GRPC").await
}
