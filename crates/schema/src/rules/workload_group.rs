//! WorkloadGroup, except for its template.

use super::shared::PORT;
use crate::constraint::{Row, Says::*};

pub(super) const RULES: &[Row] = &[
    ("WorkloadGroup", Required(&["template"])),
    ("ObjectMetadata.labels", MaxProperties(256)),
    ("ObjectMetadata.annotations", MaxProperties(256)),
    (
        "ReadinessProbe",
        AtMostOne(&["httpGet", "tcpSocket", "exec", "grpc"]),
    ),
    ("ReadinessProbe.initialDelaySeconds", Minimum(0)),
    ("ReadinessProbe.initialDelaySeconds", Format("int32")),
    ("ReadinessProbe.timeoutSeconds", Minimum(0)),
    ("ReadinessProbe.timeoutSeconds", Format("int32")),
    ("ReadinessProbe.periodSeconds", Minimum(0)),
    ("ReadinessProbe.periodSeconds", Format("int32")),
    ("ReadinessProbe.successThreshold", Minimum(0)),
    ("ReadinessProbe.successThreshold", Format("int32")),
    ("ReadinessProbe.failureThreshold", Minimum(0)),
    ("ReadinessProbe.failureThreshold", Format("int32")),
    ("ExecHealthCheck", Required(&["command"])),
    ("ExecHealthCheck.command[]", MinLength(1)),
    ("GrpcHealthCheck.port", PORT),
    ("HttpHealthCheck", Required(&["port"])),
    ("HttpHealthCheck.port", PORT),
    (
        "HttpHealthCheck.scheme",
        Cel("self in ['HTTP', 'HTTPS', '']", "is neither HTTP nor HTTPS"),
    ),
    ("ProbeHeader.name", Pattern("^[A-Za-z0-9_-]+$")),
    ("TcpHealthCheck", Required(&["port"])),
    ("TcpHealthCheck.port", PORT),
];
