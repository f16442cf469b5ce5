//! The names of secrets, as the control plane writes them into Envoy's configuration.

use std::path::PathBuf;

/// The workload's own certificate.
pub(super) const OWN: &str = "default";
/// Whom the workload believes.
pub(super) const ROOTS: &str = "ROOTCA";

/// Where a system keeps the roots of the public web, the first that exists.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// `default`.
    Own,
    /// `ROOTCA`.
    Roots,
    /// `file-cert:CHAIN~KEY`.
    FilePair { chain: PathBuf, key: PathBuf },
    /// `file-root:PATH`; `file-root:system` is what the system believes.
    FileRoots(PathBuf),
}

impl Name {
    /// `None`: no secret of ours has that name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            OWN => return Some(Self::Own),
            ROOTS => return Some(Self::Roots),
            "file-root:system" => return system().map(Self::FileRoots),
            _ => {}
        }
        if let Some(path) = text.strip_prefix("file-root:") {
            return (!path.is_empty()).then(|| Self::FileRoots(path.into()));
        }
        let (chain, key) = text.strip_prefix("file-cert:")?.split_once('~')?;
        let whole = !chain.is_empty() && !key.is_empty() && !key.contains('~');
        whole.then(|| Self::FilePair {
            chain: chain.into(),
            key: key.into(),
        })
    }
}

fn system() -> Option<PathBuf> {
    SYSTEM.iter().map(PathBuf::from).find(|path| path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_eq!(Name::parse("default"), Some(Name::Own));
        assert_eq!(Name::parse("ROOTCA"), Some(Name::Roots));
        let pair = Name::FilePair {
            chain: "/etc/certs/chain.pem".into(),
            key: "/etc/certs/key.pem".into(),
        };
        let text = "file-cert:/etc/certs/chain.pem~/etc/certs/key.pem";
        assert_eq!(Name::parse(text), Some(pair));
        let roots = Name::FileRoots("/etc/certs/root.pem".into());
        assert_eq!(Name::parse("file-root:/etc/certs/root.pem"), Some(roots));
        for other in [
            "",
            "Default",
            "file-cert:",
            "file-cert:a",
            "file-cert:~b",
            "file-cert:a~",
            "file-root:",
            "file-cert:a~b~c",
            "kubernetes://shop/cert",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
