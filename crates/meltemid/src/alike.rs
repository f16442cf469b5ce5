//! Whether replicas have read the same mesh configuration: each says which one it serves, as a
//! number that is the same for the same configuration. While a change travels they differ for a
//! moment; for longer when one of them cannot read it, or was given a file of its own.

use meltemi_api::mesh_config::MeshConfig;
use std::sync::Arc;

/// The configuration that was last told.
#[derive(Debug, Default)]
pub(crate) struct Alike(Option<Arc<MeshConfig>>);

impl Alike {
    /// Tells which configuration is served from now on.
    pub(crate) fn tell(&mut self, mesh: &Arc<MeshConfig>) {
        if self.0.as_ref().is_some_and(|told| Arc::ptr_eq(told, mesh)) {
            return;
        }
        self.0 = Some(mesh.clone());
        let print = print(&serde_json::to_vec(mesh.as_ref()).unwrap_or_default());
        metrics::gauge!("meltemi_mesh_config_hash").set(f64::from(print));
    }
}

/// FNV-1a: short, and the same in every version of this program.
fn print(bytes: &[u8]) -> u32 {
    let fold = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_are_those_of_the_published_function() {
        assert_eq!(print(b""), 0x811c_9dc5);
        assert_eq!(print(b"a"), 0xe40c_292c);
        assert_eq!(print(b"foobar"), 0xbf9c_f968);
    }
}
