//! Connections after their TLS handshake, with limits on those who never finish one (reliability.md
//! T24): a handshake has a deadline, and one address and all addresses hold so many connections.
//!
//! A connection above a limit is closed without a word: answering would cost what it asks for.

mod gather;

use crate::tls::{Asks, Tls};
use gather::Gather;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// After a failed accept (no more file descriptors, say) the next one waits so long.
const PAUSE: Duration = Duration::from_millis(50);

/// What strangers may cost, and what they are asked for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a handshake may take.
    pub handshake: Duration,
    /// Connections from one address, those in their handshake included.
    pub per_address: usize,
    /// Connections from all addresses.
    pub connections: usize,
    /// Whether clients are asked for a certificate.
    pub asks: Asks,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            per_address: 64,
            connections: 32_768,
            asks: Asks::Certificate,
        }
    }
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Connection {
    stream: Gather<TlsStream<TcpStream>>,
    peer: SocketAddr,
    _seat: Seat,
}

impl Connection {
    /// Where it comes from.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What the client has shown, its own certificate first; empty when it showed none.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let (_, session) = self.stream.get_ref().get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        chain.iter().map(|one| one.clone().into_owned()).collect()
    }
}

/// Accepts on `socket` and hands over each connection that finishes its handshake, until nobody
/// takes them any more.
pub async fn listen(
    socket: TcpListener,
    (tls, limits): (Arc<Tls>, Limits),
    ready: mpsc::Sender<io::Result<Connection>>,
) {
    let seats = Seats::default();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = ready.closed() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(seat) = seats.take(peer.ip().to_canonical(), &limits) else {
            tracing::debug!(%peer, "connection closed: too many are open");
            continue;
        };
        let acceptor = TlsAcceptor::from(tls.config(limits.asks));
        let (ready, patience) = (ready.clone(), limits.handshake);
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(patience, shake(acceptor, stream));
            match shaken.await {
                Ok(Ok(stream)) => {
                    let connection = Connection {
                        stream: Gather::new(stream),
                        peer,
                        _seat: seat,
                    };
                    // Nobody takes it when the server is going away.
                    let _ = ready.send(Ok(connection)).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_late) => tracing::debug!(%peer, "TLS handshake took too long"),
            }
        });
    }
}

async fn shake(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    acceptor.accept(stream).await
}

/// Who has how many connections.
#[derive(Clone, Debug, Default)]
struct Seats(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Seats {
    /// A seat for a connection from `address`, unless too many are taken.
    fn take(&self, address: IpAddr, limits: &Limits) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.all >= limits.connections || own >= limits.per_address {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, own + 1);
        let seats = self.clone();
        Some(Seat { seats, address })
    }
}

/// One connection's place; dropping it frees it.
#[derive(Debug)]
struct Seat {
    seats: Seats,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let taken = self.seats.0.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        match taken.by_address.get_mut(&self.address) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
