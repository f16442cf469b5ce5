//! What the pod gets. By redirection it is a jump in the table nat; TPROXY keeps both addresses, so
//! marks tell in the table mangle what the proxy has already seen.

use super::{NAT, TCP, loopback, owners, passthrough};
use crate::rule::{Action, Chain, Match, Rules, State, Table};
use crate::settings::{Inbound, Mode, OWN_MARK, Settings};

const MANGLE: Table = Table::Mangle;

/// The ports that are captured.
pub(super) fn captured(all: &mut Rules, settings: &Settings) {
    let no_port = Inbound::Only(Vec::new());
    if settings.inbound == no_port {
        return;
    }
    let table = match settings.mode {
        Mode::Redirect => NAT,
        Mode::Tproxy => {
            tproxy(all, settings);
            MANGLE
        }
    };
    let hook = (table, Chain::Prerouting);
    all.end(hook, vec![TCP], Action::Jump(Chain::Inbound));
    let inbound = (table, Chain::Inbound);
    let (excluded, captured): (&[u16], Vec<Vec<Match>>) = match &settings.inbound {
        Inbound::Except(ports) => (ports, vec![vec![TCP]]),
        Inbound::Only(ports) => {
            let one = |port: &u16| vec![TCP, Match::Port(*port)];
            (&[], ports.iter().map(one).collect())
        }
    };
    for port in excluded {
        all.end(inbound, vec![TCP, Match::Port(*port)], Action::Return);
    }
    for ports in captured {
        let target = match settings.mode {
            Mode::Redirect => Chain::InRedirect,
            Mode::Tproxy => {
                let known = [ports.clone(), vec![Match::State(State::Known)]].concat();
                all.end(inbound, known, Action::Jump(Chain::Divert));
                Chain::Tproxy
            }
        };
        all.end(inbound, ports, Action::Jump(target));
    }
}

/// The chains that packets of TPROXY go to.
fn tproxy(all: &mut Rules, settings: &Settings) {
    let (mark, port) = (settings.mark, settings.inbound_port);
    let divert = (MANGLE, Chain::Divert);
    all.end(divert, Vec::new(), Action::Mark(mark));
    all.end(divert, Vec::new(), Action::Accept);
    for local in loopback(settings) {
        let matches = vec![Match::NotTo(local), TCP];
        let action = Action::Tproxy { port, mark };
        all.end((MANGLE, Chain::Tproxy), matches, action);
    }
}

/// Marks of connections, and what of the proxy's own calls is not captured again.
pub(super) fn marked(all: &mut Rules, settings: &Settings) {
    let mark = settings.mark;
    let output = (MANGLE, Chain::Output);
    let marked = vec![TCP, Match::Mark(mark)];
    all.end((MANGLE, Chain::Prerouting), marked, Action::SaveMark);
    let back = vec![TCP, Match::Local, Match::Mark(mark)];
    all.end(output, back, Action::Return);
    for owner in owners(settings) {
        for local in loopback(settings) {
            let own = vec![Match::NotTo(local), TCP, Match::Local, Match::Owner(owner)];
            all.end(output, own, Action::Mark(OWN_MARK));
        }
    }
    let answered = vec![TCP, Match::ConnectionMark(mark)];
    all.end(output, answered, Action::RestoreMark);
    let inbound = (MANGLE, Chain::Inbound);
    let seen = vec![TCP, Match::Mark(mark)];
    all.at(1, inbound, (seen, Action::Return));
    for address in passthrough() {
        let passed = vec![TCP, Match::From(address), Match::Incoming];
        all.at(2, inbound, (passed, Action::Return));
    }
    let local = vec![TCP, Match::Incoming, Match::NotMark(OWN_MARK)];
    all.at(3, inbound, (local, Action::Return));
}
