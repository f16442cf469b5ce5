//! The agent as a process: it starts a real Envoy, says when it is ready, takes leave without a
//! failed request, and neither outlives the other.

use anyhow::{Result, ensure};
use meltemi_agent_tests::app::{Answer, App};
use meltemi_agent_tests::pod::{APP, INBOUND, Pod, SOON, kill};
use meltemi_testkit::http::{Client, Request};
use meltemi_testkit::{agent, envoy, wait};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The most memory the agent may hold, in KiB; a build for debugging holds more than a release.
const MEMORY: u64 = 30 << 10;

fn hello() -> Answer {
    Answer {
        body: "hello".into(),
        ..Answer::default()
    }
}

#[test]
fn a_pod_becomes_ready_and_can_be_asked() -> Result<()> {
    let mut pod = Pod::new("agent-ready")?;
    let app = App::start(pod.at(APP), &[("/", hello())])?;
    let started = Instant::now();
    pod.start_ready()?;
    let elapsed = started.elapsed();
    let wait = pod.run(&["wait", "--timeoutSeconds", "5"])?;
    ensure!(wait.status.success(), "{wait:?}");
    let stats = pod.run(&["request", "GET", "stats"])?;
    let text = String::from_utf8_lossy(&stats.stdout);
    ensure!(
        stats.status.success() && text.contains("server.state: 0"),
        "{text}"
    );
    let other = pod.run(&["request", "GET", "stats", "--debug-port", "8080"])?;
    let why = String::from_utf8_lossy(&other.stderr);
    ensure!(
        !other.status.success() && why.contains("--debug-port 8080"),
        "{why}"
    );
    ensure!(
        pod.get(INBOUND, "/")?.text() == "hello",
        "the application is not reached"
    );
    ensure!(!app.seen().is_empty(), "it was not asked");
    let door = pod.get(15090, "/stats/prometheus")?;
    ensure!(
        door.text().contains("envoy_server_state"),
        "{}",
        door.text()
    );
    let memory = agent::memory(pod.agent()?.pid())?;
    println!(
        "ready after {} ms, the agent holds {memory} KiB",
        elapsed.as_millis()
    );
    ensure!(memory < MEMORY, "the agent holds {memory} KiB");
    pod.agent()?.stop(SOON).map(drop)
}

#[test]
fn the_bootstrap_is_private_and_envoy_takes_it() -> Result<()> {
    let mut pod = Pod::new("agent-bootstrap")?;
    pod.config = json!({"runtimeValues": {"mine": "1"}, "extraStatTags": ["mine"]});
    pod.start_ready()?;
    let path = pod
        .scratch
        .path()
        .join("root/etc/istio/proxy/envoy-rev.json");
    let mode = std::fs::metadata(&path)?.permissions().mode();
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let bootstrap: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    envoy::validate(&envoy::find()?, &bootstrap, pod.scratch.path())?;
    let labels = bootstrap.pointer("/node/metadata/LABELS");
    ensure!(
        labels == Some(&json!({"app": "shop", "version": "v1"})),
        "{labels:?}"
    );
    Ok(())
}

#[test]
fn without_a_control_plane_the_pod_is_not_ready_and_says_why() -> Result<()> {
    let mut pod = Pod::alone("agent-alone")?;
    pod.start()?;
    let why = wait::until("the agent to answer", SOON, || {
        let response = pod.get(15020, "/healthz/ready")?;
        ensure!(
            response.status == 503,
            "{} {}",
            response.status,
            response.text()
        );
        let text = response.text();
        Ok(text.contains("has not accepted").then_some(text))
    })?;
    ensure!(why.contains("0 updates of clusters"), "{why}");
    let wait = pod.run(&["wait", "--timeoutSeconds", "1", "--periodMillis", "100"])?;
    ensure!(!wait.status.success(), "{wait:?}");
    pod.serve()?;
    pod.wait_ready()
}

#[test]
fn when_envoy_dies_the_agent_ends_and_says_how() -> Result<()> {
    let mut pod = Pod::new("agent-envoy-dies")?;
    pod.start_ready()?;
    kill("-KILL", pod.envoy()?)?;
    let code = pod.ended(SOON)?;
    ensure!(code == 137, "{code}");
    ensure!(
        pod.log().contains("memory limit is too small"),
        "{}",
        pod.log()
    );
    Ok(())
}

#[test]
fn when_the_agent_is_killed_no_envoy_is_left() -> Result<()> {
    let mut pod = Pod::new("agent-killed")?;
    pod.start_ready()?;
    let envoy = pod.envoy()?;
    pod.signal("-KILL")?;
    wait::until("Envoy to be gone", SOON, || {
        let state = std::fs::read_to_string(format!("/proc/{envoy}/stat"));
        let gone = state.map_or(true, |text| text.contains(") Z "));
        Ok(gone.then_some(()))
    })
}

