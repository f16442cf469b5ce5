//! What a cluster needs of the machine: Linux, root, Debian's container tools. One message says
//! all that is missing, and the command that helps.

use super::places::installed;
use std::fmt;
use std::path::Path;

/// Programs, each with the Debian package that has it.
const TOOLS: [(&str, &str); 15] = [
    ("conntrack", "conntrack"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("curl", "curl"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("mount", "mount"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("runc", "runc"),
    ("sha256sum", "coreutils"),
    ("strip", "binutils"),
    ("tar", "tar"),
    ("unshare", "util-linux"),
];
const PLUGINS: (&str, &str) = ("/usr/lib/cni/bridge", "containernetworking-plugins");

/// Why there can be no cluster here, and what to do about it.
#[derive(Debug)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Whether a cluster can run here.
///
/// # Errors
/// [`Unavailable`], which names everything that is missing.
pub fn check() -> Result<(), Unavailable> {
    let missing = TOOLS.iter().filter(|(tool, _)| installed(tool).is_none());
    let mut missing: Vec<(&str, &str)> = missing.copied().collect();
    if !Path::new(PLUGINS.0).is_file() {
        missing.push(PLUGINS);
    }
    let lacks = Lacks {
        linux: !cfg!(target_os = "linux"),
        root: !rustix::process::geteuid().is_root(),
        missing,
    };
    match lacks.message() {
        None => Ok(()),
        Some(message) => Err(Unavailable(message)),
    }
}

struct Lacks {
    linux: bool,
    root: bool,
    missing: Vec<(&'static str, &'static str)>,
}

impl Lacks {
    fn message(&self) -> Option<String> {
        if self.linux {
            return Some(
                "a Kubernetes node needs Linux; run this on a Linux machine, or name another \
                 cluster in KUBECONFIG for the tests that take one"
                    .to_owned(),
            );
        }
        let mut parts = Vec::new();
        if self.root {
            parts.push("root (run it again as root, for example with `sudo -E`)".to_owned());
        }
        if !self.missing.is_empty() {
            let tools: Vec<&str> = self.missing.iter().map(|(tool, _)| *tool).collect();
            let mut packages: Vec<&str> = self.missing.iter().map(|(_, name)| *name).collect();
            packages.sort_unstable();
            packages.dedup();
            parts.push(format!(
                "{} (apt-get update && apt-get install -y --no-install-recommends {})",
                tools.join(", "),
                packages.join(" ")
            ));
        }
        (!parts.is_empty()).then(|| format!("a Kubernetes node needs {}", parts.join(" and ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_missing_is_said_at_once() {
        let lacks = Lacks {
            linux: false,
            root: true,
            missing: vec![("ctr", "containerd"), ("containerd", "containerd")],
        };
        let message = lacks.message().unwrap();
        assert!(message.contains("root (run it again"), "{message}");
        assert!(message.contains("ctr, containerd (apt-get"), "{message}");
        assert!(message.ends_with("recommends containerd)"), "{message}");
    }

    #[test]
    fn nothing_is_said_when_nothing_is_missing() {
        let lacks = Lacks {
            linux: false,
            root: false,
            missing: Vec::new(),
        };
        assert_eq!(lacks.message(), None);
    }
}
