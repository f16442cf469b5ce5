//! Who calls, of everybody who may: by a client certificate, else by a service account's token.
//!
//! Istio's order (platform.md 4.2). A token that is bound to no pod is a person's with a tool, and
//! gets debug types only.

use crate::clock;
use crate::plane::Plane;
use futures::FutureExt;
use futures::future::BoxFuture;
use meltemi_ca::caller::{Accepted, Certified, Nobody, identify};
use meltemi_ca::{Authority, BadToken, Bearer, Revoked, TokenKey};
use meltemi_kube::{BoundPod, TokenError, TokenReviewer, TokenUser};
use meltemi_types::{ClusterId, Namespace, Secret};
use meltemi_xds::{Account, Authenticator, Caller, Credentials, Identity, Unknown};
use std::future::pending;
use std::sync::Arc;
use tokio::sync::watch;

/// Knows tokens.
#[derive(Clone)]
pub(crate) enum Judge {
    /// The API server of our own cluster.
    Cluster(Arc<TokenReviewer>),
    /// The key of a development authority, for these audiences with commas between them.
    Development(Arc<TokenKey>, Arc<str>),
}

impl Judge {
    async fn review(&self, token: &Secret<String>) -> Result<TokenUser, TokenError> {
        match self {
            Self::Cluster(reviewer) => reviewer.review(token).await,
            Self::Development(key, audiences) => {
                // Each audience in turn; there is one, nearly always.
                let audiences = audiences.split(',').map(str::trim);
                let verified = audiences
                    .map(|audience| key.verify(token.expose(), audience, clock::wall()))
                    .reduce(Result::or);
                let refused = |bad: BadToken| TokenError::Refused(bad.to_string());
                let (bearer, until) = verified
                    .unwrap_or(Err(BadToken::Unsigned))
                    .map_err(refused)?;
                let Bearer {
                    namespace,
                    account,
                    pod,
                } = bearer;
                let bound = |name: String| BoundPod {
                    uid: name.as_str().into(),
                    name: name.into(),
                };
                Ok(TokenUser {
                    namespace,
                    account,
                    pod: pod.map(bound),
                    until: Some(until),
                })
            }
        }
    }
}

/// Knows callers.
#[derive(Clone)]
pub(crate) struct Callers {
    pub(crate) plane: Plane,
    /// Who knows tokens.
    pub(crate) judge: Judge,
    /// Says whose certificates are revoked; `None` until it is known.
    pub(crate) authority: watch::Receiver<Option<Arc<Authority>>>,
    /// That cluster.
    pub(crate) cluster: ClusterId,
    /// Whose accounts see everything on the debug pages.
    pub(crate) namespace: Namespace,
}

impl Callers {
    /// Who is in a certificate that the handshake has verified.
    fn read(&self, certificate: &[u8]) -> Result<Certified, Nobody> {
        let revoked = self.authority.borrow().clone();
        let revoked = revoked.map(|authority| authority.revoked().clone());
        let accepted = Accepted {
            domains: &self.plane.trust_domains(),
            revoked: &revoked.unwrap_or_default(),
            now: clock::wall(),
        };
        identify(&certificate.into(), accepted)
    }

    /// Who shows these credentials.
    pub(crate) async fn know(&self, credentials: Credentials) -> Result<Caller, Unknown> {
        let certificate = credentials.certificates.first();
        let certified = certificate.map(|certificate| self.read(certificate));
        let token = match (certified, credentials.token) {
            (Some(Ok(certified)), _) => {
                return Ok(Caller {
                    identity: Identity::Proxy {
                        account: Account {
                            namespace: certified.id.namespace,
                            name: certified.id.account,
                        },
                        pod: None,
                    },
                    until: Some(certified.until),
                });
            }
            (Some(Err(nobody)), None) => return Err(Unknown::Unproved(nobody.to_string())),
            (None, None) => {
                let why = "nobody is known without a client certificate or a token; send \
                           `authorization: Bearer TOKEN` with a projected token of audience istio-ca";
                return Err(Unknown::Unproved(why.to_owned()));
            }
            (_, Some(token)) => token,
        };
        match credentials.cluster {
            Some(cluster) if cluster != self.cluster.as_str() => {
                return Err(Unknown::Unproved(format!(
                    "tokens of cluster {cluster:?} are not known here; this is {:?}",
                    self.cluster.as_str()
                )));
            }
            Some(_) | None => {}
        }
        match self.judge.review(&token).await {
            Ok(user) => Ok(caller(user)),
            Err(TokenError::Refused(why)) => Err(Unknown::Unproved(why)),
            Err(error @ TokenError::Unavailable(_)) => Err(Unknown::Undecided(error.to_string())),
        }
    }
}

