//! The rules for iptables and ip6tables: one restore input, which the kernel takes table by table
//! as a whole, so there is no moment with half of the rules of a table.
//!
//! Rules that differ from what is wanted are replaced within the same input. The surprise: rules of
//! the kernel's own chains that jump to none of ours (interfaces that are left alone, marks) are
//! known again only when they are wanted now too.

use crate::plan::Plan;
use crate::rule::{
    Action, Chain, Family, Match, Owner, Protocol, Rule, State, TABLES, TOLD, TOLD_BYTES, prefix,
};
use crate::saved::Saved;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A rule, as `iptables --check` is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its table.
    pub table: &'static str,
    /// Chain, matches and target.
    pub words: Vec<String>,
}

impl Plan {
    /// The restore input for a machine that has no rules of ours.
    #[must_use]
    pub fn restore(&self, family: Family) -> String {
        self.replace(family, &Saved::default(), &[])
    }

    /// The question for each rule of a family, in order.
    #[must_use]
    pub fn checks(&self, family: Family) -> Vec<Check> {
        let checks = self.rules_of(family).map(|rule| Check {
            table: rule.table.name(),
            words: body(rule).split(' ').map(ToOwned::to_owned).collect(),
        });
        checks.collect()
    }

    /// Whether there is anything else than what is wanted; `found` answers the checks.
    #[must_use]
    pub fn differs(&self, family: Family, saved: &Saved, found: &[bool]) -> bool {
        let known = saved.tables();
        let tables = TABLES.iter().map(|table| table.name());
        let tables: BTreeSet<&str> = tables.chain(known).collect();
        let has_others = tables.into_iter().any(|table| {
            let wanted = self.counts(family, table);
            saved.chains(table) != wanted
        });
        has_others || found.len() != self.rules_of(family).count() || found.contains(&false)
    }

    /// The restore input that takes away what is there and puts the rules in its place.
    #[must_use]
    pub fn replace(&self, family: Family, saved: &Saved, found: &[bool]) -> String {
        self.transaction(family, (saved, found), true)
    }

    /// The restore input that takes away what is there.
    #[must_use]
    pub fn remove(&self, family: Family, saved: &Saved, found: &[bool]) -> String {
        self.transaction(family, (saved, found), false)
    }

    fn transaction(&self, family: Family, there: (&Saved, &[bool]), writes: bool) -> String {
        let (saved, found) = there;
        let hooks = self.rules_of(family).zip(found).filter(|(rule, found)| {
            **found && rule.chain.is_built_in() && !matches!(rule.action, Action::Jump(_))
        });
        let hooks: Vec<&Rule> = hooks.map(|(rule, _)| rule).collect();
        let ours = TABLES.iter().map(|table| table.name());
        let tables: BTreeSet<&str> = ours.chain(saved.tables()).collect();
        let mut text = String::new();
        for table in tables {
            let mut lines: Vec<String> = saved.hooks(table).iter().map(deleted).collect();
            let hooks = hooks.iter().filter(|rule| rule.table.name() == table);
            lines.extend(hooks.map(|rule| deleted(&body(rule))));
            let wanted = match writes {
                true => self.counts(family, table),
                false => BTreeMap::new(),
            };
            let there = saved.chains(table);
            lines.extend(there.keys().map(|chain| format!("-F {chain}")));
            let gone = there.keys().filter(|chain| !wanted.contains_key(*chain));
            lines.extend(gone.map(|chain| format!("-X {chain}")));
            let new = self.chains(family, table).into_iter();
            let new = new.filter(|chain| wanted.contains_key(chain) && !there.contains_key(chain));
            lines.extend(new.map(|chain| format!("-N {chain}")));
            if writes {
                let rules = self
                    .rules_of(family)
                    .filter(|rule| rule.table.name() == table);
                lines.extend(rules.map(line));
            }
            if !lines.is_empty() {
                let _infallible = writeln!(text, "*{table}\n{}\nCOMMIT", lines.join("\n"));
            }
        }
        text
    }

    fn rules_of(&self, family: Family) -> impl Iterator<Item = &Rule> {
        let is_wanted = self.families().contains(&family);
        let rules = self.rules.all().iter();
        rules.filter(move |rule| is_wanted && rule.is_of(family))
    }

