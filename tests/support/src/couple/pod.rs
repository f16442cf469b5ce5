//! One of the two pods: its files, its agent, what its Envoy shows; and who keeps its files.

use super::{Programs, SOON};
use crate::agent::{self, Options, PORTS};
use crate::envoy::admin::Admin;
use crate::lease::{Lease, is_free};
use crate::process::{Process, Spec};
use crate::reviews::{Reviews, Token};
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Where the application listens.
pub(super) const APP: u16 = 8080;
const ROOT: &str = "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert";
/// Where the roots of the mesh are mounted.
const MOUNTED: &str = "var/run/secrets/istio/root-cert.pem";
/// How often the kubelet of this pod looks.
const LOOK: Duration = Duration::from_millis(100);
/// How often readiness is looked at: each look costs Envoy something.
const PROBE: Duration = Duration::from_millis(10);

/// A pod. Dropping it kills everything of it.
#[derive(Debug)]
pub struct Pod {
    /// Its account; the pod is `NAME-1`.
    name: &'static str,
    agent: Option<Process>,
    options: Option<Options>,
    _app: Option<Process>,
    lease: Lease,
}

impl Pod {
    pub(super) fn lease(name: &'static str) -> Result<Self> {
        let ports: Vec<u16> = PORTS.into_iter().chain([APP, super::PORT]).collect();
        Ok(Self {
            name,
            agent: None,
            options: None,
            _app: None,
            lease: Lease::take(&ports)?,
        })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.lease.address()
    }

    /// An address of it.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.address(), port).into()
    }

    pub(super) fn root(&self, dir: &Path) -> PathBuf {
        dir.join(self.name).join("root")
    }

    /// It as an object of Kubernetes.
    pub(super) fn object(&self) -> String {
        let (name, address) = (self.name, self.address());
        format!(
            "apiVersion: v1
kind: Pod
metadata:
  name: {name}-1
  namespace: shop
  labels: {{app: {name}, security.istio.io/tlsMode: istio}}
spec:
  serviceAccountName: {name}
  containers: [{{name: app}}]
status: {{phase: Running, podIP: {address}}}
---
"
        )
    }

    /// Starts its application and its agent.
    pub(super) fn start(
        &mut self,
        programs: &Programs,
        (dir, plane): (&Path, SocketAddr),
        (reviews, lifetime): (&Reviews, Duration),
    ) -> Result<()> {
        let (root, name) = (self.root(dir), self.name);
        let pod = format!("{name}-1");
        write(&root, "etc/istio/pod/labels", &format!("app=\"{name}\"\n"))?;
        let token = reviews.mint(&Token::of("shop", name, &pod));
        write(&root, "var/run/secrets/tokens/istio-token", &token)?;
        let dir = dir.join(name);
        let app = Spec::new("app", &programs.echo, &dir)
            .option("--address", self.address().to_string())
            .option("--port", APP.to_string())
            .option("--name", name);
        self._app = Some(Process::start(&app)?);
        let text = |(name, value): (&str, String)| (name.to_owned(), value);
        let env = [
            ("ISTIOD_SAN", "istiod.istio-system.svc".to_owned()),
            ("SECRET_TTL", format!("{}s", lifetime.as_secs())),
            ("OUTPUT_CERTS", "certs".to_owned()),
            ("ISTIO_META_APP_CONTAINERS", "app".to_owned()),
        ];
        let options = Options {
            program: programs.agent.clone(),
            envoy: programs.envoy.clone(),
            name: name.to_owned(),
            address: self.address(),
            plane: plane.to_string(),
            root,
            config: Value::Null,
            env: env.map(text).to_vec(),
        };
        self.agent = Some(Process::start(&options.spec())?);
        self.options = Some(options);
        Ok(())
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It is not in time; the error holds its log.
    pub fn wait_ready(&mut self, deadline: Duration) -> Result<()> {
        let address = self.address();
        let agent = self.agent.as_mut().context("it was not started")?;
        let ready = agent::wait_ready((agent, address), (deadline, PROBE));
        ready.with_context(|| self.log())
    }

    /// Ends its agent, which ends its Envoy, and starts it again; how long that took from the start of
    /// the process until it was ready.
    ///
    /// # Errors
    /// It does not end, or is not ready in time.
    pub fn restart(&mut self) -> Result<Duration> {
        drop(self.agent.take());
        let spec = self.options()?.spec();
        let ports = PORTS.map(|port| self.at(port));
        crate::wait::until("the ports of the pod to be free", SOON, || {
            Ok(ports.iter().all(|at| is_free(*at)).then_some(()))
        })?;
        let begun = Instant::now();
        self.agent = Some(Process::start(&spec)?);
        self.wait_ready(SOON)?;
        Ok(begun.elapsed())
    }

    /// The process id of its agent.
    ///
    /// # Errors
    /// It was not started.
    pub fn agent_pid(&self) -> Result<u32> {
        Ok(self.agent.as_ref().context("it was not started")?.pid())
    }

    /// Its agent and its Envoy.
    pub(super) fn pids(&mut self) -> Result<[u32; 2]> {
        let agent = self.agent.as_mut().context("it was not started")?;
        agent.expect_running()?;
        let pid = agent.pid();
        Ok([pid, agent::envoy_of(pid, SOON)?])
    }

    /// What agent and Envoy have logged.
    #[must_use]
    pub fn log(&self) -> String {
        let path = self.agent.as_ref().map(Process::log);
        path.and_then(|path| std::fs::read_to_string(path).ok())
            .unwrap_or_default()
    }

    fn options(&self) -> Result<&Options> {
        self.options.as_ref().context("it was not started")
    }

    fn admin(&self) -> Result<Admin> {
        Ok(self.options()?.admin())
    }

    /// The chain that the agent holds, as it writes it, in PEM.
    ///
    /// # Errors
    /// It has written none.
    pub fn chain(&self) -> Result<String> {
        self.written("cert-chain.pem")
    }

    /// The roots that came with it.
    ///
    /// # Errors
    /// There are none.
    pub fn roots(&self) -> Result<String> {
        self.written("root-cert.pem")
    }

    fn written(&self, name: &str) -> Result<String> {
        let path = self.options()?.root.join("certs").join(name);
        let text = std::fs::read_to_string(&path);
        text.with_context(|| format!("cannot read {}", path.display()))
    }

    /// The numbers of the certificates that its Envoy shows.
    ///
    /// # Errors
    /// No answer.
    pub fn serials(&self) -> Result<BTreeSet<String>> {
        self.numbers("cert_chain")
    }

    /// The numbers of the roots that its Envoy believes.
    ///
    /// # Errors
    /// No answer.
    pub fn believed(&self) -> Result<BTreeSet<String>> {
        self.numbers("ca_cert")
    }

    fn numbers(&self, of: &str) -> Result<BTreeSet<String>> {
        let shown = self.admin()?.json("/certs")?;
        let all = shown.pointer("/certificates").and_then(Value::as_array);
        let lists = all.into_iter().flatten();
        let certificates = lists.filter_map(|one| one.get(of)?.as_array()).flatten();
        let of = |one: &Value| Some(number(one.get("serial_number")?.as_str()?));
        Ok(certificates.filter_map(of).collect())
    }
}

