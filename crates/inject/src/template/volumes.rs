//! The volumes of the proxy and where they are mounted.

use crate::annotations;
use crate::context::Context;
use crate::refusal::Refusal;
use crate::settings::TrustBundles;
use k8s_openapi::api::core::v1::{
    CSIVolumeSource, ClusterTrustBundleProjection, ConfigMapVolumeSource, DownwardAPIVolumeFile,
    DownwardAPIVolumeSource, EmptyDirVolumeSource, ObjectFieldSelector, ProjectedVolumeSource,
    SecretVolumeSource, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Volumes with their mounts, in the order in which they are added.
#[derive(Debug)]
pub(crate) struct Volumes {
    pub(crate) volumes: Vec<Volume>,
    pub(crate) mounts: Vec<VolumeMount>,
}

/// How many there mostly are; one takes kilobytes, so a list that grows is costly.
const USUAL: usize = 16;

/// What of the volumes a template has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A sidecar: with the list of revoked certificates.
    Sidecar,
    /// A gateway: without it.
    Gateway,
    /// An agent without a proxy: a directory for gRPC's bootstrap instead of the proxy's.
    Agent,
}

impl Volumes {
    fn add(&mut self, volume: Volume, path: &str) {
        self.mounts.push(VolumeMount {
            name: volume.name.clone(),
            mount_path: path.to_owned(),
            ..VolumeMount::default()
        });
        self.volumes.push(volume);
    }
}

/// The volumes of a template of this shape.
pub(crate) fn of_proxy(context: &Context<'_>, shape: Shape) -> Result<Volumes, Refusal> {
    let values = context.values();
    let mut all = Volumes {
        volumes: Vec::with_capacity(USUAL),
        mounts: Vec::with_capacity(USUAL),
    };
    // A volume without a source is an empty directory, and that of another template wins over it:
    // so SPIRE's driver takes the place of this one.
    all.add(
        bare("workload-socket"),
        "/var/run/secrets/workload-spiffe-uds",
    );
    match shape {
        Shape::Sidecar => all.add(bare("credential-socket"), CREDENTIALS),
        Shape::Gateway => all.add(empty("credential-socket"), CREDENTIALS),
        Shape::Agent => {}
    }
    certificates(context, shape, &mut all);
    match shape {
        Shape::Sidecar | Shape::Gateway => all.add(memory("istio-envoy"), "/etc/istio/proxy"),
        Shape::Agent => all.add(memory("istio-xds"), "/etc/istio/proxy"),
    }
    all.add(empty("istio-data"), "/var/lib/istio/data");
    all.add(pod_info(), "/etc/istio/pod");
    all.add(token(), "/var/run/secrets/tokens");
    if values.text("global.pilotCertProvider") == "istiod" {
        all.add(root(context), "/var/run/secrets/istio");
        if shape == Shape::Sidecar {
            let revoked = config_map("istio-ca-crl", "istio-ca-crl", Some(true));
            all.add(revoked, "/var/run/secrets/istio/crl");
        }
    }
    if values.flag("global.mountMtlsCerts") {
        all.add(mtls_certificates(context), "/etc/certs/");
        if let Some(mount) = all.mounts.last_mut() {
            mount.read_only = Some(true);
        }
    }
    if let Some(name) = context.annotation(annotations::BOOTSTRAP_OVERRIDE) {
        let volume = config_map("custom-bootstrap-volume", name, None);
        all.add(volume, "/etc/istio/custom-bootstrap");
    }
    if shape != Shape::Agent {
        tracing(context, &mut all);
    }
    users(context, &mut all)?;
    Ok(all)
}

const CREDENTIALS: &str = "/var/run/secrets/credential-uds";

fn certificates(context: &Context<'_>, shape: Shape, all: &mut Volumes) {
    let path = "/var/run/secrets/workload-spiffe-credentials";
    if context.values().text("global.caName") == "GkeWorkloadCertificate" {
        let volume = Volume {
            csi: Some(CSIVolumeSource {
                driver: "workloadcertificates.security.cloud.google.com".to_owned(),
                ..CSIVolumeSource::default()
            }),
            ..bare("gke-workload-certificate")
        };
        all.add(volume, path);
        if let Some(mount) = all.mounts.last_mut() {
            mount.read_only = Some(true);
        }
        return;
    }
    match shape {
        Shape::Sidecar | Shape::Agent => all.add(bare("workload-certs"), path),
        Shape::Gateway => all.add(empty("workload-certs"), path),
    }
}

