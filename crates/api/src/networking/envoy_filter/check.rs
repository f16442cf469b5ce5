//! What is wrong with an EnvoyFilter by itself: a frame in which the patch cannot be applied.

use super::{
    ApplyTo, EnvoyConfigObjectMatch, EnvoyConfigObjectPatch, EnvoyFilter, FilterMatch, Patch,
    PatchContext, PatchOperation,
};
use crate::check::value::{labels, regex};
use crate::check::{Check, Findings};
use meltemi_types::FieldPath;

/// Istio leaves longer expressions out.
const MAX_VERSION_MATCH: usize = 1024;

impl Check for EnvoyFilter {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            workload_selector,
            target_refs,
            config_patches,
            priority: _,
        } = self;
        if let Some(selector) = workload_selector {
            let at = at.field("workloadSelector").field("labels");
            labels(&at, &selector.labels, out);
            if !target_refs.is_empty() {
                out.conflict(
                    &at,
                    "workloadSelector and targetRefs are both set",
                    "keep one of them",
                );
            }
        }
        target_refs.check(&at.field("targetRefs"), out);
        config_patches.check(&at.field("configPatches"), out);
    }
}

impl Check for EnvoyConfigObjectPatch {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            apply_to,
            r#match,
            patch,
        } = self;
        let apply_to = apply_to.unwrap_or_default();
        if apply_to == ApplyTo::Invalid {
            out.required(&at.field("applyTo"), "what the patch is applied to");
        }
        match patch {
            None => out.required(&at.field("patch"), "the patch"),
            Some(patch) => patch.check(&at.field("patch"), out),
        }
        let Some(matched) = r#match else {
            return;
        };
        let at = at.field("match");
        matched.check(&at, out);
        if let Some(class) = class(apply_to) {
            matched.is_of(class, &at, out);
        }
    }
}

/// The one field of a match that may be set for what is changed.
fn class(apply_to: ApplyTo) -> Option<&'static str> {
    match apply_to {
        ApplyTo::Listener
        | ApplyTo::FilterChain
        | ApplyTo::NetworkFilter
        | ApplyTo::HttpFilter
        | ApplyTo::ListenerFilter => Some("listener"),
        ApplyTo::RouteConfiguration | ApplyTo::VirtualHost | ApplyTo::HttpRoute => {
            Some("routeConfiguration")
        }
        ApplyTo::Cluster => Some("cluster"),
        ApplyTo::Invalid | ApplyTo::ExtensionConfig | ApplyTo::Bootstrap => None,
    }
}

impl EnvoyConfigObjectMatch {
    /// Reports matches of another class than what is changed.
    fn is_of(&self, class: &str, at: &FieldPath, out: &mut Findings) {
        let Self {
            context: _,
            proxy: _,
            listener,
            route_configuration,
            cluster,
            waypoint: _,
        } = self;
        let others = [
            ("listener", listener.is_some()),
            ("routeConfiguration", route_configuration.is_some()),
            ("cluster", cluster.is_some()),
        ];
        for (name, _) in others.iter().filter(|(name, set)| *set && *name != class) {
            out.conflict(
                &at.field(name),
                format!("what applyTo names is not matched by {name}"),
                &format!("match by {class}, or change applyTo"),
            );
        }
    }
}

impl Check for EnvoyConfigObjectMatch {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            context,
            proxy,
            listener,
            route_configuration: _,
            cluster: _,
            waypoint,
        } = self;
        if let Some(version) = proxy.as_ref().and_then(|p| p.proxy_version.as_deref()) {
            version_match(&at.field("proxy").field("proxyVersion"), version, out);
        }
        if let Some(chain) = listener.as_ref().and_then(|l| l.filter_chain.as_ref())
            && let Some(filter) = &chain.filter
        {
            let at = at.field("listener").field("filterChain").field("filter");
            filter.check(&at, out);
        }
        let waypoints = context.unwrap_or_default() == PatchContext::Waypoint;
        if waypoint.is_some() != waypoints {
            out.conflict(
                &at.field("waypoint"),
                "context WAYPOINT and a match by waypoint belong together",
                "set both, or neither",
            );
        }
    }
}

fn version_match(at: &FieldPath, pattern: &str, out: &mut Findings) {
    if pattern.len() > MAX_VERSION_MATCH {
        out.ignored(
            at,
            format!(
                "the expression has {} characters, so it is left out",
                pattern.len()
            ),
            &format!("use at most {MAX_VERSION_MATCH} characters"),
        );
    } else {
        regex(at, pattern, out);
    }
}

impl Check for FilterMatch {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self { name, sub_filter } = self;
        let Some(sub_filter) = sub_filter else {
            return;
        };
        if name.as_deref().unwrap_or_default().is_empty() {
            out.required(&at.field("name"), "the filter that subFilter is in");
        }
        if sub_filter.name.as_deref().unwrap_or_default().is_empty() {
            let at = at.field("subFilter").field("name");
            out.required(&at, "the name of the filter");
        }
    }
}

impl Check for Patch {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            operation,
            value,
            filter_class: _,
        } = self;
        let operation = operation.unwrap_or_default();
        if operation == PatchOperation::Invalid {
            out.required(&at.field("operation"), "the operation");
        } else if operation != PatchOperation::Remove && value.is_none() {
            out.required(&at.field("value"), "the value");
        }
        // Every object of Envoy that can be patched has a name, and it is a text.
        let name = value.as_ref().and_then(|value| value.get("name"));
        if let Some(name) = name.filter(|name| !name.is_string() && !name.is_null()) {
            out.invalid(
                &at.field("value").field("name"),
                format!("{name} is not a name"),
                "write a string",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn patches() {
        let patch = |body: &str| format!("{{configPatches: [{{{body}}}]}}");
        let remove = "patch: {operation: REMOVE}";
        table::<EnvoyFilter>(&[
            ("{}", ""),
            (&patch(&format!("applyTo: LISTENER, {remove}")), ""),
            (
                &patch("applyTo: LISTENER"),
                "Required spec.configPatches[0].patch",
            ),
            (
                &patch("applyTo: LISTENER, patch: {}"),
                "Required spec.configPatches[0].patch.operation",
            ),
            (
                &patch("applyTo: CLUSTER, patch: {operation: ADD, value: {name: false}}"),
                "InvalidValue spec.configPatches[0].patch.value.name",
            ),
            (
                &patch(&format!(
                    "applyTo: LISTENER, match: {{cluster: {{}}}}, {remove}"
                )),
                "Conflict spec.configPatches[0].match.cluster",
            ),
            (
                &patch(&format!(
                    "applyTo: HTTP_FILTER, match: {{context: WAYPOINT}}, {remove}"
                )),
                "Conflict spec.configPatches[0].match.waypoint",
            ),
        ]);
    }
}
