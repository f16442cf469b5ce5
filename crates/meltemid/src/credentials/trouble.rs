//! What is wrong with the certificates that proxies ask for, as diagnostics of the objects that hold
//! them and of those that name them.

use super::vault::{self, Held};
use super::{Asker, PATIENCE, Supply, Who};
use crate::clock;
use meltemi_ca::Validity;
use meltemi_model::CredentialName;
use meltemi_types::{Code, Diagnostic, Origin, Severity};
use meltemi_xds::ClientId;
use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

/// Something that is wrong with a name that a proxy asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Trouble {
    /// The proxy.
    pub(crate) client: ClientId,
    /// Where the name stands.
    pub(crate) named: BTreeSet<Origin>,
    code: Code,
    severity: Severity,
    message: String,
    remedy: String,
}

impl Trouble {
    /// The same, said of an object that names the certificate.
    pub(crate) fn of(&self, origin: Origin) -> Diagnostic {
        let (message, remedy) = (self.message.as_str(), self.remedy.as_str());
        match self.severity {
            Severity::Error => Diagnostic::error(self.code, origin, message, remedy),
            Severity::Warning => Diagnostic::warning(self.code, origin, message, remedy),
        }
    }
}

/// What is said of one name: code, severity, message and remedy.
type Said = (Code, Severity, String, String);

impl Supply {
    /// What is wrong with what proxies ask for.
    pub(crate) fn troubles(&self, now: Instant) -> Vec<Trouble> {
        let wall = clock::wall();
        let mut all = Vec::new();
        for (id, asker) in self.askers.iter().filter(|(_, a)| a.who != Who::Nobody) {
            for (text, (name, since)) in &asker.wants {
                let Some(named) = self.named.get(&**text) else {
                    continue;
                };
                let waits = now.saturating_duration_since(*since) < PATIENCE;
                let said = match name {
                    Some(name) => self.said((text, name), asker, wall),
                    None => None,
                };
                let unfinished = |said: &Said| waits && said.0 == Code::CredentialMissing;
                if let Some((code, severity, message, remedy)) = said.filter(|s| !unfinished(s)) {
                    all.push(Trouble {
                        client: *id,
                        named: named.clone(),
                        code,
                        severity,
                        message,
                        remedy,
                    });
                }
            }
        }
        all
    }

    /// What is wrong with the objects that hold what proxies ask for.
    pub(crate) fn flaws(&self) -> BTreeSet<Diagnostic> {
        let wall = clock::wall();
        let mut all = BTreeSet::new();
        let asking = self.askers.values().filter(|a| a.who != Who::Nobody);
        for needed in asking.flat_map(Asker::needs) {
            let Some(held) = self.vault.get(&needed) else {
                continue;
            };
            all.extend(held.flaws.iter().cloned());
            if let Some(text) = held.validity(false).and_then(|v| ended(v, wall)) {
                let (code, remedy) = (Code::CredentialInvalid, "replace it");
                let origin = held.origin().clone();
                all.insert(Diagnostic::warning(code, origin, text, remedy));
            }
        }
        all
    }

    fn said(
        &self,
        (text, name): (&str, &CredentialName),
        asker: &Asker,
        wall: SystemTime,
    ) -> Option<Said> {
        let namespace = &asker.namespace;
        if !asker.owns(name) {
            let message = format!("{text} is not given to proxies of namespace {namespace}");
            let remedy = format!("put it into namespace {namespace}");
            return Some((Code::CredentialDenied, Severity::Error, message, remedy));
        }
        if let Who::Account(account) = &asker.who
            && asker.refused.contains(text)
        {
            let account = &account.name;
            let message = format!(
                "service account {namespace}/{account} may not list Secrets there, so its proxies do not get {text}"
            );
            let remedy = format!("give it a Role with the verb list on secrets in {namespace}");
            return Some((Code::CredentialDenied, Severity::Error, message, remedy));
        }
        let authorities = name.is_authorities();
        let objects = vault::objects(name, namespace);
        let found: Vec<&Held> = objects.iter().filter_map(|n| self.vault.get(n)).collect();
        let good = found.iter().find(|held| held.has(authorities));
        let flaw = found.iter().find_map(|held| held.flaws.first());
        let ended = good.and_then(|held| ended(held.validity(authorities)?, wall));
        match (good, flaw, ended) {
            (Some(_), None, None) => None,
            (Some(_), None, Some(ended)) => {
                let message = format!("{text}: {ended}");
                let remedy = "replace the certificate".to_owned();
                Some((Code::CredentialInvalid, Severity::Warning, message, remedy))
            }
            (Some(_), Some(flaw), _) => {
                let what = "what was good stays in force";
                let message = format!("{}: {}; {what}", object(flaw), flaw.message);
                let remedy = flaw.remedy.to_string();
                Some((Code::CredentialInvalid, Severity::Warning, message, remedy))
            }
            (None, Some(flaw), _) => {
                let message = format!("{}: {}", object(flaw), flaw.message);
                let remedy = flaw.remedy.to_string();
                Some((Code::CredentialInvalid, Severity::Error, message, remedy))
            }
            (None, None, _) => {
                let names: Vec<String> = objects
                    .iter()
                    .map(|n| format!("{} {}/{}", n.kind, n.namespace, n.name))
                    .collect();
                let message = format!(
                    "{} is not there, or may not be read; TLS connections that need it are reset",
                    names.join(" or ")
                );
                let remedy = "create it in the namespace of the proxies, or correct the name";
                let code = Code::CredentialMissing;
                Some((code, Severity::Error, message, remedy.to_owned()))
            }
        }
    }
}

fn object(flaw: &Diagnostic) -> String {
    let origin = flaw.origin.as_ref();
    origin.map_or_else(String::new, ToString::to_string)
}

/// Why something does not count now, if so.
fn ended(validity: Validity, wall: SystemTime) -> Option<String> {
    match validity.holds(wall) {
        true => None,
        false if wall < validity.from => Some(format!(
            "the certificate counts from {} on only",
            clock::rfc3339(validity.from)
        )),
        false => Some(format!(
            "the certificate has expired at {}",
            clock::rfc3339(validity.until)
        )),
    }
}