/// A serial number in one form: some write zeros in front of it, some do not.
pub(super) fn number(text: &str) -> String {
    text.trim_start_matches('0').to_ascii_lowercase()
}

fn write(root: &Path, name: &str, text: &str) -> Result<()> {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap_or(root))?;
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)?;
    std::fs::rename(&partial, &path).with_context(|| format!("cannot write {}", path.display()))
}

/// Keeps the roots of the mesh in the files of pods, as the kubelet does (which takes a minute).
#[derive(Debug)]
pub(super) struct Kubelet {
    _stop: Sender<()>,
}

impl Kubelet {
    /// Waits until the first roots are there.
    pub(super) fn start(reviews: &Reviews, pods: &[PathBuf]) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (reviews, pods) = (reviews.clone(), pods.to_vec());
        let look = move |had: &mut Option<String>| -> Result<Option<()>> {
            let map = reviews.object(ROOT).context("there is no ConfigMap")?;
            let roots = map.pointer("/data/root-cert.pem").and_then(Value::as_str);
            let roots = roots.context("no root is in it")?;
            if had.as_deref() != Some(roots) {
                for root in &pods {
                    write(root, MOUNTED, roots)?;
                }
                *had = Some(roots.to_owned());
            }
            Ok(Some(()))
        };
        let mut had = None;
        crate::wait::until("the roots of the mesh", SOON, || look(&mut had))?;
        std::thread::spawn(move || {
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                // What cannot be read or written now is tried again.
                let _again = look(&mut had);
            }
        });
        Ok(Self { _stop: stop })
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn zeros_in_front_of_a_number_do_not_count() {
        assert_eq!(number("0A66"), number("a66"));
        assert_ne!(number("A660"), number("a66"));
    }
}
