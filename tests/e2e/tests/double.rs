//! The double of the API server, with which most faults are tested, is held to the real one: both
//! are asked the same and must say the same, as far as the control plane looks.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::Target;
use meltemi_testkit::api_server::{ApiServer, Expiry, Resource};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::cluster::{Cluster, Component};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(60);

const SERVICES: &str = "/api/v1/namespaces/pin/services";
const RULES: &str = "/apis/networking.istio.io/v1/namespaces/pin/destinationrules";

/// A way to the real one: kubectl's proxy on a socket, which is no matter of networks.
struct Door {
    proxy: Child,
    socket: PathBuf,
}

impl Door {
    fn open(kubectl: &Kubectl, dir: &Scratch, flags: &[&str]) -> Result<Self> {
        let socket = dir.path().join(format!("socket{}", flags.len()));
        let at = format!("--unix-socket={}", socket.display());
        let mut proxy = kubectl.command(&[&["proxy", &at][..], flags].concat());
        let proxy = proxy.stdout(std::process::Stdio::null()).spawn()?;
        let door = Self { proxy, socket };
        wait::until("kubectl's proxy", DEADLINE, || {
            Ok(door.socket.exists().then_some(()))
        })?;
        Ok(door)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.proxy.kill();
        let _reaped = self.proxy.wait();
    }
}

/// An answer: the status and the lines of the body.
type Answer = (u16, Vec<Value>);

fn ask(curl: &mut Command, url: &str) -> Result<Answer> {
    let out = curl
        .args([
            "--silent",
            "--max-time",
            "20",
            "--write-out",
            "\n%{http_code}",
        ])
        .arg(url)
        .output()
        .context("cannot run curl")?;
    let text = String::from_utf8(out.stdout)?;
    let (body, code) = text.rsplit_once('\n').context("no status")?;
    let lines = match serde_json::from_str(body) {
        Ok(whole) => vec![whole],
        Err(_) => {
            let lines = body.lines().filter(|line| !line.is_empty());
            let plain =
                |line| serde_json::from_str(line).unwrap_or_else(|_| json!({"plain": line}));
            lines.map(plain).collect()
        }
    };
    Ok((code.parse()?, lines))
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn version(object: &Value) -> u64 {
    text(object, "/metadata/resourceVersion")
        .parse()
        .unwrap_or(0)
}

/// What the control plane reads of an answer. Bookmarks that only tell how far it is are left out:
/// when they come is nobody's promise.
fn told((code, lines): &Answer) -> Vec<String> {
    let mut told = vec![code.to_string()];
    let mut newest = 0;
    for line in lines {
        let object = line.get("object").unwrap_or(line);
        match text(line, "/type") {
            "" if line.get("items").is_some() => told.push(listed(line)),
            "" if text(line, "/kind") == "Status" => told.push(refused(line)),
            "" if line.get("resources").is_some() => {}
            "" if line.get("plain").is_some() => told.push(text(line, "/plain").to_owned()),
            "" => told.push(format!("object {}", name(line))),
            "ERROR" => told.push(format!("error {}", refused(object))),
            "BOOKMARK" => {
                let end = "/metadata/annotations/k8s.io~1initial-events-end";
                if text(object, end) == "true" {
                    told.push("complete".to_owned());
                    ensure_later(&mut newest, object, &mut told);
                }
            }
            kind => {
                told.push(format!("{kind} {}", name(object)));
                if kind != "ADDED" {
                    ensure_later(&mut newest, object, &mut told);
                }
            }
        }
    }
    told
}

fn ensure_later(newest: &mut u64, object: &Value, told: &mut Vec<String>) {
    if version(object) <= *newest {
        told.push(format!("out of order: {object}"));
    }
    *newest = version(object);
}

fn name(object: &Value) -> String {
    let (kind, name) = (text(object, "/kind"), text(object, "/metadata/name"));
    format!("{kind} {name}")
}

fn refused(status: &Value) -> String {
    let code = status.get("code").and_then(Value::as_u64);
    format!("{} {}", code.unwrap_or(0), text(status, "/reason"))
}

fn listed(list: &Value) -> String {
    let items = list.get("items").and_then(Value::as_array);
    let items: Vec<_> = items.into_iter().flatten().map(name).collect();
    let more = !text(list, "/metadata/continue").is_empty();
    format!(
        "list {items:?}, more: {more}, version: {}",
        version(list) > 0
    )
}

fn service(name: &str, color: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "pin", "labels": {"color": color}},
        "spec": {"ports": [{"port": 80, "name": "http"}]},
    })
}

