//! One value of a flag: what it may be, and what is said when it is something else.

use crate::flags::{FLAGS, Flag, Said};
use ipnet::{IpNet, Ipv4Net};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// A value that cannot be used: which flag, what it says, what it may say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flag}={value:?}: use {allowed}")]
pub struct Refused {
    /// The flag as people write it, or the variable.
    pub flag: String,
    /// Its whole value.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

/// The name of a network interface; a plus sign at its end stands for any rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nic(String);

impl Nic {
    /// As iptables writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let name = text.strip_suffix('+').unwrap_or(text);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.:@".contains(c);
        let is_name = name.chars().all(is_plain) && !text.is_empty() && !name.starts_with('-');
        // The kernel keeps 15 bytes of a name.
        (is_name && text.len() <= 15).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Nic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// `*` or a list.
pub(crate) enum Choice<T> {
    All,
    Only(Vec<T>),
}

/// Reads values and collects what is wrong with them.
pub(crate) struct Reader<'a> {
    said: &'a Said,
    refused: Vec<Refused>,
}

const PORTS: &str = "ports from 1 to 65535, separated by commas";
const RANGES: &str = "ranges such as 10.0.0.0/8 or fd00::/8, separated by commas";

impl<'a> Reader<'a> {
    pub(crate) fn new(said: &'a Said) -> Self {
        Self {
            said,
            refused: Vec::new(),
        }
    }

    /// What was wrong so far.
    pub(crate) fn refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    pub(crate) fn text(&self, long: &str) -> Option<&'a str> {
        self.said.text(long)
    }

    /// Says that the value of a flag is none.
    pub(crate) fn refuse(&mut self, long: &str, allowed: &str) {
        let flag = FLAGS.iter().find(|flag| flag.long == long);
        self.refused.push(Refused {
            flag: flag.map_or_else(|| long.to_owned(), Flag::written),
            value: self.text(long).unwrap_or_default().to_owned(),
            allowed: allowed.to_owned(),
        });
    }

    /// The value; when nothing is said, or nothing that can be read, the default.
    fn one<T>(
        &mut self,
        long: &str,
        (default, allowed): (T, &str),
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.text(long) else {
            return default;
        };
        parse(text).unwrap_or_else(|| {
            self.refuse(long, allowed);
            default
        })
    }

    pub(crate) fn switch(&mut self, long: &str) -> bool {
        self.one(long, (false, "true or false"), |text| match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        })
    }

    pub(crate) fn port(&mut self, long: &str, default: u16) -> u16 {
        self.one(long, (default, "a port from 1 to 65535"), port)
    }

    pub(crate) fn duration(&mut self, long: &str, default: Duration) -> Duration {
        let allowed = "a time from 1ms to 10m, such as 5s or 500ms";
        self.one(long, (default, allowed), |text| {
            let units = [("ms", 1), ("s", 1000), ("m", 60_000)];
            let millis = units.into_iter().find_map(|(unit, millis)| {
                let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
                number.checked_mul(millis)
            });
            let millis = millis.filter(|millis| (1..=600_000).contains(millis));
            millis.map(Duration::from_millis)
        })
    }

    /// A number, decimal or with 0x before it.
    pub(crate) fn number(
        &mut self,
        long: &str,
        (default, allowed): (u32, &str),
        may: impl Fn(u32) -> bool,
    ) -> u32 {
        self.one(long, (default, allowed), |text| {
            let number = match text.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => text.parse().ok()?,
            };
            may(number).then_some(number)
        })
    }

    pub(crate) fn loopback(&mut self, long: &str, default: Ipv4Net) -> Ipv4Net {
        let allowed = "a range of 127.0.0.0/8 with a mask from 8 to 32";
        self.one(long, (default, allowed), |text| {
            let net: Ipv4Net = text.parse().ok()?;
            (net.prefix_len() >= 8 && net.addr().is_loopback()).then(|| net.trunc())
        })
    }

    /// A list; an element that cannot be read refuses it all.
    pub(crate) fn list<T: Ord + Clone>(
        &mut self,
        long: &str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let text = self.text(long).unwrap_or_default();
        let parts = text.split(',').map(str::trim);
        let parts = parts.filter(|part| !part.is_empty());
        let Some(all) = parts.map(parse).collect::<Option<Vec<T>>>() else {
            self.refuse(long, allowed);
            return Vec::new();
        };
        let mut seen = BTreeSet::new();
        let news = all.into_iter().filter(|one| seen.insert(one.clone()));
        news.collect()
    }

    fn choice<T>(&mut self, long: &str, list: impl Fn(&mut Self) -> Vec<T>) -> Choice<T> {
        match self.text(long) {
            Some("*") => Choice::All,
            _ => Choice::Only(list(self)),
        }
    }

    pub(crate) fn ports(&mut self, long: &str) -> Vec<u16> {
        self.list(long, PORTS, port)
    }

    pub(crate) fn some_ports(&mut self, long: &str) -> Choice<u16> {
        let allowed = format!("* or {PORTS}");
        self.choice(long, |reader| reader.list(long, &allowed, port))
    }

    pub(crate) fn ranges(&mut self, long: &str) -> Vec<IpNet> {
        self.list(long, RANGES, range)
    }

    pub(crate) fn some_ranges(&mut self, long: &str) -> Choice<IpNet> {
        let allowed = format!("* or {RANGES}");
        self.choice(long, |reader| reader.list(long, &allowed, range))
    }

    pub(crate) fn nics(&mut self, long: &str) -> Vec<Nic> {
        let allowed = "names of interfaces of at most 15 characters, such as eth1 or veth+";
        self.list(long, allowed, Nic::parse)
    }
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// A range, or one address; bits behind the mask do not count.
fn range(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let net = text.parse::<IpNet>().ok().or_else(address)?;
    Some(net.trunc())
}
