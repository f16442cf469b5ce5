//! What the registry keeps and what it rebuilds: pointers tell what did not change, and a mistake
//! never takes anything away.

use anyhow::{Context, Result, ensure};
use meltemi_api::Change;
use meltemi_api::yaml::{self, Outcome, Source};
use meltemi_api::{Broken, Object};
use meltemi_model::endpoint::EndpointAddress;
use meltemi_model::{ServiceKey, Snapshot};
use meltemi_registry::{Registry, Settings};
use meltemi_types::{ClusterId, ObjectRef};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A registry that is fed with YAML.
struct Desk {
    registry: Registry,
    cluster: ClusterId,
}

impl Desk {
    fn new(text: &str) -> Result<Self> {
        let mut desk = Self {
            registry: Registry::new(Settings::default()),
            cluster: ClusterId::default(),
        };
        desk.put(text)?;
        Ok(desk)
    }

    /// Applies documents and publishes; the services whose endpoints differ.
    fn put(&mut self, text: &str) -> Result<BTreeSet<ServiceKey>> {
        let source = Source {
            cluster: self.cluster.clone(),
            ..Source::new("a.yaml")
        };
        for document in yaml::read(text.as_bytes(), &source) {
            let change = match document.outcome {
                Outcome::Object(object) => Change::Upsert(object),
                Outcome::Broken { object, selector } => Change::Broken(Arc::new(Broken {
                    object,
                    selector,
                    generation: None,
                    diagnostics: document.diagnostics.into(),
                })),
                Outcome::LeftOut | Outcome::Foreign | Outcome::Unclear => {
                    anyhow::bail!("{:?}", document.diagnostics)
                }
            };
            self.registry.apply(change);
        }
        Ok(self.registry.publish().endpoints)
    }

    fn delete(&mut self, kind: &str, name: &str) -> Result<BTreeSet<ServiceKey>> {
        let object = ObjectRef {
            cluster: self.cluster.clone(),
            kind: kind.into(),
            namespace: Some("shop".parse()?),
            name: name.parse()?,
        };
        self.registry.apply(Change::Delete(Arc::new(object)));
        Ok(self.registry.publish().endpoints)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.registry.snapshot().clone()
    }

    fn codes(&self) -> Vec<String> {
        let diagnostics = self.snapshot().diagnostics.clone();
        diagnostics.iter().map(|d| d.code.to_string()).collect()
    }

    /// Addresses and localities of a service's endpoints.
    fn endpoints(&self, service: &str) -> Result<Vec<(String, String)>> {
        let key = key(service)?;
        let snapshot = self.snapshot();
        let all = snapshot
            .endpoints
            .service(&key)
            .context("no such service")?;
        let endpoints = all.ports.values().flat_map(|list| list.iter());
        let shown = endpoints.map(|endpoint| {
            let address = match &endpoint.address {
                EndpointAddress::Ip(ip) => ip.to_string(),
                EndpointAddress::Name(name) | EndpointAddress::Pipe(name) => name.to_string(),
                EndpointAddress::Remote => String::new(),
            };
            (address, endpoint.locality.to_string())
        });
        Ok(shown.collect())
    }
}

fn key(service: &str) -> Result<ServiceKey> {
    Ok(ServiceKey {
        host: format!("{service}.shop.svc.cluster.local").parse()?,
        namespace: "shop".parse()?,
    })
}

fn service(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  clusterIP: 10.96.0.1\n  selector: {{app: {name}}}\n  ports: [{{port: 80, name: http}}]\n"
    )
}

fn slice(service: &str, address: &str) -> String {
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {service}-1, namespace: shop, labels: {{kubernetes.io/service-name: {service}}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: 8080}}]\nendpoints: [{{addresses: [{address}]}}]\n"
    )
}

fn virtual_service(subset: &str) -> String {
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: a, namespace: shop}}\nspec:\n  hosts: [a]\n  \
         http: [{{name: to-{subset}, route: [{{destination: {{host: a, subset: {subset}}}}}]}}]\n"
    )
}

fn destination_rule(subsets: &[&str]) -> String {
    let subsets: Vec<_> = subsets
        .iter()
        .map(|name| format!("{{name: {name}, labels: {{version: {name}}}}}"))
        .collect();
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: a, namespace: shop}}\nspec: {{host: a, subsets: [{}]}}\n",
        subsets.join(", ")
    )
}

/// Pointers of all parts, to be compared.
fn parts(snapshot: &Snapshot) -> [usize; 8] {
    [
        Arc::as_ptr(&snapshot.mesh) as usize,
        Arc::as_ptr(&snapshot.services) as usize,
        Arc::as_ptr(&snapshot.endpoints) as usize,
        Arc::as_ptr(&snapshot.workloads) as usize,
        Arc::as_ptr(&snapshot.routes) as usize,
        Arc::as_ptr(&snapshot.policies) as usize,
        Arc::as_ptr(&snapshot.sidecars) as usize,
        Arc::as_ptr(&snapshot.security) as usize,
    ]
}

