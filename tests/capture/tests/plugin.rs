//! `meltemi-cni` as a container runtime calls it, against a stand-in of the API server: what it
//! captures is what the init container would, a pod that it cannot judge gets no network, and what
//! the plugins before it said is passed on. Its installer keeps it on a node and leaves no trace.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test panics when it fails"
)]

use meltemi_capture_tests::calls::{APPLICATION, Owner, PROXY, call, call_udp, listen, listen_udp};
use meltemi_capture_tests::{Backend, Pod, Version};
use meltemi_testkit::http::Client;
use meltemi_testkit::lease::Door;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::process::{Process, Spec};
use meltemi_testkit::reviews::Reviews;
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const BACKENDS: [Backend; 2] = [Backend::Iptables, Backend::Nft];
const VERSIONS: [Version; 2] = [Version::Four, Version::Six];
const DEADLINE: Duration = Duration::from_secs(30);
/// What the injector writes for a pod without annotations, and its plugin is given.
const USUAL: &str = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020";
const PLACE: &str = "/api/v1/namespaces/shop/pods/web-0";
const CODE_LATER: i64 = 11;

/// A pod as the injector leaves it.
fn injected(annotations: &[(&str, &str)]) -> Value {
    let mut args = vec!["istio-iptables"];
    args.extend(USUAL.split(' '));
    args.extend(["--run-validation", "--skip-rule-apply", "--dual-stack"]);
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-0", "namespace": "shop", "uid": "u1",
            "annotations": {"sidecar.istio.io/status": "{}"},
        },
        "spec": {
            "initContainers": [{"name": "istio-validation", "args": args}],
            "containers": [
                {"name": "app"},
                {"name": "istio-proxy", "args": ["proxy", "sidecar"],
                 "securityContext": {"runAsUser": 1337, "runAsGroup": 1337}},
            ],
        },
    });
    for (key, value) in annotations {
        pod["metadata"]["annotations"][*key] = json!(value);
    }
    pod
}

/// What the plugins before say, in the form of a version.
fn previous(version: &str) -> Value {
    json!({
        "cniVersion": version,
        "interfaces": [{"name": "eth0", "sandbox": "/run/netns/x", "mac": "0a:00:00:00:00:01"}],
        "ips": [{"version": "4", "address": "10.77.0.2/24", "interface": 0}],
        "routes": [{"dst": "0.0.0.0/0"}], "dns": {}, "of-others": [1.5, null],
    })
}

/// A node: an API server and what the installer writes for the plugin.
struct Node {
    server: Reviews,
    scratch: Scratch,
}

impl Node {
    fn new() -> Self {
        let server = Reviews::start(&["shop"]).unwrap();
        let scratch = Scratch::new("cni").unwrap();
        let config = server.kubeconfig(scratch.path()).unwrap();
        std::fs::rename(config, scratch.path().join("istio-cni-kubeconfig")).unwrap();
        Self { server, scratch }
    }

    fn with(pod: Value) -> Self {
        let node = Self::new();
        node.server.put(PLACE, pod);
        node
    }

    /// The entry of the plugin in a chain, as runtimes send it.
    fn conf(&self, backend: Backend) -> Value {
        json!({
            "cniVersion": "1.0.0", "name": "n", "type": "meltemi-cni",
            "cni_agent_run_dir": self.scratch.path(), "exclude_namespaces": ["kube-system"],
            "native_nftables": backend == Backend::Nft, "pod_patience_ms": 1500,
            "prevResult": previous("1.0.0"),
        })
    }
}

/// What the plugin answered.
#[derive(Debug)]
struct Answer {
    is_good: bool,
    text: String,
    log: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The code of the error that it is.
    #[track_caller]
    fn code(&self) -> i64 {
        let error = self.json();
        assert!(!self.is_good, "{self:?}");
        let texts = ["cniVersion", "msg", "details"].map(|key| error[key].is_string());
        assert_eq!(texts, [true; 3], "{self:?}");
        error["code"].as_i64().unwrap()
    }

    #[track_caller]
    fn good(&self) -> &Self {
        assert!(self.is_good, "{self:?}");
        self
    }
}

