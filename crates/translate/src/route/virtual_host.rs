//! Virtual hosts: one for each host, with the routes of its route table or one to its service.

use super::domains::Domains;
use super::{HostInput, HostRoutes, Naming, Settings, TablePlan, action, table};
use crate::name;
use meltemi_proto::envoy::config::route::v3 as envoy;
use meltemi_types::Diagnostic;
use std::collections::HashMap;
use std::sync::Arc;

/// All virtual hosts of a route configuration but the catch-all.
pub(super) struct VirtualHosts {
    pub(super) hosts: Vec<envoy::VirtualHost>,
    /// One of them has the domain `*`.
    pub(super) takes_everything: bool,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// Makes the virtual hosts. One without routes or without a domain of its own is left out.
pub(super) fn all(naming: &Naming, settings: &Settings, inputs: &[HostInput]) -> VirtualHosts {
    let mut domains = Domains::new(naming, inputs);
    let mut compiler = Compiler::new(settings);
    let mut hosts = Vec::with_capacity(inputs.len() + 1);
    for input in inputs {
        let routes = compiler.routes(input);
        if routes.is_empty() {
            continue;
        }
        let domains = domains.take(input);
        if domains.is_empty() {
            continue;
        }
        hosts.push(envoy::VirtualHost {
            name: name::virtual_host(&input.host, input.port).to_string(),
            domains,
            routes,
            include_request_attempt_count: settings.attempt_count,
            ..envoy::VirtualHost::default()
        });
    }
    let mut diagnostics = compiler.found;
    diagnostics.append(&mut domains.found);
    VirtualHosts {
        hosts,
        takes_everything: domains.everything(),
        diagnostics,
    }
}

/// Makes routes, each table's once.
struct Compiler<'a> {
    settings: &'a Settings,
    tables: HashMap<*const TablePlan, Vec<envoy::Route>>,
    found: Vec<Diagnostic>,
}

impl<'a> Compiler<'a> {
    fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            tables: HashMap::new(),
            found: Vec::new(),
        }
    }

    fn routes(&mut self, input: &HostInput) -> Vec<envoy::Route> {
        match &input.routes {
            HostRoutes::Default(hash) => {
                let cluster = name::outbound_cluster(input.port, "", &input.host);
                vec![action::default_route(
                    &cluster,
                    hash.as_deref(),
                    self.settings,
                )]
            }
            HostRoutes::Table(plan) => {
                let known = self.tables.entry(Arc::as_ptr(plan));
                let found = &mut self.found;
                let settings = self.settings;
                known
                    .or_insert_with(|| table::routes(plan, settings, found))
                    .clone()
            }
        }
    }
}
