//! ServiceEntry, except for its endpoints.

use super::shared::PORT;
use crate::constraint::{Row, Says::*};

pub(super) const RULES: &[Row] = &[
    ("ServiceEntry", Required(&["hosts"])),
    (
        "ServiceEntry",
        Cel(
            "!(has(self.endpoints) && has(self.workloadSelector))",
            "endpoints and workloadSelector are both set",
        ),
    ),
    (
        "ServiceEntry",
        Cel(
            "!has(self.addresses) || !self.addresses.exists(address, address.contains('/')) || \
             !has(self.resolution) || self.resolution in ['NONE', 'STATIC']",
            "ranges of addresses are for resolution NONE and STATIC alone",
        ),
    ),
    (
        "ServiceEntry",
        Cel(
            "!has(self.endpoints) || (has(self.resolution) && self.resolution != 'NONE')",
            "endpoints are not for resolution NONE",
        ),
    ),
    (
        "ServiceEntry",
        Cel(
            "!has(self.resolution) || self.resolution != 'DNS_ROUND_ROBIN' || !has(self.endpoints) || \
             self.endpoints.size() < 2",
            "resolution DNS_ROUND_ROBIN takes one endpoint at most",
        ),
    ),
    ("ServiceEntry.addresses", MaxItems(256)),
    ("ServiceEntry.addresses[]", MaxLength(64)),
    ("ServiceEntry.endpoints", MaxItems(4096)),
    (
        "ServiceEntry.endpoints[]",
        Cel(
            "has(self.network) || has(self.address)",
            "neither address nor network says where the endpoint is",
        ),
    ),
    ("ServiceEntry.hosts", MinItems(1)),
    ("ServiceEntry.hosts", MaxItems(256)),
    (
        "ServiceEntry.hosts[]",
        Cel("!(self == '*')", "a host of its own cannot be '*'"),
    ),
    ("ServiceEntry.ports", MaxItems(256)),
    ("ServiceEntry.ports", KeyedBy(&["name"])),
    (
        "ServiceEntry.ports",
        Cel(
            "self.all(a, self.filter(b, b.number == a.number).size() == 1)",
            "a port number is there twice",
        ),
    ),
    ("ServicePort", Required(&["number", "name"])),
    ("ServicePort.name", MaxLength(256)),
    ("ServicePort.protocol", MaxLength(256)),
    ("ServicePort.number", PORT),
    ("ServicePort.targetPort", PORT),
];
