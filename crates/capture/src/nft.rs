//! The same rules for nft: three tables of both families, made anew in one transaction.
//!
//! They are written as `nft --stateless --numeric-priority list table` prints them, so that what is
//! there can be compared with what is wanted as text. The surprise: one table holds both families,
//! so without rules for IPv6 each hook sends its packets back first, as if there were no table.

use crate::iptables::chains_of;
use crate::plan::Plan;
use crate::rule::{
    Action, Chain, Family, Match, Owner, Protocol, Rule, State, TABLES, TOLD, TOLD_BYTES, Table,
    prefix,
};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The names of the tables, of family `inet`.
pub const NAMES: [&str; 3] = ["istio-proxy-mangle", "istio-proxy-nat", "istio-proxy-raw"];

impl Plan {
    /// The script that makes the tables anew, whatever was there.
    #[must_use]
    pub fn nft(&self) -> String {
        let tables = TABLES.iter().map(|table| self.table(*table));
        let tables: Vec<String> = tables.filter(|text| !text.is_empty()).collect();
        format!("{}{}", Self::nft_removal(), tables.concat())
    }

    /// The script that takes the tables away, whether or not they are there.
    #[must_use]
    pub fn nft_removal() -> String {
        let names = TABLES.iter().map(|table| table.nft_name());
        names.fold(String::new(), |text, name| {
            format!("{text}add table inet {name}\ndelete table inet {name}\n")
        })
    }

    /// Whether a table is other than wanted, by what nft prints of it, which is none when there is
    /// no such table.
    #[must_use]
    pub fn nft_differs(&self, name: &str, printed: Option<&str>) -> bool {
        let table = TABLES.iter().find(|table| table.nft_name() == name);
        let wanted = table.map_or_else(String::new, |table| self.table(*table));
        // Without /etc/protocols it prints the number of a protocol.
        let words = |text: &str| -> Vec<String> {
            let named = text.replace("meta l4proto 6 ", "meta l4proto tcp ");
            named.split_whitespace().map(ToOwned::to_owned).collect()
        };
        words(&wanted) != words(printed.unwrap_or_default())
    }

    /// A table, empty when nothing is in it.
    fn table(&self, table: Table) -> String {
        let rules = self.rules.all().iter().filter(|rule| rule.table == table);
        let rules: Vec<&Rule> = rules.collect();
        let ours: BTreeSet<Chain> = rules.iter().flat_map(|rule| chains_of(rule)).collect();
        let hooks = [Chain::Prerouting, Chain::Output].into_iter();
        let hooks = hooks.filter(|hook| rules.iter().any(|rule| rule.chain == *hook));
        let chains: Vec<String> = hooks
            .chain(ours)
            .map(|chain| self.chain(table, chain))
            .collect();
        match chains.is_empty() {
            true => String::new(),
            false => format!(
                "table inet {} {{\n{}}}\n",
                table.nft_name(),
                chains.join("\n")
            ),
        }
    }

    fn chain(&self, table: Table, chain: Chain) -> String {
        let mut text = format!("\tchain {} {{\n", chain.names().1);
        let mut line = |line: &str| {
            let _infallible = writeln!(text, "\t\t{line}");
        };
        if let Some((kind, priority)) = hook(table, chain) {
            let name = chain.names().1;
            line(&format!(
                "type {kind} hook {name} priority {priority}; policy accept;"
            ));
            if !self.families().contains(&Family::V6) {
                line("meta nfproto ipv6 counter return");
            }
        }
        for rule in self.in_order(table, chain) {
            line(&written(rule));
        }
        text.push_str("\t}\n");
        text
    }

    /// The rules of a chain as they stand in the end. Places count the rules that a packet of a
    /// family meets; a rule of both stands where it is late enough for either.
    fn in_order(&self, table: Table, chain: Chain) -> Vec<&Rule> {
        let mut order: Vec<&Rule> = Vec::new();
        let place = (table, chain);
        let rules = self.rules.all().iter();
        for rule in rules.filter(|rule| (rule.table, rule.chain) == place) {
            let index = rule.at.map_or(order.len(), |at| {
                let families = self.families().iter();
                let families = families.filter(|family| rule.is_of(**family));
                let index = families.map(|family| index(&order, at, *family));
                index.max().unwrap_or_default()
            });
            order.insert(index, rule);
        }
        order
    }
}

/// Type and priority of a chain that the kernel runs.
fn hook(table: Table, chain: Chain) -> Option<(&'static str, i32)> {
    if !chain.is_built_in() {
        return None;
    }
    Some(match table {
        Table::Mangle if chain == Chain::Output => ("route", -150),
        Table::Mangle => ("filter", -150),
        Table::Nat => ("nat", -100),
        Table::Raw => ("filter", -300),
    })
}

/// Where a rule goes to be the `at`th that packets of a family meet.
fn index(order: &[&Rule], at: usize, family: Family) -> usize {
    let met = order.iter().enumerate();
    let mut met = met.filter(|(_, one)| one.is_of(family));
    match at.checked_sub(2) {
        None => 0,
        Some(before) => met.nth(before).map_or(order.len(), |(index, _)| index + 1),
    }
}

