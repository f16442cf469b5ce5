//! The kinds of `extensions.istio.io`: programs that run inside of proxies.
//!
//! Follows <https://istio.io/latest/docs/reference/config/proxy_extensions/>. Each main type is
//! the `spec` of its kind.

mod check;
mod traffic_extension;
mod wasm_plugin;

pub use traffic_extension::{ExecutionPhase, LuaConfig, TrafficExtension, WasmConfig};
pub use wasm_plugin::{
    EnvValueSource, EnvVar, FailStrategy, PluginPhase, PluginType, PortSelector, PullPolicy,
    TrafficSelector, VmConfig, WasmPlugin, WorkloadMode,
};
