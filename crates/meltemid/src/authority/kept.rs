//! Where the authority is kept, and the self-signed root that is renewed there (platform.md 4.5, 4.6).
//!
//! The users' own counts where there is one: in the directory `ROOT_CA_DIR` when that is set, else in
//! Secret `cacerts`. Else it is the one of `istio-ca-secret`, which the first replica makes, and
//! which any replica renews: of two, the API server takes one, and the other reads that.

use super::{Keeper, Served, Trouble};
use crate::clock;
use meltemi_ca::{Authority, AuthorityPem, Files, Renewal, development, directory};
use meltemi_kube::Client;
use meltemi_kube::secret::{self, Home};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The self-signed one, as it is called.
pub(super) const SELF_SIGNED: &str = "Secret istio-ca-secret";
/// The same in the Secret of users.
pub(super) const MARKED: &str = "Secret cacerts of our own";
/// Where others are, as they are called.
const PLUGGED: &str = "Secret cacerts";
const DIRECTORY: &str = "directory ROOT_CA_DIR";
const DEVELOPMENT: &str = "directory .meltemi";

/// Where the authority is kept.
pub(crate) enum Store {
    /// In Secrets.
    Cluster(Client),
    /// The users' own in a directory, else the self-signed one in its Secret.
    Directory(Client, PathBuf),
    /// Below a directory of configuration.
    Development(PathBuf),
}

impl Store {
    /// The Secret of the self-signed one, if that is where it is kept.
    fn client(&self) -> Option<&Client> {
        match self {
            Self::Cluster(client) | Self::Directory(client, _) => Some(client),
            Self::Development(_) => None,
        }
    }
}

/// When the self-signed root is looked at.
#[derive(Debug)]
pub(crate) struct Rotor {
    /// How long it counts, and when it is renewed.
    pub(crate) renewal: Renewal,
    /// How often it is looked at; `None` is never.
    pub(crate) every: Option<Duration>,
    /// Whether the first look is at a random moment, so that replicas do not look at once.
    pub(crate) jitter: bool,
    next: Option<Instant>,
}

impl Rotor {
    /// Looks at a root every so often.
    pub(crate) fn new(renewal: Renewal, every: Option<Duration>, jitter: bool) -> Self {
        Self {
            renewal,
            every,
            jitter,
            next: None,
        }
    }

    /// True when it is time to look.
    fn is_time(&mut self, now: Instant) -> bool {
        let Some(every) = self.every else {
            return false;
        };
        let first = match self.jitter {
            true => part(every),
            false => Duration::ZERO,
        };
        let next = *self.next.get_or_insert(now + first);
        let time = next <= now;
        if time {
            self.next = Some(now + every);
        }
        time
    }
}

/// A random part of a time.
fn part(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1024;
    time * u32::try_from(random).unwrap_or(0) / 1024
}

impl Keeper {
    /// The authority of all replicas: the users' own, else one that the first replica makes.
    pub(super) async fn shared(
        &mut self,
        served: Option<&Served>,
    ) -> Result<(AuthorityPem, &'static str), Trouble> {
        let (files, from) = self.files().await?;
        let plugged = AuthorityPem::plugged(&files);
        let plugged = plugged.map_err(|error| Trouble::Authority(from, error))?;
        match (plugged, self.store.client().cloned()) {
            (Some(pem), _) => Ok((pem, from)),
            (None, Some(client)) if served.is_none_or(|served| served.from != from) => {
                let home = self.home(&client).await?;
                let from = match home {
                    Home::Own => SELF_SIGNED,
                    Home::Marked => MARKED,
                };
                Ok((self.self_signed(&client, home).await?, from))
            }
            (None, _) => Err(Trouble::Gone(from)),
        }
    }

    /// The users' own.
    async fn files(&self) -> Result<(Files, &'static str), Trouble> {
        Ok(match &self.store {
            Store::Cluster(client) => {
                let files = secret::plugged(client, (&self.names.namespace, self.home)).await?;
                (files, PLUGGED)
            }
            Store::Directory(_, dir) => (directory::files(dir)?, DIRECTORY),
            Store::Development(dir) => (development::files(dir)?, DEVELOPMENT),
        })
    }

