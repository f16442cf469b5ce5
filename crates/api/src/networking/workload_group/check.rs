//! What is wrong with a WorkloadGroup by itself.

use super::{ObjectMetadata, WorkloadGroup};
use crate::check::value::{labels, not_negative, optional_port, port};
use crate::check::{Check, Findings};
use crate::mesh_config::ReadinessProbe;
use meltemi_types::FieldPath;

impl Check for WorkloadGroup {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            metadata,
            template,
            probe,
        } = self;
        if let Some(ObjectMetadata {
            labels: own,
            annotations: _,
        }) = metadata
        {
            labels(&at.field("metadata").field("labels"), own, out);
        }
        match template {
            None => out.required(&at.field("template"), "the template"),
            Some(template) => template.check_template(&at.field("template"), out),
        }
        if let Some(probe) = probe {
            check_probe(probe, &at.field("probe"), out);
        }
    }
}

fn check_probe(probe: &ReadinessProbe, at: &FieldPath, out: &mut Findings) {
    let ReadinessProbe {
        initial_delay_seconds,
        timeout_seconds,
        period_seconds,
        success_threshold,
        failure_threshold,
        http_get,
        tcp_socket,
        exec,
        grpc,
    } = probe;
    for (field, number) in [
        ("initialDelaySeconds", initial_delay_seconds),
        ("timeoutSeconds", timeout_seconds),
        ("periodSeconds", period_seconds),
        ("successThreshold", success_threshold),
        ("failureThreshold", failure_threshold),
    ] {
        not_negative(&at.field(field), *number, out);
    }
    let set = [
        http_get.is_some(),
        tcp_socket.is_some(),
        exec.is_some(),
        grpc.is_some(),
    ];
    match set.into_iter().filter(|set| *set).count() {
        0 | 1 => {}
        _ => out.conflict(at, "the probe has several checks", "keep one of them"),
    }
    if let Some(http) = http_get {
        let at = at.field("httpGet");
        port(&at.field("port"), http.port.into(), out);
        if let Some(scheme) = http.scheme.as_deref()
            && !matches!(scheme, "" | "HTTP" | "HTTPS")
        {
            out.invalid(
                &at.field("scheme"),
                format!("{scheme:?} is not a scheme"),
                "use HTTP or HTTPS",
            );
        }
        for (index, header) in http.http_headers.iter().enumerate() {
            if header.name.as_deref().unwrap_or_default().is_empty() {
                let at = at.field("httpHeaders").index(index).field("name");
                out.required(&at, "the name of the header");
            }
        }
    }
    if let Some(tcp) = tcp_socket {
        port(&at.field("tcpSocket").field("port"), tcp.port.into(), out);
    }
    if let Some(exec) = exec
        && exec.command.is_empty()
    {
        out.required(&at.field("exec").field("command"), "the command");
    }
    if let Some(grpc) = grpc {
        optional_port(&at.field("grpc").field("port"), grpc.port, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn templates_and_probes() {
        table::<WorkloadGroup>(&[
            ("{template: {}}", ""),
            ("{}", "Required spec.template"),
            ("{template: {}, probe: {tcpSocket: {port: 5}}}", ""),
            (
                "{template: {}, probe: {tcpSocket: {}}}",
                "OutOfRange spec.probe.tcpSocket.port",
            ),
            (
                "{template: {}, probe: {exec: {}, grpc: {port: 70000}, periodSeconds: -1}}",
                "OutOfRange spec.probe.periodSeconds|Conflict spec.probe|\
                 Required spec.probe.exec.command|OutOfRange spec.probe.grpc.port",
            ),
            (
                "{template: {}, probe: {httpGet: {port: 80, scheme: ftp, httpHeaders: [{value: a}]}}}",
                "InvalidValue spec.probe.httpGet.scheme|\
                 Required spec.probe.httpGet.httpHeaders[0].name",
            ),
            (
                "{template: {ports: {a: 0}}, metadata: {labels: {a: '*'}}}",
                "InvalidValue spec.metadata.labels.a|OutOfRange spec.template.ports.a",
            ),
        ]);
    }
}
