//! The echo as others meet it: a process with a port file. (That this test exists also makes
//! `cargo test` build the binary, which the tests of the mesh start.)
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test panics when it fails"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

struct Echo {
    child: Child,
    ports: serde_json::Value,
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _gone = self.child.kill().and_then(|()| self.child.wait().map(drop));
    }
}

fn start(name: &str) -> Echo {
    let dir = std::env::temp_dir().join(format!("meltemi-echo-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("ports");
    let mut command = Command::new(env!("CARGO_BIN_EXE_meltemi-echo"));
    command
        .args(["--name", name, "--tcp-port", "0", "--port-file"])
        .arg(&file);
    let mut child = command.spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Ok(text) = std::fs::read_to_string(&file) {
            std::fs::remove_dir_all(&dir).unwrap();
            let ports = serde_json::from_str(&text).unwrap();
            return Echo { child, ports };
        }
        assert!(
            Instant::now() < end && child.try_wait().unwrap().is_none(),
            "echo did not start"
        );
        std::thread::yield_now();
    }
}

fn talk(address: &serde_json::Value, text: &str) -> String {
    let mut stream = TcpStream::connect(address.as_str().unwrap()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn get(echo: &Echo, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    talk(&echo.ports["http"][0], &request)
}

#[test]
fn a_request_is_described_and_wishes_are_granted() {
    let echo = start("v1");
    let answer = get(&echo, "/a?status=418");
    assert!(answer.starts_with("HTTP/1.1 418 "), "{answer}");
    assert!(answer.contains("\"workload\":\"v1\"") && answer.contains("\"protocol\":\"HTTP/1.1\""));
    assert_eq!(get(&echo, "/?close=1"), "");
}

#[test]
fn the_first_requests_of_a_key_fail_and_are_counted() {
    let echo = start("keyed");
    let statuses: Vec<_> = (0..3)
        .map(|_| get(&echo, "/?fail_first=2&key=k")[9..12].to_owned())
        .collect();
    assert_eq!(statuses, ["503", "503", "200"]);
    assert!(get(&echo, "/seen?key=k").ends_with("{\"seen\":3}"));
}

#[test]
fn a_websocket_is_accepted_and_echoes() {
    let echo = start("socket");
    let mut stream = TcpStream::connect(echo.ports["http"][0].as_str().unwrap()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request = "GET / HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    stream
        .write_all(&[0x81, 0x81, 9, 9, 9, 9, b'x' ^ 9, 0x88, 0x80, 0, 0, 0, 0])
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert!(text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{text}");
    assert!(answer.ends_with(&[0x81, 1, b'x', 0x88, 0]), "{answer:?}");
}

#[test]
fn bytes_come_back_on_the_plain_port() {
    let echo = start("plain");
    // What is not HTTP comes back on the other port, too.
    for kind in ["tcp", "http"] {
        let mut stream = TcpStream::connect(echo.ports[kind][0].as_str().unwrap()).unwrap();
        stream.write_all(b"meltemi").unwrap();
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"meltemi", "{kind}");
    }
}

/// What the program that calls prints last, and whether it is content.
fn call(flags: &[&str]) -> (serde_json::Value, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meltemi-echo"));
    let out = command.args(flags).output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    let last = said.lines().last().unwrap();
    (serde_json::from_str(last).unwrap(), out.status.success())
}

#[test]
fn calls_are_counted_by_who_answers_and_by_who_does_not() {
    let (one, two) = (start("one"), start("two"));
    let to = |echo: &Echo, path: &str| {
        let address = echo.ports["http"][0].as_str().unwrap();
        format!("--call=http://{address}{path}")
    };
    let flags = ["--times=9", "--rate=500", "--header=Host: h", "--body=b"];
    let (good, bad) = (to(&one, "/"), to(&two, "/?fail_first=2&key=k"));
    let (seen, is_content) = call(&[&[&*good], &flags[..]].concat());
    assert!(is_content);
    assert_eq!(seen["by"], serde_json::json!({"one": 9}));
    let last = seen["last"].as_str().unwrap();
    assert!(last.contains("\"host\":\"h\"") && last.contains("\"body\":\"b\""));

    let (seen, is_content) = call(&[&[&*good, &*bad, &*good], &flags[..]].concat());
    assert!(!is_content);
    assert_eq!(seen["by"], serde_json::json!({"one": 6, "two": 1}));
    assert_eq!((&seen["ended"], &seen["failed"]), (&9.into(), &2.into()));
    assert!(seen["why"][0].as_str().unwrap().contains("503"), "{seen}");
}
