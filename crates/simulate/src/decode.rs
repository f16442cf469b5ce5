//! The bytes of a proxy's resources, decoded again.

use meltemi_proto::any::{self, UnpackError};
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::config::route::v3::RouteConfiguration;
use meltemi_proto::google::protobuf::Any;
use meltemi_proto::resource::Encoded;
use meltemi_types::Origin;
use meltemi_types::xds::{CLUSTER, ENDPOINT, LISTENER, ROUTE};
use prost::{Message, Name};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A resource that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub type_url: String,
    /// What the decoder said.
    pub why: String,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.type_url.rsplit('.').next().unwrap_or_default();
        write!(f, "{kind} {} cannot be decoded: {}", self.name, self.why)
    }
}

impl std::error::Error for DecodeError {}

/// A resource and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Known<T> {
    pub(crate) resource: T,
    pub(crate) origins: Arc<[Origin]>,
}

/// Resources of one type by name.
pub(crate) type Named<T> = BTreeMap<Arc<str>, Known<T>>;

/// Everything that a proxy was given.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub(crate) listeners: Named<Listener>,
    pub(crate) routes: Named<RouteConfiguration>,
    pub(crate) clusters: Named<Cluster>,
    pub(crate) endpoints: Named<ClusterLoadAssignment>,
}

impl Config {
    /// Decodes resources; types that decide no traffic are passed over. Of two resources with one
    /// name the later one counts.
    ///
    /// # Errors
    /// A resource is not what its type says.
    pub fn decode<'a>(
        resources: impl IntoIterator<Item = &'a Encoded>,
    ) -> Result<Self, DecodeError> {
        let mut config = Self::default();
        for encoded in resources {
            match encoded.type_url {
                LISTENER => put(&mut config.listeners, encoded)?,
                ROUTE => put(&mut config.routes, encoded)?,
                CLUSTER => put(&mut config.clusters, encoded)?,
                ENDPOINT => put(&mut config.endpoints, encoded)?,
                _ => {}
            }
        }
        Ok(config)
    }
}

fn put<T: Message + Default>(into: &mut Named<T>, encoded: &Encoded) -> Result<(), DecodeError> {
    let resource = T::decode(encoded.body.clone()).map_err(|error| DecodeError {
        name: encoded.name.clone(),
        type_url: encoded.type_url.to_owned(),
        why: error.to_string(),
    })?;
    let origins = encoded.origins.clone();
    into.insert(encoded.name.clone(), Known { resource, origins });
    Ok(())
}

/// The message inside, when it is of this type; `Err` when it is but does not decode.
pub(crate) fn open<T: Message + Name + Default>(any: &Any) -> Option<Result<T, String>> {
    match any::unpack::<T>(any) {
        Ok(message) => Some(Ok(message)),
        Err(UnpackError::OtherType { .. }) => None,
        Err(error @ UnpackError::Malformed { .. }) => Some(Err(error.to_string())),
    }
}
