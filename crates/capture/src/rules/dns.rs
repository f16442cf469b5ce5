//! Name resolution goes to the agent. Its own queries to the real servers and the application's to
//! it would be one connection to the kernel, so each has its own zone of connection tracking.

use super::{NAT, TCP, UDP, owners};
use crate::rule::{Action, Chain, Family, Match, Rules, Table};
use crate::settings::{Dns, Settings};
use ipnet::IpNet;

const RAW: Table = Table::Raw;
const PORT: u16 = 53;
/// Where the agent answers.
const AGENT: u16 = 15053;
/// The agent and the real servers.
const OF_AGENT: u16 = 1;
/// The application and the agent.
const OF_APPLICATION: u16 = 2;

/// The rules, none when DNS is left alone.
pub(super) fn captured(all: &mut Rules, settings: &Settings) {
    let targets: Vec<Option<IpNet>> = match &settings.dns {
        Dns::Off => return,
        Dns::All => vec![None],
        Dns::Servers(servers) => servers.iter().map(|one| Some(IpNet::from(*one))).collect(),
    };
    let families: Vec<Family> = [Family::V4, Family::V6]
        .into_iter()
        .filter(|family| {
            let is_of = |net: &IpNet| Family::of(net) == *family;
            targets
                .iter()
                .any(|target| target.as_ref().is_none_or(is_of))
        })
        .collect();
    let dns = Action::Jump(Chain::OutputDns);
    all.end((RAW, Chain::Output), Vec::new(), dns);
    for family in &families {
        all.of(*family, (NAT, Chain::Outbound), (Vec::new(), dns));
    }
    for protocol in [TCP, UDP] {
        for target in &targets {
            let matches = query(protocol.clone(), *target);
            all.end((NAT, Chain::OutputDns), matches, Action::Redirect(AGENT));
        }
    }
    zones(all, settings, &targets);
    let inbound = Action::Jump(Chain::Inbound);
    for family in &families {
        all.of(*family, (RAW, Chain::Prerouting), (Vec::new(), inbound));
    }
}

fn zones(all: &mut Rules, settings: &Settings, targets: &[Option<IpNet>]) {
    let output = (RAW, Chain::OutputDns);
    for owner in owners(settings) {
        let asks = vec![UDP, Match::Port(PORT), Match::Owner(owner)];
        all.end(output, asks, Action::Zone(OF_AGENT));
        let answers = vec![UDP, Match::FromPort(AGENT), Match::Owner(owner)];
        all.end(output, answers, Action::Zone(OF_APPLICATION));
    }
    for target in targets {
        let asks = query(UDP, *target);
        all.end(output, asks, Action::Zone(OF_APPLICATION));
        let mut answers = vec![UDP, Match::FromPort(PORT)];
        answers.extend(target.map(Match::From));
        all.end((RAW, Chain::Inbound), answers, Action::Zone(OF_AGENT));
    }
}

fn query(protocol: Match, target: Option<IpNet>) -> Vec<Match> {
    let mut matches = vec![protocol, Match::Port(PORT)];
    matches.extend(target.map(Match::To));
    matches
}
