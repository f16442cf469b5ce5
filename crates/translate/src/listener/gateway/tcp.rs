//! Bytes through a gateway: the first TCP rule of a route table that is attached to the server.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#TCPRoute>.

use super::Builder;
use crate::gateway::Placed;
use crate::listener::chain::{Chain, Handler, Match};
use crate::listener::destination;
use crate::listener::tcp_proxy::TcpSpec;
use crate::wire;
use meltemi_model::route::{L4Match, L4Rule};
use meltemi_model::{Attachment, RouteTable};
use std::sync::Arc;

impl<'a> Builder<'_, 'a> {
    /// The route tables attached to the server that share a host with it.
    pub(super) fn tables(&self, placed: Placed<'a>) -> Vec<Arc<RouteTable>> {
        let shares = |table: &&Arc<RouteTable>| {
            let hosts = placed.server.hosts.iter();
            hosts
                .filter(|own| own.takes(&table.namespace))
                .any(|own| table.hosts.iter().any(|host| host.overlaps(&own.host)))
        };
        let all = self.view.gateway_tables(&placed.attachment());
        all.iter().filter(shares).cloned().collect()
    }

    /// The chain of a server that carries bytes; `None` when no rule does.
    pub(super) fn tcp_chain(&mut self, placed: Placed<'a>, matching: Match) -> Option<Chain> {
        let attachment = placed.attachment();
        let tables = self.tables(placed);
        let (table, rule) = tables.iter().find_map(|table| {
            let applying = |rule: &&L4Rule| {
                let mut matches = rule.matches.iter();
                rule.matches.is_empty() || matches.any(|m| applies(m, placed, &attachment))
            };
            Some((table, table.tcp.iter().find(applying)?))
        })?;
        Some(self.chain_to(placed, matching, (table, rule)))
    }

    /// A chain to the backends of a rule.
    pub(super) fn chain_to(
        &mut self,
        placed: Placed<'a>,
        matching: Match,
        (table, rule): (&RouteTable, &L4Rule),
    ) -> Chain {
        self.origins.push(rule.origin.clone());
        let port = Some(placed.server.port);
        let spec = destination::backends(self.view, table, &rule.backends, port);
        let spec = TcpSpec {
            sniffer: destination::sniffer(placed.server.protocol),
            access: self.access,
            ..spec
        };
        Chain {
            config: Some(wire::config_path(&table.origin).into()),
            ..Chain::new(matching, Handler::Tcp(spec))
        }
    }
}

/// True when a condition holds at a server. Who calls is not known at a gateway.
pub(super) fn applies(condition: &L4Match, placed: Placed<'_>, attachment: &Attachment) -> bool {
    let L4Match {
        sni_hosts: _,           // checked by Envoy
        destination_subnets: _, // connections end here, whatever their address
        port,
        source_labels: _,
        source_namespace: _,
        attach,
    } = condition;
    port.is_none_or(|port| port == placed.server.port)
        && (attach.is_empty() || attach.contains(attachment))
}
