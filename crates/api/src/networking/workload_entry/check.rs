//! What is wrong with a WorkloadEntry by itself.

use super::WorkloadEntry;
use crate::check::value::{labels, port};
use crate::check::{Check, Findings};
use meltemi_types::FieldPath;

/// The front of an address that is a Unix socket.
pub(crate) const UNIX: &str = "unix://";

impl Check for WorkloadEntry {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        self.check_template(at, out);
        let empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
        if empty(&self.address) && empty(&self.network) {
            out.required(&at.field("address"), "the address");
        }
    }
}

impl WorkloadEntry {
    /// The rules that also hold for a template, whose address comes later.
    pub(crate) fn check_template(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            address,
            ports,
            labels: own,
            network: _,
            locality: _,
            weight: _,
            service_account: _,
        } = self;
        let socket = address.as_deref().and_then(|text| text.strip_prefix(UNIX));
        if let Some(path) = socket {
            unix(&at.field("address"), path, out);
            if !ports.is_empty() {
                out.conflict(
                    &at.field("ports"),
                    "a Unix socket has no ports",
                    "remove ports, or use an IP address",
                );
            }
        }
        for (name, number) in ports {
            let at = at.field("ports").field(name);
            if !is_port_name(name) {
                out.invalid(
                    &at,
                    format!("{name:?} is not a port name"),
                    "use less than 63 letters, digits and '-', with a letter or digit at both ends",
                );
            }
            port(&at, (*number).into(), out);
        }
        labels(&at.field("labels"), own, out);
    }
}

/// The path of a Unix socket.
fn unix(at: &FieldPath, path: &str, out: &mut Findings) {
    if !path.starts_with(['/', '@']) {
        out.invalid(
            at,
            format!("{path:?} is neither an absolute path nor an abstract socket"),
            "use unix:///PATH or unix://@NAME",
        );
    } else if path.ends_with('/') {
        out.invalid(
            at,
            format!("{path:?} is a directory"),
            "name the socket in it",
        );
    }
}

fn is_port_name(name: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.len() < 63
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && edge(bytes.first())
        && edge(bytes.last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn addresses_and_ports() {
        table::<WorkloadEntry>(&[
            ("{address: 10.0.0.1, ports: {'7777': 7777}}", ""),
            ("{address: 'unix:///run/a.sock'}", ""),
            ("{address: 'unix://@a'}", ""),
            ("{network: far}", ""),
            ("{}", "Required spec.address"),
            ("{address: 'unix://run'}", "InvalidValue spec.address"),
            ("{address: 'unix:///run/'}", "InvalidValue spec.address"),
            (
                "{address: 'unix:///run', ports: {a: 1}}",
                "Conflict spec.ports",
            ),
            (
                "{address: 10.0.0.1, ports: {http: 0, -a: 80}}",
                "InvalidValue spec.ports.-a|OutOfRange spec.ports.http",
            ),
            (
                "{address: 10.0.0.1, labels: {a: '*'}}",
                "InvalidValue spec.labels.a",
            ),
        ]);
    }
}
