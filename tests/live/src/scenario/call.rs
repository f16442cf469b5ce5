//! Calls as a scenario writes them, made for real: plain sockets, or the `openssl` command for
//! TLS with any server name, protocol and certificate.

use super::certificates::Certificates;
use super::strip::ENTRY;
use anyhow::{Context, Result, bail};
use meltemi_testkit::http2;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
/// What is no HTTP and no TLS.
const BYTES: &[u8] = b"\x01\x02\x03 these are bytes\r\n\r\n";

/// Makes calls to one Envoy.
#[derive(Debug)]
pub struct Caller {
    outbound: SocketAddr,
    inbound: Option<SocketAddr>,
    certificate: String,
    key: String,
}

/// What is open while a call lasts.
#[derive(Debug)]
pub enum Connection {
    /// A socket.
    Plain(TcpStream),
    /// A TLS client that is ended with the value.
    Tls(Child),
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Self::Tls(child) = self {
            // It may have ended by itself.
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

fn text<'a>(call: &'a Value, key: &str) -> &'a str {
    call.get(key).and_then(Value::as_str).unwrap_or_default()
}

impl Caller {
    /// Finds the listeners in what Envoy's admin interface says of them.
    ///
    /// # Errors
    /// The listener that takes connections is not there.
    pub fn new(listeners: &Value, certificates: &Certificates) -> Result<Self> {
        let all = listeners.get("listener_statuses").and_then(Value::as_array);
        let find = |wanted: &str| {
            let mut all = all.into_iter().flatten();
            let found = all.find(|listener| text(listener, "name") == wanted)?;
            let socket = found.get("local_address")?.get("socket_address")?;
            let port = u16::try_from(socket.get("port_value")?.as_u64()?).ok()?;
            Some(SocketAddr::new(text(socket, "address").parse().ok()?, port))
        };
        let outbound = find("virtualOutbound").or_else(|| find(ENTRY));
        Ok(Self {
            outbound: outbound.context("no listener takes connections")?,
            inbound: find("virtualInbound"),
            certificate: certificates.certificate().display().to_string(),
            key: certificates.key().display().to_string(),
        })
    }

    /// Makes a call; it lasts until the answer is dropped.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn call(&self, call: &Value) -> Result<Connection> {
        let to = match text(call, "mode") {
            "inbound" => self.inbound.context("no inbound listener")?,
            _ => self.outbound,
        };
        let mut socket = TcpStream::connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(destination(call)?.as_bytes())?;
        match text(call, "tls") {
            "tls" | "mtls" => Ok(Connection::Tls(self.tls(call, socket)?)),
            _ => {
                socket.write_all(&payload(call))?;
                Ok(Connection::Plain(socket))
            }
        }
    }

    /// A TLS client whose bytes go through `socket`.
    fn tls(&self, call: &Value, socket: TcpStream) -> Result<Child> {
        let relay = TcpListener::bind("127.0.0.1:0")?;
        let mut command = Command::new("openssl");
        command
            .args([
                "s_client",
                "-quiet",
                "-connect",
                &relay.local_addr()?.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mutual = text(call, "tls") == "mtls";
        let name = match text(call, "sni") {
            "" if mutual => "",
            "" => text(call, "host"),
            name => name,
        };
        match name {
            "" => command.arg("-noservername"),
            name => command.args(["-servername", name]),
        };
        let offered = alpn(call);
        if !offered.is_empty() {
            command.args(["-alpn", offered]);
        }
        if mutual {
            command.args(["-cert", &self.certificate, "-key", &self.key]);
        }
        let mut child = command
            .spawn()
            .context("openssl cannot be run; install it: apt-get install openssl")?;
        let (client, _) = relay.accept()?;
        carry(client, socket)?;
        if let Some(stdin) = &mut child.stdin {
            match stdin.write_all(&payload(call)) {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(child)
    }
}

/// Bytes both ways until either side ends.
fn carry(client: TcpStream, server: TcpStream) -> Result<()> {
    for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read) = from.read(&mut buffer) {
                let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                    break;
                };
                if to.write_all(bytes).is_err() {
                    break;
                }
            }
            // The other side may be gone already.
            let _gone = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}

/// The PROXY protocol's line: where the connection was going.
fn destination(call: &Value) -> Result<String> {
    let address = match text(call, "address") {
        "" => "1.3.3.7",
        address => address,
    };
    let Some(port) = call.get("port").and_then(Value::as_u64) else {
        bail!("a call without port");
    };
    let (family, source) = match address.contains(':') {
        true => ("TCP6", "2001:db8::1"),
        false => ("TCP4", "192.0.2.1"),
    };
    Ok(format!(
        "PROXY {family} {source} {address} 40000 {port}\r\n"
    ))
}

fn alpn(call: &Value) -> &str {
    match (
        text(call, "alpn"),
        text(call, "tls"),
        text(call, "protocol"),
    ) {
        ("", "mtls", "http") => "istio-http/1.1",
        ("", "mtls", "http2") => "istio-h2",
        ("", "mtls", _) => "istio",
        ("", "tls", "http") => "http/1.1",
        ("", "tls", "http2") => "h2",
        (given, _, _) => given,
    }
}

fn payload(call: &Value) -> Vec<u8> {
    let path = match text(call, "path") {
        "" => "/",
        path => path,
    };
    // A request needs some host; where none is given, nothing may depend on it.
    let host = match text(call, "host") {
        "" => "host.invalid",
        host => host,
    };
    match text(call, "protocol") {
        "http" => {
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into()
        }
        "http2" => http2::request(host, path),
        _ => BYTES.to_vec(),
    }
}
