//! Where changes come from: directories, a cluster, a file of mesh configuration. All of them may
//! be there at once; of an object that two of them name, what was said last is in force.

use crate::args::Config;
use crate::wire::{Failure, INTERNAL, NO_INPUT};
use meltemi_api::Change;
use meltemi_files::{Content, Directory, Options, Single};
use meltemi_kube::{Needed, Seen, Source};
use meltemi_runtime::tasks::Tasks;
use meltemi_types::ClusterId;
use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Sources that exist, before anything of them is read.
pub(crate) struct Sources {
    directories: Vec<(Arc<str>, Directory)>,
    cluster: Option<Source>,
    /// Files of mesh configuration, and what they say at first.
    files: Vec<(Single, Vec<Change>)>,
}

impl Sources {
    /// Looks whether everything that was named is there. An API server need not answer yet. Of its
    /// Secrets and ConfigMaps those are read that are `needed`.
    pub(crate) async fn open(
        config: &Config,
        needed: watch::Receiver<BTreeSet<Needed>>,
    ) -> Result<Self, Failure> {
        let cluster = cluster(config).await?;
        Ok(Self {
            directories: directories(config)?,
            cluster: cluster.map(|cluster| cluster.with_credentials(needed)),
            files: files(config)?,
        })
    }

    /// The names by which they say that they have been read.
    pub(crate) fn names(&self) -> BTreeSet<Arc<str>> {
        let directories = self.directories.iter().map(|(name, _)| name.clone());
        directories
            .chain(self.cluster.as_ref().map(Source::name))
            .collect()
    }

    /// What is seen of a cluster's objects that may get a status.
    pub(crate) fn seen(&self) -> Option<Seen> {
        self.cluster.as_ref().map(Source::seen)
    }

    /// Changes whenever the API server's store went back in time; `None` without an API server.
    pub(crate) fn restores(&self) -> Option<watch::Receiver<u64>> {
        self.cluster.as_ref().map(Source::restores)
    }

    /// Starts reading.
    pub(crate) async fn spawn(
        self,
        tasks: &mut Tasks,
        out: mpsc::Sender<Vec<Change>>,
    ) -> Result<(), Failure> {
        for (file, first) in self.files {
            let sent = out.send(first).await;
            sent.map_err(|_| Failure::new(INTERNAL, "the pump is gone"))?;
            tasks.critical("mesh configuration", file.run(out.clone()));
        }
        for (_, directory) in self.directories {
            tasks.critical("directory", directory.run(out.clone()));
        }
        if let Some(cluster) = self.cluster {
            tasks.critical("cluster", cluster.run(out));
        }
        Ok(())
    }
}

fn directories(config: &Config) -> Result<Vec<(Arc<str>, Directory)>, Failure> {
    let open = |(cluster, path): &(ClusterId, PathBuf)| {
        let options = Options {
            cluster: cluster.clone(),
            root_namespace: config.namespace.clone(),
            ..Options::default()
        };
        let directory = Directory::open(path, options)
            .map_err(|e| Failure::new(NO_INPUT, format!("--config-dir: {e}")))?;
        Ok((path.display().to_string().into(), directory))
    };
    config.directories.iter().map(open).collect()
}

async fn cluster(config: &Config) -> Result<Option<Source>, Failure> {
    let Some(access) = &config.access else {
        return Ok(None);
    };
    let client = meltemi_kube::connect(access).await.map_err(|error| {
        let cause = error.source().map(|cause| format!(": {cause}"));
        Failure::new(NO_INPUT, format!("{error}{}", cause.unwrap_or_default()))
    })?;
    let options = meltemi_kube::Options {
        cluster: config.cluster.clone(),
        root_namespace: config.namespace.clone(),
        mesh_config: config
            .mesh_config
            .is_none()
            .then(|| of_revision("istio", &config.revision)),
        tuning: meltemi_kube::Tuning::default(),
    };
    Ok(Some(Source::new(client, options)))
}

/// The name of what a revision has of its own.
pub(crate) fn of_revision(name: &str, revision: &str) -> String {
    match revision {
        "" | "default" => name.into(),
        revision => format!("{name}-{revision}"),
    }
}

/// The mesh configuration that `--meshConfig` names and the networks that `--networksConfig` names.
fn files(config: &Config) -> Result<Vec<(Single, Vec<Change>)>, Failure> {
    let options = Options {
        cluster: config.cluster.clone(),
        root_namespace: config.namespace.clone(),
        ..Options::default()
    };
    let named = [
        ("--meshConfig", Content::MeshConfig, &config.mesh_config),
        (
            "--networksConfig",
            Content::MeshNetworks,
            &config.mesh_networks,
        ),
    ];
    let named = named
        .into_iter()
        .filter_map(|(flag, content, path)| Some((flag, content, path.clone()?)));
    named
        .map(|(flag, content, path)| {
            let opened = Single::open(path, content, options.clone());
            opened.map_err(|error| Failure::new(NO_INPUT, format!("{flag}: {error}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_has_a_config_map_of_its_own() {
        assert_eq!(of_revision("istio", "default"), "istio");
        assert_eq!(of_revision("istio", "canary"), "istio-canary");
    }
}
