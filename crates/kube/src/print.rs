//! Fingerprints: what of an object matters to the mesh, as one number. Writes that change nothing
//! of it (heartbeats, managed fields, status that is not read) make no change.

use meltemi_api::kubernetes::Credential;
use meltemi_api::{Broken, Object, Resource};
use meltemi_types::Diagnostic;
use serde::Serialize;
use std::io;
use xxhash_rust::xxh3::Xxh3;

/// Bytes into a hash.
#[derive(Default)]
struct Sink(Xxh3);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn add<T: Serialize>(&mut self, part: &T) {
        let mut writer = io::BufWriter::with_capacity(512, &mut *self);
        // A part that does not serialize counts as empty; the API's types all do.
        let _ = serde_json::to_writer(&mut writer, part);
        let _ = io::Write::write_all(&mut writer, b"\n");
    }
}

/// Of a Secret: the key does not serialize, and another key is another object.
fn secret(secret: &Resource<Credential>) -> u64 {
    let mut sink = Sink::default();
    if let Some(key) = &secret.spec.key {
        sink.0.update(key.expose().as_bytes());
    }
    sink.0.update(&resource(secret).to_le_bytes());
    sink.0.digest()
}

fn resource<T: Serialize>(resource: &Resource<T>) -> u64 {
    let Resource {
        meta,
        spec,
        status,
        positions: _,
    } = resource;
    let mut sink = Sink::default();
    sink.add(&(meta.created, meta.generation, &meta.uid));
    let labels: Vec<_> = meta.labels.iter().collect();
    sink.add(&labels);
    sink.add(&meta.annotations);
    sink.add(spec);
    sink.add(status);
    sink.0.digest()
}

macro_rules! print {
    ($($kind:ident)*) => {
        /// The fingerprint of an object.
        pub(crate) fn object(object: &Object) -> u64 {
            match object {
                $(Object::$kind(object) => resource(object),)*
                Object::Secret(object) => secret(object),
            }
        }
    };
}

print! {
    Service EndpointSlice Endpoints Pod Namespace Node VirtualService DestinationRule Sidecar
    ServiceEntry WorkloadEntry WorkloadGroup Gateway Ingress IngressClass PeerAuthentication
    AuthorizationPolicy RequestAuthentication EnvoyFilter ProxyConfig Telemetry WasmPlugin
    TrafficExtension MeshConfig ConfigMap
}

/// The fingerprint of what there is to say; 0 for nothing.
pub(crate) fn warnings(diagnostics: &[Diagnostic]) -> u64 {
    if diagnostics.is_empty() {
        return 0;
    }
    let mut sink = Sink::default();
    sink.add(&diagnostics);
    sink.0.digest()
}

/// The fingerprint of an object that cannot be used.
pub(crate) fn broken(broken: &Broken) -> u64 {
    let mut sink = Sink::default();
    sink.add(&broken.generation);
    sink.add(&broken.diagnostics);
    sink.add(&format!("{:?}", broken.selector));
    sink.0.digest()
}
