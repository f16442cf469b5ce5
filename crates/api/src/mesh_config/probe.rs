//! Readiness probes for workloads outside of Kubernetes. One of the four checks is set.

use crate::message::message;

message! {
    /// How the readiness of a workload is probed.
    pub struct ReadinessProbe {
        /// Seconds before the first probe. Default 0.
        pub initial_delay_seconds: Option<i64>,
        /// Seconds that a probe may take. Default 1.
        pub timeout_seconds: Option<i64>,
        /// Seconds between probes. Default 10.
        pub period_seconds: Option<i64>,
        /// Successes in a row that make the workload ready. Default 1.
        pub success_threshold: Option<i64>,
        /// Failures in a row that make it unready. Default 3.
        pub failure_threshold: Option<i64>,
        /// Probes by an HTTP request.
        pub http_get: Option<HttpHealthCheck>,
        /// Probes by a TCP connection.
        pub tcp_socket: Option<TcpHealthCheck>,
        /// Probes by a command.
        pub exec: Option<ExecHealthCheck>,
        /// Probes by gRPC's health protocol.
        pub grpc: Option<GrpcHealthCheck>,
    }
}

message! {
    /// An HTTP request.
    pub struct HttpHealthCheck {
        /// The path. Default `/`.
        pub path: Option<String>,
        /// The port. Required.
        pub port: u32,
        /// The host. Default: the workload's address.
        pub host: Option<String>,
        /// `http` or `https`. Default `http`.
        pub scheme: Option<String>,
        /// Headers to send.
        pub http_headers: Vec<ProbeHeader>,
    }
}

message! {
    /// A header of a probe.
    pub struct ProbeHeader {
        /// Its name.
        pub name: Option<String>,
        /// Its value.
        pub value: Option<String>,
    }
}

message! {
    /// A TCP connection.
    pub struct TcpHealthCheck {
        /// The host. Default: the workload's address.
        pub host: Option<String>,
        /// The port. Required.
        pub port: u32,
    }
}

message! {
    /// A command that exits with 0 when the workload is ready.
    pub struct ExecHealthCheck {
        /// The program and its arguments.
        pub command: Vec<String>,
    }
}

message! {
    /// A call of gRPC's health protocol.
    pub struct GrpcHealthCheck {
        /// The port.
        pub port: Option<u32>,
        /// The service asked for.
        pub service: Option<String>,
    }
}