    /// Our chains of a table in the order in which they are made.
    fn chains(&self, family: Family, table: &str) -> Vec<&'static str> {
        let rules = self
            .rules_of(family)
            .filter(|rule| rule.table.name() == table);
        let chains: BTreeSet<Chain> = rules.flat_map(chains_of).collect();
        chains.into_iter().map(|chain| chain.names().0).collect()
    }

    /// Our chains of a table with the numbers of their rules.
    fn counts(&self, family: Family, table: &str) -> BTreeMap<&'static str, usize> {
        let chains = self.chains(family, table).into_iter();
        let mut counts: BTreeMap<&str, usize> = chains.map(|chain| (chain, 0)).collect();
        for rule in self
            .rules_of(family)
            .filter(|rule| rule.table.name() == table)
        {
            if let Some(count) = counts.get_mut(rule.chain.names().0) {
                *count += 1;
            }
        }
        counts
    }
}

/// The chains of ours that a rule stands in or jumps to.
pub(crate) fn chains_of(rule: &Rule) -> Vec<Chain> {
    let target = match rule.action {
        Action::Jump(chain) => Some(chain),
        Action::Return
        | Action::Accept
        | Action::Drop
        | Action::Redirect(_)
        | Action::Tproxy { .. }
        | Action::Mark(_)
        | Action::SaveMark
        | Action::RestoreMark
        | Action::Zone(_)
        | Action::Tell(_, _) => None,
    };
    let chains = [Some(rule.chain), target].into_iter().flatten();
    chains.filter(|chain| !chain.is_built_in()).collect()
}

fn deleted(rule: &String) -> String {
    format!("-D {rule}")
}

fn line(rule: &Rule) -> String {
    let body = body(rule);
    match (rule.at, body.split_once(' ')) {
        (Some(at), Some((chain, rest))) => format!("-I {chain} {at} {rest}"),
        (Some(_), None) | (None, _) => format!("-A {body}"),
    }
}

/// Chain, matches and target.
fn body(rule: &Rule) -> String {
    let mut words = vec![rule.chain.names().0.to_owned()];
    words.extend(rule.matches.iter().map(condition));
    words.push(format!("-j {}", target(rule.action)));
    words.join(" ")
}

fn condition(condition: &Match) -> String {
    match condition {
        Match::In(nic) => format!("-i {nic}"),
        Match::Out(nic) => format!("-o {nic}"),
        Match::Incoming => "-i lo".to_owned(),
        Match::Local => "-o lo".to_owned(),
        Match::From(net) => format!("-s {net}"),
        Match::To(net) => format!("-d {net}"),
        Match::NotTo(net) => format!("! -d {net}"),
        Match::Protocol(Protocol::Tcp) => "-p tcp".to_owned(),
        Match::Protocol(Protocol::Udp) => "-p udp".to_owned(),
        Match::Port(port) => format!("--dport {port}"),
        Match::NotPorts(ports) => match ports.as_slice() {
            [port] => format!("! --dport {port}"),
            ports => {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                format!("-m multiport ! --dports {}", ports.join(","))
            }
        },
        Match::FromPort(port) => format!("--sport {port}"),
        Match::Owner(Owner::User(id)) => format!("-m owner --uid-owner {id}"),
        Match::Owner(Owner::Group(id)) => format!("-m owner --gid-owner {id}"),
        Match::NotOwner(Owner::User(id)) => format!("-m owner ! --uid-owner {id}"),
        Match::NotOwner(Owner::Group(id)) => format!("-m owner ! --gid-owner {id}"),
        Match::State(State::Invalid) => "-m conntrack --ctstate INVALID".to_owned(),
        Match::State(State::Known) => "-m conntrack --ctstate RELATED,ESTABLISHED".to_owned(),
        Match::Mark(mark) => format!("-m mark --mark {mark}"),
        Match::NotMark(mark) => format!("-m mark ! --mark {mark}"),
        Match::ConnectionMark(mark) => format!("-m connmark --mark {mark}"),
    }
}

