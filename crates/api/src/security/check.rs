//! What is wrong with a security policy by itself.

mod authorization;
mod token;

use super::PeerAuthentication;
use crate::check::value::selector;
use crate::check::{Check, Findings};
use crate::selector::{PolicyTargetReference, WorkloadSelector};
use meltemi_types::FieldPath;

impl Check for PeerAuthentication {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            selector: workloads,
            mtls: _,
            port_level_mtls,
        } = self;
        let labels = at.field("selector").field("matchLabels");
        if let Some(workloads) = workloads {
            selector(&labels, &workloads.match_labels, out);
        }
        let Some(ports) = port_level_mtls else {
            return;
        };
        let at = at.field("portLevelMtls");
        if ports.is_empty() {
            out.required(&at, "a port");
        }
        if workloads
            .as_ref()
            .is_none_or(|workloads| workloads.match_labels.is_empty())
        {
            out.conflict(
                &at,
                "modes by port need a selector",
                "add spec.selector.matchLabels: ports belong to workloads",
            );
        }
        for port in ports.keys() {
            crate::check::value::port(&at.field(&port.to_string()), port.0, out);
        }
    }
}

/// What a policy is attached to: workloads or targets, never both.
pub(crate) struct Attachment<'p> {
    pub(crate) selector: Option<&'p WorkloadSelector>,
    pub(crate) target_ref: Option<&'p PolicyTargetReference>,
    pub(crate) target_refs: &'p [PolicyTargetReference],
}

/// The targets that a policy may have: group and kind.
const TARGETS: &[(&str, &str)] = &[
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("", "Service"),
    ("networking.istio.io", "ServiceEntry"),
];

impl Check for Attachment<'_> {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            selector: workloads,
            target_ref,
            target_refs,
        } = self;
        if let Some(workloads) = workloads {
            let labels = at.field("selector").field("matchLabels");
            selector(&labels, &workloads.match_labels, out);
        }
        let ways = [
            workloads.is_some(),
            target_ref.is_some(),
            !target_refs.is_empty(),
        ];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            out.conflict(
                &at.field("targetRefs"),
                "more than one of selector, targetRef and targetRefs is set",
                "keep one of them",
            );
        }
        if let Some(target) = target_ref {
            target.check(&at.field("targetRef"), out);
        }
        for (index, target) in target_refs.iter().enumerate() {
            target.check(&at.field("targetRefs").index(index), out);
        }
    }
}

impl Check for PolicyTargetReference {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            group,
            kind,
            name,
            namespace,
        } = self;
        if name.is_empty() {
            out.required(&at.field("name"), "the name of the target");
        }
        if namespace.as_deref().is_some_and(|name| !name.is_empty()) {
            out.invalid(
                &at.field("namespace"),
                "a target of another namespace",
                "remove namespace: the target lives in the policy's",
            );
        }
        let group = group.as_deref().unwrap_or_default();
        let group = if group == "core" { "" } else { group };
        if !TARGETS.contains(&(group, kind)) {
            out.invalid(
                &at.field("kind"),
                format!("a policy cannot be attached to a {kind:?} of group {group:?}"),
                "use Service, Gateway or GatewayClass of gateway.networking.k8s.io, or \
                 ServiceEntry of networking.istio.io",
            );
        }
    }
}

/// Texts of a list must not be empty.
fn no_empty_text(at: &FieldPath, texts: &[String], out: &mut Findings) {
    for (index, text) in texts.iter().enumerate() {
        if text.is_empty() {
            out.required(&at.index(index), "the value");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn peer_authentication() {
        let app = "selector: {matchLabels: {app: a}}";
        table::<PeerAuthentication>(&[
            ("{mtls: {mode: STRICT}}", ""),
            ("{}", ""),
            (
                &format!("{{{app}, portLevelMtls: {{80: {{mode: DISABLE}}}}}}"),
                "",
            ),
            (
                &format!("{{{app}, portLevelMtls: {{0: {{}}, 70000: {{}}}}}}"),
                "OutOfRange spec.portLevelMtls.0|OutOfRange spec.portLevelMtls.70000",
            ),
            (
                &format!("{{{app}, portLevelMtls: {{}}}}"),
                "Required spec.portLevelMtls",
            ),
            ("{portLevelMtls: {80: {}}}", "Conflict spec.portLevelMtls"),
            ("{selector: {}}", "ignoredfield spec.selector.matchLabels"),
        ]);
    }
}