    /// Where the self-signed one is: a mesh that has one already keeps it, as with istiod.
    async fn home(&self, client: &Client) -> Result<Home, Trouble> {
        let before = (&self.names.namespace, Home::Own);
        Ok(match self.home {
            Home::Marked if secret::read(client, before).await?.is_none() => Home::Marked,
            Home::Marked | Home::Own => Home::Own,
        })
    }

    async fn self_signed(&mut self, client: &Client, home: Home) -> Result<AuthorityPem, Trouble> {
        let place = (&self.names.namespace, home);
        let parts = match secret::read(client, place).await? {
            Some(parts) => parts,
            None => {
                let domains = self.plane.trust_domains();
                let domain = domains.first().cloned();
                let domain =
                    domain.unwrap_or_else(|| self.plane.snapshot().mesh.trust_domain.clone());
                let life = (clock::wall(), self.rotor.renewal.lifetime);
                let made = Authority::self_signed_for(&domain, life);
                let made = made.map_err(|error| Trouble::Authority(SELF_SIGNED, error))?;
                secret::create(client, place, &parts(made, String::new())).await?
            }
        };
        let version = parts.version.clone();
        let pem = pem(parts);
        let ended = self.rotor.every.is_some() && pem.has_ended(clock::wall());
        if !self.rotor.is_time(clock::now()) && !ended {
            return Ok(pem);
        }
        match self.renewed((client, home), (&pem, version)).await {
            Ok(next) => Ok(next.unwrap_or(pem)),
            Err(error) if ended => Err(error),
            // What there is still signs; it is tried again when it is looked at again.
            Err(error) => {
                tracing::warn!(%error, "the self-signed root cannot be renewed");
                Ok(pem)
            }
        }
    }

    /// The root after the one that is there, if it is time for that.
    async fn renewed(
        &self,
        (client, home): (&Client, Home),
        (pem, version): (&AuthorityPem, String),
    ) -> Result<Option<AuthorityPem>, Trouble> {
        let failed = |error| Trouble::Authority(SELF_SIGNED, error);
        let (now, renewal) = (clock::wall(), self.rotor.renewal);
        if !pem.is_due(renewal, now).map_err(failed)? {
            return Ok(None);
        }
        let next = pem.renewed((now, renewal.lifetime)).map_err(failed)?;
        let mine = parts(next, version);
        let there = secret::replace(client, (&self.names.namespace, home), &mine).await?;
        match there.certificate == mine.certificate {
            true => tracing::info!("the self-signed root was renewed; its key stays the same"),
            false => tracing::info!("another replica has written the root; theirs counts"),
        }
        Ok(Some(self::pem(there)))
    }
}

fn pem(parts: secret::Parts) -> AuthorityPem {
    let secret::Parts {
        certificate,
        key,
        chain,
        roots,
        version: _,
    } = parts;
    AuthorityPem {
        certificate,
        key,
        chain,
        roots,
        crl: String::new(),
    }
}

fn parts(pem: AuthorityPem, version: String) -> secret::Parts {
    let AuthorityPem {
        certificate,
        key,
        chain,
        roots,
        crl: _, // nothing is revoked under a root of our own
    } = pem;
    secret::Parts {
        certificate,
        key,
        chain,
        roots,
        version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn rotor(every: Option<Duration>, jitter: bool) -> Rotor {
        let renewal = Renewal {
            lifetime: HOUR,
            percent: 20,
        };
        Rotor::new(renewal, every, jitter)
    }

    #[test]
    fn the_root_is_looked_at_every_so_often() {
        let now = clock::now();
        let mut plain = rotor(Some(HOUR), false);
        assert!(plain.is_time(now) && !plain.is_time(now + HOUR / 2));
        assert!(plain.is_time(now + HOUR) && !plain.is_time(now + HOUR));
        let mut never = rotor(None, false);
        assert!(!never.is_time(now) && !never.is_time(now + 9000 * HOUR));
        let mut some_time = rotor(Some(HOUR), true);
        some_time.is_time(now);
        assert!(some_time.is_time(now + 2 * HOUR), "within the first hour");
    }
}
