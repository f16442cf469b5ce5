//! Workloads whose agents hold an identity: traffic between them is mutually authenticated and
//! encrypted, and PeerAuthentication decides who else may call.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::mesh::{self, Mesh, SYSTEM};
use meltemi_e2e::{Target, calls};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::{paths, wait};
use std::time::{Duration, Instant};

const SPACE: &str = "--namespace=meshed";
const CALLED: &str = "http://called/";
/// What the called workload sees of both, as its proxy puts it.
const BY: &str = "By=spiffe://cluster.local/ns/meshed/sa/called;";
const FROM: &str = "URI=spiffe://cluster.local/ns/meshed/sa/caller";
const ANSWER: &str = "\"workload\":\"called\"";

/// How soon plaintext must be refused: 1 s is wanted (and printed), and on a machine with three nodes
/// one look takes as long.
const REFUSED: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

fn mode(mode: &str) -> String {
    format!(
        "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: meshed}}
spec: {{mtls: {{mode: {mode}}}}}
"
    )
}

struct Meshed<'a>(&'a Kubectl);

impl Meshed<'_> {
    fn call(&self, from: &str, url: &str) -> Result<String> {
        calls::call(self.0, &[from, SPACE, "--container=app"], (url, &[]))
    }

    fn until(&self, from: &str, expected: &str) -> Result<String> {
        calls::until(&format!("{CALLED} from {from}"), expected, || {
            self.call(from, CALLED)
        })
    }

    /// Bytes by TCP until what comes back within a moment has a text.
    fn bytes(&self, printf: &str, expected: &str) -> Result<String> {
        let talk = format!("(printf '{printf}'; sleep 2) | timeout 9 nc called 9000 || true");
        let exec = ["exec", "caller", SPACE, "--container=app", "--"];
        calls::until("bytes", expected, || {
            self.0.run(&[&exec[..], &["sh", "-c", &talk]].concat())
        })
    }

    /// Both ways are open, and the called one knows who calls, when they can tell.
    fn permissive(&self) -> Result<()> {
        let known = self.until("caller", FROM)?;
        ensure!(known.contains(BY) && known.contains(ANSWER), "{known}");
        let unknown = self.until("plain", ANSWER)?;
        ensure!(!unknown.contains("spiffe://"), "{unknown}");
        Ok(())
    }

    /// Whoever cannot tell who they are is refused, and soon.
    fn strict(&self) -> Result<()> {
        self.0.apply(&mode("STRICT"))?;
        let applied = Instant::now();
        wait::every("plaintext to be refused", (REFUSED, LOOK), || {
            let said = self.call("plain", CALLED)?;
            Ok((!said.contains(ANSWER)).then_some(()))
        })?;
        eprintln!(
            "plaintext refused after {:.2} s",
            applied.elapsed().as_secs_f32()
        );
        let known = self.call("caller", CALLED)?;
        ensure!(known.contains(FROM), "{known}");
        let again = self.call("plain", CALLED)?;
        ensure!(!again.contains(ANSWER), "{again}");
        Ok(())
    }

    /// One port, no declared protocol, and still nothing in the clear.
    fn any_protocol(&self) -> Result<()> {
        let said = self.call("caller", "http://called:9000/first")?;
        ensure!(
            said.contains("\"path\":\"/first\"") && said.contains(FROM),
            "{said}"
        );
        let preface = r"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\000\000\000\004\000\000\000\000\000";
        // GET / of the authority "called", by the static table of HPACK.
        let head = r"\000\000\013\001\005\000\000\000\001\202\206\204\101\006called";
        let said = self.bytes(&format!("{preface}{head}"), "\"protocol\":\"HTTP/2\"")?;
        ensure!(said.contains(FROM), "{said}");
        let said = self.bytes("<bytes>\\n", "bytes")?;
        ensure!(said == "<bytes>\n", "{said}");
        Ok(())
    }

    /// Nobody asks who calls, and nobody tells.
    fn disabled(&self) -> Result<()> {
        self.0.apply(&mode("DISABLE"))?;
        self.until("plain", ANSWER)?;
        let quiet = calls::until("no certificate", "true", || {
            let said = self.call("caller", CALLED)?;
            Ok((said.contains(ANSWER) && !said.contains("spiffe://")).to_string())
        });
        quiet.map(drop)
    }
}

#[test]
fn workloads_know_who_calls_them() -> Result<()> {
    let images: Vec<_> = mesh::IMAGES.into_iter().chain(["proxy"]).collect();
    let target = Target::take("e2e-identity", &images)?;
    let kubectl = target.kubectl();
    let mesh = Mesh::install(&target, &[])?;
    kubectl.run(&["create", "namespace", "meshed"])?;
    let root = ["get", "configmap", "istio-ca-root-cert", SPACE];
    let wanted = (Duration::from_secs(30), Duration::from_millis(200));
    wait::every("the root certificate", wanted, || {
        Ok(kubectl.run(&root).ok())
    })?;
    let chart = paths::repository().join("tests/e2e/charts/meshed");
    let chart = chart.to_str().context("the path of the repository")?;
    let install = ["install", "meshed", chart, SPACE, "--wait", "--timeout=60s"];
    let installed = target.helm().run(&install);
    installed.map_err(|error| {
        let logs = [
            "logs",
            "caller",
            SPACE,
            "--container=istio-proxy",
            "--tail=40",
        ];
        error.context(format!("{:?}", kubectl.run(&logs)))
    })?;
    let meshed = Meshed(kubectl);
    meshed.permissive()?;
    meshed.strict()?;
    meshed.any_protocol()?;
    meshed.disabled()?;
    mesh.uninstall()?;
    kubectl.run(&["delete", "namespace", "meshed", SYSTEM])?;
    target.release()
}
