//! HTTP rules: which fields go together, and the destinations.

use super::super::{Destination, Headers, HttpRoute, RouteDestination, VirtualService};
use super::{action, matching, policy};
use crate::check::value::{duration, host, label_name, port};
use crate::check::{Finding, Findings, header};
use meltemi_types::{Code, FieldPath};

pub(super) fn route(spec: &VirtualService, rule: &HttpRoute, at: &FieldPath, out: &mut Findings) {
    let HttpRoute {
        name: _,
        matches,
        route,
        redirect,
        direct_response,
        delegate: _,
        rewrite,
        timeout,
        retries,
        fault,
        mirror: _,
        mirrors: _,
        mirror_percent: _,
        mirror_percentage: _,
        cors_policy,
        headers: changed,
    } = rule;
    exclusive(spec, rule, at, out);
    for (index, condition) in matches.iter().enumerate() {
        matching::request(spec, condition, &at.field("match").index(index), out);
    }
    let list = at.field("route");
    for (index, target) in route.iter().enumerate() {
        let at = list.index(index);
        destination(&target.destination, &at.field("destination"), out);
        headers(target.headers.as_ref(), &at.field("headers"), out);
    }
    weights(&list, route.iter().map(|target| target.weight), out);
    if let Some(redirect) = redirect {
        action::redirect(rule, redirect, &at.field("redirect"), out);
    }
    if let Some(response) = direct_response {
        action::direct_response(response, &at.field("directResponse"), out);
    }
    if let Some(rewrite) = rewrite {
        action::rewrite(rewrite, &at.field("rewrite"), out);
    }
    duration(&at.field("timeout"), *timeout, out);
    if let Some(retries) = retries {
        policy::retry(retries, &at.field("retries"), out);
    }
    if let Some(fault) = fault {
        policy::fault(fault, &at.field("fault"), out);
    }
    if let Some(cors) = cors_policy {
        policy::cors(cors, &at.field("corsPolicy"), out);
    }
    mirrors(rule, at, out);
    headers(changed.as_ref(), &at.field("headers"), out);
    authority_twice(rule, at, out);
}

/// One of route, redirect and direct response, and what goes with which.
fn exclusive(spec: &VirtualService, rule: &HttpRoute, at: &FieldPath, out: &mut Findings) {
    let mut conflict = |set: bool, field: &str, other: &str| {
        if set {
            out.conflict(
                &at.field(field),
                format!("{field} cannot go with {other}"),
                "remove one of the two",
            );
        }
    };
    let (routed, faulty) = (!rule.route.is_empty(), rule.fault.is_some());
    let (redirected, rewritten) = (rule.redirect.is_some(), rule.rewrite.is_some());
    if rule.delegate.is_some() {
        conflict(routed, "route", "delegate");
        conflict(redirected, "redirect", "delegate");
        conflict(rule.direct_response.is_some(), "directResponse", "delegate");
        conflict(
            spec.is_delegate(),
            "delegate",
            "a VirtualService without hosts",
        );
        return;
    }
    if redirected {
        conflict(routed, "route", "redirect");
        conflict(faulty, "fault", "redirect");
        conflict(rewritten, "rewrite", "redirect");
    }
    if rule.direct_response.is_some() {
        conflict(routed, "route", "directResponse");
        conflict(faulty, "fault", "directResponse");
        conflict(rewritten, "rewrite", "directResponse");
        conflict(redirected, "redirect", "directResponse");
    }
    if !routed && !redirected && rule.direct_response.is_none() {
        out.required(
            &at.field("route"),
            "an action (route, redirect or directResponse)",
        );
    }
}

pub(super) fn destination(target: &Destination, at: &FieldPath, out: &mut Findings) {
    let Destination {
        host: name,
        subset,
        port: selected,
    } = target;
    host(&at.field("host"), name, out);
    if let Some(subset) = subset.as_deref().filter(|subset| !subset.is_empty()) {
        label_name(&at.field("subset"), subset, out);
    }
    if let Some(selected) = selected {
        port(
            &at.field("port").field("number"),
            selected.number.into(),
            out,
        );
    }
}

pub(super) fn route_destinations(list: &[RouteDestination], at: &FieldPath, out: &mut Findings) {
    if list.is_empty() {
        out.required(at, "a destination");
    }
    for (index, target) in list.iter().enumerate() {
        let at = at.index(index).field("destination");
        destination(&target.destination, &at, out);
    }
    weights(at, list.iter().map(|target| target.weight), out);
}

/// Weights are not negative, and not all of several are zero.
fn weights(
    at: &FieldPath,
    weights: impl ExactSizeIterator<Item = Option<i64>>,
    out: &mut Findings,
) {
    let (count, mut sum) = (weights.len(), 0_i64);
    for (index, weight) in weights.enumerate() {
        let weight = weight.unwrap_or(0);
        if weight < 0 {
            out.out_of_range(
                &at.index(index).field("weight"),
                format!("the weight {weight} is negative"),
                "use 0 or more",
            );
        }
        sum = sum.saturating_add(weight.max(0));
    }
    if count > 1 && sum == 0 {
        out.invalid(
            at,
            format!("the weights of {count} destinations sum up to 0"),
            "give at least one destination a weight above 0",
        );
    } else if sum > i64::from(u32::MAX) {
        out.out_of_range(
            at,
            format!("the weights sum up to {sum}"),
            "use weights that sum up to at most 4294967295",
        );
    }
}

pub(super) fn headers(changed: Option<&Headers>, at: &FieldPath, out: &mut Findings) {
    let Some(Headers { request, response }) = changed else {
        return;
    };
    for (side, operations) in [("request", request), ("response", response)] {
        let Some(operations) = operations else {
            continue;
        };
        let at = at.field(side);
        header::to_write(&at.field("set"), &operations.set, out);
        header::to_write(&at.field("add"), &operations.add, out);
        header::to_remove(&at.field("remove"), &operations.remove, out);
    }
}

