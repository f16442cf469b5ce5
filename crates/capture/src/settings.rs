//! What the flags mean: which traffic goes to which port of the proxy, and which stays out.
//!
//! The surprise: without `--dual-stack` only the first address of the pod counts, so a pod whose
//! first address is of IPv4 gets no rules for IPv6, as in Istio.

use crate::flags::Said;
use crate::value::{Choice, Nic, Reader, Refused};
use ipnet::{IpNet, Ipv4Net};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// The mark of calls that the proxy makes to its own pod.
pub(crate) const OWN_MARK: u32 = 1338;
/// How many groups can be named in one rule.
const MOST_GROUPS: usize = 64;
const LOOPBACK: &str = "ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR";
const GROUPS: &str = "ISTIO_OUTBOUND_OWNER_GROUPS";
const NOT_GROUPS: &str = "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE";

/// How inbound traffic reaches the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Its destination is changed.
    Redirect,
    /// It keeps both of its addresses.
    Tproxy,
}

/// Which inbound ports are captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// All but these.
    Except(Vec<u16>),
    /// These; with none, nothing is.
    Only(Vec<u16>),
}

/// Which outbound addresses are captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// Every address.
    All,
    /// These; with none, nothing is.
    Only(Vec<IpNet>),
}

/// Whose DNS is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dns {
    /// Nobody's.
    Off,
    /// All that goes to port 53.
    All,
    /// What goes to these servers.
    Servers(Vec<IpAddr>),
}

/// Processes of which groups are captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Groups {
    /// Of all groups but these.
    Except(Vec<u32>),
    /// Of these alone.
    Only(Vec<u32>),
}

/// What the machine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Addresses of its interfaces in the kernel's order, IPv4 before IPv6; loopback and link-local
    /// ones do not count.
    pub addresses: Vec<IpAddr>,
    /// The servers of `/etc/resolv.conf`.
    pub nameservers: Vec<IpAddr>,
    /// Users by name.
    pub users: BTreeMap<String, u32>,
    /// Groups by name.
    pub groups: BTreeMap<String, u32>,
}

/// Everything that rules are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where outbound TCP goes.
    pub outbound_port: u16,
    /// Where inbound TCP goes.
    pub inbound_port: u16,
    /// The port of tunnels, which is never captured.
    pub tunnel_port: u16,
    /// The proxy's users.
    pub uids: Vec<u32>,
    /// The proxy's groups.
    pub gids: Vec<u32>,
    /// How inbound traffic is captured.
    pub mode: Mode,
    /// Which inbound ports.
    pub inbound: Inbound,
    /// Which outbound addresses.
    pub outbound: Outbound,
    /// Outbound addresses that are left out.
    pub excluded_ranges: Vec<IpNet>,
    /// Outbound ports whatever the address.
    pub outbound_ports: Vec<u16>,
    /// Outbound ports that are left out.
    pub excluded_outbound_ports: Vec<u16>,
    /// Interfaces whose incoming traffic counts as outbound.
    pub rerouted_nics: Vec<Nic>,
    /// Interfaces that are left alone.
    pub excluded_nics: Vec<Nic>,
    /// The mark of captured packets in TPROXY mode.
    pub mark: u32,
    /// The routing table for them.
    pub route_table: u32,
    /// Whose DNS.
    pub dns: Dns,
    /// The kernel says which rule of ours decided on a packet.
    pub traces: bool,
    /// Packets outside of any connection are dropped.
    pub drops_invalid: bool,
    /// What counts as loopback in IPv4.
    pub loopback: Ipv4Net,
    /// Processes of which groups.
    pub groups: Groups,
    /// Rules for IPv6 too.
    pub v6: bool,
    /// The pod's first address is of IPv6.
    pub is_v6_first: bool,
}

/// Settings, and what the user should know of how they were understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The settings.
    pub settings: Settings,
    /// Sentences for the log.
    pub remarks: Vec<String>,
}