fn target(action: Action) -> String {
    match action {
        Action::Return => "RETURN".to_owned(),
        Action::Accept => "ACCEPT".to_owned(),
        Action::Drop => "DROP".to_owned(),
        Action::Jump(chain) => chain.names().0.to_owned(),
        Action::Redirect(port) => format!("REDIRECT --to-ports {port}"),
        Action::Tproxy { port, mark } => {
            format!("TPROXY --tproxy-mark {mark}/0xffffffff --on-port {port}")
        }
        Action::Mark(mark) => format!("MARK --set-mark {mark}"),
        Action::SaveMark => "CONNMARK --save-mark".to_owned(),
        Action::RestoreMark => "CONNMARK --restore-mark".to_owned(),
        Action::Zone(zone) => format!("CT --zone {zone}"),
        Action::Tell(chain, word) => {
            let prefix = prefix(chain, word);
            format!("NFLOG --nflog-prefix {prefix} --nflog-group {TOLD} --nflog-size {TOLD_BYTES}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Flag, Said};
    use crate::settings::{Settings, Surroundings};

    fn plan() -> Plan {
        let flag = |flag: &Flag| match flag.short {
            Some('i') => Some("*".to_owned()),
            Some('c') => Some("eth1".to_owned()),
            _ => None,
        };
        let said = Said::of(flag, |_| None);
        let read = Settings::read(&said, &Surroundings::default());
        Plan::of(&read.unwrap().settings)
    }

    #[test]
    fn what_is_there_is_replaced_in_one_transaction() {
        let saved = Saved::read(
            "*nat\n:ISTIO_OLD - [0:0]\n:ISTIO_OUTPUT - [0:0]\n-A OUTPUT -j ISTIO_OUTPUT\n\
             -A OUTPUT -j KUBE\nCOMMIT\n*raw\n:ISTIO_INBOUND - [0:0]\nCOMMIT\n",
        );
        let plan = plan();
        let checks = plan.checks(Family::V4);
        let is_nic = |check: &Check| check.words.contains(&"eth1".to_owned());
        let found: Vec<bool> = checks.iter().map(is_nic).collect();
        assert!(plan.differs(Family::V4, &saved, &found));
        let text = plan.replace(Family::V4, &saved, &found);
        let head = "*nat\n-D OUTPUT -j ISTIO_OUTPUT\n-D PREROUTING -i eth1 -j RETURN\n\
                    -D OUTPUT -o eth1 -j RETURN\n-F ISTIO_OLD\n-F ISTIO_OUTPUT\n-X ISTIO_OLD\n\
                    -N ISTIO_INBOUND\n-N ISTIO_IN_REDIRECT\n-N ISTIO_REDIRECT\n-A PREROUTING";
        assert!(text.starts_with(head), "{text}");
        let tail = "COMMIT\n*raw\n-F ISTIO_INBOUND\n-X ISTIO_INBOUND\nCOMMIT\n";
        assert!(text.ends_with(tail), "{text}");
        let removed = plan.remove(Family::V4, &saved, &found);
        assert!(
            !removed.contains("-A ") && !removed.contains("-N "),
            "{removed}"
        );
        assert!(!removed.contains("KUBE"), "{removed}");
    }

    #[test]
    fn equal_chains_with_every_rule_do_not_differ() {
        let plan = plan();
        // As if the kernel printed the rules as they were written.
        let mut text = String::new();
        for line in plan.restore(Family::V4).lines() {
            let line = line.replace("-N ", ":");
            let _infallible = writeln!(text, "{line}");
        }
        let saved = Saved::read(&text);
        let all = vec![true; plan.checks(Family::V4).len()];
        assert!(!plan.differs(Family::V4, &saved, &all));
        let mut one_gone = all.clone();
        one_gone.pop();
        one_gone.push(false);
        assert!(plan.differs(Family::V4, &saved, &one_gone));
        let more = Saved::read(&text.replace("COMMIT", "-A ISTIO_OUTPUT -j RETURN\nCOMMIT"));
        assert!(plan.differs(Family::V4, &more, &all));
        // A family without rules has nothing to ask for.
        assert!(plan.checks(Family::V6).is_empty());
    }
}
