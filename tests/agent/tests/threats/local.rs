//! What an application, or whoever reaches the pod, makes the agent do: its pages are for what they
//! are for.

use anyhow::{Context, Result, ensure};
use meltemi_agent_tests::app::{Answer, App};
use meltemi_agent_tests::pod::{APP, Pod, SOON};
use meltemi_testkit::http::{Client, Request};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const AGENT: u16 = 15020;

fn redirect(to: SocketAddr) -> Answer {
    Answer {
        status: 302,
        headers: format!("location: http://{to}/stolen\r\n"),
        ..Answer::default()
    }
}

/// The status of an answer to any bytes.
fn status(pod: &Pod, words: &str) -> Result<u16> {
    let mut stream = TcpStream::connect(pod.at(AGENT))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(words.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).context("no answer")?;
    Ok(status.parse()?)
}

#[test]
fn t65_nobody_is_asked_but_whom_the_pod_names() -> Result<()> {
    let mut pod = Pod::new("t65")?;
    // Somebody else on this machine, whom a page might be made to ask.
    let other = App::start("127.0.0.1:0".parse()?, &[])?;
    let away = redirect(other.address);
    let app = App::start(pod.at(APP), &[("/up", Answer::default()), ("/away", away)])?;
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": APP}, "timeoutSeconds": 1});
    let probes =
        json!({"/app-health/up/livez": probe("/up"), "/app-health/away/livez": probe("/away")});
    let scraped = json!({"scrape": "true", "port": APP.to_string(), "path": "/away"});
    pod.env = vec![
        ("ISTIO_KUBE_APP_PROBERS".into(), probes.to_string()),
        ("ISTIO_PROMETHEUS_ANNOTATIONS".into(), scraped.to_string()),
    ];
    pod.start_ready()?;
    let elsewhere = other.address;
    let of = |target: &str, headers: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")
    };
    for (words, expected) in [
        (of("/app-health/up/livez", ""), 200),
        (
            of(&format!("/app-health/up/livez?host={elsewhere}"), ""),
            200,
        ),
        (
            of(
                "/app-health/up/livez",
                &format!("x-forwarded-host: {elsewhere}\r\n"),
            ),
            200,
        ),
        (
            of(&format!("http://{elsewhere}/app-health/up/livez"), ""),
            200,
        ),
        (of("/app-health/away/livez", ""), 200),
        (of(&format!("/app-health/{elsewhere}/livez"), ""), 400),
        (of("/app-health/up/../../stolen", ""), 404),
        (of("/stats/prometheus", ""), 200),
        (
            of(&format!("/stats/prometheus?target={elsewhere}"), ""),
            200,
        ),
        (of("/quitquitquit", ""), 405),
        (of("/drain", ""), 405),
        (of("/config_dump", ""), 404),
        (of("/debug/pprof", ""), 404),
    ] {
        let found = status(&pod, &words)?;
        ensure!(found == expected, "{found}, not {expected}: {words}");
    }
    ensure!(!app.seen().is_empty(), "the application was never asked");
    let asked = other.seen();
    ensure!(asked.is_empty(), "somebody else was asked: {asked:?}");
    // Envoy's own pages are for this machine, by loopback, and the agent goes on.
    let client = Client::new(SOON);
    let admin = Request::get(pod.at(15000), "envoy", "/server_info");
    ensure!(client.send(&admin)?.status == 200, "no admin page");
    ensure!(pod.get(15021, "/healthz/ready")?.status == 200, "it ended");
    Ok(())
}
