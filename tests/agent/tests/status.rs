//! The agent's own door with a real Envoy behind it: probes of the application, merged metrics.

use anyhow::{Result, ensure};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use meltemi_agent_tests::app::{Answer, App};
use meltemi_agent_tests::pod::{APP, Pod};
use serde_json::json;
use std::io::{Read, Write};

fn answer(status: u16, headers: &str, body: impl Into<Vec<u8>>) -> Answer {
    Answer {
        status,
        headers: headers.to_owned(),
        body: body.into(),
        withheld: false,
    }
}

/// The application whose probes are asked.
fn application(pod: &Pod) -> Result<App> {
    let slow = Answer {
        withheld: true,
        ..Answer::default()
    };
    let big = "x".repeat(20 << 10);
    let answers = [
        ("/up", answer(200, "", "fine")),
        ("/down", answer(503, "", "not yet")),
        ("/moved", answer(302, "location: /up\r\n", "")),
        ("/away", answer(302, "location: http://192.0.2.1/\r\n", "")),
        ("/big", answer(200, "", big.as_str())),
        ("/slow", slow),
    ];
    App::start(pod.at(APP), &answers)
}

#[test]
fn the_kubelet_is_told_what_the_application_says() -> Result<()> {
    let mut pod = Pod::new("agent-probes")?;
    let app = application(&pod)?;
    let http = |path: &str| json!({"httpGet": {"path": path, "port": APP}, "timeoutSeconds": 1});
    let probes = json!({
        "/app-health/up/readyz": {"httpGet": {"path": "/up", "port": APP,
            "httpHeaders": [{"name": "X-Probe", "value": "mine"}]}},
        "/app-health/down/livez": http("/down"),
        "/app-health/moved/livez": http("/moved"),
        "/app-health/away/livez": http("/away"),
        "/app-health/big/livez": http("/big"),
        "/app-health/slow/startupz": http("/slow"),
        "/app-health/tcp/readyz": {"tcpSocket": {"port": APP}},
        "/app-health/shut/readyz": {"tcpSocket": {"port": 9}},
        "/app-health/rpc/readyz": {"grpc": {"port": APP}, "timeoutSeconds": 1},
        "/app-lifecycle/up/prestopz": http("/up"),
    });
    pod.env = vec![("ISTIO_KUBE_APP_PROBERS".into(), probes.to_string())];
    pod.start_ready()?;
    for (path, status) in [
        ("/app-health/up/readyz", 200),
        ("/app-health/down/livez", 503),
        ("/app-health/moved/livez", 200),
        ("/app-health/away/livez", 200),
        ("/app-health/big/livez", 200),
        ("/app-health/slow/startupz", 500),
        ("/app-health/tcp/readyz", 200),
        ("/app-health/shut/readyz", 500),
        ("/app-health/rpc/readyz", 500),
        ("/app-lifecycle/up/prestopz", 200),
        ("/app-health/other/readyz", 400),
        ("/elsewhere", 404),
    ] {
        let found = pod.get(15020, path)?;
        ensure!(
            found.status == status,
            "{path}: {} {}",
            found.status,
            found.text()
        );
    }
    ensure!(pod.get(15020, "/app-health/big/livez")?.body.len() == 10 << 10);
    let headers = [("user-agent", "kube-probe/1.33")];
    pod.send(15020, "/app-health/up/readyz", &headers)?;
    let seen = app.seen();
    let last = seen.last().map(String::as_str).unwrap_or_default();
    for wanted in [
        "get /up http/1.1",
        "x-probe: mine",
        "user-agent: kube-probe/1.33",
        &format!("host: {}", pod.at(APP)),
    ] {
        ensure!(last.contains(wanted), "{wanted} is not in {last}");
    }
    Ok(())
}

#[test]
fn metrics_of_all_three_come_in_one_answer() -> Result<()> {
    let mut pod = Pod::new("agent-merge")?;
    let open = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    let body = "# TYPE app_orders counter\napp_orders_total 7\n";
    let orders = answer(200, open, format!("{body}# EOF\n"));
    App::start(pod.at(APP), &[("/metrics", orders)])?;
    let one = json!({"scrape": "true", "port": APP.to_string(), "path": "/metrics"});
    pod.env = vec![("ISTIO_PROMETHEUS_ANNOTATIONS".into(), one.to_string())];
    pod.start_ready()?;
    let accept = [("accept", "application/openmetrics-text;version=1.0.0")];
    let found = pod.send(15020, "/stats/prometheus", &accept)?;
    let whole = found.text();
    for part in [
        "\nistio_agent_startup_duration_seconds ",
        "\nistio_agent_process_resident_memory_bytes ",
        "\nenvoy_server_state{} 0",
        "\napp_orders_total 7\n",
    ] {
        ensure!(whole.contains(part), "{part:?} is missing in {whole}");
    }
    ensure!(found.header("content-type").contains("openmetrics"));
    ensure!(whole.ends_with("app_orders_total 7\n# EOF\n"), "{whole}");
    ensure!(whole.matches("# EOF").count() == 1, "{whole}");
    Ok(())
}

