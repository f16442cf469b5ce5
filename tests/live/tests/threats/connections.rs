//! Callers that only want to be many.

use crate::ads::{Ads, SOON, pod};
use anyhow::{Result, ensure};
use meltemi_live::citadel::Citadel;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tonic::{Code, Status};

/// More than one address may have.
const MANY: usize = 100;
/// How long a handshake may take, and some room.
const HANDSHAKE: Duration = Duration::from_secs(15);

/// Whether the other side closes within this time.
async fn closes(stream: &mut TcpStream, within: Duration) -> bool {
    let mut byte = [0; 1];
    matches!(
        tokio::time::timeout(within, stream.read(&mut byte)).await,
        Ok(Ok(0) | Err(_))
    )
}

#[tokio::test]
async fn t24_who_does_not_shake_hands_keeps_nobody_out() -> Result<()> {
    let citadel = Citadel::start("t24", &[], &[])?;
    let server = citadel.plane.secure()?;
    let mut silent = Vec::new();
    for _ in 0..MANY {
        let socket = TcpSocket::new_v4()?;
        socket.bind("127.0.0.2:0".parse()?)?;
        silent.push(socket.connect(server).await?);
    }
    let began = Instant::now();
    let csr = citadel.openssl.p256()?;
    let caller = citadel.caller(Some(&pod()))?;
    caller.sign(&csr.request, 0).await??;
    ensure!(began.elapsed() < SOON, "others wait for them");
    let mut turned_away = 0;
    for stream in &mut silent {
        if closes(stream, Duration::from_millis(50)).await {
            turned_away += 1;
        }
    }
    ensure!(turned_away > 0, "one address may have {MANY} connections");
    for stream in &mut silent {
        let left = HANDSHAKE.saturating_sub(began.elapsed());
        ensure!(closes(stream, left).await, "a handshake may take for ever");
    }
    Ok(())
}

#[tokio::test]
async fn t25_who_says_nothing_is_let_go() -> Result<()> {
    let citadel = Citadel::start("t25", &[], &[])?;
    let caller = citadel.caller(Some(&pod()))?;
    let mut silent = Ads::open(&caller, &[]).await??;
    let status = silent.next().await?;
    let status = status
        .err()
        .ok_or_else(|| anyhow::anyhow!("it got something"))?;
    ensure!(status.code() == Code::DeadlineExceeded, "{status:?}");
    // One pod has so many streams.
    let mut held = Vec::new();
    let status = loop {
        ensure!(held.len() < 10, "one proxy has ten streams");
        match Ads::of(&caller).await {
            Ok(ads) => held.push(ads),
            Err(error) => break error,
        }
    };
    let refused = status.downcast_ref::<Status>().map(Status::code);
    ensure!(refused == Some(Code::ResourceExhausted), "{status:?}");
    ensure!(held.len() >= 2, "it may not even reconnect");
    Ok(())
}
