//! The flags of `istio-iptables` as a table: long and short form, environment variable, meaning.
//!
//! Every flag has a variable, its name in capitals unless the table says another; what is empty
//! counts as not said. Some settings have a variable only: scripts of
//! virtual machines and the injector use them.

use std::collections::BTreeMap;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Value,
    /// Nothing, or `=true` and `=false`.
    Switch,
    /// It is a variable only.
    Variable,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its long form without the dashes; of a variable, its name.
    pub long: &'static str,
    /// Its short form.
    pub short: Option<char>,
    /// Its variable, when that is not its long form in capitals.
    variable: Option<&'static str>,
    /// What it takes.
    pub kind: Kind,
    /// What it means, for people.
    pub help: &'static str,
}

impl Flag {
    /// The environment variable that says the same.
    #[must_use]
    pub fn variable(&self) -> String {
        let own = || self.long.to_ascii_uppercase().replace('-', "_");
        self.variable.map_or_else(own, ToOwned::to_owned)
    }

    /// How people write it: `-b/--istio-inbound-ports`.
    #[must_use]
    pub fn written(&self) -> String {
        match (self.kind, self.short) {
            (Kind::Variable, _) => self.long.to_owned(),
            (Kind::Value | Kind::Switch, Some(short)) => format!("-{short}/--{}", self.long),
            (Kind::Value | Kind::Switch, None) => format!("--{}", self.long),
        }
    }
}

const fn value(long: &'static str, short: char, help: &'static str) -> Flag {
    Flag {
        long,
        short: Some(short),
        variable: None,
        kind: Kind::Value,
        help,
    }
}

const fn long(long: &'static str, help: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        variable: None,
        kind: Kind::Value,
        help,
    }
}

const fn switch(long: &'static str, help: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        variable: None,
        kind: Kind::Switch,
        help,
    }
}

const fn variable(name: &'static str, help: &'static str) -> Flag {
    Flag {
        long: name,
        short: None,
        variable: Some(name),
        kind: Kind::Variable,
        help,
    }
}

const fn named(flag: Flag, name: &'static str) -> Flag {
    Flag {
        variable: Some(name),
        ..flag
    }
}

/// All of them.
pub const FLAGS: [Flag; 37] = [
    value(
        "envoy-port",
        'p',
        "Outbound TCP goes to this port [default: 15001]",
    ),
    value(
        "inbound-capture-port",
        'z',
        "Inbound TCP goes to this port [default: 15006]",
    ),
    value(
        "inbound-tunnel-port",
        'e',
        "Never captured [default: 15008]",
    ),
    value(
        "proxy-uid",
        'u',
        "Users whose traffic is the proxy's [default: 1337]",
    ),
    value(
        "proxy-gid",
        'g',
        "Groups whose traffic is the proxy's [default: as proxy-uid]",
    ),
    value(
        "istio-inbound-interception-mode",
        'm',
        "REDIRECT or TPROXY [default: REDIRECT]",
    ),
    value(
        "istio-inbound-ports",
        'b',
        "Inbound ports: * or a list [default: none]",
    ),
    value(
        "istio-local-exclude-ports",
        'd',
        "Inbound ports that * leaves out",
    ),
    value(
        "istio-service-cidr",
        'i',
        "Outbound ranges: * or a list [default: none]",
    ),
    value(
        "istio-service-exclude-cidr",
        'x',
        "Outbound ranges that are left out",
    ),
    value(
        "istio-outbound-ports",
        'q',
        "Outbound ports whatever the address",
    ),
    value(
        "istio-local-outbound-ports-exclude",
        'o',
        "Outbound ports that are left out",
    ),
    value(
        "kube-virt-interfaces",
        'k',
        "Interfaces whose incoming traffic counts as outbound",
    ),
    value(
        "istio-exclude-interfaces",
        'c',
        "Interfaces that are left alone",
    ),
    value(
        "istio-inbound-tproxy-mark",
        't',
        "Mark of TPROXY [default: 1337]",
    ),
    value(
        "istio-inbound-tproxy-route-table",
        'r',
        "Routing table of TPROXY [default: 133]",
    ),
    named(
        switch("redirect-dns", "DNS goes to port 15053"),
        "ISTIO_META_DNS_CAPTURE",
    ),
    switch(
        "capture-all-dns",
        "All DNS, not that to the servers of resolv.conf alone",
    ),
    named(
        switch("drop-invalid", "Drop packets outside of any connection"),
        "INVALID_DROP",
    ),
    named(
        switch("dual-stack", "IPv6 as well when IPv4 comes first"),
        "ISTIO_DUAL_STACK",
    ),
    switch(
        "run-validation",
        "Connect through the rules; 126 when they do not work",
    ),
    switch("skip-rule-apply", "Change no rules"),
    long(
        "iptables-probe-port",
        "Where validation connects to [default: 15002]",
    ),
    long(
        "probe-timeout",
        "How long validation may take [default: 5s]",
    ),
    long(
        "network-namespace",
        "The network namespace to work in, a path",
    ),
    switch("cni-mode", "Called for a pod from its node"),
    switch("reconcile", "Replace rules that differ; always done"),
    switch("cleanup-only", "Take the rules away"),
    switch(
        "force-apply",
        "Write the rules again although nothing differs",
    ),
    switch("native-nftables", "Use nft in place of iptables"),
    long(
        "force-iptables-binary",
        "legacy or nft [default: found out]",
    ),
    Flag {
        short: Some('n'),
        ..switch("dry-run", "Print the rules and change nothing")
    },
    variable(
        "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR",
        "What counts as loopback",
    ),
    variable(
        "ISTIO_OUTBOUND_OWNER_GROUPS",
        "Groups whose traffic is captured",
    ),
    variable(
        "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE",
        "Groups whose traffic is not captured",
    ),
    variable(
        "IPTABLES_TRACE_LOGGING",
        "Packets that rules decide on are told to NFLOG group 1337",
    ),
    variable("ENVOY_USER", "The user whose id -u is by default"),
];

