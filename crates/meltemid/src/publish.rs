//! What every namespace is told of the authority: its roots, and which certificates it has revoked.
//! By the replica that leads, until drained; then the lock is given back.
//!
//! Of the file of revoked certificates only the lists are told: a key that somebody put beside them
//! goes nowhere.

use crate::secure::Cluster;
use meltemi_ca::{Authority, credential};
use meltemi_kube::{Notice, RootPublisher};
use meltemi_runtime::drain::Drain;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;

/// What is known of the authority.
type Told = (
    watch::Receiver<Arc<str>>,
    watch::Receiver<Option<Arc<Authority>>>,
);

/// Publishes until drained.
pub(crate) async fn run(
    cluster: Cluster,
    (mut roots, mut signs): Told,
    mut drain: Drain,
) -> Result<(), Infallible> {
    let Cluster {
        client,
        restores,
        campaign: (mut campaign, leads),
    } = cluster;
    tokio::select! {
        _known = roots.wait_for(|roots| !roots.is_empty()) => {}
        () = drain.started() => return Ok(()),
    }
    let publisher = |notice, text| RootPublisher {
        notice,
        client: client.clone(),
        text,
        leads: leads.clone(),
        restores: restores.clone(),
    };
    let (tell, lists) = watch::channel(Arc::from(""));
    let of_roots = publisher(Notice::ROOTS, roots).run();
    let of_lists = publisher(Notice::REVOKED, lists);
    let of_lists = async {
        // An empty list is one that was withdrawn, so it must be known.
        if signs.wait_for(Option::is_some).await.is_ok() {
            tell.send_replace(list(&signs));
            tokio::join!(of_lists.run(), follow(signs, tell));
        }
    };
    let publishing = async { tokio::join!(of_roots, of_lists) };
    // The keeper withdraws the roots when it is drained, no earlier.
    tokio::select! {
        _ended = publishing => drain.started().await,
        () = campaign.run() => {}
        () = drain.started() => {}
    }
    campaign.give_back().await;
    Ok(())
}

/// Tells of each other list.
async fn follow(mut signs: watch::Receiver<Option<Arc<Authority>>>, tell: watch::Sender<Arc<str>>) {
    while signs.changed().await.is_ok() {
        let next = list(&signs);
        tell.send_if_modified(|list| {
            let differs = *list != next;
            *list = next;
            differs
        });
    }
}

/// The lists of the authority that signs now, PEM; empty when there are none.
fn list(signs: &watch::Receiver<Option<Arc<Authority>>>) -> Arc<str> {
    let authority = signs.borrow();
    let text = authority.as_ref().map(|authority| &authority.pem().crl);
    let lists = text.and_then(|text| credential::revocations(text));
    lists.unwrap_or_default().into()
}
