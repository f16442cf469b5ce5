//! ServiceEntries and WorkloadEntries that come, change and go: the snapshot after each step is the
//! one that a fresh registry makes of the same objects.

use anyhow::{Context, Result, ensure};
use meltemi_api::yaml::{self, Outcome, Source};
use meltemi_api::{Change, Object};
use meltemi_model::{EndpointAddress, Health, Service, Snapshot};
use meltemi_registry::{Registry, Settings};
use meltemi_types::ObjectRef;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A registry and what it was fed with.
struct Desk {
    registry: Registry,
    objects: BTreeMap<Arc<ObjectRef>, Object>,
}

impl Desk {
    fn new() -> Self {
        let mut registry = Registry::new(Settings::default());
        registry.publish();
        Self {
            registry,
            objects: BTreeMap::new(),
        }
    }

    fn put(&mut self, kind: &str, name: &str, rest: &str) -> Result<()> {
        let group = match kind {
            "Service" | "Pod" => "v1",
            _ => "networking.istio.io/v1",
        };
        let text = format!(
            "apiVersion: {group}\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\n{rest}\n"
        );
        for document in yaml::read(text.as_bytes(), &Source::new("a.yaml")) {
            let Outcome::Object(object) = document.outcome else {
                anyhow::bail!("{:?}", document.diagnostics);
            };
            self.objects.insert(object.key().clone(), object.clone());
            self.registry.apply(Change::Upsert(object));
        }
        self.check()
    }

    fn delete(&mut self, kind: &str, name: &str) -> Result<()> {
        let object = ObjectRef {
            cluster: Default::default(),
            kind: kind.into(),
            namespace: Some("shop".parse()?),
            name: name.parse()?,
        };
        let object = Arc::new(object);
        self.objects.remove(&object).context("it was there")?;
        self.registry.apply(Change::Delete(object));
        self.check()
    }

    /// Publishes, and compares with a rebuild.
    fn check(&mut self) -> Result<()> {
        self.registry.publish();
        let mut fresh = Registry::new(Settings::default());
        for object in self.objects.values() {
            fresh.apply(Change::Upsert(object.clone()));
        }
        let same = *self.registry.snapshot() == fresh.publish().snapshot;
        ensure!(same, "a rebuild differs");
        Ok(())
    }

    fn snapshot(&self) -> &Snapshot {
        self.registry.snapshot()
    }

    fn service(&self, host: &str) -> Result<&Service> {
        let services = &self.snapshot().services;
        let mut found = services.iter().filter(|s| s.key.host.as_str() == host);
        let service = found.next().with_context(|| format!("{host}?"))?;
        ensure!(found.next().is_none(), "{host} is there twice");
        Ok(service)
    }

    /// `ADDRESS:PORT` of the endpoints of a host, with `!` when unhealthy.
    fn endpoints(&self, host: &str) -> Result<Vec<String>> {
        let key = &self.service(host)?.key;
        let all = self.snapshot().endpoints.service(key);
        let all = all.into_iter().flat_map(|s| s.ports.values());
        let shown = all.flat_map(|list| list.iter()).map(|endpoint| {
            let address = match &endpoint.address {
                EndpointAddress::Ip(ip) => ip.to_string(),
                EndpointAddress::Name(name) | EndpointAddress::Pipe(name) => name.to_string(),
                EndpointAddress::Remote => "remote".to_owned(),
            };
            let port = endpoint.port.map_or(0, meltemi_types::Port::number);
            let mark = match endpoint.health {
                Health::Healthy => "",
                Health::Unhealthy | Health::Draining => "!",
            };
            format!("{address}:{port}{mark}")
        });
        Ok(shown.collect())
    }
}

const STATIC: &str = "spec: {hosts: [a.example.com], resolution: STATIC, \
    ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.1}]}";
const SELECTING: &str = "spec: {hosts: [a.example.com], resolution: STATIC, \
    ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: a}}}";
const MACHINE: &str = "spec: {address: 10.0.0.5, labels: {app: a}, ports: {http: 7070}}";

#[test]
fn an_entry_comes_changes_its_host_and_goes() -> Result<()> {
    let mut desk = Desk::new();
    desk.put("ServiceEntry", "a", STATIC)?;
    assert_eq!(desk.endpoints("a.example.com")?, ["10.0.0.1:80"]);
    desk.put(
        "ServiceEntry",
        "a",
        &STATIC.replace("a.example", "b.example"),
    )?;
    assert!(desk.service("a.example.com").is_err());
    assert_eq!(desk.endpoints("b.example.com")?, ["10.0.0.1:80"]);
    desk.delete("ServiceEntry", "a")?;
    assert!(desk.snapshot().services.is_empty());
    Ok(())
}