fn mirrors(rule: &HttpRoute, at: &FieldPath, out: &mut Findings) {
    if let Some(mirror) = &rule.mirror {
        destination(mirror, &at.field("mirror"), out);
        if !rule.mirrors.is_empty() {
            out.conflict(
                &at.field("mirrors"),
                "mirror and mirrors are both set",
                "use mirrors alone",
            );
        }
    }
    if let Some(percent) = rule.mirror_percent {
        let at = at.field("mirrorPercent");
        if percent > 100 {
            out.out_of_range(&at, format!("{percent} percent"), "use 0 to 100");
        }
        out.push(Finding::warning(
            Code::IgnoredField,
            &at,
            "mirrorPercent is deprecated",
            "use mirrorPercentage",
        ));
    }
    policy::percentage(&at.field("mirrorPercentage"), rule.mirror_percentage, out);
    for (index, mirror) in rule.mirrors.iter().enumerate() {
        let at = at.field("mirrors").index(index);
        destination(&mirror.destination, &at.field("destination"), out);
        policy::percentage(&at.field("percentage"), mirror.percentage, out);
    }
}

/// The host is rewritten once: by `rewrite.authority` or by a header.
fn authority_twice(rule: &HttpRoute, at: &FieldPath, out: &mut Findings) {
    let rewritten = rule
        .rewrite
        .as_ref()
        .and_then(|rewrite| rewrite.authority.as_deref())
        .is_some_and(|authority| !authority.is_empty());
    let by_header = rule
        .headers
        .iter()
        .filter_map(|changed| changed.request.as_ref())
        .flat_map(|request| request.set.keys().chain(request.add.keys()))
        .any(|name| name.eq_ignore_ascii_case("host") || name == ":authority");
    if rewritten && by_header {
        out.conflict(
            &at.field("rewrite").field("authority"),
            "the host is also changed by headers.request",
            "change it in one place",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::verdicts;

    /// The findings of a rule, their paths below `spec.http[0]`.
    fn found(rule: &str) -> String {
        let yaml = format!("{{hosts: [a], http: [{rule}]}}");
        verdicts::<VirtualService>(&yaml)
            .join("|")
            .replace("spec.http[0].", "")
    }

    #[test]
    fn actions_exclude_each_other() {
        let to = "route: [{destination: {host: a}}]";
        assert_eq!(found("{}"), "Required route");
        assert_eq!(
            found(&format!("{{{to}, redirect: {{uri: /}}}}")),
            "Conflict route"
        );
        assert_eq!(
            found("{redirect: {uri: /}, rewrite: {uri: /}, fault: {delay: {fixedDelay: 1s}}}"),
            "Conflict fault|Conflict rewrite"
        );
        assert_eq!(
            found(&format!("{{{to}, directResponse: {{status: 200}}}}")),
            "Conflict route"
        );
        assert_eq!(found("{delegate: {name: x}}"), "");
        assert_eq!(
            found(&format!("{{{to}, delegate: {{name: x}}}}")),
            "Conflict route"
        );
    }

    #[test]
    fn destinations_weights_and_timeouts() {
        let route = |text: &str| found(&format!("{{route: [{text}]}}"));
        assert_eq!(
            route("{destination: {}}"),
            "Required route[0].destination.host"
        );
        assert_eq!(
            route("{destination: {host: '*'}}"),
            "InvalidHost route[0].destination.host"
        );
        assert_eq!(
            route("{destination: {host: a, subset: a_b, port: {number: 70000}}}"),
            "InvalidValue route[0].destination.subset|\
             OutOfRange route[0].destination.port.number"
        );
        let two = |a: i64, b: i64| {
            route(&format!(
                "{{destination: {{host: a}}, weight: {a}}}, {{destination: {{host: b}}, weight: {b}}}"
            ))
        };
        assert_eq!(two(90, 10), "");
        assert_eq!(two(0, 0), "InvalidValue route");
        assert_eq!(two(-1, 10), "OutOfRange route[0].weight");
        assert_eq!(two(4_294_967_295, 1), "OutOfRange route");
        assert_eq!(
            found("{timeout: 0s, route: [{destination: {host: a}}]}"),
            "InvalidDuration timeout"
        );
    }

    #[test]
    fn headers_and_mirrors() {
        let with = |text: &str| {
            found(&format!(
                "{{route: [{{destination: {{host: a}}}}], {text}}}"
            ))
        };
        assert_eq!(with("headers: {request: {set: {x: '100%%'}}}"), "");
        assert_eq!(
            with("headers: {request: {set: {x: '100%', y: '%NO'}}}"),
            "invalidheader headers.request.set.x|InvalidHeader headers.request.set.y"
        );
        assert_eq!(
            with("headers: {response: {add: {'': a, ':path': b}, remove: [host, ok]}}"),
            "InvalidHeader headers.response.add.|InvalidHeader headers.response.add.:path|\
             InvalidHeader headers.response.remove[0]"
        );
        assert_eq!(
            with("rewrite: {authority: b}, headers: {request: {set: {Host: c}}}"),
            "Conflict rewrite.authority"
        );
        assert_eq!(
            with("mirror: {host: b}, mirrors: [{destination: {}, percentage: {value: 101}}]"),
            "Conflict mirrors|Required mirrors[0].destination.host|\
             OutOfRange mirrors[0].percentage"
        );
        assert_eq!(
            with("mirror: {host: b}, mirrorPercent: 101"),
            "OutOfRange mirrorPercent|ignoredfield mirrorPercent"
        );
    }
}
