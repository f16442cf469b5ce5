//! TrafficExtension: a WebAssembly or Lua program that runs inside of proxies.

use super::wasm_plugin::{FailStrategy, PluginType, PullPolicy, TrafficSelector, VmConfig};
use crate::message::{choice, message};
use crate::selector::{PolicyTargetReference, WorkloadSelector};
use std::collections::BTreeMap;

message! {
    /// A program that runs inside of proxies. Exactly one of `wasm` and `lua` is set.
    pub struct TrafficExtension {
        /// The workloads meant. Default: the namespace, or the mesh in the root namespace.
        pub selector: Option<WorkloadSelector>,
        /// The Gateways or Services that the program is attached to. Excludes `selector`.
        pub target_refs: Vec<PolicyTargetReference>,
        /// Where in the chain of filters the program runs. Default: at the end, before the
        /// router.
        pub phase: Option<ExecutionPhase>,
        /// The order of programs of one phase: higher numbers run first. Default 0.
        pub priority: Option<i32>,
        /// The traffic meant, one of these. Default: all.
        pub r#match: Vec<TrafficSelector>,
        /// A WebAssembly program.
        pub wasm: Option<WasmConfig>,
        /// A Lua program.
        pub lua: Option<LuaConfig>,
    }
}

choice! {
    /// Where in the chain of filters a program runs.
    pub enum ExecutionPhase {
        /// At the end, before the router.
        Unspecified,
        /// Before Istio's authentication.
        Authn,
        /// After authentication, before Istio's authorization.
        Authz,
        /// After authorization, before Istio's statistics.
        Stats,
    }
}

message! {
    /// A WebAssembly program.
    pub struct WasmConfig {
        /// Where the program is: `oci://`, `http://`, `https://` or `file://`; without a scheme
        /// `oci://` is meant. Required.
        pub url: String,
        /// The SHA-256 of the program or of the image, in hexadecimal.
        pub sha256: Option<String>,
        /// When an image is fetched. Default: `IfNotPresent`, with the tag `latest` `Always`.
        pub image_pull_policy: Option<PullPolicy>,
        /// A Secret of the namespace with the credentials for the image.
        pub image_pull_secret: Option<String>,
        /// Without effect.
        pub verification_key: Option<String>,
        /// The configuration of the program, any object.
        pub plugin_config: Option<BTreeMap<String, serde_json::Value>>,
        /// The name of the program inside of the module.
        pub plugin_name: Option<String>,
        /// What happens when the program fails. Default `FAIL_CLOSE`.
        pub fail_strategy: Option<FailStrategy>,
        /// The virtual machine.
        pub vm_config: Option<VmConfig>,
        /// Which kind of filter the program is. Default `HTTP`.
        pub r#type: Option<PluginType>,
    }
}

message! {
    /// A Lua program.
    pub struct LuaConfig {
        /// The text of the program, at most 65536 bytes. Required.
        pub inline_code: String,
    }
}