/// What was said of each flag, by its long form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said(BTreeMap<&'static str, String>);

impl Said {
    /// Flags first, then the environment.
    pub fn of<'a>(
        flag: impl Fn(&Flag) -> Option<String>,
        variable: impl Fn(&str) -> Option<&'a str>,
    ) -> Self {
        let mut all = BTreeMap::new();
        for known in &FLAGS {
            let named = || variable(&known.variable()).map(ToOwned::to_owned);
            if let Some(value) = flag(known).or_else(named) {
                all.insert(known.long, value);
            }
        }
        Self(all)
    }

    /// The value of a flag, without white space around it; none when it is empty.
    pub(crate) fn text(&self, long: &str) -> Option<&str> {
        let value = self.0.get(long).map(|value| value.trim());
        value.filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_form_is_one_flags_own() {
        let longs: BTreeSet<_> = FLAGS.iter().map(|flag| flag.long).collect();
        let shorts: BTreeSet<_> = FLAGS.iter().filter_map(|flag| flag.short).collect();
        let variables: BTreeSet<_> = FLAGS.iter().map(Flag::variable).collect();
        assert_eq!((longs.len(), variables.len()), (FLAGS.len(), FLAGS.len()));
        let with_short = FLAGS.iter().filter(|flag| flag.short.is_some());
        assert_eq!(shorts.len(), with_short.count());
        assert!(variables.contains("ISTIO_SERVICE_EXCLUDE_CIDR"));
        assert!(variables.contains("ISTIO_META_DNS_CAPTURE"));
    }

    #[test]
    fn a_flag_wins_over_its_variable() {
        let flag = |flag: &Flag| (flag.short == Some('p')).then(|| "15101".to_owned());
        let variable = |name: &str| match name {
            "ENVOY_PORT" => Some("1"),
            "INVALID_DROP" => Some("true"),
            "PROXY_UID" => Some(" "),
            _ => None,
        };
        let said = Said::of(flag, variable);
        assert_eq!(said.text("envoy-port"), Some("15101"));
        assert_eq!(said.text("drop-invalid"), Some("true"));
        assert_eq!(said.text("proxy-uid"), None);
    }
}