#[test]
fn two_entries_of_one_host_are_one_service_until_one_goes() -> Result<()> {
    let mut desk = Desk::new();
    desk.put("ServiceEntry", "b", &STATIC.replace("10.0.0.1", "10.0.0.2"))?;
    desk.put(
        "ServiceEntry",
        "a",
        &STATIC.replace("number: 80", "number: 81"),
    )?;
    let ports = |desk: &Desk| -> Result<Vec<u32>> {
        let ports = desk.service("a.example.com")?.ports.iter();
        Ok(ports.map(|p| p.number.number()).collect())
    };
    assert_eq!(ports(&desk)?, [80, 81]);
    assert_eq!(
        desk.service("a.example.com")?.origin.object.name.as_str(),
        "a",
        "none says when it was made, so names decide"
    );
    assert_eq!(desk.endpoints("a.example.com")?.len(), 2);
    desk.delete("ServiceEntry", "a")?;
    assert_eq!(ports(&desk)?, [80]);
    assert_eq!(desk.endpoints("a.example.com")?, ["10.0.0.2:80"]);
    Ok(())
}

#[test]
fn a_kubernetes_service_takes_its_host_back_and_gives_it_up_again() -> Result<()> {
    let host = "a.shop.svc.cluster.local";
    let mut desk = Desk::new();
    desk.put("ServiceEntry", "e", &STATIC.replace("a.example.com", host))?;
    assert!(!desk.service(host)?.kubernetes);
    let service =
        "spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{port: 80, name: http}]}";
    desk.put("Service", "a", service)?;
    assert!(desk.service(host)?.kubernetes);
    assert_eq!(
        desk.endpoints(host)?,
        ["10.0.0.1:80"],
        "it still adds endpoints"
    );
    desk.delete("Service", "a")?;
    assert!(!desk.service(host)?.kubernetes);
    Ok(())
}

#[test]
fn a_host_that_only_looks_like_a_service_is_none() -> Result<()> {
    let mut desk = Desk::new();
    desk.put(
        "Service",
        "a",
        "spec: {clusterIP: 10.96.0.1, ports: [{port: 80, name: http}]}",
    )?;
    desk.put("ServiceEntry", "e", STATIC)?;
    assert!(!desk.service("a.example.com")?.kubernetes);
    Ok(())
}

#[test]
fn selected_workloads_come_change_and_go() -> Result<()> {
    let mut desk = Desk::new();
    desk.put("ServiceEntry", "a", SELECTING)?;
    assert!(desk.endpoints("a.example.com")?.is_empty());
    desk.put("WorkloadEntry", "machine", MACHINE)?;
    assert_eq!(desk.endpoints("a.example.com")?, ["10.0.0.5:7070"]);
    let status = "status: {podIP: 10.0.0.6}\nspec: {containers: []}";
    desk.put("Pod", "a-1", status)?;
    assert_eq!(desk.endpoints("a.example.com")?.len(), 1, "it has no label");
    desk.put(
        "WorkloadEntry",
        "machine",
        &MACHINE.replace("app: a", "app: b"),
    )?;
    assert!(desk.endpoints("a.example.com")?.is_empty());
    desk.put("ServiceEntry", "a", &SELECTING.replace("app: a", "app: b"))?;
    assert_eq!(desk.endpoints("a.example.com")?, ["10.0.0.5:7070"]);
    desk.delete("WorkloadEntry", "machine")?;
    assert!(desk.endpoints("a.example.com")?.is_empty());
    Ok(())
}

#[test]
fn a_service_sends_to_machines_and_notices_their_health() -> Result<()> {
    let host = "a.shop.svc.cluster.local";
    let mut desk = Desk::new();
    let service = "spec: {clusterIP: 10.96.0.1, selector: {app: a}, \
        ports: [{port: 80, name: web, targetPort: http}]}";
    desk.put("Service", "a", service)?;
    desk.put("WorkloadEntry", "machine", MACHINE)?;
    assert_eq!(
        desk.endpoints(host)?,
        ["10.0.0.5:7070"],
        "by the name of the target port"
    );
    let checked = "machine, annotations: {proxy.istio.io/health-checks-enabled: \"true\"}";
    desk.put("WorkloadEntry", checked, MACHINE)?;
    assert_eq!(
        desk.endpoints(host)?,
        ["10.0.0.5:7070!"],
        "not known to be well"
    );
    let well = format!("{MACHINE}\nstatus: {{conditions: [{{type: Healthy, status: \"True\"}}]}}");
    desk.put("WorkloadEntry", checked, &well)?;
    assert_eq!(desk.endpoints(host)?, ["10.0.0.5:7070"]);
    Ok(())
}

