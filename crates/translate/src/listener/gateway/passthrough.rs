//! TLS that a gateway does not end: by the server names of TLS rules, or by the names that the
//! mesh's own clients send (`AUTO_PASSTHROUGH`).
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/gateway/#ServerTLSSettings-TLSmode>.

use super::{Builder, tcp, unusable};
use crate::cluster;
use crate::gateway::{Placed, is_reachable};
use crate::listener::chain::{Alpn, Chain, Handler, Match};
use crate::listener::tcp_proxy::TcpSpec;
use crate::name;
use meltemi_types::HostPattern;

impl<'a> Builder<'_, 'a> {
    /// One chain for each condition of the TLS rules, for the names that the server has.
    pub(super) fn passthrough(&mut self, placed: Placed<'a>) {
        let attachment = placed.attachment();
        let hosts = placed.server.names();
        for table in self.tables(placed) {
            for rule in &table.tls {
                for condition in &rule.matches {
                    let names = condition.sni_hosts.iter();
                    let served = names.filter(|name| hosts.iter().any(|own| own.overlaps(name)));
                    let served: Vec<HostPattern> = served.cloned().collect();
                    if served.is_empty() || !tcp::applies(condition, placed, &attachment) {
                        continue;
                    }
                    match Match::default().with_names(&served) {
                        Some(matching) => {
                            let chain = self.chain_to(placed, matching, (&table, rule));
                            self.add(placed, chain);
                        }
                        None => self.diagnostics.push(unusable(&rule.origin)),
                    }
                }
            }
        }
    }

    /// One chain for each cluster of the mesh that a host of the server covers.
    pub(super) fn auto_passthrough(&mut self, placed: Placed<'a>) {
        let hosts = placed.server.names();
        let view = self.view;
        for import in &view.imports {
            let service = &import.service;
            if !is_reachable(service, &hosts) {
                continue;
            }
            for (port, subset) in cluster::names(view, import) {
                let cluster = name::sni(port, &subset, &service.key.host);
                let matching = Match {
                    server_names: vec![cluster.as_str().into()],
                    alpn: Alpn::IstioAll,
                    ..Match::default()
                };
                let spec = TcpSpec {
                    access: self.access,
                    ..TcpSpec::to(cluster)
                };
                self.add(placed, Chain::new(matching, Handler::Tcp(spec)));
            }
        }
    }
}