/// Calls a plugin for a pod as a runtime does: from the node, with little in its environment.
fn called(plugin: &Path, verb: &str, (pod, name): (&Pod, &str), stdin: &str) -> Answer {
    let (namespace, name) = name.split_once('/').unwrap();
    let args = format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};\
         K8S_POD_INFRA_CONTAINER_ID=c;K8S_POD_UID=u1"
    );
    let child = started(plugin, verb, (pod, &args), stdin);
    let output = child.wait_with_output().unwrap();
    Answer {
        is_good: output.status.success(),
        text: String::from_utf8(output.stdout).unwrap(),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn started(plugin: &Path, verb: &str, (pod, args): (&Pod, &str), stdin: &str) -> Child {
    let mut child = Command::new(plugin)
        .env_clear()
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", "c")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_NETNS", format!("/run/netns/{}", pod.inside()))
        .env("CNI_PATH", "/opt/cni/bin")
        .env("CNI_ARGS", args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(stdin.as_bytes()).unwrap();
    drop(input);
    child
}

fn ask(verb: &str, pod: &Pod, conf: &Value) -> Answer {
    let plugin = paths::binary("meltemi-cni").unwrap();
    called(&plugin, verb, (pod, "shop/web-0"), &conf.to_string())
}

/// Whether any rule of capture is there.
fn is_captured(pod: &Pod) -> bool {
    let rules = pod.rules().unwrap();
    rules.contains("ISTIO_") || rules.contains("istio-proxy")
}

/// Who answers from within the pod, and from outside of it.
struct Calls<'a>(&'a Pod, Version);

impl Calls<'_> {
    #[track_caller]
    fn sent(&self, owner: Owner, port: u16, by: &str) {
        let to = SocketAddr::new(self.1.world(), port);
        let answer = call(&self.0.inside(), owner, to).unwrap();
        assert_eq!(answer, format!("{by} {to}"), "{owner:?} sends");
    }

    #[track_caller]
    fn got(&self, port: u16, by: &str) {
        let to = SocketAddr::new(self.1.pod(), port);
        let answer = call(&self.0.outside(), Owner(0, 0), to).unwrap();
        assert_eq!(answer, format!("{by} {to}"), "the pod gets");
    }
}

/// Listeners as in a pod that runs.
fn listeners(pod: &Pod) {
    for (name, port) in [("outbound", 15001), ("inbound", 15006)] {
        listen(&pod.inside(), name, port).unwrap();
    }
    for port in [80, 81, 15020] {
        listen(&pod.inside(), "application", port).unwrap();
    }
    for port in [80, 5432] {
        listen(&pod.outside(), "world", port).unwrap();
    }
}

#[test]
fn a_pod_is_captured_as_by_its_init_container() {
    let node = Node::with(injected(&[]));
    for backend in BACKENDS {
        let pod = Pod::new(backend).unwrap();
        let conf = node.conf(backend);
        let added = ask("ADD", &pod, &conf);
        assert_eq!(
            added.good().json(),
            previous("1.0.0"),
            "passed on untouched"
        );
        let init = Pod::new(backend).unwrap();
        init.captured(USUAL).unwrap();
        assert_eq!(pod.rules().unwrap(), init.rules().unwrap());
        listeners(&pod);
        for version in VERSIONS {
            let calls = Calls(&pod, version);
            calls.sent(APPLICATION, 80, "outbound");
            calls.sent(PROXY, 80, "world");
            calls.got(80, "inbound");
            calls.got(15020, "application");
        }
        // Nothing of it reached the node, which the plugin ran on.
        let on_node = Command::new("nft")
            .args(["list", "ruleset"])
            .output()
            .unwrap();
        let on_node = String::from_utf8_lossy(&on_node.stdout).into_owned();
        assert!(!on_node.contains("ISTIO_INBOUND") && !on_node.contains("istio-proxy"));
    }
}

#[test]
fn the_pod_says_what_is_left_out_and_whose_dns_is_captured() {
    let mut web = injected(&[
        ("traffic.sidecar.istio.io/excludeOutboundPorts", "5432"),
        ("traffic.sidecar.istio.io/excludeInboundPorts", "81,15020"),
    ]);
    web["spec"]["initContainers"][0]["env"] =
        json!([{"name": "ISTIO_META_DNS_CAPTURE", "value": "true"}]);
    let node = Node::with(web);
    for backend in BACKENDS {
        let pod = Pod::new(backend).unwrap();
        ask("ADD", &pod, &node.conf(backend)).good();
        listeners(&pod);
        for version in VERSIONS {
            let calls = Calls(&pod, version);
            calls.sent(APPLICATION, 80, "outbound");
            calls.sent(APPLICATION, 5432, "world");
            calls.got(80, "inbound");
            calls.got(81, "application");
            let agent = SocketAddr::new(version.loopback(), 15053);
            listen_udp(&pod.inside(), PROXY, ("agent", agent)).unwrap();
            let server = SocketAddr::new(version.world(), 53);
            assert_eq!(
                call_udp(&pod.inside(), APPLICATION, server).unwrap(),
                "agent"
            );
        }
    }
}