impl Settings {
    /// Reads the flags.
    ///
    /// # Errors
    /// Every value that cannot be used.
    pub fn read(said: &Said, around: &Surroundings) -> Result<Read, Vec<Refused>> {
        let read = &mut Reader::new(said);
        let mut remarks = Vec::new();
        let (uids, gids) = owners(read, around);
        let counts = |address: &&IpAddr| is_local(**address);
        let mut addresses = around.addresses.iter().filter(counts);
        let is_v6_first = addresses.clone().next().is_some_and(IpAddr::is_ipv6);
        let v6 = is_v6_first || (read.switch("dual-stack") && addresses.any(IpAddr::is_ipv6));
        let dns = dns(read, around, &mut remarks);
        let (mode, (mark, route_table)) = (mode(read), tproxy(read));
        let settings = Self {
            outbound_port: read.port("envoy-port", 15001),
            inbound_port: read.port("inbound-capture-port", 15006),
            tunnel_port: read.port("inbound-tunnel-port", 15008),
            uids,
            gids,
            mode,
            inbound: inbound(read),
            outbound: match read.some_ranges("istio-service-cidr") {
                Choice::All => Outbound::All,
                Choice::Only(ranges) => Outbound::Only(ranges),
            },
            excluded_ranges: read.ranges("istio-service-exclude-cidr"),
            outbound_ports: read.ports("istio-outbound-ports"),
            excluded_outbound_ports: read.ports("istio-local-outbound-ports-exclude"),
            rerouted_nics: read.nics("kube-virt-interfaces"),
            excluded_nics: read.nics("istio-exclude-interfaces"),
            mark,
            route_table,
            dns,
            traces: read.switch("IPTABLES_TRACE_LOGGING"),
            drops_invalid: read.switch("drop-invalid"),
            loopback: read.loopback(LOOPBACK, Ipv4Net::from(Ipv4Addr::LOCALHOST)),
            groups: groups(read, around),
            v6,
            is_v6_first,
        };
        let refused = read.refused();
        match refused.is_empty() {
            true => Ok(Read { settings, remarks }),
            false => Err(refused),
        }
    }

    /// Whether a range that is captured is one of loopback.
    pub(crate) fn captures_loopback(&self) -> bool {
        match &self.outbound {
            Outbound::All => false,
            Outbound::Only(ranges) => ranges.iter().any(|range| range.addr().is_loopback()),
        }
    }
}

/// Neither of loopback nor of the link.
fn is_local(address: IpAddr) -> bool {
    let is_of_link = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast(),
    };
    !(is_of_link || address.is_loopback() || address.is_unspecified() || is_passthrough(address))
}

/// The address that we ourselves give to loopback.
fn is_passthrough(address: IpAddr) -> bool {
    address == IpAddr::from([0, 0, 0, 0, 0, 0, 0, 6])
}

fn owners(read: &mut Reader<'_>, around: &Surroundings) -> (Vec<u32>, Vec<u32>) {
    let mut of = |flag: &str, names: &BTreeMap<String, u32>, what: &str| {
        let allowed = format!("{what} by number or by a name of this machine, separated by commas");
        read.list(flag, &allowed, |text| id(text, names))
    };
    let mut uids = of("proxy-uid", &around.users, "users");
    let mut gids = of("proxy-gid", &around.groups, "groups");
    if uids.is_empty() {
        let user = read.text("ENVOY_USER").unwrap_or("istio-proxy");
        uids.push(around.users.get(user).copied().unwrap_or(1337));
    }
    if gids.is_empty() {
        gids.clone_from(&uids);
    }
    (uids, gids)
}

fn id(text: &str, names: &BTreeMap<String, u32>) -> Option<u32> {
    text.parse().ok().or_else(|| names.get(text).copied())
}

fn groups(read: &mut Reader<'_>, around: &Surroundings) -> Groups {
    let included = read.text(GROUPS).filter(|text| *text != "*");
    let allowed = "groups by number or by a name of this machine, separated by commas";
    let names = |text: &str| id(text, &around.groups);
    let excluded = read.list(NOT_GROUPS, allowed, names);
    if included.is_none() {
        return Groups::Except(excluded);
    }
    if read.text(NOT_GROUPS).is_some() {
        read.refuse(NOT_GROUPS, &format!("either this or {GROUPS}, not both"));
    }
    let groups = read.list(GROUPS, allowed, names);
    if groups.len() > MOST_GROUPS {
        read.refuse(GROUPS, "at most 64 groups");
    }
    Groups::Only(groups)
}

fn inbound(read: &mut Reader<'_>) -> Inbound {
    let excluded = read.ports("istio-local-exclude-ports");
    match read.some_ports("istio-inbound-ports") {
        Choice::All => Inbound::Except(excluded),
        Choice::Only(ports) => Inbound::Only(ports),
    }
}

fn mode(read: &mut Reader<'_>) -> Mode {
    const FLAG: &str = "istio-inbound-interception-mode";
    match read.text(FLAG) {
        None | Some("REDIRECT") => Mode::Redirect,
        Some("TPROXY") => Mode::Tproxy,
        Some(_) => {
            read.refuse(FLAG, "REDIRECT or TPROXY");
            Mode::Redirect
        }
    }
}

/// Mark and routing table; the kernel's own tables would lose their routes.
fn tproxy(read: &mut Reader<'_>) -> (u32, u32) {
    let mark = "a number above 0 that is not 1338, which marks the proxy's calls to its own pod";
    let is_mark = |mark: u32| mark != 0 && mark != OWN_MARK;
    let table = "the number of a routing table that is not 0, 253, 254 or 255";
    let is_table = |table: u32| table != 0 && !(253..=255).contains(&table);
    (
        read.number("istio-inbound-tproxy-mark", (1337, mark), is_mark),
        read.number("istio-inbound-tproxy-route-table", (133, table), is_table),
    )
}

