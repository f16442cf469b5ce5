//! What shops are made of, as YAML: each test puts together what it needs.

/// Objects one after the other.
#[must_use]
pub fn all(pieces: &[String]) -> String {
    pieces.join("---")
}

/// A namespace with labels (`A: B, C: D`).
#[must_use]
pub fn namespace(name: &str, labels: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Namespace
metadata: {{name: {name}, labels: {{{labels}}}}}
"
    )
}

/// A Deployment of the echo in the namespace `shop`, called by its name, with labels and annotations
/// of its pods.
#[must_use]
pub fn workload(name: &str, labels: &str, annotations: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{{labels}}}}}
  template:
    metadata: {{labels: {{{labels}}}, annotations: {{{annotations}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: echo
        image: docker.io/meltemi/echo:dev
        imagePullPolicy: IfNotPresent
        args: [--port=8080, --name={name}]
        readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
"
    )
}

/// The Service of pods with these labels, in the namespace `shop`; without labels, of nobody.
#[must_use]
pub fn service(name: &str, labels: &str) -> String {
    let selector = match labels {
        "" => String::new(),
        labels => format!("\n  selector: {{{labels}}}"),
    };
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec:{selector}
  ports: [{{name: http, port: 80, targetPort: 8080}}]
"
    )
}

/// A pod with a shell.
#[must_use]
pub fn shell(name: &str, namespace: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: shell
    image: docker.io/meltemi/tools:dev
    imagePullPolicy: IfNotPresent
    command: [sleep, \"3600\"]
"
    )
}

/// The Gateway `shop` of pods with these labels, for a host.
#[must_use]
pub fn gateway(labels: &str, host: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: shop, namespace: shop}}
spec:
  selector: {{{labels}}}
  servers:
  - port: {{number: 80, name: http, protocol: HTTP}}
    hosts: [\"{host}\"]
"
    )
}