impl Authenticator for Callers {
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> BoxFuture<'static, Result<Caller, Unknown>> {
        let callers = self.clone();
        async move { callers.know(credentials).await }.boxed()
    }

    /// A certificate is, by a list of revoked ones (reliability.md T17).
    fn withdrawn(&self, credentials: &Credentials) -> BoxFuture<'static, ()> {
        let mut authority = self.authority.clone();
        authority.mark_unchanged();
        let certificates = credentials.certificates.clone();
        async move {
            if certificates.is_empty() {
                return pending().await;
            }
            while authority.changed().await.is_ok() {
                let revoked = authority.borrow_and_update().clone();
                let revoked = revoked.map(|authority| authority.revoked().clone());
                let holds = |revoked: &Arc<Revoked>| {
                    let mut all = certificates.iter();
                    all.any(|one| revoked.holds(&(&**one).into()))
                };
                if revoked.as_ref().is_some_and(holds) {
                    return;
                }
            }
            // The process ends, and streams end with it.
            pending().await
        }
        .boxed()
    }
}

fn caller(user: TokenUser) -> Caller {
    let TokenUser {
        namespace,
        account,
        pod,
        until,
    } = user;
    let account = Account {
        namespace,
        name: account,
    };
    let identity = match pod {
        Some(BoundPod { name, uid: _ }) => Identity::Proxy {
            account,
            pod: Some(name),
        },
        None => Identity::DebugOnly { account },
    };
    Caller { identity, until }
}

/// What of the debug pages somebody may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Everything.
    All,
    /// The proxies of one namespace.
    Namespace(Namespace),
}

impl View {
    /// What somebody of a known identity may see; nobody in particular may see nothing.
    pub(crate) fn of(identity: &Identity, root: &Namespace) -> Option<Self> {
        let account = match identity {
            Identity::Proxy { account, pod: _ } | Identity::DebugOnly { account } => account,
            Identity::Unasked => return None,
        };
        Some(match account.namespace == *root {
            true => Self::All,
            false => Self::Namespace(account.namespace.clone()),
        })
    }

    /// True when it shows the proxy called `key` (`POD.NAMESPACE`).
    pub(crate) fn shows(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(own) => {
                let namespace = key.rsplit_once('.').map_or("", |(_, namespace)| namespace);
                namespace == own.as_str()
            }
        }
    }
}

impl Callers {
    /// What a remote caller of the debug pages may see.
    pub(crate) async fn view(&self, credentials: Credentials) -> Result<View, Unknown> {
        let identity = self.know(credentials).await?.identity;
        let nobody = || Unknown::Unproved("nobody is known".to_owned());
        View::of(&identity, &self.namespace).ok_or_else(nobody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(pod: Option<BoundPod>) -> TokenUser {
        TokenUser {
            namespace: "shop".parse().unwrap(),
            account: "web".parse().unwrap(),
            pod,
            until: None,
        }
    }

    #[test]
    fn a_token_without_a_pod_is_for_debug_types() {
        let bound = BoundPod {
            name: "web-0".into(),
            uid: "1".into(),
        };
        let identity = caller(user(Some(bound))).identity;
        assert!(matches!(identity, Identity::Proxy { pod: Some(pod), .. } if &*pod == "web-0"));
        let identity = caller(user(None)).identity;
        assert!(matches!(identity, Identity::DebugOnly { .. }));
    }

    #[test]
    fn a_namespace_sees_its_own_proxies() {
        let view = View::Namespace("shop".parse().unwrap());
        assert!(view.shows("web-0.shop") && view.shows("a.b.shop"));
        for other in ["web-0.bank", "shop", "web.shop.bank", "x.workshop", ""] {
            assert!(!view.shows(other), "{other}");
        }
        assert!(View::All.shows("web-0.bank"));
    }
}