fn dns(read: &mut Reader<'_>, around: &Surroundings, remarks: &mut Vec<String>) -> Dns {
    // The node's resolv.conf is not the pod's.
    let all = read.switch("capture-all-dns") | read.switch("cni-mode");
    match (read.switch("redirect-dns"), all) {
        (false, _) => Dns::Off,
        (true, true) => Dns::All,
        (true, false) if around.nameservers.is_empty() => {
            let why = "DNS is not captured: /etc/resolv.conf names no server; \
                       use --capture-all-dns to capture it whatever its server";
            remarks.push(why.to_owned());
            Dns::Off
        }
        (true, false) => Dns::Servers(around.nameservers.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Flag;

    fn said(pairs: &[(&str, &str)]) -> Said {
        let value = |flag: &Flag| {
            let pair = pairs.iter().find(|(long, _)| *long == flag.long);
            pair.map(|(_, value)| (*value).to_owned())
        };
        Said::of(value, |_| None)
    }

    fn read(pairs: &[(&str, &str)], around: &Surroundings) -> Settings {
        Settings::read(&said(pairs), around).unwrap().settings
    }

    fn addresses(all: &[&str]) -> Surroundings {
        Surroundings {
            addresses: all.iter().map(|one| one.parse().unwrap()).collect(),
            ..Surroundings::default()
        }
    }

    #[test]
    fn nothing_said_captures_nothing_for_the_usual_user() {
        let settings = read(&[], &Surroundings::default());
        assert_eq!(
            (&*settings.uids, &*settings.gids),
            (&[1337][..], &[1337][..])
        );
        assert_eq!(settings.inbound, Inbound::Only(Vec::new()));
        assert_eq!(settings.outbound, Outbound::Only(Vec::new()));
        assert!(!settings.v6 && settings.dns == Dns::Off);
    }

    #[test]
    fn the_first_address_decides_on_ipv6() {
        let both = addresses(&["127.0.0.1", "10.0.0.7", "::6", "fe80::1", "fd00::7"]);
        assert!(!read(&[], &both).v6);
        let dual = read(&[("dual-stack", "true")], &both);
        assert!(dual.v6 && !dual.is_v6_first);
        let alone = read(&[], &addresses(&["::1", "::6", "fd00::7"]));
        assert!(alone.v6 && alone.is_v6_first);
        assert!(!read(&[("dual-stack", "1")], &addresses(&["10.0.0.7", "fe80::1"])).v6);
    }

    #[test]
    fn users_and_groups_have_names() {
        let around = Surroundings {
            users: [("envoy".to_owned(), 101)].into(),
            groups: [("web".to_owned(), 33)].into(),
            ..Surroundings::default()
        };
        let settings = read(
            &[("ENVOY_USER", "envoy"), (NOT_GROUPS, "web, 5,5")],
            &around,
        );
        assert_eq!((&*settings.uids, &*settings.gids), (&[101][..], &[101][..]));
        assert_eq!(settings.groups, Groups::Except(vec![33, 5]));
    }

    #[test]
    fn what_cannot_be_used_is_named_with_what_is_allowed() {
        let pairs = [
            ("istio-inbound-ports", "80,x"),
            ("envoy-port", "0"),
            ("istio-service-cidr", "*,10.0.0.0/8"),
            ("istio-service-exclude-cidr", "10.0.0.0/40"),
            ("kube-virt-interfaces", "net 1"),
            ("istio-inbound-interception-mode", "NONE"),
            ("istio-inbound-tproxy-mark", "1338"),
            ("istio-inbound-tproxy-route-table", "255"),
            ("redirect-dns", "yes"),
            (LOOPBACK, "10.0.0.0/8"),
            (GROUPS, "nobody-knows"),
            (NOT_GROUPS, "1"),
        ];
        let refused = Settings::read(&said(&pairs), &Surroundings::default()).unwrap_err();
        let texts: Vec<String> = refused.iter().map(ToString::to_string).collect();
        let ports = "-b/--istio-inbound-ports=\"80,x\": use * or ports from 1 to 65535, separated by commas";
        assert!(texts.iter().any(|text| text == ports), "{texts:#?}");
        for (long, _) in pairs {
            let named = texts
                .iter()
                .filter(|text| text.contains(&format!("{long}=")));
            assert_eq!(named.count(), 1, "{long} in {texts:#?}");
        }
    }

    #[test]
    fn dns_without_servers_is_left_alone_with_a_remark() {
        let on = [("redirect-dns", "true")];
        let none = Settings::read(&said(&on), &Surroundings::default()).unwrap();
        assert_eq!((none.settings.dns, none.remarks.len()), (Dns::Off, 1));
        let cni = [on[0], ("cni-mode", "true")];
        assert_eq!(read(&cni, &Surroundings::default()).dns, Dns::All);
    }
}
