//! One outbound cluster: Istio's defaults, and over them the policy in force.

use super::http_options::{self, HttpInput, HttpVersion};
use super::policy::Policy;
use super::{ClusterInput, Outbound, connection_pool, discovery, load_balancer, metadata};
use super::{outlier, tls};
use crate::endpoint::locality;
use crate::name;
use crate::plan::Built;
use meltemi_api::networking::destination_rule::TrafficPolicy;
use meltemi_model::policy::SubsetRule;
use meltemi_proto::envoy::config::cluster::v3 as envoy;
use meltemi_types::{Code, Diagnostic, FieldPath, Origin};

/// Makes an outbound cluster.
pub(super) fn build(input: &ClusterInput, role: &Outbound) -> Built<envoy::Cluster> {
    let mut cluster = envoy::Cluster {
        name: input.name.to_string(),
        ..envoy::Cluster::default()
    };
    let (mesh, service) = (&input.mesh.config, &role.service);
    let Some(port) = service.port(role.port) else {
        return cluster.into();
    };
    let rule = role.rule.as_deref();
    let subset = role.subset_rule();
    let leaf = subset.map(|s| &*s.subset);
    let policy = Policy::outbound(rule, leaf, role.port, mesh);
    let Some(found) = discovery::discovery(input.client.kind, service, port, &policy) else {
        return cluster.into();
    };

    connection_pool::apply(&mut cluster, policy.connection_pool, mesh);
    connection_pool::retry_budget(&mut cluster, policy.retry_budget);
    let preference = locality::setting(&policy, service, mesh);
    let balanced = load_balancer::apply(&mut cluster, policy.load_balancer);
    load_balancer::common(&mut cluster, service, policy.outlier_detection, preference);
    cluster.outlier_detection = policy.outlier_detection.map(outlier::outlier);

    let http = policy.connection_pool.and_then(|p| p.http.as_ref());
    let version = HttpVersion::outbound(input.client.kind, port.protocol, http, mesh);
    let secured = tls::transport(&policy, version, (input, role));
    let options = HttpInput {
        version,
        pool: policy.connection_pool,
        outlier: policy.outlier_detection,
        auto_sni: secured.auto_sni,
        keeps_case: input.client.keeps_case,
    };
    http_options::set(&mut cluster, http_options::options(&options));
    discovery::apply(&mut cluster, found, input, role);
    secured.sockets.set(&mut cluster);
    cluster.metadata = Some(metadata::outbound(role, subset, secured.own));
    cluster.alt_stat_name = name::stat(&metadata::outbound_stat(input, role, leaf));

    let problems = [balanced, secured.problem];
    Built {
        message: cluster,
        diagnostics: problems
            .into_iter()
            .flatten()
            .filter_map(|problem| report(&problem, role, subset))
            .collect(),
    }
}

/// Makes a cluster for connections whose bytes are somebody else's: no TLS of its own, nothing that
/// reads HTTP.
pub(super) fn passing(input: &ClusterInput, role: &Outbound) -> envoy::Cluster {
    envoy::Cluster {
        transport_socket: None,
        transport_socket_matches: Vec::new(),
        transport_socket_matcher: None,
        typed_extension_protocol_options: Default::default(),
        ..build(input, role).message
    }
}

/// Something that a user should know about one block of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The block.
    pub(super) field: &'static str,
    /// The code.
    pub(super) code: Code,
    /// True when traffic fails because of it.
    pub(super) fatal: bool,
    /// What is wrong.
    pub(super) message: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
}

fn report(problem: &Problem, role: &Outbound, subset: Option<&SubsetRule>) -> Option<Diagnostic> {
    let origin = written(problem.field, role, subset)?;
    let (code, message, remedy) = (problem.code, problem.message, problem.remedy);
    Some(match problem.fatal {
        true => Diagnostic::error(code, origin, message, remedy),
        false => Diagnostic::warning(code, origin, message, remedy),
    })
}

/// Where a block is written: in the subset when that has it, else in the rule.
fn written(field: &str, role: &Outbound, subset: Option<&SubsetRule>) -> Option<Origin> {
    let has = |policy: &TrafficPolicy| match field {
        "tls" => policy.tls.is_some(),
        _ => policy.load_balancer.is_some(),
    };
    let own = subset.filter(|s| s.subset.traffic_policy.as_ref().is_some_and(has));
    match own {
        Some(subset) => {
            let path = subset.origin.path.field("trafficPolicy").field(field);
            Some(subset.origin.at(path))
        }
        None => {
            let path = FieldPath::spec().field("trafficPolicy").field(field);
            Some(role.rule.as_ref()?.origins.first()?.at(path))
        }
    }
}
