//! The two kinds of locks in an API server: a Lease, and a ConfigMap with an annotation, which is
//! what Istio's older locks are (platform.md 6.5). Names and fields are Istio's, so that of two
//! control planes that do the same work one does it.

use crate::elect::{Record, Stored};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use serde::{Deserialize, Serialize};

/// Where the record stands in a ConfigMap.
const ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";
/// Who owns the fields that are written.
const MANAGER: &str = "meltemi-election";

/// A lock of this name.
#[derive(Clone)]
pub enum Lock {
    /// One revision's own, or work that only we do.
    Lease(Api<Lease>, String),
    /// Shared by revisions, and by Istio.
    ConfigMap(Api<ConfigMap>, String),
}

/// The record in a ConfigMap's annotation.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Annotated {
    holder_identity: String,
    #[serde(default)]
    holder_key: String,
    lease_duration_seconds: u64,
    acquire_time: String,
    renew_time: String,
    leader_transitions: u64,
}

impl Lock {
    /// A Lease in this namespace.
    #[must_use]
    pub fn lease(client: Client, namespace: &str, name: &str) -> Self {
        Self::Lease(Api::namespaced(client, namespace), name.to_owned())
    }

    /// A ConfigMap in this namespace.
    #[must_use]
    pub fn config_map(client: Client, namespace: &str, name: &str) -> Self {
        Self::ConfigMap(Api::namespaced(client, namespace), name.to_owned())
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Lease(_, name) | Self::ConfigMap(_, name) => name,
        }
    }

    /// True when revisions share it.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::ConfigMap(..))
    }

    /// What it says; `None` when it is not there.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub(crate) async fn read(&self) -> Result<Option<Stored>, kube::Error> {
        Ok(match self {
            Self::Lease(api, name) => api.get_opt(name).await?.map(of_lease),
            Self::ConfigMap(api, name) => api.get_opt(name).await?.map(of_config_map),
        })
    }

    /// Writes the record over that version, or where there is nothing.
    ///
    /// # Errors
    /// Somebody else was faster, or the API server cannot be asked.
    pub(crate) async fn write(
        &self,
        record: &Record,
        over: Option<&str>,
    ) -> Result<(), kube::Error> {
        let now = Timestamp::now();
        let metadata = |name: &str| ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: over.map(str::to_owned),
            ..ObjectMeta::default()
        };
        let params = PostParams {
            field_manager: Some(MANAGER.into()),
            ..PostParams::default()
        };
        match self {
            Self::Lease(api, name) => {
                let lease = Lease {
                    metadata: metadata(name),
                    spec: Some(lease_spec(record, now)),
                };
                match over {
                    Some(_) => api.replace(name, &params, &lease).await.map(drop),
                    None => api.create(&params, &lease).await.map(drop),
                }
            }
            Self::ConfigMap(api, name) => {
                let mut metadata = metadata(name);
                let text = annotated(record, now).map_err(kube::Error::SerdeError)?;
                metadata.annotations = Some([(ANNOTATION.to_owned(), text)].into());
                let map = ConfigMap {
                    metadata,
                    ..ConfigMap::default()
                };
                match over {
                    Some(_) => api.replace(name, &params, &map).await.map(drop),
                    None => api.create(&params, &map).await.map(drop),
                }
            }
        }
    }
}

fn lease_spec(record: &Record, now: Timestamp) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(record.holder.clone()),
        lease_duration_seconds: i32::try_from(record.seconds).ok(),
        acquire_time: Some(MicroTime(now)),
        renew_time: Some(MicroTime(now)),
        lease_transitions: i32::try_from(record.transitions).ok(),
        ..LeaseSpec::default()
    }
}

fn of_lease(lease: Lease) -> Stored {
    let spec = lease.spec.unwrap_or_default();
    let number = |n: Option<i32>| n.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    let record = Record {
        holder: spec.holder_identity.unwrap_or_default(),
        revision: String::new(),
        seconds: number(spec.lease_duration_seconds),
        renewed: spec
            .renew_time
            .map(|time| time.0.to_string())
            .unwrap_or_default(),
        transitions: number(spec.lease_transitions),
    };
    (record, lease.metadata.resource_version.unwrap_or_default())
}

fn annotated(record: &Record, now: Timestamp) -> Result<String, serde_json::Error> {
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    serde_json::to_string(&Annotated {
        holder_identity: record.holder.clone(),
        holder_key: record.revision.clone(),
        lease_duration_seconds: record.seconds,
        acquire_time: time.clone(),
        renew_time: time,
        leader_transitions: record.transitions,
    })
}

/// A ConfigMap without a record that can be read is nobody's.
fn of_config_map(map: ConfigMap) -> Stored {
    let version = map.metadata.resource_version.clone().unwrap_or_default();
    let annotations = map.metadata.annotations.unwrap_or_default();
    let text = annotations.get(ANNOTATION);
    let record = text.and_then(|text| serde_json::from_str::<Annotated>(text).ok());
    let record = record.map(|found| Record {
        holder: found.holder_identity,
        revision: found.holder_key,
        seconds: found.lease_duration_seconds,
        renewed: format!("{} {version}", found.renew_time),
        transitions: found.leader_transitions,
    });
    (record.unwrap_or_default(), version)
}
