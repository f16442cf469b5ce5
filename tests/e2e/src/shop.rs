//! A shop behind a gateway: two versions of a service, and a route that one can move.

pub mod pieces;

use crate::mesh::{GATEWAY, SYSTEM};
use anyhow::Result;
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::wait;
use std::time::Duration;

/// How long a change may take to be seen, unless a test says less.
pub const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

const WORKLOADS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: v1, namespace: shop, labels: {app: reviews, version: v1}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: echo
    image: docker.io/meltemi/echo:dev
    imagePullPolicy: Never
    args: [--port=8080, --name=v1]
---
apiVersion: v1
kind: Pod
metadata: {name: v2, namespace: shop, labels: {app: reviews, version: v2}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: echo
    image: docker.io/meltemi/echo:dev
    imagePullPolicy: Never
    args: [--port=8080, --name=v2]
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 80, targetPort: 8080}]
";

const RULES: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ['*']
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: ['*']
  gateways: [shop]
  http:
  - match: [{uri: {prefix: /moves}}]
    route: [{destination: {host: reviews, subset: v1}}]
  - route: [{destination: {host: reviews, subset: v1}}]
";

/// Opens it: `/moves` and everything else are answered by v1.
///
/// # Errors
/// It does not open in time.
pub fn open(kubectl: &Kubectl) -> Result<()> {
    kubectl.apply(WORKLOADS)?;
    let pods = ["wait", "pods", "--all", "--for=condition=Ready"];
    kubectl.run(&[&pods[..], &["--namespace=shop", "--timeout=60s"]].concat())?;
    kubectl.apply(RULES)?;
    answered(kubectl, "/moves", ("v1", DEADLINE))
}

/// Lets this version answer `/moves`.
///
/// # Errors
/// It is refused.
pub fn move_to(kubectl: &Kubectl, version: &str) -> Result<()> {
    let to = format!("/moves}}}}]\n    route: [{{destination: {{host: reviews, subset: {version}");
    let from = "/moves}}]\n    route: [{destination: {host: reviews, subset: v1";
    kubectl.apply(&RULES.replace(from, &to))?;
    Ok(())
}

/// Where a client in the cluster finds the gateway.
///
/// # Errors
/// There is none.
pub fn url(kubectl: &Kubectl) -> Result<String> {
    let form = "--output=jsonpath={.spec.clusterIP}";
    let ip = kubectl.run(&["get", "service", GATEWAY, "--namespace", SYSTEM, form])?;
    Ok(format!("http://{ip}/steady"))
}

/// What the gateway answers, through the API server.
///
/// # Errors
/// It does not answer with 200.
pub fn ask(kubectl: &Kubectl, path: &str) -> Result<String> {
    let service = format!("/api/v1/namespaces/{SYSTEM}/services/http:{GATEWAY}:80/proxy{path}");
    kubectl.run(&["get", "--raw", &service])
}

/// Waits until a version answers.
///
/// # Errors
/// It does not in time.
pub fn answered(kubectl: &Kubectl, path: &str, (by, within): (&str, Duration)) -> Result<()> {
    let what = format!("{path} to be answered by {by}");
    let name = format!("\"{by}\"");
    wait::every(&what, (within, LOOK), || {
        Ok(ask(kubectl, path).ok().filter(|text| text.contains(&name)))
    })?;
    Ok(())
}
