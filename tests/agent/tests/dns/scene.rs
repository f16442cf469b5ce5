//! A DNS proxy on loopback, the servers behind it, and a client that asks it.

use anyhow::{Context, Result, ensure};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use meltemi_agent::ads::Names;
use meltemi_agent::dns::{Early, Order, Proxy, Settings};
use meltemi_proto::istio::networking::nds::v1::name_table::NameInfo;
use meltemi_runtime::drain::{self, Drainer};
use meltemi_testkit::lease::Lease;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How long an answer may take, on a machine that is busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// Where the proxy and the servers listen, each on an address of its own.
pub(crate) const PORT: u16 = 15053;

/// A proxy, running.
pub(crate) struct Scene {
    pub(crate) names: watch::Sender<Option<Names>>,
    pub(crate) client: Client,
    _runtime: Runtime,
    _drainer: Drainer,
    _lease: Lease,
}

impl Scene {
    /// With these servers behind it.
    pub(crate) fn start(runtime: Runtime, servers: &[SocketAddr], order: Order) -> Result<Self> {
        let lease = Lease::take(&[PORT])?;
        let address = SocketAddr::from((lease.address(), PORT));
        let settings = Settings {
            addresses: vec![address],
            servers: servers.to_vec(),
            search: Some("shop.svc.cluster.local".into()),
            domain: "shop.svc.cluster.local".into(),
            order,
            timeout: Duration::from_secs(2),
            early: Early::Fail,
        };
        let (names, told) = watch::channel(None);
        let (drainer, drain) = drain::channel();
        let proxy = runtime.block_on(Proxy::listen(settings))?;
        ensure!(proxy.addresses() == [address], "{:?}", proxy.addresses());
        runtime.spawn(proxy.run(told, drain));
        Ok(Self {
            names,
            client: Client { server: address },
            _runtime: runtime,
            _drainer: drainer,
            _lease: lease,
        })
    }

    /// Tells a table, and waits until it is answered from.
    pub(crate) fn tell(&self, rows: impl IntoIterator<Item = (String, NameInfo)>) -> Result<()> {
        let mark = row("mark.test", &["240.240.9.9"]);
        let rows = rows.into_iter().chain([mark]);
        self.names.send_replace(Some(Arc::new(rows.collect())));
        meltemi_testkit::wait::until("the table", SOON, || {
            let answer = self.client.ask("mark.test.", RecordType::A)?;
            Ok((addresses(&answer) == ["240.240.9.9"]).then_some(()))
        })
    }
}

/// A row of a host that Kubernetes does not know.
pub(crate) fn row(host: &str, ips: &[&str]) -> (String, NameInfo) {
    let info = NameInfo {
        ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
        registry: "External".into(),
        ..NameInfo::default()
    };
    (host.to_owned(), info)
}

/// A row of a Kubernetes service.
pub(crate) fn service(short: &str, namespace: &str, ips: &[&str]) -> (String, NameInfo) {
    let host = format!("{short}.{namespace}.svc.cluster.local");
    let (host, info) = row(&host, ips);
    let info = NameInfo {
        registry: "Kubernetes".into(),
        shortname: short.into(),
        namespace: namespace.into(),
        ..info
    };
    (host, info)
}

/// A stub resolver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) server: SocketAddr,
}

impl Client {
    /// Asks over UDP, as the C library does.
    pub(crate) fn ask(&self, name: &str, of: RecordType) -> Result<Message> {
        self.send(&question(name, of)?.to_vec()?)
    }

    /// As [`Client::ask`], for answers of up to `size` bytes.
    pub(crate) fn ask_long(&self, name: &str, size: u16) -> Result<Message> {
        let mut message = question(name, RecordType::A)?;
        message.set_edns(Edns::new().set_max_payload(size).clone());
        self.send(&message.to_vec()?)
    }

    fn send(&self, packet: &[u8]) -> Result<Message> {
        let answer = self.exchange(packet)?;
        let message = Message::from_vec(&answer)?;
        ensure!(answer.get(..2) == packet.get(..2), "another identifier");
        let response = message.metadata.message_type == MessageType::Response;
        ensure!(response, "no answer but {message}");
        Ok(message)
    }

    fn exchange(&self, packet: &[u8]) -> Result<Vec<u8>> {
        let socket = self.socket()?;
        socket.send(packet)?;
        receive(&socket)
    }

