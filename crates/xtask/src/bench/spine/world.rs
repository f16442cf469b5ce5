//! The configuration of the benchmark: 500 services, each with a slice of 20 endpoints.

use super::{file, replace};
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SERVICES: usize = 500;
const ENDPOINTS: usize = 20;
/// The namespace of services and proxies.
pub(crate) const NAMESPACE: &str = "bench";

/// What differs from the first writing of a service.
#[derive(Default)]
struct Edits {
    /// How often an annotation was changed.
    notes: u32,
    /// Is the first endpoint out?
    out: bool,
}

/// The directory and what has been edited in it.
pub(crate) struct World {
    dir: PathBuf,
    edits: BTreeMap<usize, Edits>,
}

impl World {
    /// Writes all services.
    pub(crate) fn write(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        for index in 0..SERVICES {
            std::fs::write(file(dir, index), service(index, &Edits::default()))?;
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            edits: BTreeMap::new(),
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The first endpoint of a service goes, or comes back.
    pub(crate) fn flip(&mut self, index: usize) -> Result<()> {
        self.edit(index, |edits| edits.out = !edits.out)
    }

    /// An annotation of a service changes.
    pub(crate) fn annotate(&mut self, index: usize) -> Result<()> {
        self.edit(index, |edits| edits.notes += 1)
    }

    fn edit(&mut self, index: usize, change: fn(&mut Edits)) -> Result<()> {
        let edits = self.edits.entry(index).or_default();
        change(edits);
        replace(&file(&self.dir, index), &service(index, edits))
    }
}

fn service(index: usize, edits: &Edits) -> String {
    let Edits { notes, out } = edits;
    let mut text = format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: svc-{index:03}\n  namespace: {NAMESPACE}\n  \
         annotations:\n    note: \"{notes}\"\nspec:\n  clusterIP: 10.100.{}.{}\n  ports:\n  \
         - name: http\n    port: 80\n    targetPort: 8080\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: svc-{index:03}-a\n  \
         namespace: {NAMESPACE}\n  labels:\n    kubernetes.io/service-name: svc-{index:03}\n\
         addressType: IPv4\nports:\n- name: http\n  port: 8080\n  protocol: TCP\nendpoints:\n",
        index / 250,
        index % 250 + 1,
    );
    for endpoint in 0..ENDPOINTS {
        let number = index * ENDPOINTS + endpoint;
        let ready = !(*out && endpoint == 0);
        text.push_str(&format!(
            "- addresses: [10.{}.{}.{}]\n  conditions: {{ready: {ready}, serving: {ready}}}\n",
            110 + number / 62500,
            number / 250 % 250,
            number % 250 + 1,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_changes_one_endpoint() {
        let flipped = service(
            7,
            &Edits {
                out: true,
                ..Edits::default()
            },
        );
        let usual = service(7, &Edits::default());
        let differ = usual
            .lines()
            .zip(flipped.lines())
            .filter(|(a, b)| a != b)
            .count();
        assert_eq!(differ, 1);
        assert_eq!(usual.lines().count(), flipped.lines().count());
    }
}
