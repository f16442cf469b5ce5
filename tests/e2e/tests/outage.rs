//! Kubernetes itself fails: the API server dies again and again, and etcd goes back in time. The
//! mesh goes on as it is, no proxy hears anything, and what is changed afterwards arrives.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::load::Load;
use meltemi_e2e::mesh::{self, Mesh};
use meltemi_e2e::replica::{metrics, names, sent};
use meltemi_e2e::{Target, shop};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::cluster::{Cluster, Component};
use meltemi_testkit::wait;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long Kubernetes may take to be there again.
const BACK: Duration = Duration::from_secs(60);
/// How soon a change must arrive when it is (reliability.md F01), or was restored (F07).
const SOON: Duration = Duration::from_secs(10);
const RESTORED: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

const RESTARTS: u32 = 20;

/// What happens to one installation.
struct Stage<'a> {
    node: &'a Cluster,
    kubectl: &'a Kubectl,
    /// The only replica.
    pod: String,
    load: Load<'a>,
}

#[test]
fn kubernetes_fails_and_proxies_do_not_notice() -> Result<()> {
    let target = Target::take("e2e-outage", &mesh::IMAGES)?;
    let Some(node) = target.node() else {
        eprintln!("left out: it kills components of the node, and this cluster is not ours");
        return Ok(());
    };
    let kubectl = target.kubectl();
    let mut mesh = Mesh::install(&target, &[])?;
    mesh.add_gateway(&[])?;
    shop::open(kubectl)?;
    let pod = names(kubectl)?.pop().context("there is a replica")?;
    let load = Load::start(kubectl, &shop::url(kubectl)?)?;
    let stage = Stage {
        node,
        kubectl,
        pod,
        load,
    };
    stage.the_api_server_restarts()?;
    stage.etcd_goes_back()?;
    target.release()
}

impl Stage<'_> {
    /// F01: nothing is sent for it, and a change arrives at once.
    fn the_api_server_restarts(&self) -> Result<()> {
        let before = self.settled()?;
        let begun = Instant::now();
        for _ in 0..RESTARTS {
            self.node.kill(Component::ApiServer)?;
            self.node.start(Component::ApiServer)?;
            self.ready()?;
        }
        let took = begun.elapsed();
        let after = self.sent()?;
        ensure!(
            before == after,
            "sent for nothing: {before:?}, {after:?}; {}",
            self.events()
        );
        shop::move_to(self.kubectl, "v2")?;
        let moved = Instant::now();
        shop::answered(self.kubectl, "/moves", ("v2", SOON))?;
        eprintln!(
            "{RESTARTS} restarts in {:.1} s; a change arrived after {:.1} s; {} requests, none failed",
            took.as_secs_f32(),
            moved.elapsed().as_secs_f32(),
            self.load.answered()?
        );
        self.report()
    }

    /// F07: what was written after the copy is gone everywhere, and life goes on.
    fn etcd_goes_back(&self) -> Result<()> {
        let copy = self.node.copy_of_etcd()?;
        self.ready()?;
        shop::move_to(self.kubectl, "v1")?;
        shop::answered(self.kubectl, "/moves", ("v1", SOON))?;
        let before = self.restores()?;
        self.node.restore_etcd(&copy)?;
        self.ready()?;
        let ready = Instant::now();
        shop::answered(self.kubectl, "/moves", ("v2", RESTORED))?;
        let converged = ready.elapsed();
        ensure!(self.restores()? != before, "it was noticed as such");
        shop::move_to(self.kubectl, "v1")?;
        shop::answered(self.kubectl, "/moves", ("v1", SOON))?;
        // What one replica does for all, too: a namespace gets the root certificate.
        self.kubectl.run(&["create", "namespace", "after"])?;
        let root = ["get", "configmap", "istio-ca-root-cert"];
        let root = [&root[..], &["--namespace=after"]].concat();
        wait::every("the root certificate", (RESTORED, LOOK), || {
            Ok(self.kubectl.run(&root).ok())
        })?;
        eprintln!(
            "etcd went back: converged after {:.1} s; {} requests, none failed",
            converged.as_secs_f32(),
            self.load.answered()?
        );
        self.report()
    }

    fn ready(&self) -> Result<()> {
        wait::every("the API server", (BACK, LOOK), || {
            Ok(self.kubectl.run(&["get", "--raw", "/readyz"]).ok())
        })?;
        Ok(())
    }

    fn sent(&self) -> Result<BTreeMap<String, f64>> {
        sent(self.kubectl, &self.pod)
    }

    /// What has been sent, once nothing has been for two seconds.
    fn settled(&self) -> Result<BTreeMap<String, f64>> {
        let pause = Duration::from_secs(2);
        let mut last = None;
        wait::every("nothing to be sent any more", (BACK, pause), || {
            let now = self.sent()?;
            let same = last.as_ref() == Some(&now);
            last = Some(now);
            Ok(last.clone().filter(|_| same))
        })
    }

    fn restores(&self) -> Result<BTreeMap<String, f64>> {
        metrics(self.kubectl, &self.pod, &["meltemi_kube_restores_total"])
    }

    /// What Kubernetes says that happened, for the error.
    fn events(&self) -> String {
        let events = [
            "get",
            "events",
            "--all-namespaces",
            "--sort-by=.lastTimestamp",
        ];
        let slices = ["get", "endpointslices", "--all-namespaces", "--output=yaml"];
        format!(
            "{:?} {:?}",
            self.kubectl.run(&events),
            self.kubectl.run(&slices)
        )
    }

    /// What the control plane went through, for who reads the test's output.
    fn report(&self) -> Result<()> {
        let families = ["meltemi_kube_faults_total", "meltemi_kube_lists_total"];
        let samples = metrics(self.kubectl, &self.pod, &families)?;
        let sum = |of: &str| -> f64 {
            let all = samples.iter().filter(|(name, _)| name.contains(of));
            all.map(|(_, value)| value).sum()
        };
        eprintln!("faults {}, lists {}", sum("faults"), sum("lists"));
        Ok(())
    }
}