#[test]
fn a_call_may_come_again_and_what_was_changed_is_found() {
    let node = Node::with(injected(&[]));
    for backend in BACKENDS {
        let pod = Pod::new(backend).unwrap();
        let conf = node.conf(backend);
        assert_eq!(
            ask("CHECK", &pod, &conf).code(),
            101,
            "nothing is there yet"
        );
        ask("ADD", &pod, &conf).good();
        let rules = pod.rules().unwrap();
        let again = ask("ADD", &pod, &conf);
        assert!(!again.good().log.contains("done=Written"), "{again:?}");
        assert_eq!(pod.rules().unwrap(), rules);
        assert_eq!(ask("CHECK", &pod, &conf).good().text, "");
        let broken = match backend {
            Backend::Iptables => "iptables -t nat -D OUTPUT -j ISTIO_OUTPUT",
            Backend::Nft => "nft flush chain inet istio-proxy-nat output",
        };
        let (tool, args) = broken.split_once(' ').unwrap();
        let done = pod.command(tool).args(args.split(' ')).status().unwrap();
        assert!(done.success());
        let found = ask("CHECK", &pod, &conf);
        assert_eq!(found.code(), 101, "{found:?}");
        // The end is told with nothing in reach, and has no answer.
        std::fs::remove_file(node.scratch.path().join("istio-cni-kubeconfig")).unwrap();
        assert_eq!(ask("DEL", &pod, &conf).good().text, "");
        assert_eq!(ask("STATUS", &pod, &conf).code(), 50);
        let config = node.server.kubeconfig(node.scratch.path()).unwrap();
        std::fs::rename(config, node.scratch.path().join("istio-cni-kubeconfig")).unwrap();
        assert_eq!(ask("STATUS", &pod, &conf).good().text, "");
        assert_eq!(ask("GC", &pod, &conf).good().text, "");
    }
}

#[test]
fn every_version_is_answered_in_its_own_form() {
    let node = Node::with(injected(&[]));
    let pod = Pod::new(Backend::Iptables).unwrap();
    let mut conf = node.conf(Backend::Iptables);
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        conf["cniVersion"] = json!(version);
        conf["prevResult"] = previous(version);
        assert_eq!(ask("ADD", &pod, &conf).good().json(), previous(version));
        let told = ask("VERSION", &pod, &json!({"cniVersion": version}));
        let known = told.good().json()["supportedVersions"].clone();
        assert!(known.as_array().unwrap().contains(&json!(version)));
    }
    conf["cniVersion"] = json!("0.2.0");
    assert_eq!(ask("ADD", &pod, &conf).code(), 1);
    // With nobody before it, as Multus calls it, it has nothing to tell.
    conf["cniVersion"] = json!("0.3.1");
    conf.as_object_mut().unwrap().remove("prevResult");
    let alone = ask("ADD", &pod, &conf);
    assert_eq!(alone.good().json(), json!({"cniVersion": "0.3.1"}));
}

#[test]
fn a_pod_that_cannot_be_judged_gets_no_network_and_no_rules() {
    let node = Node::new();
    let pod = Pod::new(Backend::Iptables).unwrap();
    let conf = node.conf(Backend::Iptables);
    let plugin = paths::binary("meltemi-cni").unwrap();
    let broken = called(&plugin, "ADD", (&pod, "shop/web-0"), "{\"cniVersion\": ");
    assert_eq!(broken.code(), 6);
    let unknown = ask("ADD", &pod, &conf);
    assert_eq!(unknown.code(), CODE_LATER);
    assert!(unknown.text.contains("shop/web-0"), "{unknown:?}");
    let mut other = injected(&[]);
    other["metadata"]["uid"] = json!("u0");
    node.server.put(PLACE, other);
    let before = ask("ADD", &pod, &conf);
    assert_eq!(before.code(), CODE_LATER);
    assert!(before.text.contains("another pod"), "{before:?}");
    let bad = injected(&[("traffic.sidecar.istio.io/excludeOutboundPorts", "http")]);
    node.server.put(PLACE, bad);
    let refused = ask("ADD", &pod, &conf);
    assert_eq!(refused.code(), 100);
    assert!(refused.text.contains("separated by commas"), "{refused:?}");
    let nobody = Door::take().unwrap();
    let gone = nobody.address();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": format!("http://{gone}")}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {}}],
    });
    let path = node.scratch.path().join("istio-cni-kubeconfig");
    std::fs::write(&path, config.to_string()).unwrap();
    let away = ask("ADD", &pod, &conf);
    assert_eq!(away.code(), CODE_LATER);
    assert!(away.text.contains("cannot be reached"), "{away:?}");
    assert!(!is_captured(&pod));
    // The node's own pods come up nevertheless.
    let stdin = conf.to_string();
    let own = called(&plugin, "ADD", (&pod, "kube-system/dns"), &stdin);
    assert_eq!(own.good().json(), previous("1.0.0"));
    assert!(!is_captured(&pod));
}

