//! The town of `testdata/life`: workloads of every sort behind two gateways, in a mesh that takes no
//! plaintext.

use crate::golden;
use crate::mesh::{GATEWAY, Mesh, SYSTEM};
use crate::{caller, webhooks};
use anyhow::{Context, Result, anyhow, ensure};
use meltemi_testkit::cluster::access::Kubectl;
use serde_json::Value;
use std::time::{Duration, Instant};

/// What the namespace of the town is called, for kubectl.
pub const SPACE: &str = "--namespace=shop";
/// The host by which the gateway knows the town.
pub const HOST: &str = "--header=Host: shop.example";
/// The gateway to the outside.
pub const EGRESS: &str = "istio-egressgateway";

/// A gateway that is replaced serves until kube-proxy has heard of it, which takes long while all of
/// the town is replaced on the same processors.
const EDGE: [&str; 3] = [
    "--set=image=auto",
    "--set=terminationGracePeriodSeconds=45",
    "--set=podAnnotations.proxy\\.istio\\.io/config=terminationDrainDuration: 20s",
];

/// The town.
#[derive(Clone, Copy, Debug)]
pub struct Town<'a> {
    /// Whose it is.
    pub kubectl: &'a Kubectl,
}

impl<'a> Town<'a> {
    /// Builds it with both gateways, the one to the inside twice; how long it took until everything
    /// was ready.
    ///
    /// # Errors
    /// Something is not ready in time; the error has what the pods say.
    pub fn build(kubectl: &'a Kubectl, mesh: &mut Mesh<'_>) -> Result<(Self, Duration)> {
        let town = Self { kubectl };
        // The webhook is asked about each pod, so it must be believed by then.
        webhooks::settled(kubectl, None)?;
        let begun = Instant::now();
        let (workloads, rules) = (file("workloads")?, file("rules")?);
        kubectl.apply(&format!("{workloads}---\n{rules}"))?;
        let two = [
            &EDGE[..],
            &["--set=service.type=NodePort", "--set=replicaCount=2"],
        ]
        .concat();
        let edges = [(GATEWAY, &two[..]), (EGRESS, &EDGE[..])];
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| town.ready());
            mesh.add_edges(&edges)?;
            joined(inside.join())
        })?;
        Ok((town, begun.elapsed()))
    }

    /// Waits until all workloads are ready.
    ///
    /// # Errors
    /// One is not.
    pub fn ready(&self) -> Result<()> {
        let db = "--for=jsonpath={.status.readyReplicas}=3";
        let available = ["deployments", "--all", "--for=condition=Available"];
        let waits = [
            [&available[..], &[SPACE]].concat(),
            [&available[..], &["--namespace=abroad"]].concat(),
            vec!["statefulset/db", db, SPACE],
        ];
        for wait in waits {
            let words = [&["wait", "--timeout=90s"], &wait[..]].concat();
            let done = self.kubectl.run(&words);
            done.map_err(|error| error.context(self.said()))?;
        }
        Ok(())
    }

    /// What a person would look at.
    #[must_use]
    pub fn said(&self) -> String {
        let pods = ["get", "pods", "--all-namespaces", "--output=wide"];
        let events = ["get", "events", SPACE, "--sort-by=.lastTimestamp"];
        let (pods, events) = (self.kubectl.run(&pods), self.kubectl.run(&events));
        let read = |said: Result<String>| said.unwrap_or_else(|error| format!("{error:#}"));
        format!("{}\n{}", read(pods), read(events))
    }

    /// Where the gateway is for those outside of every pod.
    ///
    /// # Errors
    /// There is none.
    pub fn door(&self) -> Result<String> {
        let port = "--output=jsonpath={.spec.ports[?(@.name==\"http2\")].nodePort}";
        let service = ["get", "service", GATEWAY, "--namespace", SYSTEM, port];
        let port = self.kubectl.run(&service)?;
        let all = "{.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
        let form = format!("--output=jsonpath={all}");
        let address = self.kubectl.run(&["get", "nodes", &form])?;
        Ok(format!("http://{address}:{port}"))
    }

    /// Calls paths of the gateway from outside, one after the other.
    ///
    /// # Errors
    /// The caller cannot be run.
    pub fn knock(&self, paths: &[&str], flags: &[&str]) -> Result<caller::Tally> {
        let urls = self.urls(paths)?;
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        caller::outside(self.kubectl, &[&urls[..], &[HOST], flags].concat())
    }

    /// The flags that name paths of the gateway.
    ///
    /// # Errors
    /// There is no gateway.
    pub fn urls(&self, paths: &[&str]) -> Result<Vec<String>> {
        let door = self.door()?;
        let urls = paths.iter().map(|path| format!("--call={door}{path}"));
        Ok(urls.collect())
    }

    /// Calls from the application of a pod of the town (`deployment/NAME`, or a pod's name).
    ///
    /// # Errors
    /// The caller cannot be run.
    pub fn call(&self, from: &str, flags: &[&str]) -> Result<caller::Tally> {
        caller::inside(self.kubectl, &[from, SPACE], flags)
    }

    /// The pods with a label, as JSON.
    ///
    /// # Errors
    /// kubectl fails.
    pub fn pods(&self, label: &str) -> Result<Vec<Value>> {
        let get = ["get", "pods", SPACE, "--output=json", "--selector", label];
        let list: Value = serde_json::from_str(&self.kubectl.run(&get)?)?;
        let items = list.pointer("/items").and_then(Value::as_array);
        Ok(items.context("a list of pods")?.clone())
    }

    /// The addresses of pods with a label.
    ///
    /// # Errors
    /// kubectl fails, or there is none.
    pub fn addresses(&self, label: &str) -> Result<Vec<String>> {
        let pods = self.pods(label)?;
        let of = |pod: &Value| Some(pod.pointer("/status/podIP")?.as_str()?.to_owned());
        let found: Vec<String> = pods.iter().filter_map(of).collect();
        ensure!(!found.is_empty(), "no pod of {label} has an address");
        Ok(found)
    }
}

/// A file of `testdata/life`.
///
/// # Errors
/// There is none.
pub fn file(name: &str) -> Result<String> {
    let path = golden::path(&format!("life/{name}.yaml"));
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Something that is done beside others, and its name.
pub type Part<'a> = (&'a str, &'a (dyn Fn() -> Result<()> + Sync));

/// Does things at the same time; the first failure of them all.
///
/// # Errors
/// One of them fails.
pub fn together(parts: &[Part<'_>]) -> Result<()> {
    std::thread::scope(|scope| {
        let started: Vec<_> = parts
            .iter()
            .map(|(name, part)| {
                let begun = Instant::now();
                let timed = move || {
                    let done = part().with_context(|| (*name).to_owned());
                    eprintln!("{name}: {:.1} s", begun.elapsed().as_secs_f32());
                    done
                };
                scope.spawn(timed)
            })
            .collect();
        let ended: Vec<_> = started.into_iter().map(|one| joined(one.join())).collect();
        ended.into_iter().collect()
    })
}

fn joined(ended: std::thread::Result<Result<()>>) -> Result<()> {
    ended.map_err(|_panic| anyhow!("a part was given up"))?
}
