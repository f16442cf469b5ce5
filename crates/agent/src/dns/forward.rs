//! Asks the servers of resolv.conf what the mesh does not know.
//!
//! A question passes as it is, but with an identifier and a port of our own that nobody can foretell,
//! and comes back the way it came: over TCP when the client asked so, which it does after an answer
//! that was cut. The surprise: Istio's agent waits five seconds for a dead server; here the next one
//! is asked after one, and the first answer counts.

use super::Order;
use super::lot::shuffle;
use super::message::{self, Carrier};
use crate::{backoff, families};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hickory_proto::op::ResponseCode;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep, timeout};

/// How long a server may be silent until the next one is asked too.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest answer over UDP that is taken, in bytes; nobody sends longer ones.
const LONGEST: u16 = 4096;

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub(super) struct Forwarder {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) order: Order,
    pub(super) timeout: Duration,
}

/// A question to forward.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forwarded<'a> {
    pub(super) packet: &'a [u8],
    pub(super) carrier: Carrier,
    /// The longest answer that the client takes, in bytes.
    pub(super) limit: u16,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("resolv.conf names no server but ourselves")]
    Nobody,
    #[error("{0}: {1}")]
    Socket(SocketAddr, io::Error),
    #[error("{0} is silent")]
    Late(SocketAddr),
}

impl Forwarder {
    /// The answer of the first server that has one, else that there is none.
    pub(super) async fn ask(&self, asked: Forwarded<'_>) -> Vec<u8> {
        metrics::counter!(families::DNS_FORWARDED).increment(1);
        let begin = Instant::now();
        match self.first(asked).await {
            Ok(answer) => {
                let took = begin.elapsed().as_secs_f64();
                metrics::histogram!(families::DNS_TOOK).record(took);
                match answer.len() > usize::from(asked.limit) {
                    true => message::cut(&answer),
                    false => answer,
                }
            }
            Err(error) => {
                metrics::counter!(families::DNS_FAILED).increment(1);
                tracing::debug!(%error, "a DNS question has no answer");
                message::refusal(asked.packet, ResponseCode::ServFail)
            }
        }
    }

    async fn first(&self, asked: Forwarded<'_>) -> Result<Vec<u8>, Failed> {
        let mut servers = self.servers.clone();
        shuffle(&mut servers);
        let mut waiting = servers.into_iter();
        let mut running = FuturesUnordered::new();
        let mut failed = Failed::Nobody;
        loop {
            let next = match self.order {
                Order::InTurn => 1,
                Order::AtOnce => usize::MAX,
            };
            let next = waiting.by_ref().take(next);
            running.extend(next.map(|server| self.one(server, asked)));
            tokio::select! {
                ended = running.next() => match ended {
                    Some(Ok(answer)) => return Ok(answer),
                    Some(Err(error)) => failed = error,
                    None => return Err(failed),
                },
                () = sleep(PATIENCE), if waiting.len() > 0 => {}
            }
        }
    }

    async fn one(&self, server: SocketAddr, asked: Forwarded<'_>) -> Result<Vec<u8>, Failed> {
        let [.., high, low] = backoff::bits().to_be_bytes();
        let question = message::with_id(asked.packet, [high, low]);
        let answer = async {
            match asked.carrier {
                Carrier::Udp => over_udp(server, (&question, asked.limit)).await,
                Carrier::Tcp => over_tcp(server, &question).await,
            }
        };
        match timeout(self.timeout, answer).await {
            Ok(Ok(answer)) => {
                let id = message::id(asked.packet).unwrap_or_default();
                Ok(message::with_id(&answer, id))
            }
            Ok(Err(error)) => Err(Failed::Socket(server, error)),
            Err(_) => Err(Failed::Late(server)),
        }
    }
}

/// What is no answer to this question is not looked at: somebody guesses.
async fn over_udp(server: SocketAddr, (question, limit): (&[u8], u16)) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    // One byte more shows that an answer is too long.
    let mut buffer = vec![0; usize::from(limit.min(LONGEST)) + 1];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).unwrap_or_default();
        if message::answers(question, answer) {
            return Ok(match length == buffer.len() {
                true => message::cut(answer),
                false => answer.to_vec(),
            });
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    write_framed(&mut stream, question).await?;
    let answer = read_framed(&mut stream).await?;
    match message::answers(question, &answer) {
        true => Ok(answer),
        false => Err(io::Error::other("it answers something else")),
    }
}

/// A packet behind its length, as TCP has it.
pub(super) async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

/// As [`read_framed`] reads it, in one piece.
pub(super) async fn write_framed(stream: &mut TcpStream, packet: &[u8]) -> io::Result<()> {
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), packet].concat();
    stream.write_all(&framed).await
}
