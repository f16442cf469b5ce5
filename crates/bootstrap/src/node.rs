//! Who the proxy is: the `node` of the bootstrap, sent on the first request of a stream.

use meltemi_types::Locality;
use serde_json::{Map, Value, json};

/// Facts about one proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeFacts {
    /// `sidecar~IP~POD.NS~NS.svc.cluster.local`.
    pub id: String,
    /// Envoy's service cluster, by Istio's convention `APP.NS`.
    pub cluster: String,
    /// Istio's metadata keys (`NAMESPACE`, `LABELS`, `INTERCEPTION_MODE`, ...).
    pub metadata: Map<String, Value>,
    /// Where the proxy runs; absent leaves it to the control plane.
    pub locality: Option<Locality>,
}

impl NodeFacts {
    /// A node without metadata and without a locality.
    #[must_use]
    pub fn new(id: String, cluster: String) -> Self {
        Self {
            id,
            cluster,
            metadata: Map::new(),
            locality: None,
        }
    }

    /// The `core.v3.Node` as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut node = Map::new();
        node.insert("id".into(), json!(self.id));
        node.insert("cluster".into(), json!(self.cluster));
        node.insert("metadata".into(), Value::Object(self.metadata.clone()));
        if let Some(locality) = &self.locality {
            node.insert("locality".into(), place(locality));
        }
        Value::Object(node)
    }
}

/// A locality whose missing parts are left out.
fn place(locality: &Locality) -> Value {
    let parts = [
        ("region", &locality.region),
        ("zone", &locality.zone),
        ("sub_zone", &locality.subzone),
    ];
    let known = parts.into_iter().filter(|(_, part)| !part.is_empty());
    Value::Object(
        known
            .map(|(key, part)| (key.to_owned(), json!(&**part)))
            .collect(),
    )
}