#[test]
fn a_wrong_setting_is_named() -> Result<()> {
    let mut pod = Pod::alone("agent-wrong")?;
    pod.env = vec![("ISTIO_KUBE_APP_PROBERS".into(), "{\"/x\": {}}".into())];
    let started = pod.start();
    let code = match started {
        Ok(()) => pod.ended(SOON)?,
        // It may have ended before it was seen.
        Err(error) => {
            ensure!(
                format!("{error:#}").contains("ISTIO_KUBE_APP_PROBERS"),
                "{error:#}"
            );
            return Ok(());
        }
    };
    ensure!(code == 64, "{code}");
    ensure!(
        pod.log().contains("ISTIO_KUBE_APP_PROBERS"),
        "{}",
        pod.log()
    );
    Ok(())
}

/// Requests one after the other, each on a connection of its own, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU32>,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl Load {
    fn start(pod: &Pod) -> Self {
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(0)),
        );
        let (ended, count, address) = (stop.clone(), done.clone(), pod.at(INBOUND));
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let client = Client::new(Duration::from_secs(10));
                let response = client.send(&Request::get(address, "shop", "/"))?;
                ensure!(response.text() == "hello", "{response:?}");
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Self { stop, done, thread }
    }

    fn wait(&self, more: u32) -> Result<()> {
        let wanted = self.done.load(Ordering::Relaxed) + more;
        wait::until("requests", SOON, || {
            let enough = self.done.load(Ordering::Relaxed) >= wanted;
            Ok((enough || self.thread.is_finished()).then_some(()))
        })
    }

    fn end(self) -> Result<u32> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow::anyhow!("the load panicked"))??;
        Ok(self.done.load(Ordering::Relaxed))
    }
}

#[test]
fn a_drain_fails_no_request() -> Result<()> {
    let mut pod = Pod::new("agent-drain")?;
    let _app = App::start(pod.at(APP), &[("/", hello())])?;
    pod.config = json!({"terminationDrainDuration": "6s"});
    pod.start_ready()?;
    let load = Load::start(&pod);
    load.wait(50)?;
    let told = Instant::now();
    pod.signal("-TERM")?;
    wait::until("the pod not to be ready", SOON, || {
        let ready = pod.get(15021, "/healthz/ready")?;
        Ok((ready.status == 503).then_some(()))
    })?;
    // Calls go on until every caller has heard that the pod leaves.
    load.wait(100)?;
    let done = load.end()?;
    let code = pod.ended(SOON)?;
    let took = told.elapsed();
    println!(
        "{done} requests, none failed; the end came {} ms after the signal",
        took.as_millis()
    );
    ensure!(
        code == 0 && took >= Duration::from_secs(6),
        "{code} after {took:?}"
    );
    Ok(())
}

#[test]
fn the_end_waits_for_the_last_connection() -> Result<()> {
    let mut pod = Pod::new("agent-idle")?;
    let _app = App::start(pod.at(APP), &[("/", hello())])?;
    pod.env = vec![
        ("EXIT_ON_ZERO_ACTIVE_CONNECTIONS".into(), "true".into()),
        ("MINIMUM_DRAIN_DURATION".into(), "1s".into()),
    ];
    pod.start_ready()?;
    let mut open = std::net::TcpStream::connect(pod.at(INBOUND))?;
    open.write_all(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")?;
    let mut first = [0; 12];
    open.read_exact(&mut first)?;
    pod.signal("-TERM")?;
    pod.wait_logged("waiting for connections to end")?;
    drop(open);
    let code = pod.ended(SOON)?;
    ensure!(code == 0, "{code}: {}", pod.log());
    Ok(())
}

#[test]
fn a_second_signal_and_quit_end_it_at_once() -> Result<()> {
    let mut pod = Pod::new("agent-twice")?;
    pod.config = json!({"terminationDrainDuration": "600s"});
    pod.start_ready()?;
    pod.signal("-TERM")?;
    pod.wait_logged("draining")?;
    pod.signal("-TERM")?;
    ensure!(pod.ended(SOON)? == 0, "{}", pod.log());
    pod.start_ready()?;
    let get = pod.get(15020, "/quitquitquit")?;
    ensure!(get.status == 405, "{}", get.status);
    let quit = pod.post(15020, "/quitquitquit")?;
    ensure!(quit.status == 200, "{}", quit.status);
    ensure!(pod.ended(SOON)? == 0, "{}", pod.log());
    Ok(())
}

#[test]
fn a_native_sidecar_drains_first_and_ends_when_told() -> Result<()> {
    let mut pod = Pod::new("agent-native")?;
    let _app = App::start(pod.at(APP), &[("/", hello())])?;
    pod.config = json!({"terminationDrainDuration": "600s"});
    pod.start_ready()?;
    ensure!(pod.post(15020, "/drain")?.status == 200, "no drain");
    pod.wait_logged("draining")?;
    ensure!(
        pod.get(INBOUND, "/")?.text() == "hello",
        "it serves no more"
    );
    pod.signal("-TERM")?;
    ensure!(pod.ended(SOON)? == 0, "{}", pod.log());
    Ok(())
}

#[test]
fn envoy_may_speak_to_the_control_plane_itself() -> Result<()> {
    let mut pod = Pod::new("agent-direct")?;
    pod.env = vec![("MELTEMI_XDS_PROXY".into(), "false".into())];
    pod.start_ready()?;
    pod.agent()?.stop(SOON).map(drop)
}
