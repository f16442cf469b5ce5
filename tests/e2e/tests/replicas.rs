//! Two replicas of the control plane, of which one dies or leaves: its proxies go to the other, who
//! sends them nothing that they have, and does what only one may do.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::load::Load;
use meltemi_e2e::mesh::{self, Mesh, SYSTEM};
use meltemi_e2e::replica::{leader, names, sent, streams};
use meltemi_e2e::{Target, shop};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::cluster::{Cluster, Component};
use meltemi_testkit::wait;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);
/// Each try of a proxy to find a replica goes to the dead one, or not: the node that would say that it
/// is gone rests, too. Waits between tries grow to half a minute.
const MOVED: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(100);
/// How long the work of a leader that is dead may rest: 15 s from when its last renewal was seen
/// until its lock is anybody's, 1 s between two looks at it, and what a busy machine takes. 20 s are
/// wanted (and printed).
const DEAD: Duration = Duration::from_secs(45);
/// And of one that leaves: 2 s, and what it takes Kubernetes to tell it on a machine with three nodes.
/// It is less than the 15 s that it takes when the lock is not given back.
const LEFT: Duration = Duration::from_secs(12);

const GATEWAYS: f64 = 2.0;

struct Stage<'a> {
    node: &'a Cluster,
    kubectl: &'a Kubectl,
    load: Load<'a>,
}

#[test]
fn a_replica_dies_and_the_other_has_its_proxies_and_its_work() -> Result<()> {
    let target = Target::take("e2e-replicas", &mesh::IMAGES)?;
    let Some(node) = target.node() else {
        eprintln!("left out: it kills what runs on the node, and this cluster is not ours");
        return Ok(());
    };
    let kubectl = target.kubectl();
    let mut mesh = Mesh::install(&target, &[])?;
    mesh.add_gateway(&["--set=replicaCount=2"])?;
    shop::open(kubectl)?;
    // All proxies are on the first replica, which leads, when the second one comes.
    let first = names(kubectl)?.pop().context("there is a replica")?;
    scale(kubectl)?;
    let all = names(kubectl)?;
    let mut others = all.iter().filter(|name| **name != first);
    let second = others.next().context("there are two replicas")?.clone();
    let load = Load::start(kubectl, &shop::url(kubectl)?)?;
    let stage = Stage {
        node,
        kubectl,
        load,
    };
    stage.a_replica_dies(&first, &second)?;
    stage.a_replica_leaves(&second)?;
    target.release()
}

fn scale(kubectl: &Kubectl) -> Result<()> {
    let system = ["--namespace", SYSTEM];
    let scale = ["scale", "deployment/istiod", "--replicas=2"];
    kubectl.run(&[&scale[..], &system].concat())?;
    rolled_out(kubectl)
}

fn rolled_out(kubectl: &Kubectl) -> Result<()> {
    let status = ["rollout", "status", "deployment/istiod", "--timeout=60s"];
    kubectl.run(&[&status[..], &["--namespace", SYSTEM]].concat())?;
    Ok(())
}

impl Stage<'_> {
    fn a_replica_dies(&self, first: &str, second: &str) -> Result<()> {
        ensure!(leader(self.kubectl)? == first, "the first replica leads");
        let on = (
            streams(self.kubectl, first)?,
            streams(self.kubectl, second)?,
        );
        ensure!(on == (GATEWAYS, 0.0), "proxies are on the first: {on:?}");
        let container = self.container(first)?;
        // kubelet would start it again at once.
        self.node.pause(Component::Kubelet)?;
        let died = Instant::now();
        self.node.kill_container(&container)?;
        self.kubectl.run(&["create", "namespace", "orphan"])?;
        let root = ["get", "configmap", "istio-ca-root-cert"];
        let root = [&root[..], &["--namespace=orphan"]].concat();
        wait::every("the root certificate", (DEADLINE, LOOK), || {
            Ok(self.kubectl.run(&root).ok())
        })?;
        let worked = died.elapsed();
        self.moved(second)?;
        let moved = died.elapsed();
        let sent = sent(self.kubectl, second)?;
        ensure!(sent.is_empty(), "sent what proxies have: {sent:?}");
        self.node.resume(Component::Kubelet)?;
        ensure!(worked <= DEAD, "its work rested for {worked:?}");
        ensure!(leader(self.kubectl)? == second);
        self.restarted(first)?;
        eprintln!(
            "killed: work went on after {:.1} s, proxies moved within {:.1} s; {} requests, none failed",
            worked.as_secs_f32(),
            moved.as_secs_f32(),
            self.load.answered()?
        );
        Ok(())
    }

    fn a_replica_leaves(&self, leaving: &str) -> Result<()> {
        let told = Instant::now();
        let delete = ["delete", "pod", leaving, "--wait=false"];
        self.kubectl
            .run(&[&delete[..], &["--namespace", SYSTEM]].concat())?;
        let next = wait::every("another leader", (DEADLINE, LOOK), || {
            let leader = leader(self.kubectl)?;
            Ok((leader != leaving && !leader.is_empty()).then_some(leader))
        })?;
        let led = told.elapsed();
        ensure!(led <= LEFT, "nobody led for {led:?}, now {next}");
        rolled_out(self.kubectl)?;
        let others = names(self.kubectl)?;
        wait::every("the proxies to move", (DEADLINE, LOOK), || {
            let on = others.iter().map(|name| streams(self.kubectl, name));
            let on: f64 = on.collect::<Result<Vec<_>>>()?.iter().sum();
            Ok((on >= GATEWAYS).then_some(()))
        })?;
        let moved = told.elapsed();
        for name in &others {
            // The endpoints of the control plane itself have changed, and nothing else.
            let mut sent = sent(self.kubectl, name)?;
            sent.retain(|sample, _| !sample.contains("\"eds\""));
            ensure!(sent.is_empty(), "{name} sent what proxies have: {sent:?}");
        }
        eprintln!(
            "left: another one led after {:.1} s, proxies moved within {:.1} s; {} requests, none failed",
            led.as_secs_f32(),
            moved.as_secs_f32(),
            self.load.answered()?
        );
        Ok(())
    }

    fn moved(&self, to: &str) -> Result<()> {
        wait::every("the proxies to move", (MOVED, LOOK), || {
            Ok((streams(self.kubectl, to)? >= GATEWAYS).then_some(()))
        })
    }

    fn container(&self, pod: &str) -> Result<String> {
        self.status(pod, "containerID")
    }

    fn status(&self, pod: &str, field: &str) -> Result<String> {
        let form = format!("--output=jsonpath={{.status.containerStatuses[0].{field}}}");
        self.kubectl
            .run(&["get", "pod", pod, "--namespace", SYSTEM, &form])
    }

    fn restarted(&self, pod: &str) -> Result<()> {
        wait::every("the dead one to run again", (DEADLINE, LOOK), || {
            let ready = self.status(pod, "ready")? == "true";
            Ok((ready && self.status(pod, "restartCount")? != "0").then_some(()))
        })
    }
}
