//! Tells the API server whom to believe: one replica of a revision keeps the roots in its webhooks
//! (platform.md 5.3). The lock is the revision's own, so that each revision has somebody who does.

use meltemi_kube::{BundlePatcher, Campaign, Candidate, Client, Lock};
use meltemi_runtime::drain::Drain;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;

/// What it needs.
pub(crate) struct Bundle {
    pub(crate) client: Client,
    /// Where the lock is.
    pub(crate) namespace: String,
    /// Who asks for it, and for which revision.
    pub(crate) me: Candidate,
    pub(crate) roots: watch::Receiver<Arc<str>>,
    pub(crate) restores: watch::Receiver<u64>,
}

impl Bundle {
    /// Runs until drained; then gives the lock back.
    pub(crate) async fn run(self, mut drain: Drain) -> Result<(), Infallible> {
        let Self {
            client,
            namespace,
            me,
            mut roots,
            restores,
        } = self;
        tokio::select! {
            _known = roots.wait_for(|roots| !roots.is_empty()) => {}
            () = drain.started() => return Ok(()),
        }
        let revision = me.revision.to_string();
        let lock = Lock::lease(
            client.clone(),
            &namespace,
            &format!("meltemi-leader-{revision}"),
        );
        let (leading, leads) = watch::channel(false);
        let mut campaign = Campaign::new(lock, me, leading);
        let patcher = BundlePatcher {
            client,
            revision,
            roots,
            leads,
            restores,
        };
        tokio::select! {
            () = patcher.run() => drain.started().await,
            () = campaign.run() => {}
            () = drain.started() => {}
        }
        campaign.give_back().await;
        Ok(())
    }
}
