//! Where each field of a document stands.

use super::tree::{Mark, Node, Value};
use crate::kinds::Kind;
use crate::meta::Positions;
use meltemi_types::FieldPath;

/// Where the field, or the nearest known one above it, stands.
pub(super) fn nearest(root: &Node, path: &FieldPath) -> Option<Mark> {
    let (line, column) = positions(root, usize::MAX).nearest(path)?;
    Some(Mark { line, column })
}

/// How many levels of positions to keep: all where each field matters, few in the kinds that
/// machines write by the thousand.
pub(super) fn depth(kind: Kind) -> usize {
    match kind {
        Kind::EndpointSlice | Kind::Endpoints | Kind::Pod | Kind::Namespace | Kind::Node => 2,
        Kind::Secret | Kind::ConfigMap => 2,
        Kind::Service => 4,
        Kind::VirtualService
        | Kind::DestinationRule
        | Kind::Sidecar
        | Kind::ServiceEntry
        | Kind::WorkloadEntry
        | Kind::WorkloadGroup
        | Kind::Gateway
        | Kind::Ingress
        | Kind::IngressClass
        | Kind::PeerAuthentication
        | Kind::AuthorizationPolicy
        | Kind::RequestAuthentication
        | Kind::EnvoyFilter
        | Kind::ProxyConfig
        | Kind::Telemetry
        | Kind::WasmPlugin
        | Kind::TrafficExtension
        | Kind::MeshConfig => usize::MAX,
    }
}

/// The positions of the fields of a document, `depth` levels deep.
pub(super) fn positions(root: &Node, depth: usize) -> Positions {
    let mut entries = vec![("".into(), root.at.line, root.at.column)];
    collect(root, &FieldPath::root(), depth, &mut entries);
    Positions::new(entries)
}

fn collect(node: &Node, path: &FieldPath, depth: usize, out: &mut Vec<(Box<str>, u32, u32)>) {
    if depth == 0 {
        return;
    }
    match &node.value {
        Value::Scalar(..) => {}
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = path.index(index);
                out.push((path.as_str().into(), item.at.line, item.at.column));
                collect(item, &path, depth - 1, out);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let path = path.field(&entry.key);
                out.push((path.as_str().into(), entry.at.line, entry.at.column));
                collect(&entry.node, &path, depth - 1, out);
            }
        }
    }
}
