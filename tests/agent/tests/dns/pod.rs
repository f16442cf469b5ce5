//! The agent of a pod, as a process with its Envoy and a control plane that goes away.

use crate::scene::{Client, PORT, addresses};
use anyhow::{Result, ensure};
use hickory_proto::rr::RecordType;
use meltemi_agent_tests::pod::{Pod, SOON};
use meltemi_agent_tests::relayed;
use meltemi_testkit::wait;

const MESH: &str = "apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 240.9.0.10
  ports: [{port: 9081, name: http}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{port: 9081, name: http}]
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: shop, labels: {app: db}}
spec: {subdomain: db, containers: [{name: db}]}
status: {podIP: 240.9.1.1}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: shop}
spec:
  hosts: [api.example.com]
  resolution: DNS
  ports: [{number: 9081, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: shop}
spec:
  hosts: ['*.example.org']
  addresses: [240.9.2.1]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
  ports: [{number: 9081, name: http, protocol: HTTP}]
";

/// What the proxy of the pod may see: everything of its namespace, on one port.
fn egress(pod: &Pod) -> String {
    let address = pod.at(0).ip();
    let port = "port: {number: 9081, protocol: HTTP, name: http}";
    format!("[{{{port}, bind: {address}, captureMode: NONE, hosts: [./*]}}]")
}

#[test]
fn the_names_of_the_mesh_outlive_the_control_plane() -> Result<()> {
    let mut pod = Pod::alone("agent-dns")?;
    pod.env
        .push(("ISTIO_META_DNS_CAPTURE".into(), "true".into()));
    pod.start()?;
    let client = Client {
        server: pod.at(PORT),
    };
    pod.wait_logged("DNS questions are answered")?;
    let ready = pod.get(15020, "/healthz/ready")?;
    ensure!(
        ready.text().contains("the names of the mesh"),
        "{}",
        ready.text()
    );
    let config = pod.scratch.path().join("config");
    relayed::put(&config, "mesh", MESH)?;
    pod.egress = egress(&pod);
    pod.serve()?;
    pod.wait_ready()?;
    let one = |name: &str| -> Result<Option<String>> {
        let answer = client.ask(name, RecordType::A)?;
        Ok(addresses(&answer).into_iter().next())
    };
    let expect = |name: &str, ip: &str| {
        wait::until(&format!("{name} to be {ip}"), SOON, || {
            Ok(one(name)?.filter(|found| found.starts_with(ip)).map(drop))
        })
    };
    let known = [
        ("web.", "240.9.0.10"),
        ("web.shop.svc.cluster.local.", "240.9.0.10"),
        ("db.shop.", "240.9.1.1"),
        ("db-0.db.", "240.9.1.1"),
        ("api.example.com.", "240.240."),
        ("any.example.org.", "240.9.2.1"),
    ];
    for (name, ip) in known {
        expect(name, ip)?;
    }
    drop(pod.plane.take());
    for (name, ip) in known {
        let found = one(name)?;
        ensure!(
            found.as_deref().is_some_and(|it| it.starts_with(ip)),
            "{name}: {found:?}"
        );
    }
    let moved = MESH.replace("240.9.0.10", "240.9.0.11");
    relayed::put(&config, "mesh", &moved)?;
    pod.serve()?;
    expect("web.", "240.9.0.11")?;
    let metrics = pod.get(15020, "/stats/prometheus")?.text();
    ensure!(
        metrics.contains("istio_agent_dns_requests_total"),
        "{metrics}"
    );
    pod.agent()?.stop(SOON).map(drop)
}
