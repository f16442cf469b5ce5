//! Whether the rules work, for pods whose rules somebody else puts there: a call to a port where
//! nobody listens must come in at the proxy's port, with the original one told by the kernel.
//!
//! It works because this container runs as the proxy's user, whose calls to its own pod are sent to
//! the inbound port. The proxy does not run yet, so its ports are free.

use meltemi_capture::{Errand, Settings};
use rustix::net::sockopt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

/// Between two calls, and how long one may take.
const PERIOD: Duration = Duration::from_secs(1);

/// Calls until a call is captured; says why none was.
pub(super) fn validate(settings: &Settings, errand: &Errand) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| format!("cannot start: {e}"))?;
    runtime.block_on(tried(settings, errand))
}

async fn tried(settings: &Settings, errand: &Errand) -> Result<(), String> {
    let (local, passthrough): (IpAddr, IpAddr) = match settings.is_v6_first {
        true => (
            [0, 0, 0, 0, 0, 0, 0, 1].into(),
            [0, 0, 0, 0, 0, 0, 0, 6].into(),
        ),
        false => ([127, 0, 0, 1].into(), [127, 0, 0, 6].into()),
    };
    let target = SocketAddr::new(passthrough, errand.probe_port);
    let outbound = listener(SocketAddr::new(local, settings.outbound_port)).await?;
    let inbound = listener(SocketAddr::new(local, settings.inbound_port)).await?;
    let captured = async {
        tokio::select! {
            () = accepted(&outbound, target) => {}
            () = accepted(&inbound, target) => {}
        }
    };
    let calls = async {
        let mut ticks = interval(PERIOD);
        loop {
            ticks.tick().await;
            match timeout(PERIOD, call(local, target)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::info!(%error, %target, "a call was not captured"),
                Err(_) => tracing::info!(%target, "a call was not answered"),
            }
        }
    };
    let tried = async {
        tokio::select! {
            () = captured => {}
            () = calls => {}
        }
    };
    timeout(errand.probe_timeout, tried).await.map_err(|_| {
        format!(
            "a connection to {target} did not come in at {local}:{} within {} ms: the rules of \
             capture are not there; the CNI plugin of this node must put them there when the pod \
             is made, so see whether it runs, then make the pod again",
            settings.inbound_port,
            errand.probe_timeout.as_millis()
        )
    })
}

async fn listener(at: SocketAddr) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(at).await;
    bound.map_err(|e| format!("cannot listen on {at}: {e}"))
}

/// Waits for a connection that was meant for the target.
async fn accepted(listener: &TcpListener, target: SocketAddr) {
    loop {
        let Ok((mut stream, from)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        match original(&stream) {
            Some(port) if port == target.port() => {
                // The caller may have gone; its call has arrived.
                let _told = stream.write_all(port.to_string().as_bytes()).await;
                return;
            }
            other => tracing::info!(%from, ?other, "a connection that is not ours came in"),
        }
    }
}

/// The port that a connection was made to, as the kernel remembers it.
fn original(stream: &TcpStream) -> Option<u16> {
    match stream.local_addr().ok()? {
        SocketAddr::V4(_) => Some(sockopt::ip_original_dst(stream).ok()?.port()),
        SocketAddr::V6(_) => Some(sockopt::ipv6_original_dst(stream).ok()?.port()),
    }
}

async fn call(from: IpAddr, target: SocketAddr) -> std::io::Result<()> {
    let socket = match from {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(from, 0))?;
    let mut stream = socket.connect(target).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(())
}
