//! Kubernetes itself fails: the API server dies again and again, and etcd goes back in time. The
//! mesh goes on as it is, no proxy hears anything, and what is changed afterwards arrives.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::load::Load;
use meltemi_e2e::mesh::{self, Mesh, SYSTEM};
use meltemi_e2e::replica::{metrics, names, sent};
use meltemi_e2e::{Target, shop};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::cluster::{Cluster, Component};
use meltemi_testkit::{paths, wait};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long Kubernetes may take to be there again.
const BACK: Duration = Duration::from_secs(60);
/// How soon a change must arrive when it is, or was restored: 10 s are wanted, and clients of an API
/// server that was away for long wait as long before they try again.
const SOON: Duration = Duration::from_secs(30);
const RESTORED: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

const RESTARTS: u32 = 20;

/// How soon what is wrong must be said: a kind that is missing is looked for every 4 s, one that is
/// denied every 13 s at the latest.
const SAID: Duration = Duration::from_secs(30);

const ROLE: &str = "istiod-clusterrole-istio-system";
/// The kind that may not be read for a while.
const DENIED: &str = "destinationrules";
/// The kind whose definition comes later.
const LATER: &str = "networking.istio.io_serviceentries";
const ODD: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: odd, namespace: default}
spec: {hosts: 7}
";

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
    stage.bad_input()?;
    stage.the_api_server_restarts()?;
    stage.etcd_goes_back()?;
    target.release()
}

impl Stage<'_> {
    /// What cannot be used is said, and changes nothing else.
    fn bad_input(&self) -> Result<()> {
        let quiet = self.errors()?;
        self.a_mesh_configuration_that_is_none(quiet)?;
        self.a_kind_that_is_denied(quiet)?;
        self.an_object_from_before_its_schema(quiet)?;
        eprintln!(
            "bad input was said; {} requests, none failed",
            self.load.answered()?
        );
        Ok(())
    }

    fn a_mesh_configuration_that_is_none(&self, quiet: f64) -> Result<()> {
        let before = self.settled()?;
        let map = ["configmap", "istio", "--namespace", SYSTEM];
        let form = ["--output=jsonpath={.data.mesh}"];
        let good = self.kubectl.run(&[&["get"], &map[..], &form].concat())?;
        let write = |text: &str| {
            let patch = format!("--patch={}", json!({"data": {"mesh": text}}));
            self.kubectl
                .run(&[&["patch"], &map[..], &["--type=merge", &patch]].concat())
        };
        write("connectTimeout: [")?;
        self.said("MeshConfig istio-system/istio", quiet)?;
        ensure!(self.sent()? == before, "the last good one is in force");
        write(&good)?;
        self.is_quiet(quiet)
    }

    fn a_kind_that_is_denied(&self, quiet: f64) -> Result<()> {
        let role = ["get", "clusterrole", ROLE, "--output=json"];
        let role: Value = serde_json::from_str(&self.kubectl.run(&role)?)?;
        let mut less = role.clone();
        let rules = less.get_mut("rules").and_then(Value::as_array_mut);
        for rule in rules.context("rules")? {
            let kinds = rule.get_mut("resources").and_then(Value::as_array_mut);
            kinds.context("resources")?.retain(|kind| kind != DENIED);
        }
        self.write_role(&less)?;
        // Rights are looked at when a watch begins.
        self.restart()?;
        self.said("MLT0501", quiet)?;
        // Its objects stay in force, and other kinds go on.
        shop::move_to(self.kubectl, "v2")?;
        shop::answered(self.kubectl, "/moves", ("v2", SOON))?;
        shop::move_to(self.kubectl, "v1")?;
        shop::answered(self.kubectl, "/moves", ("v1", SOON))?;
        self.write_role(&role)?;
        self.is_quiet(quiet)
    }

    fn write_role(&self, role: &Value) -> Result<()> {
        let patch = format!("--patch={}", json!({"rules": role.get("rules")}));
        let role = ["patch", "clusterrole", ROLE, "--type=merge", &patch];
        self.kubectl.run(&role)?;
        Ok(())
    }

    /// The definition comes later than the control plane, and at first allows everything.
    fn an_object_from_before_its_schema(&self, quiet: f64) -> Result<()> {
        let file = paths::repository().join(format!("crds/{LATER}.yaml"));
        let (group, plural) = LATER.split_once('_').context("a name")?;
        let crd = format!("{plural}.{group}");
        self.kubectl.run(&["delete", "crd", &crd])?;
        let apply = ["apply", "--server-side", "--force-conflicts", "--filename"];
        let file = file.display().to_string();
        let apply = [&apply[..], &[&file]].concat();
        self.kubectl.run(&apply)?;
        let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let loosen = [0, 1, 2].map(|at| {
            let path = format!("/spec/versions/{at}/schema/openAPIV3Schema");
            json!({"op": "replace", "path": path, "value": any})
        });
        let loosen = format!("--patch={}", Value::from(loosen.to_vec()));
        self.kubectl
            .run(&["patch", "crd", &crd, "--type=json", &loosen])?;
        wait::every("the object to be taken", (BACK, LOOK), || {
            Ok(self.kubectl.apply(ODD).ok())
        })?;
        self.said("ServiceEntry default/odd", quiet)?;
        self.kubectl.run(&apply)?;
        shop::move_to(self.kubectl, "v2")?;
        shop::answered(self.kubectl, "/moves", ("v2", SOON))?;
        shop::move_to(self.kubectl, "v1")?;
        self.kubectl.run(&["delete", "serviceentry", "odd"])?;
        self.is_quiet(quiet)
    }

    fn errors(&self) -> Result<f64> {
        let samples = metrics(self.kubectl, &self.pod, &["meltemi_diagnostics"])?;
        let mut errors = samples.iter().filter(|(name, _)| name.contains("error"));
        Ok(errors.next().map_or(0.0, |(_, value)| *value))
    }

    /// Waits until there is one more error, and the log says this.
    fn said(&self, text: &str, quiet: f64) -> Result<()> {
        wait::every(&format!("{text} to be said"), (SAID, LOOK), || {
            let log = ["logs", &self.pod, "--namespace", SYSTEM];
            let said = self.kubectl.run(&log)?.contains(text);
            Ok((said && self.errors()? > quiet).then_some(()))
        })
    }

    fn is_quiet(&self, quiet: f64) -> Result<()> {
        wait::every("nothing to be wrong any more", (SAID, LOOK), || {
            Ok((self.errors()? <= quiet).then_some(()))
        })
    }

    fn restart(&self) -> Result<()> {
        self.node.kill(Component::ApiServer)?;
        self.node.start(Component::ApiServer)?;
        self.ready()
    }

    /// F01: nothing is sent for it, and a change arrives at once.
    fn the_api_server_restarts(&self) -> Result<()> {
        let before = (self.settled()?, self.restores()?);
        let begun = Instant::now();
        for _ in 0..RESTARTS {
            self.restart()?;
        }
        let took = begun.elapsed();
        let after = (self.sent()?, self.restores()?);
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
        // The object may have been written again before it was; other kinds are listed only then.
        wait::every("the restore to be noticed", (SOON, LOOK), || {
            Ok((self.restores()? != before).then_some(()))
        })?;
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
