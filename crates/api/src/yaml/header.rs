//! Who a document says it is: apiVersion, kind, namespace and name.
//!
//! Also out of text that is not YAML, as well as it goes, so that the last good version of the
//! right object stays in force.

use super::tree::Node;

/// Who a document says it is, as written. Absent parts are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `apiVersion`.
    pub api_version: Option<String>,
    /// `kind`.
    pub kind: Option<String>,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: Option<String>,
}

impl Header {
    /// The header of a document that parsed.
    pub(crate) fn of(root: &Node) -> Self {
        let text = |node: &Node, key: &str| Some(node.child(key)?.text()?.to_owned());
        let metadata = root.child("metadata");
        Self {
            api_version: text(root, "apiVersion"),
            kind: text(root, "kind"),
            namespace: metadata.and_then(|metadata| text(metadata, "namespace")),
            name: metadata.and_then(|metadata| text(metadata, "name")),
        }
    }

    /// The header of a document in block style that does not parse: top-level lines, and the
    /// first level below `metadata:`.
    pub(crate) fn guess(text: &str) -> Self {
        let mut header = Self::default();
        let mut metadata = None;
        for row in text.lines() {
            let body = row.trim_start();
            let indent = row.len() - body.len();
            if body.is_empty() || body.starts_with(['#', '-']) {
                continue;
            }
            let Some((key, value)) = body.split_once(':') else {
                continue;
            };
            let value = scalar(value);
            if indent == 0 {
                metadata = (key == "metadata").then_some(None);
                match key {
                    "apiVersion" => header.api_version = value,
                    "kind" => header.kind = value,
                    _ => {}
                }
            } else if let Some(level) = &mut metadata {
                if *level.get_or_insert(indent) != indent {
                    continue;
                }
                match key {
                    "name" => header.name = value,
                    "namespace" => header.namespace = value,
                    _ => {}
                }
            }
        }
        header
    }
}

/// The value of a line `key: value # comment`.
fn scalar(text: &str) -> Option<String> {
    let text = match text.split_once(" #") {
        Some((text, _)) => text,
        None => text,
    };
    let text = text.trim().trim_matches(['"', '\'']);
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_text_still_names_its_object() {
        let header = Header::guess(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService # x\nmetadata:\n  labels:\n    \
             name: other\n  name: \"reviews\"\n  namespace: shop\nspec:\n  hosts: [reviews\n  name: y\n",
        );
        let expected = Header {
            api_version: Some("networking.istio.io/v1".into()),
            kind: Some("VirtualService".into()),
            namespace: Some("shop".into()),
            name: Some("reviews".into()),
        };
        assert_eq!(header, expected);
    }

    #[test]
    fn prose_names_nothing() {
        assert_eq!(Header::guess("hello world\n"), Header::default());
    }
}
