//! Settings of single services, and the sources of configuration.

use crate::message::{choice, message};
use crate::networking::destination_rule::ClientTlsSettings;
use crate::selector::LabelSelector;

message! {
    /// Settings of the services of some hosts.
    pub struct ServiceSettings {
        /// The settings.
        pub settings: Option<ServiceSettingsValues>,
        /// The hosts, exact or with a leading `*`.
        pub hosts: Vec<String>,
    }
}

message! {
    /// The settings of a service.
    pub struct ServiceSettingsValues {
        /// Whether clients see the endpoints of their own cluster alone. Default false.
        #[serde(alias = "cluster_local")]
        pub cluster_local: Option<bool>,
    }
}

message! {
    /// Which services are known in other clusters.
    pub struct ServiceScopeConfig {
        /// The namespaces meant. Default: all.
        pub namespace_selector: Option<LabelSelector>,
        /// The services meant. Default: all.
        pub services_selector: Option<LabelSelector>,
        /// Where they are known. Default `LOCAL`.
        pub scope: Option<ServiceScope>,
    }
}

choice! {
    /// Where a service is known.
    pub enum ServiceScope {
        /// In its own cluster.
        Local,
        /// In every cluster.
        Global,
    }
}

message! {
    /// A source of configuration.
    pub struct ConfigSource {
        /// Its address: `xds://`, `k8s://` or `fs:///DIRECTORY`.
        pub address: Option<String>,
        /// TLS towards it.
        pub tls_settings: Option<ClientTlsSettings>,
        /// What is taken from it. Default: everything.
        pub subscribed_resources: Vec<ConfigResource>,
    }
}

choice! {
    /// What is taken from a source.
    pub enum ConfigResource {
        /// The services that the platform knows.
        ServiceRegistry,
    }
}
