//! The table of kinds: group, versions, names, scope, and what Meltemi does with them.

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident = $group:literal $versions:tt $plural:literal $scope:ident;)*) => {
        /// A watched kind.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])* $kind,)*
        }

        /// Every watched kind.
        pub const KINDS: &[KindInfo] = &[
            $(KindInfo {
                kind: Kind::$kind,
                name: stringify!($kind),
                group: $group,
                versions: &$versions,
                plural: $plural,
                scope: Scope::$scope,
            },)*
        ];

        impl Kind {
            /// The kind's name as documents spell it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)*
                }
            }
        }
    };
}

/// What there is to know about a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindInfo {
    /// The kind.
    pub kind: Kind,
    /// Its name, as in `kind:`.
    pub name: &'static str,
    /// The API group; empty for core.
    pub group: &'static str,
    /// The versions that are read, the preferred one first.
    pub versions: &'static [&'static str],
    /// The plural, as in URLs.
    pub plural: &'static str,
    /// Where its objects live.
    pub scope: Scope,
}

/// Where the objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In no namespace.
    Cluster,
}

kinds! {
    /// A host of the mesh.
    Service = "" ["v1"] "services" Namespaced;
    /// Where a Service's traffic goes.
    EndpointSlice = "discovery.k8s.io" ["v1"] "endpointslices" Namespaced;
    /// Where a Service's traffic goes, in one object.
    Endpoints = "" ["v1"] "endpoints" Namespaced;
    /// A workload.
    Pod = "" ["v1"] "pods" Namespaced;
    /// A namespace.
    Namespace = "" ["v1"] "namespaces" Cluster;
    /// A machine.
    Node = "" ["v1"] "nodes" Cluster;
    /// Routing rules.
    VirtualService = "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "virtualservices" Namespaced;
    /// What happens to traffic after routing.
    DestinationRule = "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "destinationrules" Namespaced;
    /// What a workload sees and serves.
    Sidecar = "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "sidecars" Namespaced;
    /// Services that Kubernetes does not know.
    ServiceEntry = "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "serviceentries" Namespaced;
    /// A workload that is no Pod.
    WorkloadEntry = "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "workloadentries" Namespaced;
    /// What the WorkloadEntries of workloads that register themselves look like.
    WorkloadGroup = "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "workloadgroups" Namespaced;
    /// What a proxy at the edge of the mesh listens on.
    Gateway = "networking.istio.io" ["v1", "v1beta1", "v1alpha3"] "gateways" Namespaced;
    /// Kubernetes' own rules for traffic from outside.
    Ingress = "networking.k8s.io" ["v1"] "ingresses" Namespaced;
    /// Who serves which Ingress.
    IngressClass = "networking.k8s.io" ["v1"] "ingressclasses" Cluster;
    /// Whether a workload demands mTLS.
    PeerAuthentication = "security.istio.io" ["v1", "v1beta1"] "peerauthentications" Namespaced;
    /// Who may do what.
    AuthorizationPolicy = "security.istio.io" ["v1", "v1beta1"] "authorizationpolicies" Namespaced;
    /// Which tokens are valid.
    RequestAuthentication = "security.istio.io" ["v1", "v1beta1"] "requestauthentications" Namespaced;
    /// Changes to generated Envoy configuration.
    EnvoyFilter = "networking.istio.io" ["v1alpha3"] "envoyfilters" Namespaced;
    /// Settings that proxies read when they start.
    ProxyConfig = "networking.istio.io" ["v1beta1"] "proxyconfigs" Namespaced;
    /// What workloads report about their traffic.
    Telemetry = "telemetry.istio.io" ["v1", "v1alpha1"] "telemetries" Namespaced;
    /// A WebAssembly program inside of proxies.
    WasmPlugin = "extensions.istio.io" ["v1alpha1"] "wasmplugins" Namespaced;
    /// A WebAssembly or Lua program inside of proxies.
    TrafficExtension = "extensions.istio.io" ["v1alpha1"] "trafficextensions" Namespaced;
    /// Settings of the whole mesh; comes in the ConfigMap `istio` of the root namespace.
    MeshConfig = "mesh.istio.io" ["v1alpha1"] "meshconfigs" Namespaced;
    /// A certificate with its key, or authorities; read only where a proxy asks for it.
    Secret = "" ["v1"] "secrets" Namespaced;
    /// Authorities; read only where a proxy asks for them.
    ConfigMap = "" ["v1"] "configmaps" Namespaced;
}

impl Kind {
    /// True for the kinds that fail closed: what cannot be understood denies.
    #[must_use]
    pub fn is_security(self) -> bool {
        matches!(
            self,
            Self::PeerAuthentication | Self::AuthorizationPolicy | Self::RequestAuthentication
        )
    }

    /// True for the kinds that hold certificates: they are read one by one, by name, and reach
    /// proxies by themselves, not as a part of the mesh.
    #[must_use]
    pub fn is_credential(self) -> bool {
        matches!(self, Self::Secret | Self::ConfigMap)
    }

    /// False for kinds that are read and checked, but do not change what proxies are told yet.
    #[must_use]
    pub fn has_effect(self) -> bool {
        !matches!(
            self,
            Self::EnvoyFilter
                | Self::ProxyConfig
                | Self::Telemetry
                | Self::WasmPlugin
                | Self::TrafficExtension
        )
    }

    /// The kind's row of the table.
    #[must_use]
    pub fn info(self) -> &'static KindInfo {
        #[expect(
            clippy::indexing_slicing,
            reason = "the table has a row for every variant"
        )]
        &KINDS[self as usize]
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_row() {
        for info in KINDS {
            assert_eq!(info.kind.info(), info);
            assert_eq!(info.kind.name(), info.name);
            assert!(!info.versions.is_empty());
        }
    }
}
