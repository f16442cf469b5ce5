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
    Tproxy {
        port: u16,
        mark: u32,
    },
    Mark(u32),
    SaveMark,
    RestoreMark,
    Zone(u16),
    /// Says what the next rule, which matches the same, is going to do; the packet goes on.
    Tell(Chain, &'static str),
}

impl Action {
    /// What it does, in the words of iptables.
    fn word(self) -> &'static str {
        match self {
            Self::Return => "RETURN",
            Self::Accept => "ACCEPT",
            Self::Drop => "DROP",
            Self::Jump(chain) => chain.names().0,
            Self::Redirect(_) => "REDIRECT",
            Self::Tproxy { .. } => "TPROXY",
            Self::Mark(_) | Self::SaveMark | Self::RestoreMark => "MARK",
            Self::Zone(_) => "CT",
            Self::Tell(_, word) => word,
        }
    }
}

/// Who reads what is told finds it under this number, Istio's.
pub(crate) const TOLD: u16 = 1337;
/// How much of a packet is told, in bytes: the header of IPv4.
pub(crate) const TOLD_BYTES: u16 = 20;

/// What is written before a packet that is told of: the chain, and what its rule does.
pub(crate) fn prefix(chain: Chain, word: &str) -> String {
    format!("{}:{word}", chain.names().0)
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
    /// Each rule in a chain of ours has one before it that tells.
    traces: bool,
}

/// A chain of a table.
pub(crate) type Place = (Table, Chain);

impl Rules {
    pub(crate) fn of_families(families: &[Family], traces: bool) -> Self {
        Self {
            all: Vec::new(),
            families: families.to_vec(),
            traces,
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
        self.put((None, None), place, (matches, action));
    }

    /// Puts a rule at a place from 1 on, before what is there.
    pub(crate) fn at(&mut self, at: usize, place: Place, rule: (Vec<Match>, Action)) {
        self.put((Some(at), None), place, rule);
    }

    /// Puts a rule of one family that names no address.
    pub(crate) fn of(&mut self, family: Family, place: Place, rule: (Vec<Match>, Action)) {
        self.put((None, Some(family)), place, rule);
    }

    fn put(&mut self, at: Where, place: Place, (matches, action): (Vec<Match>, Action)) {
        let (at, family) = at;
        let family = family.or_else(|| matches.iter().find_map(Match::family));
        if family.is_some_and(|family| !self.families.contains(&family)) {
            return;
        }
        let (table, chain) = place;
        let rule = |at, matches, action| Rule {
            table,
            chain,
            at,
            family,
            matches,
            action,
        };
        if self.traces && !chain.is_built_in() {
            let tells = Action::Tell(chain, action.word());
            // Both count, so what was the second becomes the third and fourth.
            let first = at.map(|at| 2 * at - 1);
            self.all.push(rule(first, matches.clone(), tells));
            self.all.push(rule(first.map(|at| at + 1), matches, action));
        } else {
            self.all.push(rule(at, matches, action));
        }
    }
}

/// A place from 1 on, if not the end, and a family, if not what the matches say.
type Where = (Option<usize>, Option<Family>);
