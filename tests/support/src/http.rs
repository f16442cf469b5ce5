//! A small blocking HTTP/1.1 client: keep-alive, `Host` apart from the address, a timeout.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, ...
    pub method: &'a str,
    /// Where to connect.
    pub address: SocketAddr,
    /// The `Host` header.
    pub host: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// More headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; empty for none.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// A GET without further headers.
    #[must_use]
    pub fn get(address: SocketAddr, host: &'a str, path: &'a str) -> Self {
        Self {
            method: "GET",
            address,
            host,
            path,
            headers: &[],
            body: &[],
        }
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Lower-case names; the last of several equal names.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The header called `name` (lower case), or "".
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

type Connection = BufReader<TcpStream>;

/// Holds idle connections; may be used by several threads.
#[derive(Debug)]
pub struct Client {
    timeout: Duration,
    idle: Mutex<BTreeMap<SocketAddr, Vec<Connection>>>,
}

impl Client {
    /// A client whose requests fail after `timeout` without a byte.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            idle: Mutex::default(),
        }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// No connection, no answer in time, or not HTTP.
    pub fn send(&self, request: &Request<'_>) -> Result<Response> {
        let pooled = self.idle().get_mut(&request.address).and_then(Vec::pop);
        if let Some(connection) = pooled {
            // The server may have closed it meanwhile: then a fresh one decides.
            match self.exchange(connection, request) {
                Err(error) if !timed_out(&error) => {}
                result => return result,
            }
        }
        let what = || {
            format!(
                "{} http://{}{}",
                request.method, request.address, request.path
            )
        };
        let stream = TcpStream::connect_timeout(&request.address, self.timeout);
        let stream = stream.with_context(what)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.timeout))?;
        self.exchange(BufReader::new(stream), request)
            .with_context(what)
    }

    /// A GET whose answer must be 200; the body as text.
    ///
    /// # Errors
    /// As [`Client::send`], or another status.
    pub fn text(&self, address: SocketAddr, path: &str) -> Result<String> {
        let response = self.send(&Request::get(address, &address.to_string(), path))?;
        if response.status != 200 {
            let (status, text) = (response.status, response.text());
            bail!("GET http://{address}{path} answered {status}: {text}");
        }
        Ok(response.text())
    }

    fn exchange(&self, mut connection: Connection, request: &Request<'_>) -> Result<Response> {
        connection.get_mut().write_all(&encode(request))?;
        let mut response = read_head(&mut connection)?;
        while response.status == 100 {
            response = read_head(&mut connection)?;
        }
        let reusable = read_body(&mut connection, request.method, &mut response)?;
        if reusable && !response.header("connection").eq_ignore_ascii_case("close") {
            self.idle()
                .entry(request.address)
                .or_default()
                .push(connection);
        }
        Ok(response)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, BTreeMap<SocketAddr, Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timed_out(error: &anyhow::Error) -> bool {
    let kind = error
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

fn encode(request: &Request<'_>) -> Vec<u8> {
    let Request {
        method,
        path,
        host,
        headers,
        body,
        ..
    } = request;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
    for (name, value) in *headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || *method == "POST" {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn line(connection: &mut Connection) -> Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        bail!("the connection was closed without an answer");
    }
    Ok(line.trim_end().to_owned())
}

fn read_head(connection: &mut Connection) -> Result<Response> {
    let first = line(connection)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("not an HTTP status line: {first:?}"))?;
    let mut headers = BTreeMap::new();
    loop {
        let text = line(connection)?;
        match text.split_once(':') {
            Some((name, value)) => {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            None if text.is_empty() => {
                return Ok(Response {
                    status,
                    headers,
                    body: Vec::new(),
                });
            }
            None => bail!("not an HTTP header: {text:?}"),
        }
    }
}

/// Reads the body; true when the connection can carry another request.
fn read_body(connection: &mut Connection, method: &str, response: &mut Response) -> Result<bool> {
    if method == "HEAD" || matches!(response.status, 101 | 204 | 304) {
        return Ok(response.status != 101);
    }
    if response
        .header("transfer-encoding")
        .eq_ignore_ascii_case("chunked")
    {
        read_chunks(connection, &mut response.body)?;
        return Ok(true);
    }
    if let Ok(length) = response.header("content-length").parse::<u64>() {
        connection.take(length).read_to_end(&mut response.body)?;
        if response.body.len() as u64 != length {
            bail!("the body ended early");
        }
        return Ok(true);
    }
    connection.read_to_end(&mut response.body)?;
    Ok(false)
}

fn read_chunks(connection: &mut Connection, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let size = line(connection)?;
        let digits = size.split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(digits, 16).context("not a chunk size")?;
        connection.take(size).read_to_end(body)?;
        // The end of the chunk; after the last one, the end of the (empty) trailers.
        line(connection)?;
        if size == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers each connection with the given text after reading one request head.
    fn server(answers: Vec<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = BufReader::new(stream.try_clone().unwrap());
                let mut text = String::new();
                while !text.ends_with("\r\n\r\n") {
                    head.read_line(&mut text).unwrap();
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn chunks_are_joined() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        let address = server(vec![chunked]);
        assert_eq!(
            Client::new(Duration::from_secs(5))
                .text(address, "/")
                .unwrap(),
            "abcde"
        );
    }

    #[test]
    fn a_connection_closed_meanwhile_is_replaced() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
        let address = server(vec![answer, answer]);
        let client = Client::new(Duration::from_secs(5));
        assert_eq!(client.text(address, "/").unwrap(), "x");
        assert_eq!(client.text(address, "/").unwrap(), "x");
    }

    #[test]
    fn a_body_that_ends_early_is_an_error() {
        let address = server(vec!["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"]);
        assert!(
            Client::new(Duration::from_secs(5))
                .text(address, "/")
                .is_err()
        );
    }
}