fn written(rule: &Rule) -> String {
    let mut words = Vec::new();
    let names_address =
        |one: &Match| matches!(one, Match::From(_) | Match::To(_) | Match::NotTo(_));
    if let (Some(family), false) = (rule.family, rule.matches.iter().any(names_address)) {
        words.push(format!("meta nfproto {}", long(family)));
    }
    let names_port = |one: &Match| {
        matches!(
            one,
            Match::Port(_) | Match::NotPorts(_) | Match::FromPort(_)
        )
    };
    let has_port = rule.matches.iter().any(names_port);
    let mut protocols = rule.matches.iter().filter_map(protocol);
    let protocol = protocols.next().unwrap_or("tcp");
    for one in &rule.matches {
        match one {
            Match::Protocol(_) if has_port => {}
            Match::Protocol(_) => words.push(format!("meta l4proto {protocol}")),
            Match::Port(port) => words.push(format!("{protocol} dport {port}")),
            Match::FromPort(port) => words.push(format!("{protocol} sport {port}")),
            Match::NotPorts(ports) => words.push(format!("{protocol} dport != {}", set(ports))),
            Match::In(_)
            | Match::Out(_)
            | Match::Incoming
            | Match::Local
            | Match::From(_)
            | Match::To(_)
            | Match::NotTo(_)
            | Match::Owner(_)
            | Match::NotOwner(_)
            | Match::State(_)
            | Match::Mark(_)
            | Match::NotMark(_)
            | Match::ConnectionMark(_) => words.push(condition(one)),
        }
    }
    words.push("counter".to_owned());
    words.push(statement(rule));
    words.join(" ")
}

fn protocol(one: &Match) -> Option<&'static str> {
    match one == &Match::Protocol(Protocol::Udp) {
        true => Some("udp"),
        false => (one == &Match::Protocol(Protocol::Tcp)).then_some("tcp"),
    }
}

fn set(ports: &[u16]) -> String {
    let texts: Vec<String> = ports.iter().map(ToString::to_string).collect();
    match texts.as_slice() {
        [port] => port.clone(),
        ports => format!("{{ {} }}", ports.join(", ")),
    }
}

fn long(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

fn short(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

/// A range; of one address, the address.
fn address(word: &str, net: &ipnet::IpNet) -> String {
    let family = short(Family::of(net));
    match net.prefix_len() == net.max_prefix_len() {
        true => format!("{family} {word} {}", net.addr()),
        false => format!("{family} {word} {net}"),
    }
}

fn interface(word: &str, name: &str) -> String {
    match name.strip_suffix('+') {
        Some(start) => format!("{word} \"{start}*\""),
        None => format!("{word} \"{name}\""),
    }
}

/// Every condition but those of ports and protocols.
fn condition(condition: &Match) -> String {
    match condition {
        Match::In(nic) => interface("iifname", nic.as_str()),
        Match::Out(nic) => interface("oifname", nic.as_str()),
        Match::Incoming => interface("iifname", "lo"),
        Match::Local => interface("oifname", "lo"),
        Match::From(net) => address("saddr", net),
        Match::To(net) => address("daddr", net),
        Match::NotTo(net) => address("daddr !=", net),
        Match::Owner(Owner::User(id)) => format!("meta skuid {id}"),
        Match::Owner(Owner::Group(id)) => format!("meta skgid {id}"),
        Match::NotOwner(Owner::User(id)) => format!("meta skuid != {id}"),
        Match::NotOwner(Owner::Group(id)) => format!("meta skgid != {id}"),
        Match::State(State::Invalid) => "ct state invalid".to_owned(),
        Match::State(State::Known) => "ct state established,related".to_owned(),
        Match::Mark(mark) => format!("meta mark {mark:#010x}"),
        Match::NotMark(mark) => format!("meta mark != {mark:#010x}"),
        Match::ConnectionMark(mark) => format!("ct mark {mark:#010x}"),
        Match::Protocol(_) | Match::Port(_) | Match::NotPorts(_) | Match::FromPort(_) => {
            String::new()
        }
    }
}

fn statement(rule: &Rule) -> String {
    match rule.action {
        Action::Return => "return".to_owned(),
        Action::Accept => "accept".to_owned(),
        Action::Drop => "drop".to_owned(),
        Action::Jump(chain) => format!("jump {}", chain.names().1),
        Action::Redirect(port) => format!("redirect to :{port}"),
        Action::Tproxy { port, mark } => {
            let family = rule
                .family
                .map_or(String::new(), |one| format!("{} ", short(one)));
            format!("tproxy {family}to :{port} meta mark set {mark:#010x} accept")
        }
        Action::Mark(mark) => format!("meta mark set {mark:#010x}"),
        Action::SaveMark => "ct mark set meta mark".to_owned(),
        Action::RestoreMark => "meta mark set ct mark".to_owned(),
        Action::Zone(zone) => format!("ct zone set {zone}"),
        Action::Tell(chain, word) => {
            let prefix = prefix(chain, word);
            format!("log prefix \"{prefix}\" group {TOLD} snaplen {TOLD_BYTES}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Said;
    use crate::settings::{Settings, Surroundings};

    #[test]
    fn tables_are_known_again_as_nft_prints_them() {
        let said = Said::of(
            |flag| (flag.short == Some('i')).then(|| "*".to_owned()),
            |_| None,
        );
        let read = Settings::read(&said, &Surroundings::default()).unwrap();
        let plan = Plan::of(&read.settings);
        let name = Table::Nat.nft_name();
        let table = plan.table(Table::Nat);
        assert!(plan.nft_differs(name, None));
        assert!(!plan.nft_differs(name, Some(&table)));
        let without_names = table.replace("l4proto tcp", "l4proto 6");
        assert!(!plan.nft_differs(name, Some(&without_names)));
        let other = table.replace("15001", "15002");
        assert!(plan.nft_differs(name, Some(&other)));
        // A table of an earlier run that is wanted no more.
        let raw = Table::Raw.nft_name();
        assert!(!plan.nft_differs(raw, None));
        assert!(plan.nft_differs(raw, Some("table inet istio-proxy-raw { }")));
    }
}