fn rule() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": {"name": "rule", "namespace": "pin"},
        "spec": {"host": "a"},
    })
}

/// Both of them.
struct Pair<'a> {
    kubectl: &'a Kubectl,
    double: ApiServer,
    door: Door,
    /// The door of somebody who may do nothing.
    nobody: Door,
}

impl Pair<'_> {
    fn apply(&self, object: &Value) -> Result<()> {
        self.kubectl.apply(&object.to_string())?;
        self.double.apply(object.clone());
        Ok(())
    }

    fn real(&self, door: &Door, path: &str) -> Result<Answer> {
        let mut curl = Command::new("curl");
        curl.arg("--unix-socket").arg(&door.socket);
        let answer = ask(&mut curl, &format!("http://localhost{path}"));
        let _ = self;
        answer
    }

    fn double(&self, path: &str) -> Result<Answer> {
        let url = format!("http://{}{path}", self.double.address());
        ask(&mut Command::new("curl"), &url)
    }

    /// Asks both, each with words of its own in the place of `%`, and compares.
    fn same(&self, what: &str, path: &str, own: [&str; 2]) -> Result<[Answer; 2]> {
        let real = self.real(&self.door, &path.replace('%', own[0]))?;
        let double = self.double(&path.replace('%', own[1]))?;
        compare(what, [real, double])
    }
}

fn compare(what: &str, answers: [Answer; 2]) -> Result<[Answer; 2]> {
    let [real, double] = &answers;
    let (said, expected) = (told(double), told(real));
    ensure!(
        said == expected,
        "{what}: the real one says {expected:?}, the double {said:?}; {answers:?}"
    );
    eprintln!("{what}: {expected:?}");
    Ok(answers)
}

fn first(answer: &Answer) -> &Value {
    answer.1.first().unwrap_or(&Value::Null)
}

#[test]
fn the_double_says_what_the_real_one_says() -> Result<()> {
    let target = Target::take("e2e-double", &[])?;
    let kubectl = target.kubectl();
    let dir = Scratch::new("double")?;
    let pair = Pair {
        kubectl,
        double: ApiServer::start()?,
        door: Door::open(kubectl, &dir, &[])?,
        nobody: Door::open(kubectl, &dir, &["--as=nobody"])?,
    };
    kubectl.run(&["create", "namespace", "pin"])?;
    kinds(&pair)?;
    for name in ["a", "b", "c"] {
        pair.apply(&service(name, "red"))?;
    }
    pair.apply(&rule())?;
    lists(&pair)?;
    watches(&pair)?;
    refusals(&pair)?;
    pair.double.permit(&Resource::new("", "services"), true);
    if let Some(node) = target.node() {
        expired(&pair, node)?;
    }
    drop(pair);
    kubectl.run(&["delete", "namespace", "pin", "--wait=false"])?;
    target.release()
}