fn route_names(snapshot: &Snapshot) -> Vec<String> {
    let tables = snapshot.routes.tables.iter();
    let rules = tables.flat_map(|table| table.http.iter());
    rules
        .filter_map(|rule| rule.name.as_ref().map(ToString::to_string))
        .collect()
}

#[test]
fn an_endpoint_that_moves_publishes_its_service_and_nothing_else() -> Result<()> {
    let mesh = service("a") + &service("b") + &slice("a", "10.0.0.1") + &slice("b", "10.0.0.2");
    let mut desk = Desk::new(&mesh)?;
    let before = desk.snapshot();
    let changed = desk.put(&slice("a", "10.0.0.3"))?;
    assert_eq!(changed, BTreeSet::from([key("a")?]));
    let after = desk.snapshot();
    let (mut old, mut new) = (parts(&before), parts(&after));
    assert_ne!(old[2], new[2], "the endpoints are new");
    (old[2], new[2]) = (0, 0);
    assert_eq!(old, new, "all else stays");
    let b = |s: &Snapshot| Ok::<_, anyhow::Error>(s.endpoints.service(&key("b")?).cloned());
    let (old, new) = (b(&before)?.context("b")?, b(&after)?.context("b")?);
    assert!(
        Arc::ptr_eq(&old, &new),
        "the other service's endpoints stay"
    );
    Ok(())
}

#[test]
fn an_annotation_that_nobody_reads_changes_nothing() -> Result<()> {
    let mesh = service("a")
        + &slice("a", "10.0.0.1")
        + &virtual_service("v1")
        + &destination_rule(&["v1"]);
    let mut desk = Desk::new(&mesh)?;
    let before = desk.snapshot();
    let note = |text: &str| {
        text.replace(
            "namespace: shop",
            "namespace: shop, annotations: {note: hi}",
        )
    };
    let changed = desk.put(&note(&mesh))?;
    assert!(changed.is_empty(), "{changed:?}");
    assert_eq!(parts(&before), parts(&desk.snapshot()));
    Ok(())
}

#[test]
fn the_same_objects_again_change_nothing() -> Result<()> {
    let mesh = service("a") + &slice("a", "10.0.0.1");
    let mut desk = Desk::new(&mesh)?;
    let before = desk.snapshot();
    assert!(desk.put(&mesh)?.is_empty());
    assert_eq!(parts(&before), parts(&desk.snapshot()));
    Ok(())
}

#[test]
fn a_route_to_an_unknown_subset_keeps_its_last_good_version_until_the_subset_comes() -> Result<()> {
    let mut desk =
        Desk::new(&(service("a") + &destination_rule(&["v1"]) + &virtual_service("v1")))?;
    desk.put(&virtual_service("v2"))?;
    assert_eq!(route_names(&desk.snapshot()), ["to-v1"]);
    assert_eq!(desk.codes(), ["MLT0201"]);
    desk.put(&destination_rule(&["v1", "v2"]))?;
    assert_eq!(route_names(&desk.snapshot()), ["to-v2"]);
    assert!(desk.codes().is_empty(), "{:?}", desk.codes());
    Ok(())
}

#[test]
fn a_route_that_never_was_good_is_used_as_it_is() -> Result<()> {
    let mut desk = Desk::new(&(service("a") + &virtual_service("v2")))?;
    assert_eq!(route_names(&desk.snapshot()), ["to-v2"]);
    assert_eq!(desk.codes(), ["MLT0201"]);
    desk.delete("VirtualService", "a")?;
    assert!(desk.codes().is_empty(), "{:?}", desk.codes());
    assert!(route_names(&desk.snapshot()).is_empty());
    Ok(())
}

#[test]
fn an_object_that_breaks_keeps_its_last_good_version() -> Result<()> {
    let mesh = service("a") + &destination_rule(&["v1"]) + &virtual_service("v1");
    let mut desk = Desk::new(&mesh)?;
    let before = desk.snapshot();
    desk.put(&virtual_service("v1").replace("hosts:", "host:"))?;
    assert_eq!(parts(&before), parts(&desk.snapshot()));
    assert!(
        desk.codes().contains(&"MLT0004".to_owned()),
        "{:?}",
        desk.codes()
    );
    desk.put(&virtual_service("v1"))?;
    assert!(desk.codes().is_empty(), "{:?}", desk.codes());
    Ok(())
}

#[test]
fn a_broken_object_that_is_deleted_is_gone() -> Result<()> {
    let mut desk = Desk::new(&(service("a") + &virtual_service("v1").replace("hosts:", "host:")))?;
    assert!(!desk.codes().is_empty());
    desk.delete("VirtualService", "a")?;
    assert!(desk.codes().is_empty(), "{:?}", desk.codes());
    Ok(())
}

