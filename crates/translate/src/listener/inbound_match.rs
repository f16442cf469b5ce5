//! Which connections an inbound port takes, by protocol and mTLS mode, as one table.
//!
//! Follows <https://istio.io/latest/docs/reference/config/security/peer_authentication/>. Clients of
//! the mesh offer names of their own in ALPN, which tells "mTLS that ends here" from "TLS that is
//! the application's". HTTP ports in permissive mode take no TLS but the mesh's.

use super::chain::{Alpn, Transport};
use meltemi_model::Certificates;
use meltemi_model::security::MtlsMode;
use meltemi_types::Protocol;

/// What an inbound port declares, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortKind {
    Http,
    Tcp,
    Auto,
}

impl PortKind {
    /// Of a protocol. UDP counts as bytes; such ports have no listener.
    pub(super) fn of(protocol: Protocol) -> Self {
        match (protocol.is_http(), protocol == Protocol::Auto) {
            (true, _) => Self::Http,
            (false, true) => Self::Auto,
            (false, false) => Self::Tcp,
        }
    }
}

/// How a connection is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Http,
    Bytes,
}

/// Where TLS ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// There is none, or it is the application's.
    Elsewhere,
    /// Here: the mesh's mTLS.
    Here,
    /// Here: with a certificate of the user.
    Own,
}

/// One chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) transport: Transport,
    pub(super) alpn: Alpn,
    pub(super) tls: Tls,
    pub(super) reading: Reading,
}

const fn row(transport: Transport, alpn: Alpn, tls: Tls, reading: Reading) -> Row {
    Row {
        transport,
        alpn,
        tls,
        reading,
    }
}

const fn mtls(alpn: Alpn, reading: Reading) -> Row {
    row(Transport::Tls, alpn, Tls::Here, reading)
}

const PLAIN_HTTP: Row = row(Transport::Raw, Alpn::Any, Tls::Elsewhere, Reading::Http);
const SEEN_HTTP: Row = row(
    Transport::Raw,
    Alpn::PlainHttp,
    Tls::Elsewhere,
    Reading::Http,
);
const PLAIN_BYTES: Row = row(Transport::Raw, Alpn::Any, Tls::Elsewhere, Reading::Bytes);
const OWN_TLS: Row = row(Transport::Tls, Alpn::Any, Tls::Elsewhere, Reading::Bytes);

/// The whole table.
fn table(kind: PortKind, mode: MtlsMode) -> &'static [Row] {
    use MtlsMode::{Disable, Permissive, Strict};
    use PortKind::{Auto, Http, Tcp};
    use Reading::Bytes;
    const HTTP: Reading = Reading::Http;
    match (kind, mode) {
        (Http, Strict) => const { &[mtls(Alpn::Any, HTTP)] },
        (Http, Permissive) => const { &[mtls(Alpn::IstioAll, HTTP), PLAIN_HTTP] },
        (Http, Disable) => const { &[PLAIN_HTTP] },
        (Tcp, Strict) => const { &[mtls(Alpn::Any, Bytes)] },
        (Tcp, Permissive) => const { &[mtls(Alpn::IstioAll, Bytes), OWN_TLS, PLAIN_BYTES] },
        (Tcp, Disable) => const { &[PLAIN_BYTES] },
        (Auto, Strict) => const { &[mtls(Alpn::IstioHttp, HTTP), mtls(Alpn::Any, Bytes)] },
        (Auto, Permissive) => {
            const {
                &[
                    mtls(Alpn::IstioHttp, HTTP),
                    SEEN_HTTP,
                    mtls(Alpn::IstioTcp, Bytes),
                    PLAIN_BYTES,
                    OWN_TLS,
                ]
            }
        }
        (Auto, Disable) => const { &[SEEN_HTTP, PLAIN_BYTES] },
    }
}

/// The one chain of a port where TLS with a certificate of the user ends: what is declared as
/// TLS around HTTP is read as HTTP.
pub(super) fn ends_tls(protocol: Protocol) -> Row {
    let http = protocol.is_http() || protocol == Protocol::Https;
    let reading = if http { Reading::Http } else { Reading::Bytes };
    row(Transport::Tls, Alpn::Any, Tls::Own, reading)
}

/// The chains of a port that can be served. Without certificates a strict port is left with the
/// plaintext chains, whose connections the caller must refuse.
pub(super) fn rows(kind: PortKind, mode: MtlsMode, certificates: Certificates) -> Vec<Row> {
    let all = match (certificates, mode) {
        (Certificates::None, MtlsMode::Strict) => table(kind, MtlsMode::Disable),
        (Certificates::None | Certificates::Bootstrap | Certificates::Sds, _) => table(kind, mode),
    };
    let served = |row: &&Row| certificates.exist() || row.tls == Tls::Elsewhere;
    all.iter().filter(served).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::chain::Match;

    const MODES: [MtlsMode; 3] = [MtlsMode::Strict, MtlsMode::Permissive, MtlsMode::Disable];
    const KINDS: [PortKind; 3] = [PortKind::Http, PortKind::Tcp, PortKind::Auto];

    #[test]
    fn no_two_chains_of_a_port_collide() {
        for certificates in [Certificates::None, Certificates::Sds] {
            for (kind, mode) in KINDS.iter().flat_map(|k| MODES.map(|m| (*k, m))) {
                let matches: Vec<Match> = rows(kind, mode, certificates)
                    .iter()
                    .map(|row| Match {
                        transport: row.transport,
                        alpn: row.alpn,
                        ..Match::default()
                    })
                    .collect();
                for (i, one) in matches.iter().enumerate() {
                    let later = matches.iter().skip(i + 1);
                    assert!(later.into_iter().all(|two| !one.collides(two)), "{kind:?}");
                }
            }
        }
    }

    #[test]
    fn without_certificates_no_chain_ends_tls_and_every_port_has_one() {
        for (kind, mode) in KINDS.iter().flat_map(|k| MODES.map(|m| (*k, m))) {
            let rows = rows(kind, mode, Certificates::None);
            assert!(!rows.is_empty());
            assert!(rows.iter().all(|row| row.tls == Tls::Elsewhere));
        }
        let open = rows(PortKind::Tcp, MtlsMode::Permissive, Certificates::None);
        assert_eq!(open, [OWN_TLS, PLAIN_BYTES]);
    }

    #[test]
    fn a_strict_port_takes_nothing_in_clear() {
        for kind in KINDS {
            let rows = rows(kind, MtlsMode::Strict, Certificates::Sds);
            assert!(rows.iter().all(|row| row.tls == Tls::Here));
        }
    }
}