fn root(context: &Context<'_>) -> Volume {
    let name = "istiod-ca-cert";
    match context.settings.trust_bundles {
        TrustBundles::ConfigMap => config_map(name, "istio-ca-root-cert", None),
        TrustBundles::Cluster => projected(
            name,
            VolumeProjection {
                cluster_trust_bundle: Some(ClusterTrustBundleProjection {
                    name: Some("istio.io:istiod-ca:root-cert".to_owned()),
                    path: "root-cert.pem".to_owned(),
                    ..ClusterTrustBundleProjection::default()
                }),
                ..VolumeProjection::default()
            },
        ),
    }
}

fn token() -> Volume {
    projected(
        "istio-token",
        VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection {
                audience: Some("istio-ca".to_owned()),
                expiration_seconds: Some(43200),
                path: "istio-token".to_owned(),
            }),
            ..VolumeProjection::default()
        },
    )
}

fn mtls_certificates(context: &Context<'_>) -> Volume {
    let account = context.pod.pointer("/spec/serviceAccountName");
    let account = account
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty());
    Volume {
        secret: Some(SecretVolumeSource {
            optional: Some(true),
            secret_name: Some(format!("istio.{}", account.unwrap_or("default"))),
            ..SecretVolumeSource::default()
        }),
        ..bare("istio-certs")
    }
}

/// Certificates of a tracer, from a Secret of its name.
fn tracing(context: &Context<'_>, all: &mut Volumes) {
    if context.values().text("global.proxy.tracer") != "lightstep" {
        return;
    }
    let tree = serde_json::to_value(context.proxy).unwrap_or_default();
    let file = tree.pointer("/tracing/tlsSettings/caCertificates");
    let Some((directory, _)) = file
        .and_then(Value::as_str)
        .and_then(|f| f.rsplit_once('/'))
    else {
        return;
    };
    let volume = Volume {
        secret: Some(SecretVolumeSource {
            optional: Some(true),
            secret_name: Some("lightstep.cacert".to_owned()),
            ..SecretVolumeSource::default()
        }),
        ..bare("lightstep-certs")
    };
    all.add(volume, directory);
    if let Some(mount) = all.mounts.last_mut() {
        mount.read_only = Some(true);
    }
}

/// The volumes and mounts that the user names in annotations.
fn users(context: &Context<'_>, all: &mut Volumes) -> Result<(), Refusal> {
    for (name, mut volume) in named(context, annotations::USER_VOLUME)? {
        volume.insert("name".to_owned(), Value::String(name));
        all.volumes.push(typed(annotations::USER_VOLUME, volume)?);
    }
    for (name, mut mount) in named(context, annotations::USER_VOLUME_MOUNT)? {
        mount.insert("name".to_owned(), Value::String(name));
        all.mounts
            .push(typed(annotations::USER_VOLUME_MOUNT, mount)?);
    }
    Ok(())
}

fn named(
    context: &Context<'_>,
    key: &str,
) -> Result<BTreeMap<String, Map<String, Value>>, Refusal> {
    let text = context.annotation(key).unwrap_or("{}");
    serde_json::from_str(text).map_err(|error| {
        Refusal::annotation(key, format!("it is not a JSON object of objects: {error}"))
    })
}

fn typed<T: serde::de::DeserializeOwned>(
    key: &str,
    fields: Map<String, Value>,
) -> Result<T, Refusal> {
    let value = serde_json::from_value(Value::Object(fields));
    value.map_err(|error| Refusal::annotation(key, error.to_string()))
}

fn bare(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        ..Volume::default()
    }
}

fn empty(name: &str) -> Volume {
    Volume {
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..bare(name)
    }
}

fn memory(name: &str) -> Volume {
    Volume {
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: None,
        }),
        ..bare(name)
    }
}

fn config_map(name: &str, of: &str, optional: Option<bool>) -> Volume {
    Volume {
        config_map: Some(ConfigMapVolumeSource {
            name: of.to_owned(),
            optional,
            ..ConfigMapVolumeSource::default()
        }),
        ..bare(name)
    }
}

fn projected(name: &str, source: VolumeProjection) -> Volume {
    Volume {
        projected: Some(ProjectedVolumeSource {
            default_mode: None,
            sources: Some(vec![source]),
        }),
        ..bare(name)
    }
}

fn pod_info() -> Volume {
    let file = |path: &str, field: &str| DownwardAPIVolumeFile {
        path: path.to_owned(),
        field_ref: Some(ObjectFieldSelector {
            api_version: None,
            field_path: field.to_owned(),
        }),
        ..DownwardAPIVolumeFile::default()
    };
    Volume {
        downward_api: Some(DownwardAPIVolumeSource {
            default_mode: None,
            items: Some(vec![
                file("labels", "metadata.labels"),
                file("annotations", "metadata.annotations"),
            ]),
        }),
        ..bare("istio-podinfo")
    }
}
