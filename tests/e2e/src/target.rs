//! The cluster that a test runs on: a node of ours, or the one that KUBECONFIG names.

use crate::image;
use anyhow::{Context, Result};
use meltemi_testkit::cluster::access::{Helm, Kubectl};
use meltemi_testkit::cluster::{self, Cluster, Lifetime, Options};
use std::path::PathBuf;

/// A cluster to test on.
#[derive(Debug)]
pub struct Target {
    kubectl: Kubectl,
    helm: Helm,
    node: Option<Cluster>,
}

impl Target {
    /// The cluster of KUBECONFIG, which must have the images; else a node of ours, started now
    /// under this name, with these images of ours.
    ///
    /// # Errors
    /// There is no cluster, and none can be started.
    pub fn take(name: &str, images: &[&str]) -> Result<Self> {
        if let Some(kubectl) = Kubectl::from_environment() {
            let helm = Helm::from_environment().context("KUBECONFIG was there a moment ago")?;
            return Ok(Self {
                kubectl,
                helm,
                node: None,
            });
        }
        cluster::sweep()?;
        let images: Result<Vec<PathBuf>> = images.iter().map(|name| image(name)).collect();
        let options = Options {
            name: name.to_owned(),
            lifetime: Lifetime::Owned,
            images: images?,
        };
        let node = Cluster::up(&options, &mut |text| eprintln!("{text}"))?;
        Ok(Self {
            kubectl: node.kubectl(),
            helm: node.helm(),
            node: Some(node),
        })
    }

    /// kubectl, as the administrator.
    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// helm, as the administrator.
    #[must_use]
    pub fn helm(&self) -> &Helm {
        &self.helm
    }

    /// The node, when it is ours: its components can be killed.
    #[must_use]
    pub fn node(&self) -> Option<&Cluster> {
        self.node.as_ref()
    }

    /// Ends what was started for the test.
    ///
    /// # Errors
    /// Something does not go away.
    pub fn release(self) -> Result<()> {
        self.node.map_or(Ok(()), Cluster::down)
    }
}
