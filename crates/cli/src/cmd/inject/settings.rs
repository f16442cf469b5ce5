//! The settings of the injector, as the command line gives them.

use crate::args::inject::Inject;
use crate::failure::{Failure, UNREADABLE};
use crate::input;
use meltemi_api::Object;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_api::yaml::{Outcome, Source, read_as, read_mesh_config};
use meltemi_inject::{Native, Settings, TrustBundles, Values};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Reads them. Later ones win: defaults, operator, values, `--set`.
pub(super) fn read(args: &Inject) -> Result<Settings, Failure> {
    let mut values = Values::defaults();
    for tree in trees(args.operator_file.as_slice())? {
        values.operator(&tree);
    }
    for tree in trees(&args.values)? {
        values.overlay(tree);
    }
    for assignment in &args.set {
        let set = values.set(assignment);
        set.map_err(|why| Failure::usage(format!("--set {why}")))?;
    }
    if let Some(revision) = &args.revision {
        values.overlay(serde_json::json!({"revision": revision}));
    }
    let env = pairs("--env", &args.env)?;
    let mut settings = Settings::new(values, mesh(args)?, &env);
    settings.kubelet_minor = minor(&args.kubernetes_version)?;
    for (name, value) in pairs("--feature", &args.feature)? {
        match (name.as_str(), value.as_str()) {
            ("EnableNativeSidecars", "NativeSidecarModeDisabled" | "false") => {
                settings.native = Native::Never;
            }
            ("EnableNativeSidecars", "NativeSidecarModeEnabled" | "true") => {
                settings.native = Native::Always;
            }
            ("EnableNativeSidecars", _) => settings.native = Native::Auto,
            ("EnableClusterTrustBundles", "true") => {
                settings.trust_bundles = TrustBundles::Cluster;
            }
            ("CompliancePolicy", policy) => settings.compliance = policy.to_owned(),
            // What else there is has no say in injection.
            (_, _) => {}
        }
    }
    Ok(settings)
}

fn pairs(flag: &str, all: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Failure::usage(format!("{flag} {text:?} is not KEY=VALUE"))),
    };
    all.iter().map(pair).collect()
}

/// The minor version of `v1.33.0`.
fn minor(version: &str) -> Result<u32, Failure> {
    let parts = version.trim_start_matches('v').split_once('.');
    let minor = parts.and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
    minor.ok_or_else(|| {
        let what = format!("--kubernetes-version {version:?} is not a version such as v1.35.0");
        Failure::usage(what)
    })
}

fn trees(files: &[PathBuf]) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    for (name, bytes) in input::texts(files)? {
        for document in read_as::<Value>(&bytes, &Source::new(name)) {
            match document.value {
                Some(value) => all.push(value),
                None => {
                    let found = document.diagnostics.first();
                    let why = found.map(ToString::to_string).unwrap_or_default();
                    return Err(Failure::new(UNREADABLE, why));
                }
            }
        }
    }
    Ok(all)
}

fn mesh(args: &Inject) -> Result<MeshConfig, Failure> {
    let mut mesh = MeshConfig::default();
    let files = input::texts(args.mesh_config.as_slice())?;
    let given = args.mesh_config_overrides.iter();
    let given = given.map(|text| ("--mesh-config-overrides".into(), text.clone().into_bytes()));
    for (name, bytes) in files.into_iter().chain(given) {
        let document = read_mesh_config(&bytes, &Source::new(name));
        match document.outcome {
            Outcome::Object(Object::MeshConfig(config)) => {
                mesh = mesh.merge(config.spec.clone());
            }
            Outcome::Object(_)
            | Outcome::Broken { .. }
            | Outcome::LeftOut
            | Outcome::Foreign
            | Outcome::Unclear => {
                let found = document.diagnostics.first();
                let why = found.map(ToString::to_string).unwrap_or_default();
                return Err(Failure::new(UNREADABLE, why));
            }
        }
    }
    Ok(mesh)
}
