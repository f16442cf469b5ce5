//! `bench dns`: questions for names of the mesh, answered by the agent of a pod over UDP on loopback.
//!
//! The agent runs as in a pod, beside its Envoy, and learns a thousand services of a control plane. One
//! client asks for one after the other, 32 questions on their way at a time, then one at a time. What
//! counts is also the CPU that the agent itself has used; who asks shares the machine with it.

use super::cost::{self, Cost};
use super::table::Table;
use crate::shell::say;
use anyhow::{Context, Result, ensure};
use meltemi_testkit::lease::Lease;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{self, Plane};
use meltemi_testkit::process::Process;
use meltemi_testkit::{agent, wait};
use serde_json::json;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

const SERVICES: u16 = 1000;
/// Questions on their way at a time.
const WINDOW: u16 = 32;
const SECONDS: Duration = Duration::from_secs(5);
/// Questions, one after the other.
const ALONE: u16 = 5000;
const DEADLINE: Duration = Duration::from_secs(30);
const PORT: u16 = 15053;

/// True when every question is answered, with the right address.
pub(crate) fn run() -> Result<bool> {
    say("names of 1000 services, asked of the agent of a pod over UDP");
    let dir = super::release()?;
    let mut table = Table::default();
    table.note("load average of the last minute", &cost::load_average()?);
    measure(&dir, &mut table)?;
    Ok(table.end())
}

/// Asks the agent of a pod that is started for it.
pub(super) fn measure(dir: &Path, table: &mut Table) -> Result<()> {
    let pod = Pod::start(dir)?;
    let client = Client::new((pod.lease.address(), PORT).into())?;
    let before = Cost::of(pod.agent.pid())?;
    let (answers, took) = client.crowd()?;
    let used = Cost::of(pod.agent.pid())?.since(&before);
    let rate = f64::from(answers) / took.as_secs_f64();
    table.note("DNS: answers a second, 32 at a time", &format!("{rate:.0}"));
    let rate = f64::from(answers) / used.as_secs_f64();
    let row = "DNS: answers a second of the agent's CPU";
    table.note(row, &format!("{rate:.0}"));
    let mut times = client.alone()?;
    times.sort_by(f64::total_cmp);
    for percent in [50, 99] {
        let micros = super::percentile(&times, percent) * 1e6;
        let row = format!("DNS, one at a time: until the answer, {percent} of 100 within");
        table.note(&row, &format!("{micros:.0} us"));
    }
    let resident = Cost::of(pod.agent.pid())?.resident_mib();
    table.note(
        "DNS: the agent's resident memory",
        &format!("{resident:.2} MiB"),
    );
    Ok(())
}

/// A pod whose agent answers DNS. The agent ends before its control plane.
struct Pod {
    agent: Process,
    _plane: Plane,
    _scratch: Scratch,
    lease: Lease,
}

impl Pod {
    fn start(dir: &Path) -> Result<Self> {
        let lease = Lease::take(&[&agent::PORTS[..], &[PORT]].concat())?;
        let scratch = Scratch::new("bench-dns")?;
        let config = scratch.path().join("config");
        std::fs::create_dir(&config)?;
        std::fs::write(config.join("mesh.yaml"), mesh(lease.address())?)?;
        let meltemid = paths::binary_in(dir, "meltemid")?;
        let config = config.display().to_string();
        let options = plane::Options::new(meltemid, config, scratch.path().to_path_buf());
        let plane = Plane::start(&options)?;
        let root = scratch.path().join("root");
        std::fs::create_dir(&root)?;
        let options = agent::Options {
            program: paths::binary_in(dir, "meltemi-agent")?,
            envoy: crate::fetch::envoy()?,
            name: "web".into(),
            address: lease.address(),
            plane: plane.grpc().to_string(),
            root,
            config: json!({"controlPlaneAuthPolicy": "NONE"}),
            env: vec![("ISTIO_META_DNS_CAPTURE".into(), "true".into())],
        };
        let mut agent = Process::start(&options.spec())?;
        let often = Duration::from_millis(20);
        agent::wait_ready((&mut agent, lease.address()), (DEADLINE, often))?;
        Ok(Self {
            agent,
            _plane: plane,
            _scratch: scratch,
            lease,
        })
    }
}

/// The pod and the services. Its proxy binds one port, which needs no capture.
fn mesh(address: Ipv4Addr) -> Result<String> {
    let mut text = format!(
        "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: all, namespace: shop}}
spec:
  egress:
  - port: {{number: 9081, protocol: HTTP, name: http}}
    bind: {address}
    captureMode: NONE
    hosts: [./*]
"
    );
    for number in 0..SERVICES {
        let ip = address_of(number);
        write!(
            text,
            "---
apiVersion: v1
kind: Service
metadata: {{name: service-{number}, namespace: shop}}
spec: {{clusterIP: {ip}, ports: [{{port: 9081, name: http}}]}}
"
        )?;
    }
    Ok(text)
}

fn address_of(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(240, 9, high, low)
}

struct Client(UdpSocket);

impl Client {
    fn new(server: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        let client = Self(socket);
        wait::until("an answer", DEADLINE, || {
            client.ask(0)?;
            Ok(client.answered().ok())
        })?;
        Ok(client)
    }

    /// Asks for a service; its number is that of the question.
    fn ask(&self, number: u16) -> Result<()> {
        let name = format!("service-{number}.shop.svc.cluster.local");
        let mut packet = number.to_be_bytes().to_vec();
        packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        for label in name.split('.') {
            packet.push(u8::try_from(label.len())?);
            packet.extend(label.bytes());
        }
        packet.extend([0, 0, 1, 0, 1]);
        self.0.send(&packet)?;
        Ok(())
    }

    /// The number of the next answer, whose last record is the address of that service.
    fn answered(&self) -> Result<u16> {
        let mut buffer = [0; 512];
        let length = self.0.recv(&mut buffer).context("a question is lost")?;
        let answer = buffer.get(..length).unwrap_or_default();
        let number = answer.first_chunk::<2>().context("no answer")?;
        let number = u16::from_be_bytes(*number);
        let right = answer.ends_with(&address_of(number).octets());
        ensure!(right, "service-{number} has another address: {answer:?}");
        Ok(number)
    }

    /// As many as can be, and how long they took.
    fn crowd(&self) -> Result<(u32, Duration)> {
        let mut numbers = (0..SERVICES).cycle();
        for number in numbers.by_ref().take(usize::from(WINDOW)) {
            self.ask(number)?;
        }
        let (begin, mut answers) = (Instant::now(), 0);
        for number in numbers {
            self.answered()?;
            answers += 1;
            if begin.elapsed() > SECONDS {
                break;
            }
            self.ask(number)?;
        }
        let took = begin.elapsed();
        for _ in 1..WINDOW {
            self.answered()?;
        }
        Ok((answers, took))
    }

    /// Seconds until each answer.
    fn alone(&self) -> Result<Vec<f64>> {
        let mut times = Vec::new();
        for number in 0..ALONE {
            let number = number % SERVICES;
            let begin = Instant::now();
            self.ask(number)?;
            ensure!(self.answered()? == number, "an answer to another question");
            times.push(begin.elapsed().as_secs_f64());
        }
        Ok(times)
    }
}
