//! A golden case: a directory with an `input.yaml` whose first document says for which proxy and
//! what to show; the others are what a user would apply. A file `cluster-NAME.yaml` beside it
//! holds the objects of another cluster.

use crate::compose::{self, Composed};
use crate::show::Show;
use anyhow::{Context, Result, anyhow, ensure};
use meltemi_api::Change;
use meltemi_files::{Input, Options};
use meltemi_model::Proxy;
use meltemi_model::proxy::NodeFacts;
use meltemi_types::Locality;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where all cases are: `<concern>/<case>/input.yaml`.
#[must_use]
pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// A case, read.
#[derive(Clone, Debug)]
pub struct Case {
    /// `<concern>/<case>`.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// What is to be shown.
    pub show: Vec<Show>,
    /// The proxy.
    pub proxy: Proxy,
    /// The proxy as Envoy would describe it.
    pub node: NodeFacts,
    changes: Vec<Change>,
}

/// The first document.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    kind: String,
    about: String,
    proxy: ProxySpec,
    show: Vec<String>,
}

/// The proxy: what a node id and metadata would say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProxySpec {
    name: String,
    #[serde(default = "default_namespace")]
    namespace: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default = "default_ip")]
    ip: String,
    #[serde(default)]
    other_ips: Vec<String>,
    #[serde(default = "default_interception")]
    interception: String,
    #[serde(default = "default_kind")]
    kind: String,
    cluster: Option<String>,
    network: Option<String>,
    #[serde(default)]
    locality: String,
    #[serde(default)]
    metadata: Map<String, Value>,
}

fn default_namespace() -> String {
    "shop".into()
}

fn default_ip() -> String {
    "10.0.9.9".into()
}

fn default_interception() -> String {
    "REDIRECT".into()
}

fn default_kind() -> String {
    "sidecar".into()
}

impl ProxySpec {
    fn facts(self) -> NodeFacts {
        let Self {
            name,
            namespace,
            labels,
            ip,
            other_ips,
            interception,
            kind,
            cluster,
            network,
            locality,
            mut metadata,
        } = self;
        let ips: Vec<_> = std::iter::once(ip.clone()).chain(other_ips).collect();
        metadata.insert("LABELS".into(), json!(labels));
        metadata.insert("NAMESPACE".into(), json!(namespace));
        metadata.insert("INSTANCE_IPS".into(), json!(ips.join(",")));
        metadata.insert("INTERCEPTION_MODE".into(), json!(interception));
        for (key, value) in [("CLUSTER_ID", cluster), ("NETWORK", network)] {
            if let Some(value) = value {
                metadata.insert(key.into(), json!(value));
            }
        }
        NodeFacts {
            id: format!("{kind}~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local"),
            metadata,
            locality: Locality::parse(&locality),
            extensions: Vec::new(),
        }
    }
}

impl Case {
    /// All cases, by name.
    ///
    /// # Errors
    /// A case cannot be read.
    pub fn all() -> Result<Vec<Self>> {
        let root = testdata();
        let mut cases = Vec::new();
        for concern in directories(&root)? {
            for dir in directories(&concern)? {
                let name = dir.strip_prefix(&root)?.display().to_string();
                let case = Self::read(&name, &dir);
                cases.push(case.with_context(|| format!("case {name}"))?);
            }
        }
        Ok(cases)
    }

    /// Reads one case.
    ///
    /// # Errors
    /// It is not well-formed.
    pub fn read(name: &str, dir: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(dir.join("input.yaml"))?;
        Self::parse(name, dir, &text)
    }

