//! A rule as a value: where it stands, what it matches, what it does. Both back ends write the same
//! rules, so what one captures the other does.

use crate::value::Nic;
use ipnet::IpNet;

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    pub(crate) fn of(net: &IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }
}

/// A table, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Mangle,
    Nat,
    Raw,
}

pub(crate) const TABLES: [Table; 3] = [Table::Mangle, Table::Nat, Table::Raw];

impl Table {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mangle => "mangle",
            Self::Nat => "nat",
            Self::Raw => "raw",
        }
    }

    /// Its name in nftables.
    pub(crate) fn nft_name(self) -> &'static str {
        match self {
            Self::Mangle => "istio-proxy-mangle",
            Self::Nat => "istio-proxy-nat",
            Self::Raw => "istio-proxy-raw",
        }
    }
}

/// A chain: the kernel's two, then ours in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Chain {
    Prerouting,
    Output,
    Inbound,
    InRedirect,
    Redirect,
    Outbound,
    OutputDns,
    Divert,
    Tproxy,
    Drop,
}

impl Chain {
    /// Its name in iptables, and in nftables.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Prerouting => ("PREROUTING", "prerouting"),
            Self::Output => ("OUTPUT", "output"),
            Self::Inbound => ("ISTIO_INBOUND", "istio-inbound"),
            Self::InRedirect => ("ISTIO_IN_REDIRECT", "istio-in-redirect"),
            Self::Redirect => ("ISTIO_REDIRECT", "istio-redirect"),
            Self::Outbound => ("ISTIO_OUTPUT", "istio-output"),
            Self::OutputDns => ("ISTIO_OUTPUT_DNS", "istio-output-dns"),
            Self::Divert => ("ISTIO_DIVERT", "istio-divert"),
            Self::Tproxy => ("ISTIO_TPROXY", "istio-tproxy"),
            Self::Drop => ("ISTIO_DROP", "istio-drop"),
        }
    }

    /// Whether the kernel runs it.
    pub(crate) fn is_built_in(self) -> bool {
        matches!(self, Self::Prerouting | Self::Output)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    User(u32),
    Group(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Invalid,
    Known,
}

/// A condition; those with `Not` before them hold when the other does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    In(Nic),
    Out(Nic),
    Incoming,
    Local,
    From(IpNet),
    To(IpNet),
    NotTo(IpNet),
    Protocol(Protocol),
    Port(u16),
    NotPorts(Vec<u16>),
    FromPort(u16),
    Owner(Owner),
    NotOwner(Owner),
    State(State),
    Mark(u32),
    NotMark(u32),
    ConnectionMark(u32),
}

impl Match {
    fn family(&self) -> Option<Family> {
        match self {
            Self::From(net) | Self::To(net) | Self::NotTo(net) => Some(Family::of(net)),
            Self::In(_)
            | Self::Out(_)
            | Self::Incoming
            | Self::Local
            | Self::Protocol(_)
            | Self::Port(_)
            | Self::NotPorts(_)
            | Self::FromPort(_)
            | Self::Owner(_)
            | Self::NotOwner(_)
            | Self::State(_)
            | Self::Mark(_)
            | Self::NotMark(_)
            | Self::ConnectionMark(_) => None,
        }
    }
}

/// What happens to a packet that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Return,
    Accept,
    Drop,
    Jump(Chain),
    Redirect(u16),
    Tproxy { port: u16, mark: u32 },
    Mark(u32),
    SaveMark,
    RestoreMark,
    Zone(u16),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) table: Table,
    pub(crate) chain: Chain,
    /// Its place when it is put before others, from 1 on.
    pub(crate) at: Option<usize>,
    /// None is both.
    pub(crate) family: Option<Family>,
    pub(crate) matches: Vec<Match>,
    pub(crate) action: Action,
}

impl Rule {
    pub(crate) fn is_of(&self, family: Family) -> bool {
        self.family.is_none_or(|own| own == family)
    }
}

/// Rules in the order in which they are given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    all: Vec<Rule>,
    families: Vec<Family>,
}

/// A chain of a table.
pub(crate) type Place = (Table, Chain);

impl Rules {
    pub(crate) fn of_families(families: &[Family]) -> Self {
        Self {
            all: Vec::new(),
            families: families.to_vec(),
        }
    }

    pub(crate) fn all(&self) -> &[Rule] {
        &self.all
    }

    pub(crate) fn families(&self) -> &[Family] {
        &self.families
    }

    /// Puts a rule behind those of its chain, unless its addresses are of a family that is left out.
    pub(crate) fn end(&mut self, place: Place, matches: Vec<Match>, action: Action) {
        self.put(None, place, (matches, action));
    }

    /// Puts a rule at a place from 1 on, before what is there.
    pub(crate) fn at(&mut self, at: usize, place: Place, rule: (Vec<Match>, Action)) {
        self.put(Some(at), place, rule);
    }

    /// Puts a rule of one family that names no address.
    pub(crate) fn of(&mut self, family: Family, place: Place, rule: (Vec<Match>, Action)) {
        if self.families.contains(&family) {
            self.put(None, place, rule);
            if let Some(last) = self.all.last_mut() {
                last.family = Some(family);
            }
        }
    }

    fn put(&mut self, at: Option<usize>, (table, chain): Place, rule: (Vec<Match>, Action)) {
        let (matches, action) = rule;
        let family = matches.iter().find_map(Match::family);
        if family.is_none_or(|family| self.families.contains(&family)) {
            self.all.push(Rule {
                table,
                chain,
                at,
                family,
                matches,
                action,
            });
        }
    }
}
