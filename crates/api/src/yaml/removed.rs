//! Kinds that Istio had once, and what took their place.
//!
//! The control plane would leave them out, so whoever still has one believes in a protection or a
//! route that does not exist: they are refused, not ignored.

/// What to write instead of a kind that is gone.
pub(crate) fn instead(group: &str, kind: &str) -> Option<&'static str> {
    let kinds = GONE.iter().find(|(gone, _)| *gone == group)?.1;
    let exact = kinds.iter().find(|(name, _)| *name == kind);
    let rest = kinds.iter().find(|(name, _)| *name == "*");
    exact.or(rest).map(|(_, instead)| *instead)
}

/// Groups, their kinds (`*` for all others) and what to write instead.
const GONE: &[(&str, &[(&str, &str)])] = &[
    (
        "authentication.istio.io",
        &[(
            "*",
            "write a PeerAuthentication of security.istio.io/v1 for mTLS, and a \
             RequestAuthentication for JSON web tokens",
        )],
    ),
    (
        "rbac.istio.io",
        &[
            (
                "ServiceRoleBinding",
                "write an AuthorizationPolicy of security.istio.io/v1 with the subjects under \
                 rules[].from",
            ),
            (
                "*",
                "write an AuthorizationPolicy of security.istio.io/v1 with the permissions under \
                 rules[].to",
            ),
        ],
    ),
    (
        "config.istio.io",
        &[
            (
                "RouteRule",
                "write a VirtualService of networking.istio.io/v1",
            ),
            (
                "DestinationPolicy",
                "write a DestinationRule of networking.istio.io/v1",
            ),
            (
                "EgressRule",
                "write a ServiceEntry of networking.istio.io/v1",
            ),
            (
                "*",
                "Mixer is gone: write a Telemetry of telemetry.istio.io/v1 for logs, metrics and \
                 traces, and an AuthorizationPolicy with action CUSTOM for checks",
            ),
        ],
    ),
    (
        "networking.istio.io",
        &[
            (
                "ExternalService",
                "write a ServiceEntry of networking.istio.io/v1",
            ),
            (
                "RouteRule",
                "write a VirtualService of networking.istio.io/v1",
            ),
            (
                "DestinationPolicy",
                "write a DestinationRule of networking.istio.io/v1",
            ),
            (
                "EgressRule",
                "write a ServiceEntry of networking.istio.io/v1",
            ),
        ],
    ),
    (
        "install.istio.io",
        &[(
            "*",
            "it is no object of the mesh: move its meshConfig into the ConfigMap istio, and the \
             rest into the values of the chart",
        )],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_decides_before_the_group() {
        let instead = |group, kind| instead(group, kind).unwrap_or_default();
        assert!(instead("rbac.istio.io", "ServiceRoleBinding").contains("from"));
        assert!(instead("rbac.istio.io", "RbacConfig").contains("to"));
        assert_eq!(instead("networking.istio.io", "Gateway"), "");
        assert_eq!(instead("apps", "Deployment"), "");
    }
}
