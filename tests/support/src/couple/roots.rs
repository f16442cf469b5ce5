//! From the roots of A to those of A and B to those of B, as a user does it with the Secret `cacerts`.

use super::pod::number;
use super::{Couple, Pod, SOON};
use crate::openssl::{Openssl, Signer};
use crate::paths::Scratch;
use crate::wait;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How often pods are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Two authorities that have nothing to do with each other.
#[derive(Clone, Debug)]
pub struct Signers {
    /// The old one.
    pub a: Signer,
    /// The new one.
    pub b: Signer,
}

impl Signers {
    /// Makes them.
    ///
    /// # Errors
    /// `openssl` is not there.
    pub fn make() -> Result<Self> {
        let scratch = Scratch::new("signers")?;
        let openssl = Openssl::new(scratch.path());
        Ok(Self {
            a: openssl.root("A")?,
            b: openssl.root("B")?,
        })
    }
}

/// How long the phases took.
#[derive(Clone, Copy, Debug)]
pub struct Rotated {
    /// Until both Envoys believed both roots.
    pub told: Duration,
    /// From then until both workloads had certificates of the new one.
    pub signed: Duration,
    /// From then until the old one was believed no more.
    pub forgotten: Duration,
}

impl Couple {
    /// Replaces A by B in three phases. What both show afterwards verifies against B alone.
    ///
    /// # Errors
    /// A phase does not come to its end, or something verifies that must not.
    pub fn rotate_roots(&self, signers: &Signers) -> Result<Rotated> {
        let Signers { a, b } = signers;
        let both = format!("{}{}", a.certificate, b.certificate);
        let numbers = [self.number(a)?, self.number(b)?];
        let [of_a, of_b] = &numbers;
        let started = Instant::now();
        self.believe("A alone", &BTreeSet::from([of_a.clone()]))?;

        self.plug(a, &both)?;
        self.believe("both roots", &numbers.clone().into())?;
        let told = started.elapsed();

        self.plug(b, &both)?;
        let long = SOON + self.terms.settle + self.terms.lifetime;
        for pod in [&self.caller, &self.called] {
            wait::every("a certificate of B", (long, LOOK), || {
                let chain = pod.chain()?;
                Ok(self.verifies(&chain, b).is_ok().then_some(()))
            })?;
            self.wait_shown(pod)?;
        }
        let signed = started.elapsed() - told;

        self.plug(b, &b.certificate)?;
        self.believe("B alone", &BTreeSet::from([of_b.clone()]))?;
        let forgotten = started.elapsed() - told - signed;
        for pod in [&self.caller, &self.called] {
            let chain = pod.chain()?;
            self.verifies(&chain, b)?;
            ensure!(self.verifies(&chain, a).is_err(), "A vouches for {chain}");
            ensure!(pod.roots()? == b.certificate, "A is handed out still");
        }
        Ok(Rotated {
            told,
            signed,
            forgotten,
        })
    }

    /// Waits until both Envoys believe exactly the roots of these numbers.
    fn believe(&self, what: &str, numbers: &BTreeSet<String>) -> Result<()> {
        let long = SOON + self.terms.lifetime;
        for pod in [&self.caller, &self.called] {
            wait::every(what, (long, LOOK), || {
                let believed = pod.believed()?;
                ensure!(believed == *numbers, "{believed:?}, not {numbers:?}");
                Ok(Some(()))
            })?;
        }
        Ok(())
    }

    /// Waits until Envoy shows what the agent holds.
    fn wait_shown(&self, pod: &Pod) -> Result<()> {
        wait::every("Envoy to show it", (SOON, LOOK), || {
            let number = number(&self.openssl.serial(&pod.chain()?)?);
            Ok(pod.serials()?.contains(&number).then_some(()))
        })
    }

    fn verifies(&self, chain: &str, root: &Signer) -> Result<()> {
        let (leaf, rest) = leaf(chain)?;
        let mut all = vec![leaf];
        all.extend((!rest.is_empty()).then_some(rest));
        all.push(root.certificate.clone());
        self.openssl.verify(&all)
    }

    fn number(&self, signer: &Signer) -> Result<String> {
        Ok(number(&self.openssl.serial(&signer.certificate)?))
    }
}

/// The first certificate, and the rest.
fn leaf(chain: &str) -> Result<(String, String)> {
    const END: &str = "-----END CERTIFICATE-----\n";
    let at = chain.find(END).context("no certificate")? + END.len();
    let (leaf, rest) = chain.split_at(at);
    Ok((leaf.to_owned(), rest.to_owned()))
}
