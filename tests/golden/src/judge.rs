//! A real Envoy's opinion of a case: of a bootstrap that holds everything, and over ADS.

mod live;
pub mod stage;

pub use live::push_all;

use crate::case::Case;
use crate::compose;
use anyhow::{Context, Result, bail};
use meltemi_bootstrap::{AdminAddress, NodeFacts, Resources};
use meltemi_testkit::envoy;
use meltemi_testkit::paths::Scratch;
use meltemi_types::xds::{CLUSTER, ENDPOINT, LISTENER, ROUTE};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The admin interface on any port.
fn admin() -> AdminAddress {
    AdminAddress {
        address: "127.0.0.1".into(),
        port: 0,
    }
}

/// Envoy's binary, looked for once: that alone starts one.
fn binary() -> Result<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| envoy::find().map_err(|error| format!("{error:#}")));
    match found {
        Ok(path) => Ok(path),
        Err(error) => bail!("{error}"),
    }
}

/// Asks `envoy --mode validate` for its opinion of everything that the case's proxy gets.
///
/// # Errors
/// There is no Envoy, or it refuses.
pub fn validate(case: &Case) -> Result<()> {
    let binary = binary()?;
    let all = compose::resources(&case.compose().assigned);
    let resources = Resources {
        clusters: compose::all_json(&all, CLUSTER)?,
        endpoints: compose::all_json(&all, ENDPOINT)?,
        listeners: compose::all_json(&all, LISTENER)?,
        routes: compose::all_json(&all, ROUTE)?,
    };
    let mut node = NodeFacts::new(case.node.id.clone(), "golden".into());
    node.metadata = case.node.metadata.clone();
    let bootstrap = resources.static_form(&node, &admin());
    let mut scratch = Scratch::new("golden-validate")?;
    let verdict = envoy::validate(binary, &bootstrap, scratch.path());
    if verdict.is_err() {
        scratch.keep();
    }
    verdict.with_context(|| case.name.clone())
}
