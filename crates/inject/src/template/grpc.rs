//! The template `grpc-agent`: applications that speak xDS by themselves, beside an agent without a
//! proxy that gets their certificates and hands their requests on.

use super::fragment::{Fragment, after_start, tcp_port, unless_empty};
use super::sidecar::{arguments, metadata, pull_secrets, ready_probe};
use super::volumes::{self, Shape};
use super::{env, resources};
use crate::annotations;
use crate::context::Context;
use crate::pod;
use crate::refusal::Refusal;
use k8s_openapi::api::core::v1::{Container, EnvVar, VolumeMount};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Where the agent is asked, and says that it is ready.
const AGENT: i32 = 15020;

/// What the template adds.
pub(crate) fn agent(context: &Context<'_>) -> Result<Fragment, Refusal> {
    let volumes = volumes::of_proxy(context, Shape::Agent)?;
    let mut annotations = metadata(context);
    // The application's probes reach it: nothing is captured.
    annotations.insert(annotations::REWRITE_PROBES.to_owned(), "false".to_owned());
    let mut containers = vec![Container {
        volume_mounts: Some(volumes.mounts),
        ..companion(context)
    }];
    containers.extend(context.apps().map(|app| application(pod::name(app))));
    Ok(Fragment {
        labels: context.canonical().into_iter().collect(),
        annotations,
        containers,
        init_containers: Vec::new(),
        volumes: volumes.volumes,
        image_pull_secrets: pull_secrets(context),
        security_context: None,
        dns: None,
    })
}

fn companion(context: &Context<'_>) -> Container {
    let values = context.values();
    let wait = format!("--url=http://localhost:{AGENT}/healthz/ready");
    let said = |key: &str, name: &str| context.said(key, &format!("global.proxy.{name}"));
    let mut ready = ready_probe(said);
    if let Some(get) = &mut ready.http_get {
        get.port = IntOrString::Int(AGENT);
    }
    Container {
        name: pod::PROXY.to_owned(),
        image: Some(context.image("global.proxy.image")),
        image_pull_policy: unless_empty(values.text("global.imagePullPolicy")),
        ports: Some(vec![tcp_port("mesh-metrics", AGENT)]),
        args: Some(arguments(context, "sidecar")),
        lifecycle: Some(after_start(&["pilot-agent", "wait", &wait])),
        env: Some(variables(context)),
        readiness_probe: Some(ready),
        resources: resources::of_proxy(context),
        ..Container::default()
    }
}

/// Those of a proxy, without what only Envoy needs.
fn variables(context: &Context<'_>) -> Vec<EnvVar> {
    const ENVOYS: [&str; 3] = [
        "ISTIO_CPU_LIMIT",
        "GOMEMLIMIT",
        "ISTIO_META_INTERCEPTION_MODE",
    ];
    let mut all = vec![
        env::text("ISTIO_META_GENERATOR", "grpc"),
        env::text("OUTPUT_CERTS", "/var/lib/istio/data"),
    ];
    let proxys = env::of_proxy(context).into_iter();
    all.extend(proxys.filter(|variable| !ENVOYS.contains(&&*variable.name)));
    all.push(env::text("ISTIO_META_DNS_CAPTURE", "false"));
    all.push(env::text("DISABLE_ENVOY", "true"));
    all
}

/// What an application's container gets.
fn application(name: &str) -> Container {
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    };
    let bootstrap = "/etc/istio/proxy/grpc-bootstrap.json";
    Container {
        name: name.to_owned(),
        env: Some(vec![
            env::text("GRPC_XDS_EXPERIMENTAL_SECURITY_SUPPORT", "true"),
            env::text("GRPC_XDS_BOOTSTRAP", bootstrap),
        ]),
        volume_mounts: Some(vec![
            mount("istio-data", "/var/lib/istio/data"),
            mount("istio-xds", "/etc/istio/proxy"),
            mount(
                "workload-certs",
                "/var/run/secrets/workload-spiffe-credentials",
            ),
        ]),
        ..Container::default()
    }
}
