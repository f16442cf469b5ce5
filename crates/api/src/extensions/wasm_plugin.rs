//! WasmPlugin: a WebAssembly program that runs inside of proxies.

use crate::message::{choice, message};
use crate::selector::{PolicyTargetReference, WorkloadSelector};
use std::collections::BTreeMap;

message! {
    /// A WebAssembly program that runs inside of proxies.
    pub struct WasmPlugin {
        /// The workloads meant. Default: the namespace, or the mesh in the root namespace.
        pub selector: Option<WorkloadSelector>,
        /// Deprecated: the target. Use `targetRefs`.
        pub target_ref: Option<PolicyTargetReference>,
        /// The Gateways or Services that the program is attached to. Excludes `selector`.
        pub target_refs: Vec<PolicyTargetReference>,
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
        /// Where in the chain of filters the program runs. Default: at the end, before the
        /// router.
        pub phase: Option<PluginPhase>,
        /// The order of programs of one phase: higher numbers run first. Default 0.
        pub priority: Option<i32>,
        /// What happens when the program fails. Default `FAIL_CLOSE`.
        pub fail_strategy: Option<FailStrategy>,
        /// The virtual machine.
        pub vm_config: Option<VmConfig>,
        /// The traffic meant, one of these. Default: all.
        pub r#match: Vec<TrafficSelector>,
        /// Which kind of filter the program is. Default `HTTP`.
        pub r#type: Option<PluginType>,
    }
}

/// When an image is fetched.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
pub enum PullPolicy {
    /// By the tag.
    #[default]
    #[serde(rename = "UNSPECIFIED_POLICY")]
    Unspecified,
    /// When it is not there yet.
    IfNotPresent,
    /// Whenever the object changes.
    Always,
}

choice! {
    /// Where in the chain of filters a program runs.
    pub enum PluginPhase {
        /// At the end, before the router.
        UnspecifiedPhase,
        /// Before Istio's authentication.
        Authn,
        /// After authentication, before Istio's authorization.
        Authz,
        /// After authorization, before Istio's statistics.
        Stats,
    }
}

choice! {
    /// What happens when a program fails.
    pub enum FailStrategy {
        /// Requests fail.
        FailClose,
        /// Requests go on without the program.
        FailOpen,
        /// The program is started again, within limits; requests fail meanwhile.
        FailReload,
    }
}

choice! {
    /// Which kind of filter a program is.
    pub enum PluginType {
        /// `HTTP`.
        UnspecifiedPluginType,
        /// A filter of requests.
        Http,
        /// A filter of connections.
        Network,
    }
}

message! {
    /// The virtual machine of a program.
    pub struct VmConfig {
        /// Its environment variables; each name once.
        pub env: Vec<EnvVar>,
    }
}

message! {
    /// An environment variable.
    pub struct EnvVar {
        /// The name. Required.
        pub name: String,
        /// Where the value comes from. Default `INLINE`.
        pub value_from: Option<EnvValueSource>,
        /// The value, for `INLINE`.
        pub value: Option<String>,
    }
}

choice! {
    /// Where the value of an environment variable comes from.
    pub enum EnvValueSource {
        /// From `value`.
        Inline,
        /// From the variable of the same name of the proxy.
        Host,
    }
}

message! {
    /// Traffic that a program sees; both must hold.
    pub struct TrafficSelector {
        /// The side of the workload. Default: both.
        pub mode: Option<WorkloadMode>,
        /// The ports, one of these. Default: all.
        pub ports: Vec<PortSelector>,
    }
}

choice! {
    /// The side of a workload in its traffic.
    pub enum WorkloadMode {
        /// Both.
        Undefined,
        /// Traffic that it sends; all traffic of a gateway.
        Client,
        /// Traffic that it receives.
        Server,
        /// Both.
        ClientAndServer,
    }
}

message! {
    /// A port.
    pub struct PortSelector {
        /// The number, 1 to 65535. Required.
        pub number: i64,
    }
}
