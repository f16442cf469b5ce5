//! A sample: what a user applies to try a mesh out, and one Pod for each Deployment in it, since
//! no cluster makes them here. Every Pod has an address of this machine to itself. The gateway,
//! which samples leave to the installation, is added; its ports are free ones of this machine.

use crate::compose::{router, sidecar};
use anyhow::{Context, Result, ensure};
use meltemi_api::Change;
use meltemi_files::{Input, Options, documents, read};
use meltemi_model::Proxy;
use meltemi_testkit::lease::Lease;
use meltemi_testkit::paths::repository;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

/// The samples of our own, by their directories in `manifests/`.
const OURS: [&str; 2] = ["bookshop", "tally"];

/// Published samples, as files below `samples/` of the examples.
const PUBLISHED: [(&str, &[&str]); 3] = [
    (
        "helloworld",
        &[
            "helloworld/helloworld.yaml",
            "helloworld/helloworld-gateway.yaml",
        ],
    ),
    (
        "httpbin",
        &["httpbin/httpbin.yaml", "httpbin/httpbin-gateway.yaml"],
    ),
    ("sleep", &["sleep/sleep.yaml"]),
];

/// The ports that samples open at the gateway.
const GATEWAY_PORTS: [u16; 2] = [80, 31400];

/// The gateway of an installation.
const GATEWAY: &str = "apiVersion: v1
kind: Service
metadata:
  name: istio-ingressgateway
  namespace: istio-system
spec:
  selector: {istio: ingressgateway}
  ports:
PORTS
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: istio-ingressgateway
  namespace: istio-system
spec:
  template:
    metadata:
      labels: {app: istio-ingressgateway, istio: ingressgateway}
    spec:
      containers: [{name: istio-proxy}]
";

/// Manifests, read, with Pods.
#[derive(Debug)]
pub struct Sample {
    /// Its name.
    pub name: String,
    /// What the registry is told.
    pub changes: Vec<Change>,
    /// One for each Deployment.
    pub pods: Vec<Pod>,
    /// Where the gateway listens.
    pub doors: Vec<u16>,
}

/// A Pod that stands for a Deployment.
#[derive(Debug)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// The sidecar beside it, or what it is itself.
    pub proxy: Proxy,
    /// Its address, held as long as the Pod lives.
    pub lease: Lease,
}

/// Where the samples are: ours, and the published ones unless the examples are absent, which is
/// said, and is an error where `MELTEMI_EXAMPLES_REQUIRED` is 1.
///
/// # Errors
/// The examples are required and absent.
pub fn list() -> Result<Vec<(String, Vec<PathBuf>)>> {
    let manifests = repository().join("manifests");
    let ours = OURS.map(|name| (name.to_owned(), vec![manifests.join(name)]));
    let mut all = Vec::from(ours);
    if let Some(samples) = meltemi_examples::find("samples")? {
        let published = PUBLISHED.map(|(name, files)| {
            let files = files.iter().map(|file| samples.join(file));
            (name.to_owned(), files.collect())
        });
        all.extend(published);
    }
    Ok(all)
}

/// What of a Deployment matters.
#[derive(Deserialize)]
struct Deployment {
    metadata: Metadata,
    #[serde(default)]
    spec: Value,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default = "default_namespace")]
    namespace: String,
}

fn default_namespace() -> String {
    "default".into()
}

impl Sample {
    /// Reads files and directories, and makes the Pods.
    ///
    /// # Errors
    /// Something cannot be read, or there is no free address.
    pub fn read(name: &str, paths: &[PathBuf]) -> Result<Self> {
        let mut inputs: Vec<Input> = paths.iter().cloned().map(Input::Path).collect();
        let mut pods = Vec::new();
        let (doors, gateway) = gateway()?;
        let texts = files(paths)?.into_iter().map(std::fs::read_to_string);
        let mut texts = texts.collect::<Result<Vec<_>, _>>()?;
        inputs.push(Input::Text {
            name: "gateway.yaml".into(),
            bytes: gateway.clone().into_bytes(),
        });
        texts.push(gateway);
        for text in texts {
            for document in serde_yaml::Deserializer::from_str(&text) {
                let value = Value::deserialize(document)?;
                if value.get("kind").is_some_and(|kind| kind == "Deployment") {
                    let deployment = serde_json::from_value(value)?;
                    let (pod, text) = pod(deployment).with_context(|| name.to_owned())?;
                    inputs.push(text);
                    pods.push(pod);
                }
            }
        }
        let options = Options::default();
        for document in documents(&inputs, &options)? {
            let wrong = document.diagnostics.iter().find(|d| d.is_error());
            ensure!(wrong.is_none(), "{name}: {wrong:?}");
        }
        Ok(Self {
            name: name.to_owned(),
            changes: read(&inputs, &options)?,
            pods,
            doors,
        })
    }
}

/// The gateway's objects, and the ports of its workload.
fn gateway() -> Result<(Vec<u16>, String)> {
    let held = GATEWAY_PORTS.map(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)));
    let mut doors = Vec::new();
    let mut ports = Vec::new();
    for (port, held) in GATEWAY_PORTS.into_iter().zip(held) {
        let door = held?.local_addr()?.port();
        ports.push(format!(
            "  - {{name: tcp-{port}, port: {port}, targetPort: {door}}}"
        ));
        doors.push(door);
    }
    Ok((doors, GATEWAY.replace("PORTS", &ports.join("\n"))))
}

/// The files themselves, those of directories by name.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => all.extend(below(path)?),
            false => all.push(path.clone()),
        }
    }
    Ok(all)
}

fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The Pod that a cluster would make of a Deployment, ready, at an address of its own.
fn pod(deployment: Deployment) -> Result<(Pod, Input)> {
    let Deployment {
        metadata: Metadata { name, namespace },
        spec,
    } = deployment;
    let lease = Lease::take(&[])?;
    let ip = lease.address().to_string();
    let name = format!("{name}-0");
    let part = |path| spec.pointer(path).cloned().unwrap_or_default();
    let labels = part("/template/metadata/labels");
    let object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "labels": labels },
        "spec": part("/template/spec"),
        "status": { "podIP": ip, "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    let is_gateway = labels.get("istio").is_some_and(|it| it == "ingressgateway");
    let pod = Pod {
        proxy: match is_gateway {
            true => router(&name, &namespace, &ip, &labels)?,
            false => sidecar(&name, &namespace, &ip, &labels)?,
        },
        name: name.clone(),
        lease,
    };
    let input = Input::Text {
        name: name.into(),
        bytes: object.to_string().into_bytes(),
    };
    Ok((pod, input))
}