/// A kind that is not installed, and one that is.
fn kinds(pair: &Pair<'_>) -> Result<()> {
    let root = "/apis/networking.istio.io/v1";
    pair.same("a group that is not there", root, [""; 2])?;
    pair.same("a kind that is not there", RULES, [""; 2])?;
    let crds = meltemi_testkit::paths::repository().join("crds");
    let crds = crds.display().to_string();
    pair.kubectl
        .run(&["apply", "--server-side", "--recursive", "--filename", &crds])?;
    let wait = ["wait", "crd", "--all", "--for=condition=Established"];
    pair.kubectl
        .run(&[&wait[..], &["--timeout=30s"]].concat())?;
    pair.double
        .install(&Resource::new("networking.istio.io", "destinationrules"));
    // Discovery follows the definitions a little later.
    wait::every("the group", (DEADLINE, Duration::from_millis(200)), || {
        Ok((pair.real(&pair.door, root)?.0 == 200).then_some(()))
    })?;
    for answer in pair.same("a group", root, [""; 2])? {
        let found = first(&answer).get("resources").and_then(Value::as_array);
        let mut names = found.into_iter().flatten().map(|r| text(r, "/name"));
        ensure!(names.any(|name| name == "destinationrules"), "{answer:?}");
    }
    pair.same("a kind without objects", RULES, [""; 2])?;
    Ok(())
}

fn lists(pair: &Pair<'_>) -> Result<()> {
    let page = format!("{SERVICES}?limit=2");
    let answers = pair.same("a page", &page, [""; 2])?;
    let next = answers.map(|answer| text(first(&answer), "/metadata/continue").to_owned());
    let more = format!("{page}&continue=%");
    pair.same("the next page", &more, [&next[0], &next[1]])?;
    pair.same(
        "a kind of a definition",
        &format!("{RULES}?limit=2"),
        [""; 2],
    )?;
    let one = format!("{SERVICES}?limit=2&fieldSelector=metadata.name=b");
    pair.same("one by name", &one, [""; 2])?;
    pair.same("an object", &format!("{SERVICES}/b"), [""; 2])?;
    pair.same(
        "an object that is not there",
        &format!("{SERVICES}/x"),
        [""; 2],
    )?;
    Ok(())
}

fn watches(pair: &Pair<'_>) -> Result<()> {
    let stream = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
                  &allowWatchBookmarks=true&timeoutSeconds=8";
    let streamed = pair.same(
        "a list that streams",
        &format!("{SERVICES}?{stream}"),
        [""; 2],
    )?;
    let versions = streamed.map(|(_, lines)| {
        let last = lines.iter().rev().find_map(|line| line.get("object"));
        last.map_or(0, version).to_string()
    });
    let from = [versions[0].as_str(), versions[1].as_str()];
    pair.apply(&service("a", "blue"))?;
    pair.kubectl
        .run(&["delete", "service", "b", "--namespace=pin"])?;
    pair.double
        .delete(&Resource::new("", "services"), "pin", "b");
    let watch = format!("{SERVICES}?watch=1&resourceVersion=%&timeoutSeconds=2");
    pair.same("a watch", &watch, from)?;
    pair.same("a watch from the future", &watch, ["999999999"; 2])?;
    Ok(())
}

/// What an API server remembers begins when it started.
fn expired(pair: &Pair<'_>, node: &Cluster) -> Result<()> {
    node.kill(Component::ApiServer)?;
    node.start(Component::ApiServer)?;
    wait::every("the API server", (LONG, Duration::from_millis(200)), || {
        Ok(pair.kubectl.run(&["get", "--raw", "/readyz"]).ok())
    })?;
    pair.double.compact(Expiry::Event);
    let watch = format!("{SERVICES}?watch=1&resourceVersion=%&timeoutSeconds=2");
    pair.same("a watch from the distant past", &watch, ["1", "1001"])?;
    Ok(())
}

fn refusals(pair: &Pair<'_>) -> Result<()> {
    pair.double.permit(&Resource::new("", "services"), false);
    for (what, query) in [("a list", "?limit=2"), ("a watch", "?watch=1")] {
        let path = format!("{SERVICES}{query}");
        let answers = [pair.real(&pair.nobody, &path)?, pair.double(&path)?];
        compare(&format!("{what} that is denied"), answers)?;
    }
    Ok(())
}
