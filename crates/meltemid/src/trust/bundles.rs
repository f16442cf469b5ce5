//! `spiffeBundleUrl` of `MeshConfig.caCertificates`: bundles that somebody else publishes, read by HTTPS
//! again and again.
//!
//! What was read last counts while its owner is away or says what is no bundle. As often as the owner
//! wants, within limits, since anybody may publish; half an hour, as Istio does, when he does not say.

use crate::callers::Fetch;
use meltemi_api::mesh_config::CertificateData;
use meltemi_ca::SpiffeBundle;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// How often a bundle is read when its owner does not say.
const EVERY: Duration = Duration::from_secs(30 * 60);
/// Not more often than that, whatever he says.
const LEAST: Duration = Duration::from_secs(5);
/// After so long a failure is tried again, at first; then twice as long, up to [`PATIENT`].
const AGAIN: Duration = Duration::from_secs(1);
const PATIENT: Duration = Duration::from_secs(5 * 60);
/// So many addresses are read.
pub(super) const MOST: usize = 16;

/// What was heard of one address: its roots, or why there are none.
type Heard = (String, Result<String, String>);

/// Follows addresses.
pub(super) struct Bundles {
    web: Option<String>,
    followed: BTreeMap<String, Followed>,
    tell: mpsc::Sender<Heard>,
    news: mpsc::Receiver<Heard>,
}

/// One address.
struct Followed {
    /// None where it is no address to read.
    reader: Option<AbortHandle>,
    tried: bool,
    roots: Option<String>,
    /// Why it could not be read the last time.
    trouble: Option<String>,
}

/// What is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known<'a> {
    /// It was read the last time.
    Good,
    /// It was not, and why; what was read before counts.
    Old(&'a str),
    /// It was never read, and why.
    Nothing(&'a str),
    /// It is one of more than [`MOST`], and so is not read at all.
    Unread,
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

impl Bundles {
    pub(super) fn new(web: Option<String>) -> Self {
        let (tell, news) = mpsc::channel(MOST);
        Self {
            web,
            followed: BTreeMap::new(),
            tell,
            news,
        }
    }

    /// Reads the addresses of these from now on, and no others.
    pub(super) fn follow(&mut self, all: &[CertificateData]) {
        let urls = all
            .iter()
            .filter_map(|one| one.spiffe_bundle_url.as_deref());
        let urls: BTreeSet<&str> = urls.filter(|url| !url.is_empty()).take(MOST).collect();
        self.followed.retain(|url, _| urls.contains(&**url));
        for url in urls {
            if !self.followed.contains_key(url) {
                let followed = self.start(url);
                self.followed.insert(url.to_owned(), followed);
            }
        }
    }

    fn start(&self, url: &str) -> Followed {
        let reader = match Fetch::new(url, self.web.as_deref()) {
            Ok(fetch) => {
                let reading = read(fetch, (url.to_owned(), self.tell.clone()));
                Some(tokio::spawn(reading).abort_handle())
            }
            Err(why) => {
                return Followed {
                    reader: None,
                    tried: true,
                    roots: None,
                    trouble: Some(why),
                };
            }
        };
        Followed {
            reader,
            tried: false,
            roots: None,
            trouble: None,
        }
    }

    /// True when each address was tried once at least.
    pub(super) fn were_tried(&self) -> bool {
        self.followed.values().all(|one| one.tried)
    }

    /// The roots of an address, in PEM, as they were read last.
    pub(super) fn get(&self, url: &str) -> Option<&str> {
        self.followed.get(url)?.roots.as_deref()
    }

    /// What is known of an address that was tried.
    pub(super) fn known(&self, url: &str) -> Known<'_> {
        let Some(one) = self.followed.get(url) else {
            return Known::Unread;
        };
        match (&one.trouble, &one.roots) {
            (None, _) => Known::Good,
            (Some(why), Some(_)) => Known::Old(why),
            (Some(why), None) => Known::Nothing(why),
        }
    }

    /// Waits until something else is known than before.
    pub(super) async fn next(&mut self) {
        // We hold a sender, so this does not end.
        while let Some((url, heard)) = self.news.recv().await {
            let Some(followed) = self.followed.get_mut(&url) else {
                continue;
            };
            let first = !std::mem::replace(&mut followed.tried, true);
            let (roots, trouble) = match heard {
                Ok(roots) => (Some(roots), None),
                Err(why) => (followed.roots.clone(), Some(why)),
            };
            let (other, more) = (roots != followed.roots, trouble != followed.trouble);
            if other {
                tracing::info!(url, "another SPIFFE bundle counts");
            }
            (followed.roots, followed.trouble) = (roots, trouble);
            if first || other || more {
                return;
            }
        }
    }
}

/// Reads one address for ever.
async fn read(fetch: Fetch, (url, tell): (String, mpsc::Sender<Heard>)) {
    let mut again = AGAIN;
    loop {
        let text = fetch.text().await.map_err(|error| error.to_string());
        let bundle = text.and_then(|text| SpiffeBundle::read(&text));
        let (heard, pause) = match bundle {
            Ok(SpiffeBundle { roots, refresh }) => {
                again = AGAIN;
                (Ok(roots), refresh.unwrap_or(EVERY).clamp(LEAST, EVERY))
            }
            Err(why) => {
                let pause = again;
                again = PATIENT.min(again * 2);
                (Err(why), pause)
            }
        };
        if tell.send((url.clone(), heard)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}
