//! The metrics that this process exposes. Names beginning with `pilot_` are Istio's.

use meltemi_runtime::metrics::{Family, Shape};

/// Upper bounds in seconds, from a millisecond to a minute.
const SECONDS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0,
];

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        help,
        shape: Shape::Counter,
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        help,
        shape: Shape::Gauge,
    }
}

const fn seconds(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        help,
        shape: Shape::Histogram(SECONDS),
    }
}

/// Istio's bounds in bytes: one, 10 kB, 1, 4, 10 and 40 MB.
const BYTES: &[f64] = &[1.0, 1e4, 1e6, 4e6, 1e7, 4e7];

/// Istio's bounds of what an API server waits for.
const PATIENCE: &[f64] = &[0.1, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0];

/// Everything that is exposed.
pub(crate) const FAMILIES: &[Family] = &[
    gauge("pilot_xds", "Proxies that are connected."),
    gauge("pilot_info", "The version of this control plane."),
    gauge("istio_build", "The version of this component."),
    gauge("pilot_services", "Services that are known."),
    gauge("pilot_virt_services", "VirtualServices in force."),
    counter(
        "pilot_push_triggers",
        "Changes that were published, by what changed.",
    ),
    counter(
        "pilot_inbound_updates",
        "Changes that came in, by what changed.",
    ),
    counter(
        "pilot_k8s_cfg_events",
        "Changes of configuration objects, by kind and event.",
    ),
    counter(
        "pilot_k8s_reg_events",
        "Changes of services, endpoints, pods and nodes, by kind and event.",
    ),
    seconds("pilot_xds_push_time", "Time to make a response, by type."),
    Family {
        name: "pilot_xds_config_size_bytes",
        help: "Bytes of a response's resources, by type.",
        shape: Shape::Histogram(BYTES),
    },
    counter(
        "pilot_total_xds_internal_errors",
        "Streams that ended in a bug.",
    ),
    seconds(
        "pilot_debounce_time",
        "Time from the first change to the start of its publication.",
    ),
    seconds(
        "pilot_pushcontext_init_seconds",
        "Time to turn changes into configuration.",
    ),
    gauge(
        "citadel_server_root_cert_expiry_timestamp",
        "When the root certificate ends, in seconds since 1970.",
    ),
    gauge(
        "citadel_server_root_cert_expiry_seconds",
        "Seconds until the root certificate ends.",
    ),
    gauge(
        "citadel_server_cert_chain_expiry_timestamp",
        "When the first certificate from what signs to the root ends, in seconds since 1970.",
    ),
    gauge(
        "citadel_server_cert_chain_expiry_seconds",
        "Seconds until the first certificate from what signs to the root ends.",
    ),
    counter(
        "sidecar_injection_requests_total",
        "Reviews of pods that came in.",
    ),
    counter(
        "sidecar_injection_success_total",
        "Pods that got a proxy, or had it.",
    ),
    counter(
        "sidecar_injection_failure_total",
        "Pods that were refused, and reviews that cannot be read.",
    ),
    counter(
        "sidecar_injection_skip_total",
        "Pods that stay as they are.",
    ),
    Family {
        name: "sidecar_injection_time_seconds",
        help: "Time from the first byte of a review to its answer.",
        shape: Shape::Histogram(PATIENCE),
    },
    counter(
        "webhook_patch_attempts_total",
        "Writes of our roots into webhooks, by webhook.",
    ),
    counter(
        "webhook_patch_retries_total",
        "Such writes where somebody else was faster.",
    ),
    counter(
        "webhook_patch_failures_total",
        "Such writes that failed, by webhook and reason.",
    ),
    counter("citadel_server_csr_count", "Signing requests that came in."),
    counter(
        "citadel_server_authentication_failure_count",
        "Signing requests of somebody who is not known.",
    ),
    counter(
        "citadel_server_id_extraction_err_count",
        "Signing requests of somebody who is known, but is no workload.",
    ),
    counter(
        "citadel_server_csr_parsing_err_count",
        "Signing requests that cannot be read, or whose key is weak or not proved.",
    ),
    counter(
        "citadel_server_csr_sign_err_count",
        "Good signing requests that were not signed, by error.",
    ),
    counter(
        "citadel_server_success_cert_issuance_count",
        "Certificates of workloads that were signed.",
    ),
    counter(
        "meltemi_xds_unauthenticated_total",
        "Streams refused because it was not proved who called.",
    ),
    counter("pilot_xds_pushes", "Responses sent, by type."),
    counter(
        "pilot_total_xds_rejects",
        "Responses that proxies refused, by type.",
    ),
    seconds(
        "pilot_proxy_convergence_time",
        "Time from a change to a proxy that has confirmed all of it.",
    ),
    counter(
        "meltemi_translate_builds_total",
        "Resources built, by type.",
    ),
    counter("meltemi_encodes_total", "Resources encoded, by type."),
    gauge("meltemi_classes", "Classes of proxies, by type."),
    counter("meltemi_resources_sent_total", "Resources sent, by type."),
    counter(
        "meltemi_resource_bytes_sent_total",
        "Bytes of resources sent, by type.",
    ),
    counter(
        "meltemi_nacks_total",
        "Responses that proxies refused, by type.",
    ),
    gauge(
        "meltemi_quarantined",
        "Resources held at their last good version, by type.",
    ),
    counter(
        "meltemi_xds_stream_panics_total",
        "Streams that ended in a bug.",
    ),
    gauge(
        "meltemi_diagnostics",
        "What is wrong with users' objects now, by severity.",
    ),
    gauge(
        "meltemi_mesh_root_faults",
        "What cannot be used of MeshConfig.caCertificates now.",
    ),
    gauge(
        "meltemi_spiffe_bundles",
        "Addresses of SPIFFE bundles by state: good, old (what was read before counts), none.",
    ),
    gauge(
        "meltemi_mesh_config_hash",
        "Which mesh configuration is served: the same number on replicas that serve the same.",
    ),
    counter(
        "meltemi_kube_lists_total",
        "Complete lists of the API server's objects, by kind.",
    ),
    counter(
        "meltemi_kube_faults_total",
        "Requests to the API server that failed, by kind and fault.",
    ),
    counter(
        "meltemi_kube_healed_total",
        "Changes that watches had missed, found by comparing, by kind.",
    ),
    counter(
        "meltemi_kube_restores_total",
        "Times that the API server's store went back in time.",
    ),
    counter(
        "meltemi_status_writes_total",
        "Writes of objects' status, by result.",
    ),
    counter(
        "meltemi_status_events_total",
        "Events about objects, by result.",
    ),
    gauge(
        "meltemi_status_queue",
        "Objects whose status is to be looked at.",
    ),
    seconds(
        "meltemi_config_propagation_seconds",
        "Time from a change seen to a proxy's answer.",
    ),
];
