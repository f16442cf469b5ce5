//! The sockets of the DNS proxy. Every wait and every crowd is bounded: a client that asks too much, or
//! too slowly, harms itself.

use super::desk::{Desk, Tables, Verdict};
use super::forward::{Forwarded, Forwarder, read_framed, write_framed};
use super::message::{self, Carrier};
use super::table::{Place, Table};
use super::{Early, Settings};
use crate::ads::Names;
use hickory_proto::op::ResponseCode;
use meltemi_runtime::drain::Drain;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The longest question over UDP, in bytes.
const QUESTION: usize = 4096;
/// The most questions of UDP that are forwarded at a time, for each socket; more fail at once.
const FORWARDS: usize = 1024;
/// The most connections at a time, for each socket; more wait.
const CONNECTIONS: usize = 256;
/// How long a connection may be silent, or not read.
const IDLE: Duration = Duration::from_secs(8);
/// The wait after a socket fails: it fails again if nothing changes.
const PAUSE: Duration = Duration::from_millis(100);

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// A port is taken, or the address is not ours.
    #[error("cannot answer DNS on {0} ({1}): {2}; free it, or set DNS_PROXY_ADDR")]
    Bind(SocketAddr, &'static str, io::Error),
    /// A fault of ours.
    #[error("a part of the DNS proxy has ended")]
    Ended,
}

/// The DNS proxy, listening.
#[derive(Debug)]
pub struct Proxy {
    sockets: Vec<(UdpSocket, TcpListener)>,
    place: Place,
    early: Early,
    forwarder: Forwarder,
}

impl Proxy {
    /// Listens; nothing is answered before it runs.
    ///
    /// # Errors
    /// An address cannot be listened on.
    pub async fn listen(settings: Settings) -> Result<Self, DnsError> {
        let Settings {
            addresses,
            mut servers,
            search,
            domain,
            order,
            timeout,
            early,
        } = settings;
        let mut sockets = Vec::new();
        for address in addresses {
            let wrong = |kind| move |error| DnsError::Bind(address, kind, error);
            let udp = UdpSocket::bind(address).await.map_err(wrong("UDP"))?;
            let bound = udp.local_addr().map_err(wrong("UDP"))?;
            let tcp = TcpListener::bind(bound).await.map_err(wrong("TCP"))?;
            // A question that came back to us would go round for ever.
            servers.retain(|server| *server != bound);
            sockets.push((udp, tcp));
        }
        if servers.is_empty() {
            tracing::warn!("resolv.conf names no DNS server: only names of the mesh are found");
        }
        Ok(Self {
            sockets,
            place: Place::new(&domain, search.as_deref()),
            early,
            forwarder: Forwarder {
                servers,
                order,
                timeout,
            },
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.sockets.iter();
        sockets
            .filter_map(|(udp, _)| udp.local_addr().ok())
            .collect()
    }

    /// Answers until drained, from the last `names` that were told.
    ///
    /// # Errors
    /// A part of it has ended, which is a fault of ours.
    pub async fn run(
        self,
        names: watch::Receiver<Option<Names>>,
        mut drain: Drain,
    ) -> Result<(), DnsError> {
        let Self {
            sockets,
            place,
            early,
            forwarder,
        } = self;
        let (sender, tables) = watch::channel(None);
        let mut parts = JoinSet::new();
        parts.spawn(keep(names, (place, sender)));
        for (udp, tcp) in sockets {
            let counter = Arc::new(Counter {
                desk: desk(tables.clone(), early),
                forwarder: forwarder.clone(),
            });
            parts.spawn(over_udp(Arc::new(udp), counter.clone()));
            parts.spawn(over_tcp(tcp, counter));
        }
        tokio::select! {
            () = drain.started() => Ok(()),
            _ended = parts.join_next() => Err(DnsError::Ended),
        }
    }
}

fn desk(tables: Tables, early: Early) -> Desk {
    Desk { tables, early }
}

/// Makes a table of all that is told; the last one stays when nothing more can come.
async fn keep(
    mut names: watch::Receiver<Option<Names>>,
    (place, tables): (Place, watch::Sender<Option<Arc<Table>>>),
) {
    loop {
        let told = names.borrow_and_update().clone();
        if let Some(told) = told {
            let table = Table::new(place.clone(), &told);
            tracing::debug!(names = table.len(), "the names of the mesh are known");
            tables.send_replace(Some(Arc::new(table)));
        }
        if names.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Answers packets.
#[derive(Debug)]
struct Counter {
    desk: Desk,
    forwarder: Forwarder,
}

impl Counter {
    async fn forward(&self, (packet, carrier): (&[u8], Carrier), limit: u16) -> Vec<u8> {
        let asked = Forwarded {
            packet,
            carrier,
            limit,
        };
        self.forwarder.ask(asked).await
    }
}

async fn over_udp(socket: Arc<UdpSocket>, counter: Arc<Counter>) {
    let mut buffer = vec![0; QUESTION];
    let mut forwards = JoinSet::new();
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_done) = forwards.join_next() => continue,
        };
        let (length, client) = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "a DNS question cannot be received");
                sleep(PAUSE).await;
                continue;
            }
        };
        let packet = buffer.get(..length).unwrap_or_default();
        let answer = match counter.desk.decide(packet, Carrier::Udp) {
            Verdict::Silence => continue,
            Verdict::Answer(answer) => answer,
            Verdict::Forward(_) if forwards.len() >= FORWARDS => {
                message::refusal(packet, ResponseCode::ServFail)
            }
            Verdict::Forward(limit) => {
                let (packet, socket) = (packet.to_vec(), socket.clone());
                let counter = counter.clone();
                forwards.spawn(async move {
                    let asked = (packet.as_slice(), Carrier::Udp);
                    let answer = counter.forward(asked, limit).await;
                    say(&socket, (&answer, client)).await;
                });
                continue;
            }
        };
        say(&socket, (&answer, client)).await;
    }
}

async fn say(socket: &UdpSocket, (answer, client): (&[u8], SocketAddr)) {
    if let Err(error) = socket.send_to(answer, client).await {
        tracing::debug!(%error, %client, "a DNS answer cannot be sent");
    }
}

async fn over_tcp(listener: TcpListener, counter: Arc<Counter>) {
    let mut connections = JoinSet::new();
    loop {
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_done) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, counter.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection for DNS cannot be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Answers one question after the other.
async fn connection(mut stream: TcpStream, counter: Arc<Counter>) {
    // Answers are written in one piece; without it they still arrive.
    let _ = stream.set_nodelay(true);
    while let Ok(Ok(packet)) = timeout(IDLE, read_framed(&mut stream)).await {
        let answer = match counter.desk.decide(&packet, Carrier::Tcp) {
            Verdict::Silence => return,
            Verdict::Answer(answer) => answer,
            Verdict::Forward(limit) => counter.forward((&packet, Carrier::Tcp), limit).await,
        };
        let Ok(Ok(())) = timeout(IDLE, write_framed(&mut stream, &answer)).await else {
            return;
        };
    }
}
