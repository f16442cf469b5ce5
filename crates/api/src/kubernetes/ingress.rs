//! What an API server would refuse in an Ingress.
//!
//! Follows <https://kubernetes.io/docs/concepts/services-networking/ingress/>.

use crate::check::value::{bad_host, is_wildcard_domain, port};
use crate::check::{Finding, Findings};
use k8s_openapi::api::networking::v1::{HTTPIngressPath, IngressBackend, IngressSpec};
use meltemi_types::{Code, FieldPath};

/// Hosts, paths with their types, and backends.
pub(super) fn check(spec: &IngressSpec, out: &mut Findings) {
    let at = FieldPath::spec();
    if let Some(default) = &spec.default_backend {
        backend(default, &at.field("defaultBackend"), out);
    }
    let rules = spec.rules.as_deref().unwrap_or_default();
    if rules.is_empty() && spec.default_backend.is_none() {
        out.required(&at.field("rules"), "a rule, or a default backend,");
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = at.field("rules").index(index);
        let name = rule.host.as_deref().unwrap_or_default();
        if !name.is_empty() {
            host(name, &at.field("host"), out);
        }
        let at = at.field("http").field("paths");
        let paths = rule.http.as_ref().map(|http| http.paths.as_slice());
        for (index, path) in paths.unwrap_or_default().iter().enumerate() {
            check_path(path, &at.index(index), out);
        }
    }
    for (index, tls) in spec.tls.iter().flatten().enumerate() {
        let at = at.field("tls").index(index).field("hosts");
        for (index, name) in tls.hosts.iter().flatten().enumerate() {
            host(name, &at.index(index), out);
        }
    }
}

fn host(name: &str, at: &FieldPath, out: &mut Findings) {
    let wildcard = name.strip_prefix('*').is_none_or(|r| r.starts_with('.'));
    if !wildcard || !is_wildcard_domain(name) {
        bad_host(at, name, "use a DNS name, perhaps after '*.'", out);
    }
}

fn check_path(path: &HTTPIngressPath, at: &FieldPath, out: &mut Findings) {
    let text = path.path.as_deref().unwrap_or_default();
    match path.path_type.as_str() {
        "Exact" | "Prefix" if !text.starts_with('/') => {
            let message = format!("{text:?} is not an absolute path");
            out.invalid(&at.field("path"), message, "start it with '/'");
        }
        "Exact" | "Prefix" | "ImplementationSpecific" => {}
        "" => out.required(&at.field("pathType"), "the type of the path"),
        other => out.push(Finding::error(
            Code::UnknownEnumValue,
            &at.field("pathType"),
            format!("{other:?} is no type of path"),
            "use Exact, Prefix or ImplementationSpecific",
        )),
    }
    backend(&path.backend, &at.field("backend"), out);
}

fn backend(backend: &IngressBackend, at: &FieldPath, out: &mut Findings) {
    match (&backend.service, &backend.resource) {
        (None, None) => out.required(&at.field("service"), "the service"),
        (Some(_), Some(_)) => out.conflict(
            &at.field("resource"),
            "service and resource exclude each other",
            "use service",
        ),
        (None, Some(_)) => out.ignored(
            &at.field("resource"),
            "only services can answer; requests get 503",
            "use service",
        ),
        (Some(service), None) => {
            let at = at.field("service");
            if service.name.is_empty() {
                out.required(&at.field("name"), "the name of the service");
            }
            let Some(chosen) = &service.port else {
                return out.required(&at.field("port"), "the port of the service");
            };
            let at = at.field("port");
            match (chosen.number, chosen.name.as_deref().unwrap_or_default()) {
                (None, "") => out.required(&at, "the number or the name of the port"),
                (Some(_), name) if !name.is_empty() => {
                    out.conflict(&at, "number and name exclude each other", "use one of them");
                }
                (Some(number), _) => port(&at.field("number"), i64::from(number), out),
                (None, _) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(yaml: &str) -> String {
        let spec: IngressSpec = serde_yaml::from_str(yaml).unwrap();
        let mut out = Findings::new();
        check(&spec, &mut out);
        let lines = out.iter().map(|f| format!("{:?} {}", f.code, f.path));
        lines.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn rules_paths_and_backends() {
        let rule = |path: &str| format!("rules: [{{host: a.com, http: {{paths: [{path}]}}}}]");
        let backend = "backend: {service: {name: a, port: {number: 80}}}";
        for (path, wanted) in [
            (format!("{{path: /, pathType: Prefix, {backend}}}"), ""),
            (
                format!("{{pathType: ImplementationSpecific, {backend}}}"),
                "",
            ),
            (
                format!("{{path: a, pathType: Exact, {backend}}}"),
                "InvalidValue spec.rules[0].http.paths[0].path",
            ),
            (
                format!("{{path: /, pathType: Regex, {backend}}}"),
                "UnknownEnumValue spec.rules[0].http.paths[0].pathType",
            ),
            (
                "{path: /, pathType: Exact, backend: {service: {name: a}}}".into(),
                "Required spec.rules[0].http.paths[0].backend.service.port",
            ),
        ] {
            assert_eq!(verdicts(&rule(&path)), wanted, "{path}");
        }
        assert_eq!(verdicts("{}"), "Required spec.rules");
        assert_eq!(
            verdicts("rules: [{host: '*a.com'}]"),
            "InvalidHost spec.rules[0].host"
        );
    }
}
