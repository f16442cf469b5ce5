//! iptables in its kinds: which one the machine uses, and how it gets the rules.
//!
//! The legacy one wins when it has rules already, because the kernel runs both kinds and rules of
//! the other would come too late.

use crate::Failure;
use crate::kernel::Done;
use crate::tool::{Answer, ask, must};
use meltemi_capture::{Binary, Check, Errand, Family, Plan, Saved};

/// Puts a rule that matches nothing and takes it away again, in one transaction.
const PROBE: &str = "*nat\n-A INPUT -p 255 -j RETURN\n-D INPUT -p 255 -j RETURN\nCOMMIT\n";

/// A kind of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// `-legacy`, `-nft`, or empty.
    suffix: &'static str,
    /// It must wait for the lock of others.
    locks: bool,
}

/// The kind to use, or why there is none.
pub(crate) fn choose(binary: Binary, v6: bool) -> Result<Result<Kind, String>, Failure> {
    let suffixes: &[&'static str] = match binary {
        Binary::Legacy => &["-legacy"],
        Binary::Nft => &["-nft"],
        Binary::Found if legacy_has_rules()? => &["-legacy", "-nft", ""],
        Binary::Found => &["-nft", ""],
    };
    let mut reasons = Vec::new();
    for suffix in suffixes {
        let kind = Kind {
            suffix,
            locks: locks(suffix)?,
        };
        match kind.fault(v6)? {
            None => return Ok(Ok(kind)),
            Some(reason) => reasons.push(reason),
        }
    }
    Ok(Err(reasons.join("; ")))
}

fn legacy_has_rules() -> Result<bool, Failure> {
    for program in ["iptables-legacy-save", "ip6tables-legacy-save"] {
        if let Some(answer) = ask(program, &[], None)?
            && answer.text.lines().any(|line| line.starts_with("-A"))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Of a plain `iptables` only its version says what it is.
fn locks(suffix: &str) -> Result<bool, Failure> {
    if !suffix.is_empty() {
        return Ok(suffix == "-legacy");
    }
    let version = ask("iptables", &["--version"], None)?;
    Ok(version.is_some_and(|answer| !answer.text.contains("nf_tables")))
}

impl Kind {
    /// What people call it.
    pub(crate) fn name(self, family: Family) -> String {
        format!("{}{}", stem(family), self.suffix)
    }

    /// Whether there is a tool of this family.
    pub(crate) fn has(self, family: Family) -> Result<bool, Failure> {
        let answer = ask(&format!("{}-save", self.name(family)), &[], None)?;
        Ok(answer.is_some_and(|answer| answer.is_good))
    }

    /// Why it cannot be used.
    fn fault(self, v6: bool) -> Result<Option<String>, Failure> {
        let families = if v6 {
            &[Family::V4, Family::V6][..]
        } else {
            &[Family::V4]
        };
        for family in families {
            let program = format!("{}-restore", self.name(*family));
            match ask(&program, &self.restoring(), Some(PROBE))? {
                Some(Answer { is_good: true, .. }) => {}
                Some(answer) => return Ok(Some(format!("{program}: {}", answer.complaint))),
                None => return Ok(Some(format!("{program} is not there"))),
            }
        }
        Ok(None)
    }

    fn restoring(self) -> Vec<&'static str> {
        match self.locks {
            true => vec!["--noflush", "--wait=30"],
            false => vec!["--noflush"],
        }
    }

    /// Brings the rules of a family to what is wanted.
    pub(crate) fn apply(
        self,
        (plan, errand): (&Plan, &Errand),
        family: Family,
    ) -> Result<Done, Failure> {
        let saved = must(&format!("{}-save", self.name(family)), &[], None)?;
        let saved = Saved::read(&saved);
        let has_any = saved.has_any();
        let found = match has_any {
            true => self.found(&plan.checks(family), family)?,
            false => Vec::new(),
        };
        let (input, done) = match (errand.only_cleans, has_any) {
            (true, false) => return Ok(Done::Nothing),
            (true, true) => (plan.remove(family, &saved, &found), Done::Removed),
            (false, false) => (plan.restore(family), Done::Written),
            (false, true) => {
                let differs = plan.differs(family, &saved, &found);
                if !differs && !errand.is_forced {
                    return Ok(Done::Nothing);
                }
                (plan.replace(family, &saved, &found), Done::Written)
            }
        };
        let program = format!("{}-restore", self.name(family));
        tracing::debug!(input, "restored");
        must(&program, &self.restoring(), Some(&input))?;
        Ok(done)
    }

    /// Whether the rules of a family are not as wanted.
    pub(crate) fn differs(self, plan: &Plan, family: Family) -> Result<bool, Failure> {
        let saved = must(&format!("{}-save", self.name(family)), &[], None)?;
        let saved = Saved::read(&saved);
        if !saved.has_any() {
            return Ok(true);
        }
        let found = self.found(&plan.checks(family), family)?;
        Ok(plan.differs(family, &saved, &found))
    }

    /// Which of the rules are there.
    fn found(self, checks: &[Check], family: Family) -> Result<Vec<bool>, Failure> {
        let mut found = Vec::new();
        for Check { table, words } in checks {
            let mut args = vec!["-t", table, "-C"];
            args.extend(words.iter().map(String::as_str));
            let answer = ask(&self.name(family), &args, None)?;
            found.push(answer.is_some_and(|answer| answer.is_good));
        }
        Ok(found)
    }
}

fn stem(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}
