//! The ProxyConfigs that lie beside the workloads: they count as if they were in the cluster.

use crate::failure::Failure;
use meltemi_api::Object;
use meltemi_api::yaml::{Outcome, Source, Strangers, read};
use meltemi_files::Named;
use meltemi_inject::ProxyConfigs;
use meltemi_types::{Namespace, ObjectRef};
use std::sync::Arc;

/// What was found.
pub(super) struct Found {
    pub(super) objects: ProxyConfigs,
    /// What is wrong with them.
    pub(super) notes: Vec<String>,
    /// One cannot be used, so nobody knows what the workloads become.
    pub(super) is_broken: bool,
}

/// Reads them; those that name no namespace are of the one that is given.
pub(super) fn read_all(texts: &[Named], namespace: &str) -> Result<Found, Failure> {
    let mut objects = Vec::new();
    let (mut notes, mut is_broken) = (Vec::new(), false);
    for (name, bytes) in texts {
        let source = Source {
            strangers: Strangers::Ignore,
            ..Source::new(name.clone())
        };
        for document in read(bytes, &source) {
            if document.header.kind.as_deref() != Some("ProxyConfig") {
                continue;
            }
            notes.extend(document.diagnostics.iter().map(ToString::to_string));
            let says = document.header.namespace.is_some();
            match document.outcome {
                Outcome::Object(Object::ProxyConfig(object)) if says => objects.push(object),
                Outcome::Object(Object::ProxyConfig(object)) => {
                    let mut here = object.as_ref().clone();
                    here.meta.object = Arc::new(ObjectRef {
                        namespace: Some(own(namespace)?),
                        ..here.meta.object.as_ref().clone()
                    });
                    objects.push(Arc::new(here));
                }
                Outcome::Object(_) | Outcome::LeftOut | Outcome::Foreign => {}
                Outcome::Broken { .. } | Outcome::Unclear => is_broken = true,
            }
        }
    }
    Ok(Found {
        objects: Arc::new(objects),
        notes,
        is_broken,
    })
}

fn own(namespace: &str) -> Result<Namespace, Failure> {
    let parsed = namespace.parse();
    parsed.map_err(|_| Failure::usage(format!("--namespace {namespace:?} is no namespace")))
}