#[test]
fn a_policy_that_cannot_be_read_guards_unless_an_older_version_is_in_force() -> Result<()> {
    let policy = |spec: &str| {
        format!(
            "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
             metadata: {{name: a, namespace: shop}}\nspec: {spec}\n"
        )
    };
    let broken = policy("{mtlss: {}}");
    let mut desk = Desk::new(&broken)?;
    assert_eq!(desk.snapshot().security.guards.len(), 1);
    desk.put(&policy("{mtls: {mode: DISABLE}}"))?;
    assert!(desk.snapshot().security.guards.is_empty());
    desk.put(&broken)?;
    assert!(
        desk.snapshot().security.guards.is_empty(),
        "the old one counts"
    );
    assert_eq!(desk.snapshot().security.peers.len(), 1);
    desk.delete("PeerAuthentication", "a")?;
    assert!(desk.snapshot().security.peers.is_empty());
    Ok(())
}

const POD: &str = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a-1, namespace: shop, labels: {app: a}}\n\
    spec: {nodeName: n1, containers: [{name: app}]}\nstatus: {podIP: 10.0.0.1}\n";

fn node(zone: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Node\nmetadata:\n  name: n1\n  \
         labels: {{topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: {zone}}}\n"
    )
}

#[test]
fn a_node_reaches_the_endpoints_on_it() -> Result<()> {
    let mut desk = Desk::new(&(service("a") + POD))?;
    assert_eq!(
        desk.endpoints("a")?,
        [("10.0.0.1".to_owned(), String::new())]
    );
    for zone in ["eu-a", "eu-b"] {
        assert_eq!(desk.put(&node(zone))?, BTreeSet::from([key("a")?]));
        let (_, locality) = desk.endpoints("a")?.pop().context("an endpoint")?;
        assert!(locality.contains(zone), "{locality}");
    }
    Ok(())
}

#[test]
fn a_namespace_reaches_the_network_of_its_endpoints() -> Result<()> {
    let mut desk = Desk::new(&(service("a") + POD))?;
    let namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {topology.istio.io/network: west}}\n";
    assert_eq!(desk.put(namespace)?, BTreeSet::from([key("a")?]));
    let snapshot = desk.snapshot();
    let all = snapshot.endpoints.service(&key("a")?).context("a")?;
    let networks = all.ports.values().flat_map(|list| list.iter());
    let networks: Vec<_> = networks
        .map(|e| e.network.as_ref().map(|n| n.as_str()))
        .collect();
    assert_eq!(networks, [Some("west")]);
    Ok(())
}

#[test]
fn a_pod_that_turns_unready_or_goes_reaches_its_service() -> Result<()> {
    let mut desk = Desk::new(&(service("a") + &service("b") + POD))?;
    let unready = POD.replace(
        "podIP: 10.0.0.1",
        "podIP: 10.0.0.1, conditions: [{type: Ready, status: \"False\"}]",
    );
    assert_eq!(desk.put(&unready)?, BTreeSet::from([key("a")?]));
    assert_eq!(desk.delete("Pod", "a-1")?, BTreeSet::from([key("a")?]));
    assert!(desk.endpoints("a")?.is_empty());
    Ok(())
}

#[test]
fn a_slice_without_names_finds_pods_of_its_own_namespace_only() -> Result<()> {
    let elsewhere = POD.replace("namespace: shop", "namespace: other");
    let mut desk = Desk::new(&(service("a") + &slice("a", "10.0.0.1") + &node("eu-a")))?;
    assert!(desk.put(&elsewhere)?.is_empty());
    assert_eq!(
        desk.endpoints("a")?,
        [("10.0.0.1".to_owned(), String::new())]
    );
    assert_eq!(desk.put(POD)?, BTreeSet::from([key("a")?]));
    let (_, locality) = desk.endpoints("a")?.pop().context("an endpoint")?;
    assert_eq!(locality, "eu/eu-a");
    Ok(())
}

#[test]
fn slices_replace_pods_and_give_back_to_them() -> Result<()> {
    let mut desk = Desk::new(&(service("a") + POD))?;
    desk.put(&slice("a", "10.0.0.7"))?;
    assert_eq!(
        desk.endpoints("a")?,
        [("10.0.0.7".to_owned(), String::new())]
    );
    desk.delete("EndpointSlice", "a-1")?;
    assert_eq!(
        desk.endpoints("a")?,
        [("10.0.0.1".to_owned(), String::new())]
    );
    Ok(())
}