#[test]
fn addresses_are_allocated_once_and_kept_apart() -> Result<()> {
    let mut desk = Desk::new();
    let named = |host: &str| STATIC.replace("a.example.com", host);
    let of = |desk: &Desk, host: &str| -> Result<String> {
        let service = desk.service(host)?;
        Ok(service.allocated.first().context("an address")?.to_string())
    };
    desk.put("ServiceEntry", "a", &named("a.example.com"))?;
    let first = of(&desk, "a.example.com")?;
    assert!(first.starts_with("240.240."), "{first}");
    desk.put("ServiceEntry", "b", &named("b.example.com"))?;
    assert_eq!(of(&desk, "a.example.com")?, first);
    assert_ne!(of(&desk, "b.example.com")?, first);
    // Somebody wrote the very address that was made up for the other one.
    let taken = format!(
        "{}\nstatus: {{addresses: [{{value: {first}, host: b.example.com}}]}}",
        named("b.example.com")
    );
    desk.put("ServiceEntry", "b", &taken)?;
    assert_eq!(of(&desk, "b.example.com")?, first);
    assert_ne!(of(&desk, "a.example.com")?, first);
    desk.put(
        "ServiceEntry",
        "b",
        &named("b.example.com").replace("STATIC, ", "STATIC, addresses: [10.8.0.1], "),
    )?;
    assert!(of(&desk, "b.example.com").is_err());
    assert_eq!(of(&desk, "a.example.com")?, first);
    Ok(())
}

#[test]
fn an_address_that_two_claim_stays_with_the_older_and_chosen_ones_are_left_alone() -> Result<()> {
    let mut desk = Desk::new();
    let claiming = |host: &str, ip: &str| {
        let spec = STATIC.replace("a.example.com", host);
        format!("{spec}\nstatus: {{addresses: [{{value: {ip}, host: {host}}}]}}")
    };
    let of = |desk: &Desk, host: &str| -> Result<Vec<String>> {
        let ips = desk.service(host)?.allocated.iter();
        Ok(ips.map(ToString::to_string).collect())
    };
    let young = "young, creationTimestamp: 2026-02-02T00:00:00Z";
    let old = "old, creationTimestamp: 2026-01-01T00:00:00Z";
    let (a, b) = ("a.example.com", "b.example.com");
    desk.put("ServiceEntry", young, &claiming(a, "240.240.7.7"))?;
    assert_eq!(of(&desk, a)?, ["240.240.7.7"]);
    desk.put("ServiceEntry", old, &claiming(b, "240.240.7.7"))?;
    assert_eq!(of(&desk, b)?, ["240.240.7.7"]);
    let made_up = of(&desk, a)?;
    assert_ne!(made_up, ["240.240.7.7"]);
    let allocated = desk.registry.publish().allocated;
    let entry = |name: &str| {
        allocated
            .iter()
            .find(|(object, _)| object.name.as_str() == name)
    };
    let (_, said) = entry("young").context("it has addresses")?;
    let said: Vec<_> = said
        .iter()
        .map(|(host, ip)| format!("{host} {ip}"))
        .collect();
    let expected: Vec<_> = made_up.iter().map(|ip| format!("{a} {ip}")).collect();
    assert_eq!(said, expected);
    // What a person chose is nobody else's.
    let chosen = STATIC.replace("a.example.com", "c.example.com");
    let chosen = chosen.replace(
        "STATIC, ",
        &format!("STATIC, addresses: [{}], ", made_up[0]),
    );
    desk.put("ServiceEntry", "c", &chosen)?;
    assert!(!of(&desk, a)?.iter().any(|ip| made_up.contains(ip)));
    Ok(())
}

#[test]
fn names_below_a_domain_have_an_address_when_the_name_in_a_request_decides() -> Result<()> {
    let mut desk = Desk::new();
    let below = |resolution: &str| {
        format!(
            "spec: {{hosts: [\"*.example.com\"], location: MESH_EXTERNAL, resolution: {resolution}, \
             ports: [{{number: 80, name: http, protocol: HTTP}}]}}"
        )
    };
    desk.put("ServiceEntry", "a", &below("NONE"))?;
    assert!(desk.service("*.example.com")?.allocated.is_empty());
    desk.put("ServiceEntry", "a", &below("DYNAMIC_DNS"))?;
    assert_eq!(desk.service("*.example.com")?.allocated.len(), 2);
    Ok(())
}