#[test]
fn a_pod_that_comes_late_is_waited_for() {
    let node = Node::new();
    let pod = Pod::new(Backend::Iptables).unwrap();
    let mut conf = node.conf(Backend::Iptables);
    conf["pod_patience_ms"] = json!(20_000);
    let plugin = paths::binary("meltemi-cni").unwrap();
    let args = "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0";
    let mut child = started(&plugin, "ADD", (&pod, args), &conf.to_string());
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let asked = log.find(|line| line.as_ref().unwrap().contains("cannot be read yet"));
    assert!(asked.is_some(), "it has asked in vain");
    node.server.put(PLACE, injected(&[]));
    // Its log must not stop it.
    log.for_each(drop);
    assert!(child.wait().unwrap().success());
    assert!(is_captured(&pod));
}

#[test]
fn pods_without_a_sidecar_are_left_alone() {
    let mut by_itself = injected(&[]);
    by_itself["spec"]["initContainers"][0]["name"] = json!("istio-init");
    let mut router = injected(&[]);
    router["spec"]["containers"][1]["args"] = json!(["proxy", "router"]);
    let plain = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "u1"},
        "spec": {"containers": [{"name": "app"}]},
    });
    let none = injected(&[("sidecar.istio.io/interceptionMode", "NONE")]);
    let pod = Pod::new(Backend::Iptables).unwrap();
    for web in [by_itself, router, plain, none] {
        let node = Node::with(web);
        let added = ask("ADD", &pod, &node.conf(Backend::Iptables));
        assert_eq!(added.good().json(), previous("1.0.0"));
        assert!(added.log.contains("left alone"), "{added:?}");
        assert!(!is_captured(&pod));
    }
}

/// A folder of network configurations, a folder of plugins, and the installer on both.
struct Machine {
    node: Node,
    installer: Process,
    ready: Door,
    _metrics: Door,
}

const CHAIN: &str = "{ \"name\": \"meltemi\", \"cniVersion\": \"1.0.0\",\n  \"plugins\": [ {\"type\": \"bridge\"} ] }\n";

