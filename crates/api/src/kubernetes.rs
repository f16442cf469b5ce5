//! From Kubernetes' typed objects to ours: the metadata that the mesh uses is taken out, the
//! rest of it is dropped.

mod check;
mod credential;
mod ingress;
pub(crate) mod pod;
mod slice;

pub use credential::{Authorities, Credential, REMOTE, REMOTE_MESSAGE, REMOTE_REMEDY};
pub use pod::Pod;
pub use slice::{EndpointSlice, SliceEndpoint, SlicePort};

use crate::check::Findings;
use crate::kinds::{Kind, Scope};
use crate::meta::Meta;
use crate::object::{Object, Resource};
use k8s_openapi::api::{
    core::v1 as core, discovery::v1 as discovery, networking::v1 as networking,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use meltemi_types::{ClusterId, Invalid, Namespace, ObjectRef};
use std::sync::Arc;

/// kubectl's copy of the whole object: the mesh never reads it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Turns the metadata of an object of `kind` into ours. An object of a namespaced kind without
/// a namespace lands in `default`; a namespace on a cluster-scoped kind is dropped.
///
/// # Errors
/// The name or the namespace is not one.
pub fn meta(cluster: &ClusterId, kind: Kind, meta: ObjectMeta) -> Result<Meta, Invalid> {
    let namespace = match kind.info().scope {
        Scope::Cluster => None,
        Scope::Namespaced => Some(match meta.namespace.as_deref() {
            None | Some("") => Namespace::default_namespace(),
            Some(namespace) => namespace.parse()?,
        }),
    };
    let object = ObjectRef {
        cluster: cluster.clone(),
        kind: kind.name().into(),
        namespace,
        name: meta.name.unwrap_or_default().parse()?,
    };
    let annotations = meta.annotations.unwrap_or_default();
    Ok(Meta {
        labels: meta.labels.unwrap_or_default().into_iter().collect(),
        annotations: annotations
            .into_iter()
            .filter(|(key, _)| key != LAST_APPLIED)
            .map(|(key, value)| (key.into(), value.into()))
            .collect(),
        created: meta.creation_timestamp.map(|time| time.0.as_second()),
        generation: meta.generation,
        uid: meta.uid.map(Arc::from),
        resource_version: meta.resource_version.map(Arc::from),
        ..Meta::new(object)
    })
}

/// A Kubernetes type that is a watched kind as it stands.
pub trait Watched: Sized {
    /// What the mesh keeps of it.
    type Spec;
    /// Its kind.
    const KIND: Kind;
    /// Metadata and the rest, apart.
    fn split(self) -> (ObjectMeta, Self::Spec);
    /// What an API server would refuse; nothing, for kinds that only machines write.
    fn check(_spec: &Self::Spec, _out: &mut Findings) {}
}

/// The object as the mesh sees it.
///
/// # Errors
/// The name or the namespace is not one.
pub fn object<T: Watched>(cluster: &ClusterId, object: T) -> Result<Object, Invalid>
where
    Object: From<Resource<T::Spec>>,
{
    let (metadata, spec) = object.split();
    Ok(Resource::new(meta(cluster, T::KIND, metadata)?, spec).into())
}

impl Watched for core::Service {
    type Spec = core::ServiceSpec;
    const KIND: Kind = Kind::Service;

    fn split(self) -> (ObjectMeta, Self::Spec) {
        (self.metadata, self.spec.unwrap_or_default())
    }

    fn check(spec: &Self::Spec, out: &mut Findings) {
        check::service(spec, out);
    }
}

impl Watched for networking::Ingress {
    type Spec = networking::IngressSpec;
    const KIND: Kind = Kind::Ingress;

    fn split(self) -> (ObjectMeta, Self::Spec) {
        (self.metadata, self.spec.unwrap_or_default())
    }

    fn check(spec: &Self::Spec, out: &mut Findings) {
        ingress::check(spec, out);
    }
}

impl Watched for networking::IngressClass {
    type Spec = networking::IngressClassSpec;
    const KIND: Kind = Kind::IngressClass;

    fn split(self) -> (ObjectMeta, Self::Spec) {
        (self.metadata, self.spec.unwrap_or_default())
    }
}

impl Watched for discovery::EndpointSlice {
    type Spec = EndpointSlice;
    const KIND: Kind = Kind::EndpointSlice;

    fn split(mut self) -> (ObjectMeta, EndpointSlice) {
        (std::mem::take(&mut self.metadata), self.into())
    }

    fn check(slice: &EndpointSlice, out: &mut Findings) {
        check::endpoint_slice(slice, out);
    }
}

impl Watched for core::Pod {
    type Spec = Pod;
    const KIND: Kind = Kind::Pod;

    fn split(mut self) -> (ObjectMeta, Pod) {
        (std::mem::take(&mut self.metadata), Pod::from(&self))
    }
}

macro_rules! whole {
    ($($kind:ident = $type:ty;)*) => {
        $(impl Watched for $type {
            type Spec = Self;
            const KIND: Kind = Kind::$kind;

            fn split(mut self) -> (ObjectMeta, Self) {
                (std::mem::take(&mut self.metadata), self)
            }
        })*
    };
}

whole! {
    Endpoints = core::Endpoints;
    Namespace = core::Namespace;
    Node = core::Node;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_moves_out_of_the_object() {
        let pod = core::Pod {
            metadata: ObjectMeta {
                name: Some("web-0".into()),
                labels: Some([("app".to_owned(), "web".to_owned())].into()),
                ..Default::default()
            },
            ..Default::default()
        };
        let object = object(&ClusterId::default(), pod).unwrap();
        assert_eq!(object.key().to_string(), "Pod default/web-0");
        assert_eq!(object.meta().labels.value("app"), Some("web"));
        let Object::Pod(pod) = object else { panic!() };
        assert!(pod.spec.ready && pod.spec.ips.is_empty());
    }

    #[test]
    fn cluster_scoped_kinds_have_no_namespace() {
        let node = core::Node {
            metadata: ObjectMeta {
                name: Some("n1".into()),
                namespace: Some("shop".into()),
                ..Default::default()
            },
            ..Default::default()
        };
        let object = object(&ClusterId::default(), node).unwrap();
        assert_eq!(object.key().namespace, None);
    }

    #[test]
    fn an_object_without_a_name_is_refused() {
        assert!(object(&ClusterId::default(), core::Service::default()).is_err());
    }
}