#[test]
fn a_host_of_two_clusters_is_one_service_with_both_clusters_endpoints() -> Result<()> {
    let mut desk = Desk::new(&(service("a") + &slice("a", "10.0.0.1")))?;
    desk.cluster = "west".parse()?;
    desk.put(&(service("a").replace("10.96.0.1", "10.97.0.1") + &slice("a", "10.1.0.1")))?;
    let snapshot = desk.snapshot();
    ensure!(snapshot.services.len() == 1);
    let found = snapshot.services.by_key(&key("a")?).context("a")?;
    let addresses: Vec<_> = found
        .addresses
        .iter()
        .map(|(cluster, ips)| format!("{cluster} {ips:?}"))
        .collect();
    assert_eq!(addresses, ["Kubernetes [10.96.0.1]", "west [10.97.0.1]"]);
    assert_eq!(desk.endpoints("a")?.len(), 2);
    desk.delete("Service", "a")?;
    assert_eq!(
        desk.endpoints("a")?.len(),
        1,
        "what the other cluster has stays"
    );
    Ok(())
}

#[test]
fn what_is_pending_is_known() -> Result<()> {
    let mut registry = Registry::new(Settings::default());
    assert!(registry.is_dirty(), "nothing was published yet");
    registry.publish();
    assert!(!registry.is_dirty());
    let documents = yaml::read(service("a").as_bytes(), &Source::new("a.yaml"));
    let object = documents.into_iter().find_map(|d| match d.outcome {
        Outcome::Object(object) => Some(object),
        Outcome::Broken { .. } | Outcome::LeftOut | Outcome::Foreign | Outcome::Unclear => None,
    });
    let object: Object = object.context("a service")?;
    registry.apply(Change::Upsert(object));
    assert!(registry.is_dirty());
    Ok(())
}

const GATEWAY: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  selector: {app: edge}
  servers:
  - {port: {number: 80, protocol: HTTP, name: http}, hosts: [./a.com, bank/b.com]}
";

const INGRESS: &str = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i, namespace: shop, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  rules:
  - host: a.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: a, port: {name: http}}}}
";

fn router(namespace: &str, labels: serde_json::Value) -> Result<meltemi_model::Proxy> {
    let mut facts = meltemi_model::proxy::NodeFacts {
        id: format!("router~10.0.0.8~edge-0.{namespace}~{namespace}.svc.cluster.local"),
        ..Default::default()
    };
    facts.metadata.insert("LABELS".into(), labels);
    meltemi_model::Proxy::understand(&facts).map_err(|refused| anyhow::anyhow!("{refused}"))
}

#[test]
fn a_gateway_selects_routers_of_every_namespace_unless_it_is_scoped() -> Result<()> {
    let own = router("shop", serde_json::json!({"app": "edge"}))?;
    let other = router("bank", serde_json::json!({"app": "edge"}))?;
    let unlike = router("shop", serde_json::json!({"app": "web"}))?;
    let mut desk = Desk::new(GATEWAY)?;
    let count = |desk: &Desk, proxy: &meltemi_model::Proxy| {
        desk.registry
            .snapshot()
            .gateways_of(proxy, &proxy.labels)
            .len()
    };
    assert_eq!(count(&desk, &own), 1);
    assert_eq!(count(&desk, &other), 1);
    assert_eq!(count(&desk, &unlike), 0);
    desk.registry = Registry::new(Settings {
        scoped_gateways: true,
        ..Settings::default()
    });
    desk.put(GATEWAY)?;
    assert_eq!(count(&desk, &own), 1);
    assert_eq!(count(&desk, &other), 0);
    desk.delete("Gateway", "edge")?;
    assert_eq!(count(&desk, &own), 0);
    Ok(())
}

#[test]
fn a_gateway_touches_gateways_alone() -> Result<()> {
    let mut desk = Desk::new(&service("a"))?;
    let before = desk.registry.snapshot().clone();
    desk.put(GATEWAY)?;
    let after = desk.registry.snapshot().clone();
    assert!(Arc::ptr_eq(&before.services, &after.services));
    assert!(Arc::ptr_eq(&before.routes, &after.routes));
    assert!(!Arc::ptr_eq(&before.gateways, &after.gateways));
    desk.put(GATEWAY)?;
    assert!(Arc::ptr_eq(
        &after.gateways,
        &desk.registry.snapshot().gateways
    ));
    Ok(())
}

#[test]
fn an_ingress_follows_the_ports_of_its_service() -> Result<()> {
    let mut desk = Desk::new(INGRESS)?;
    let routed = |desk: &Desk| desk.registry.snapshot().routes.tables.len();
    assert_eq!(desk.registry.snapshot().gateways.rules.len(), 1);
    assert_eq!(routed(&desk), 0, "the port's number is not known");
    desk.put(&service("a"))?;
    assert_eq!(routed(&desk), 1);
    desk.delete("Ingress", "i")?;
    assert_eq!(routed(&desk), 0);
    assert!(desk.registry.snapshot().gateways.rules.is_empty());
    Ok(())
}