/// Two targets in two formats, and one that does not answer.
#[test]
fn a_target_that_fails_costs_its_own_metrics_only() -> Result<()> {
    let mut pod = Pod::new("agent-targets")?;
    let open = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    let text = "content-type: text/plain; version=0.0.4\r\n";
    let orders = answer(200, open, "app_orders_total 7\n# EOF\n");
    App::start(pod.at(APP), &[("/metrics", orders)])?;
    let own = App::start(pod.at(0), &[("/own", answer(200, text, "app_own 1"))])?;
    let port = |port: u16, path: &str| json!({"port": port.to_string(), "path": path});
    let targets = [
        port(APP, "/metrics"),
        port(own.address.port(), "/own"),
        port(9, "/gone"),
    ];
    let many = json!({"scrape": "true", "targets": targets});
    pod.env = vec![("ISTIO_PROMETHEUS_ANNOTATIONS".into(), many.to_string())];
    pod.start_ready()?;
    let accept = [("accept", "application/openmetrics-text;version=1.0.0")];
    let found = pod.send(15020, "/metrics", &accept)?;
    let whole = found.text();
    ensure!(found.header("content-type").starts_with("text/plain"));
    ensure!(
        whole.contains("\napp_orders_total 7\napp_own 1\n"),
        "{whole}"
    );
    ensure!(!whole.contains("# EOF"), "{whole}");
    let again = pod.get(15020, "/metrics")?.text();
    let failures = "istio_agent_scrape_failures_total{type=\"application\"} 2";
    ensure!(again.contains(failures), "{again}");
    Ok(())
}

fn packed(text: &str) -> Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(text.as_bytes())?;
    Ok(packer.finish()?)
}

/// One that sends gzip unasked, one whose gzip holds more than is passed on, one whose gzip is cut.
#[test]
fn metrics_are_unpacked_and_packed() -> Result<()> {
    let mut pod = Pod::new("agent-gzip")?;
    let gzip = "content-type: text/plain; version=0.0.4\r\ncontent-encoding: gzip\r\n";
    let bomb = format!(
        "app_first 1\napp_bomb{{x=\"{}\"}} 1\n",
        " ".repeat(64 << 20)
    );
    let mut cut = packed("app_cut 1\napp_lost 1\n")?;
    cut.truncate(cut.len() - 8);
    let answers = [
        ("/packed", answer(200, gzip, packed("app_packed 7\n")?)),
        ("/bomb", answer(200, gzip, packed(&bomb)?)),
        ("/cut", answer(200, gzip, cut)),
    ];
    App::start(pod.at(APP), &answers)?;
    let target = |path: &str| json!({"port": APP.to_string(), "path": path});
    let targets = ["/packed", "/bomb", "/cut"].map(target);
    let many = json!({"scrape": "true", "targets": targets});
    pod.env = vec![("ISTIO_PROMETHEUS_ANNOTATIONS".into(), many.to_string())];
    pod.start_ready()?;
    let found = pod.send(15020, "/stats/prometheus", &[("accept-encoding", "gzip")])?;
    ensure!(found.header("content-encoding") == "gzip");
    ensure!(found.header("vary") == "accept-encoding");
    let mut whole = String::new();
    GzDecoder::new(&*found.body).read_to_string(&mut whole)?;
    ensure!(whole.contains("\nenvoy_server_state{} 0"), "{whole}");
    ensure!(whole.contains("\napp_packed 7\n"), "{whole}");
    ensure!(!whole.contains("app_bomb"), "more than the bound came out");
    ensure!(found.body.len() * 3 < whole.len());
    let plain = pod.get(15020, "/stats/prometheus")?;
    ensure!(plain.header("content-encoding").is_empty());
    let plain = plain.text();
    ensure!(plain.contains("\napp_packed 7\n"), "{plain}");
    let failures = "istio_agent_scrape_failures_total{type=\"application\"} 2";
    ensure!(plain.contains(failures), "{plain}");
    Ok(())
}