impl Machine {
    fn new() -> Self {
        let node = Node::with(injected(&[]));
        let dir = node.scratch.path().to_owned();
        for name in ["conf", "bin", "run", "account"] {
            std::fs::create_dir(dir.join(name)).unwrap();
        }
        std::fs::write(dir.join("conf/10-meltemi.conflist"), CHAIN).unwrap();
        std::fs::write(dir.join("account/token"), "first").unwrap();
        std::fs::write(dir.join("account/ca.crt"), "").unwrap();
        let (ready, metrics) = (Door::take().unwrap(), Door::take().unwrap());
        let spec = Spec::new("installer", &paths::binary("meltemi-cni").unwrap(), &dir)
            .arg("install")
            .option("--conf-dir", dir.join("conf"))
            .option("--bin-dir", dir.join("bin"))
            .option("--run-dir", dir.join("run"))
            .option("--account-dir", dir.join("account"))
            .option("--api-server", node.address())
            .option("--exclude-namespaces", "kube-system")
            .option("--pod-namespace", "istio-system")
            .option("--daemon-set", "istio-cni-node")
            .option("--http-addr", ready.address().to_string())
            .option("--monitoring-addr", metrics.address().to_string());
        let installer = Process::start(&spec).unwrap();
        let machine = Self {
            node,
            installer,
            ready,
            _metrics: metrics,
        };
        machine.until("readiness", || {
            let text = Client::new(DEADLINE).text(machine.ready.address(), "/readyz");
            text.is_ok_and(|text| text == "ready\n")
        });
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.node.scratch.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The plugins of the chain, by type.
    fn chain(&self) -> Vec<String> {
        let text = self.text("conf/10-meltemi.conflist");
        let chain: Value = serde_json::from_str(&text).unwrap_or_default();
        let plugins = chain["plugins"].as_array().cloned().unwrap_or_default();
        let kinds = plugins
            .iter()
            .map(|one| one["type"].as_str().unwrap().to_owned());
        kinds.collect()
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let found = wait::until(what, DEADLINE, || Ok(holds().then_some(())));
        found.unwrap_or_else(|error| panic!("{error:#}: {}", self.installer.tail()));
    }
}

impl Node {
    fn address(&self) -> String {
        let text = std::fs::read(self.scratch.path().join("istio-cni-kubeconfig")).unwrap();
        let config: Value = serde_json::from_slice(&text).unwrap();
        config["clusters"][0]["cluster"]["server"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

#[test]
fn what_the_installer_leaves_on_a_node_captures_a_pod() {
    let mut machine = Machine::new();
    assert_eq!(machine.chain(), ["bridge", "meltemi-cni"]);
    let chain: Value = serde_json::from_str(&machine.text("conf/10-meltemi.conflist")).unwrap();
    let mut entry = chain["plugins"][1].clone();
    // As a runtime does for each plugin of a chain.
    entry["cniVersion"] = chain["cniVersion"].clone();
    entry["name"] = chain["name"].clone();
    entry["prevResult"] = previous("1.0.0");
    let pod = Pod::new(Backend::Iptables).unwrap();
    let plugin = machine.path("bin/meltemi-cni");
    let stdin = entry.to_string();
    let added = called(&plugin, "ADD", (&pod, "shop/web-0"), &stdin);
    assert_eq!(added.good().json(), previous("1.0.0"));
    assert!(is_captured(&pod));
    let kubeconfig = machine.path("run/istio-cni-kubeconfig");
    let mode = std::fs::metadata(kubeconfig).unwrap().permissions().mode();
    assert_eq!(
        mode & 0o777,
        0o600,
        "others of the node cannot read the token"
    );
    // Its own pods, which are the first of a node, do not wait for anybody.
    machine.node.server.remove(PLACE);
    let own = "istio-system/istio-cni-node-abcde";
    called(&plugin, "ADD", (&pod, own), &stdin).good();
    assert!(machine.installer.stop(DEADLINE).unwrap().success());
}

#[test]
fn what_somebody_overwrites_is_put_back_and_tokens_are_followed() {
    let machine = Machine::new();
    let newer = CHAIN.replace("bridge", "ptp");
    std::fs::write(machine.path("conf/10-meltemi.conflist"), &newer).unwrap();
    machine.until("the entry to be back", || {
        machine.chain() == ["ptp", "meltemi-cni"]
    });
    std::fs::write(machine.path("bin/meltemi-cni"), "no program").unwrap();
    let ours = std::fs::read(paths::binary("meltemi-cni").unwrap()).unwrap();
    machine.until("the program to be back", || {
        std::fs::read(machine.path("bin/meltemi-cni")).is_ok_and(|found| found == ours)
    });
    std::fs::write(machine.path("account/token"), "second").unwrap();
    machine.until("the new token", || {
        machine
            .text("run/istio-cni-kubeconfig")
            .contains("\"second\"")
    });
    std::fs::write(machine.path("conf/10-meltemi.conflist"), "{").unwrap();
    machine.until("the end of readiness", || {
        let text = Client::new(DEADLINE).text(machine.ready.address(), "/readyz");
        !text.is_ok_and(|text| text == "ready\n")
    });
    std::fs::write(machine.path("conf/10-meltemi.conflist"), CHAIN).unwrap();
    machine.until("the entry to be back", || {
        machine.chain() == ["bridge", "meltemi-cni"]
    });
}

#[test]
fn an_uninstalled_plugin_leaves_no_trace_in_the_network_of_the_node() {
    let mut machine = Machine::new();
    assert!(machine.installer.stop(DEADLINE).unwrap().success());
    assert_eq!(machine.text("conf/10-meltemi.conflist"), CHAIN);
    let left = std::fs::read_dir(machine.path("conf")).unwrap().count();
    assert_eq!(left, 1, "nothing beside it");
    assert!(!machine.path("run/istio-cni-kubeconfig").exists());
    // Pods that run were made with it.
    assert!(machine.path("bin/meltemi-cni").exists());
}

#[test]
fn a_plugin_whose_daemon_set_stays_goes_on_capturing() {
    let mut machine = Machine::new();
    let place = "/apis/apps/v1/namespaces/istio-system/daemonsets/istio-cni-node";
    let set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "istio-cni-node", "namespace": "istio-system"},
    });
    machine.node.server.put(place, set);
    assert!(machine.installer.stop(DEADLINE).unwrap().success());
    assert_eq!(machine.chain(), ["bridge", "meltemi-cni"]);
    assert!(machine.path("run/istio-cni-kubeconfig").exists());
}
