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
const MOST: usize = 16;

/// What was heard of one address: its roots, or that there are none yet.
type Heard = (String, Option<String>);

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
                tracing::warn!(
                    why,
                    "MeshConfig.caCertificates: spiffeBundleUrl is not read"
                );
                None
            }
        };
        Followed {
            tried: reader.is_none(),
            reader,
            roots: None,
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

    /// Waits until something else is known than before.
    pub(super) async fn next(&mut self) {
        // We hold a sender, so this does not end.
        while let Some((url, roots)) = self.news.recv().await {
            let Some(followed) = self.followed.get_mut(&url) else {
                continue;
            };
            let first = !std::mem::replace(&mut followed.tried, true);
            let news = roots.is_some() && roots != followed.roots;
            if news {
                tracing::info!(url, "another SPIFFE bundle counts");
                followed.roots = roots;
            }
            if first || news {
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
        let (roots, pause) = match bundle {
            Ok(SpiffeBundle { roots, refresh }) => {
                again = AGAIN;
                (Some(roots), refresh.unwrap_or(EVERY).clamp(LEAST, EVERY))
            }
            Err(why) => {
                tracing::warn!(url, why, again = ?again, "a SPIFFE bundle cannot be read; what was known counts");
                let pause = again;
                again = PATIENT.min(again * 2);
                (None, pause)
            }
        };
        if tell.send((url.clone(), roots)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}
