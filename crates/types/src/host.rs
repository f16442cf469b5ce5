//! Hostnames, exact and wildcard. Two types, so that matching has one direction:
//! a pattern matches a hostname, never the other way round.

use crate::text::name;
use std::cmp::Reverse;

fn labels(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

name!(
    /// An exact hostname: DNS labels, lower-case, no wildcard.
    Hostname,
    "hostname",
    |text| {
        (!labels(text) || text.bytes().any(|b| b.is_ascii_uppercase()))
            .then_some("use DNS labels of a-z, 0-9, '-' and '_', separated by '.'")
    }
);

name!(
    /// A hostname, `*.suffix`, or `*`: what `hosts` of Istio's resources hold.
    HostPattern,
    "host",
    |text| {
        let rest = match text {
            "*" => return None,
            _ => text.strip_prefix("*.").or_else(|| text.strip_prefix("*-")).unwrap_or(text),
        };
        (!labels(rest) || text.bytes().any(|b| b.is_ascii_uppercase()))
            .then_some("use a hostname, '*.' and a suffix, or '*'")
    }
);

impl HostPattern {
    /// True when there is no `*` in it.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.as_str().starts_with('*')
    }

    /// True when this pattern covers the exact `host`.
    #[must_use]
    pub fn matches(&self, host: &Hostname) -> bool {
        match self.as_str().strip_prefix('*') {
            Some(suffix) => host.as_str().ends_with(suffix),
            None => self.as_str() == host.as_str(),
        }
    }

    /// True when every host that `other` covers is also covered by this pattern.
    #[must_use]
    pub fn covers(&self, other: &HostPattern) -> bool {
        match self.as_str().strip_prefix('*') {
            Some(suffix) => other.as_str().trim_start_matches('*').ends_with(suffix),
            None => self == other,
        }
    }

    /// True when some hostname is covered by both patterns.
    #[must_use]
    pub fn overlaps(&self, other: &HostPattern) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Sort key: the most specific pattern first (exact before wildcard, then the longest).
    #[must_use]
    pub fn specificity(&self) -> (bool, Reverse<usize>, &str) {
        (
            !self.is_exact(),
            Reverse(self.as_str().len()),
            self.as_str(),
        )
    }

    /// The exact hostname, when this is one.
    #[must_use]
    pub fn exact(&self) -> Option<Hostname> {
        self.is_exact()
            .then(|| self.as_str().parse().ok())
            .flatten()
    }
}

impl From<Hostname> for HostPattern {
    fn from(host: Hostname) -> Self {
        Self(host.shared())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_pattern_matches_hosts_below_its_suffix() {
        let host: Hostname = "a.b.com".parse().unwrap();
        assert!(pattern("*").matches(&host));
        assert!(pattern("*.com").matches(&host));
        assert!(pattern("*.b.com").matches(&host));
        assert!(!pattern("*.a.b.com").matches(&host));
        assert!(pattern("a.b.com").matches(&host));
        assert!(!pattern("b.com").matches(&host));
    }

    #[test]
    fn the_most_specific_pattern_sorts_first() {
        let mut all = [
            pattern("*"),
            pattern("*.com"),
            pattern("a.com"),
            pattern("*.b.com"),
        ];
        all.sort_by(|a, b| a.specificity().cmp(&b.specificity()));
        assert_eq!(
            all.map(|p| p.to_string()),
            ["a.com", "*.b.com", "*.com", "*"]
        );
    }

    #[test]
    fn partial_wildcards_are_refused() {
        for bad in ["a*.com", "*a.com", "", "a..b", "*."] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
        assert!("*.com".parse::<Hostname>().is_err());
    }

    #[test]
    fn covering_has_a_direction() {
        assert!(pattern("*.com").covers(&pattern("*.a.com")));
        assert!(!pattern("*.a.com").covers(&pattern("*.com")));
        assert!(pattern("*").covers(&pattern("*")));
        assert!(pattern("*.a.com").overlaps(&pattern("*.com")));
        assert!(!pattern("*.a.com").overlaps(&pattern("*.b.com")));
    }
}