    fn socket(&self) -> Result<UdpSocket> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(self.server)?;
        socket.set_read_timeout(Some(SOON))?;
        Ok(socket)
    }

    /// Sends any bytes and then `name`, on one socket: what comes back, in order, up to its answer.
    pub(crate) fn probe(&self, packet: &[u8], name: &str) -> Result<Vec<Vec<u8>>> {
        let socket = self.socket()?;
        socket.send(packet)?;
        let last = question(name, RecordType::A)?.to_vec()?;
        socket.send(&last)?;
        let mut all = Vec::new();
        loop {
            let buffer = receive(&socket)?;
            let done = buffer.get(..2) == last.get(..2) && buffer.get(12..20) == last.get(12..20);
            all.push(buffer);
            if done {
                return Ok(all);
            }
        }
    }

    /// Asks over TCP, all on one connection.
    pub(crate) fn ask_tcp(&self, names: &[&str]) -> Result<Vec<Message>> {
        let mut stream = TcpStream::connect(self.server)?;
        stream.set_read_timeout(Some(SOON))?;
        let mut answers = Vec::new();
        for name in names {
            let packet = question(name, RecordType::A)?.to_vec()?;
            let length = u16::try_from(packet.len())?;
            stream.write_all(&[&length.to_be_bytes(), packet.as_slice()].concat())?;
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut answer)?;
            answers.push(Message::from_vec(&answer)?);
        }
        Ok(answers)
    }
}

fn receive(socket: &UdpSocket) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 65535];
    let length = socket.recv(&mut buffer).context("no answer")?;
    buffer.truncate(length);
    Ok(buffer)
}

/// A question that wants recursion.
pub(crate) fn question(name: &str, of: RecordType) -> Result<Message> {
    static NUMBER: AtomicUsize = AtomicUsize::new(100);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed) % 60000;
    let mut message = Message::new(u16::try_from(number)?, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name)?, of));
    Ok(message)
}

/// The addresses of an answer, sorted.
pub(crate) fn addresses(message: &Message) -> Vec<String> {
    let answers = message.answers.iter();
    let ips = answers.filter_map(|record| record.data.ip_addr());
    let mut ips: Vec<_> = ips.map(|ip| ip.to_string()).collect();
    ips.sort();
    ips
}

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It answers 192.0.2.1, knows no name that starts with `no`, and 200 addresses of `many.test`.
    Helpful,
    /// It hears and says nothing.
    Silent,
    /// Others answer first, who do not know the question.
    Spoofed,
}

/// A server, running until its runtime ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _lease: Lease,
}

impl Server {
    pub(crate) fn start(runtime: &Runtime, manner: Manner) -> Result<Self> {
        let lease = Lease::take(&[PORT])?;
        let address = SocketAddr::from((lease.address(), PORT));
        let asked = Arc::new(AtomicUsize::new(0));
        let udp = runtime.block_on(tokio::net::UdpSocket::bind(address))?;
        let tcp = runtime.block_on(tokio::net::TcpListener::bind(address))?;
        runtime.spawn(over_udp(udp, (manner, asked.clone())));
        runtime.spawn(over_tcp(tcp, asked.clone()));
        Ok(Self {
            address,
            asked,
            _lease: lease,
        })
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn over_udp(socket: tokio::net::UdpSocket, (manner, asked): (Manner, Arc<AtomicUsize>)) {
    let mut buffer = vec![0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        asked.fetch_add(1, Ordering::Relaxed);
        let answer = buffer.get(..length).and_then(|packet| answer(packet, 512));
        let Some(right) = answer.filter(|_| manner != Manner::Silent) else {
            continue;
        };
        if manner == Manner::Spoofed {
            let mut other = right.clone();
            if let Some(byte) = other.get_mut(1) {
                *byte ^= 0xff;
            }
            let _ = socket.send_to(&other, client).await;
            let mut other = right.clone();
            if let Some(byte) = other.get_mut(13) {
                *byte ^= 0x01;
            }
            let _ = socket.send_to(&other, client).await;
        }
        let _ = socket.send_to(&right, client).await;
    }
}

async fn over_tcp(listener: tokio::net::TcpListener, asked: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        asked.fetch_add(1, Ordering::Relaxed);
        let Ok(length) = stream.read_u16().await else {
            continue;
        };
        let mut packet = vec![0; usize::from(length)];
        if stream.read_exact(&mut packet).await.is_err() {
            continue;
        }
        let Some(answer) = answer(&packet, 65535) else {
            continue;
        };
        let Ok(length) = u16::try_from(answer.len()) else {
            continue;
        };
        let framed = [&length.to_be_bytes(), answer.as_slice()].concat();
        let _ = stream.write_all(&framed).await;
    }
}

fn answer(packet: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut message = Message::from_vec(packet).ok()?;
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    message.edns = None;
    let name = message.queries.first()?.name.clone();
    let text = name.to_ascii();
    let many = if text == "many.test." { 200 } else { 1 };
    if text.starts_with("no") {
        message.metadata.response_code = ResponseCode::NXDomain;
    } else {
        for last in 1..=many {
            let data = RData::A(A(Ipv4Addr::new(192, 0, 2, last)));
            message.add_answer(Record::from_rdata(name.clone(), 60, data));
        }
    }
    let whole = message.to_vec().ok()?;
    if whole.len() <= limit {
        return Some(whole);
    }
    message.answers.truncate(5);
    message.metadata.truncation = true;
    message.to_vec().ok()
}