    /// The case that `input.yaml` would be if it held this text.
    ///
    /// # Errors
    /// It is not well-formed.
    pub fn parse(name: &str, dir: &Path, text: &str) -> Result<Self> {
        let (head, body) = text
            .split_once("\n---\n")
            .context("input.yaml needs the case, a line `---`, and objects")?;
        let header: Header = serde_yaml::from_str(head)?;
        ensure!(header.kind == "Case", "the first document is a Case");
        ensure!(!header.about.contains(". "), "`about` is one sentence");
        ensure!(!header.show.is_empty(), "`show` names something");
        // Lines keep their numbers, so that diagnostics point where a user would look.
        let blank = "\n".repeat(head.matches('\n').count() + 2);
        let own = Input::Text {
            name: "input.yaml".into(),
            bytes: (blank + body).into_bytes(),
        };
        let mut changes = meltemi_files::read(&[own], &Options::default())?;
        for (cluster, path) in other_clusters(dir)? {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let input = Input::Text {
                name: file.as_ref().into(),
                bytes: std::fs::read(&path)?,
            };
            let options = Options {
                cluster: cluster.parse().map_err(|error| anyhow!("{error}"))?,
                ..Options::default()
            };
            changes.extend(meltemi_files::read(&[input], &options)?);
        }
        let node = header.proxy.facts();
        let show = header.show.iter().map(|line| line.parse());
        Ok(Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            show: show.collect::<Result<_>>()?,
            proxy: Proxy::understand(&node).map_err(|refused| anyhow!("{refused}"))?,
            node,
            changes,
        })
    }

    /// The same with its Unix sockets of `/tmp` in that directory; none when it has none. An Envoy
    /// removes what lies where it binds, then binds: two that do so in one place at once fail.
    ///
    /// # Errors
    /// It cannot be read again.
    pub fn with_sockets_in(&self, sockets: &Path) -> Result<Option<Self>> {
        let text = std::fs::read_to_string(self.dir.join("input.yaml"))?;
        let own = text.replace("unix:///tmp/", &format!("unix://{}/", sockets.display()));
        let has = own != text;
        has.then(|| Self::parse(&self.name, &self.dir, &own))
            .transpose()
    }

    /// What the control plane makes of it.
    #[must_use]
    pub fn compose(&self) -> Composed {
        compose::compose(self.changes.clone(), &self.proxy)
    }

    /// The same for a proxy whose certificate, if it has one, stands in its bootstrap.
    #[must_use]
    pub fn compose_without_agent(&self) -> Composed {
        compose::compose_without_agent(self.changes.clone(), &self.proxy)
    }

    /// Where the expected output is.
    #[must_use]
    pub fn expected(&self) -> PathBuf {
        self.dir.join("expected.yaml")
    }
}

/// Subdirectories, by name.
fn directories(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.is_dir());
    paths.sort();
    Ok(paths)
}

/// Files `cluster-NAME.yaml`, by name.
fn other_clusters(dir: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let cluster = file
            .strip_prefix("cluster-")
            .and_then(|f| f.strip_suffix(".yaml"));
        if let Some(cluster) = cluster {
            found.insert(cluster.to_owned(), path.clone());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_types::xds::LISTENER;

    fn header(proxy: &str) -> Result<Header, serde_yaml::Error> {
        serde_yaml::from_str(&format!(
            "{{kind: Case, about: x, show: [a b], proxy: {proxy}}}"
        ))
    }

    #[test]
    fn a_proxy_is_a_sidecar_of_the_shop_unless_it_says_more() {
        let facts = header("{name: a-1, other_ips: [\"fd00::1\"]}")
            .unwrap()
            .proxy
            .facts();
        let proxy = Proxy::understand(&facts).unwrap();
        let id = "sidecar~10.0.9.9~a-1.shop~shop.svc.cluster.local";
        assert_eq!(proxy.node.to_string(), id);
        assert_eq!(proxy.ips.len(), 2);
    }

    #[test]
    fn sockets_can_be_moved() {
        let read = |name: &str| Case::read(name, &testdata().join(name)).unwrap();
        let moved = |name| read(name).with_sockets_in(Path::new("/run/a")).unwrap();
        let bound = moved("scope/unix-socket").unwrap().compose().assigned;
        let listeners = compose::resources(&bound)[&LISTENER].clone();
        assert!(listeners.contains_key("unix:///run/a/meltemi-golden.sock"));
        assert!(!listeners.keys().any(|name| name.contains("/tmp/")));
        // It calls one and binds none.
        assert!(moved("entry/unix").is_none());
    }

    #[test]
    fn unknown_keys_fail() {
        assert!(header("{name: a-1, colour: red}").is_err());
        let text = "{kind: Case, about: x, show: [], proxy: {name: a}, shows: []}";
        assert!(serde_yaml::from_str::<Header>(text).is_err());
    }
}
