//! The programs of the node, how each is started, killed and started again.

use super::inside;
use super::places::{Places, program};
use super::{ADDRESS, space};
use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// One program of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The store of the API server.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    Controllers,
    /// kube-scheduler.
    Scheduler,
    /// What runs the containers.
    Containerd,
    /// The agent of the node.
    Kubelet,
    /// What makes Services work: iptables rules.
    Proxy,
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Etcd,
        Self::ApiServer,
        Self::Controllers,
        Self::Scheduler,
        Self::Containerd,
        Self::Kubelet,
        Self::Proxy,
    ];

    /// The name of the program, its log and its pid file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::Controllers => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::Proxy => "kube-proxy",
        }
    }

    fn program(self) -> Result<PathBuf> {
        match self {
            Self::Containerd => Ok(PathBuf::from("containerd")),
            Self::Etcd
            | Self::ApiServer
            | Self::Controllers
            | Self::Scheduler
            | Self::Kubelet
            | Self::Proxy => program(self.name()),
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Etcd => &ETCD,
            Self::ApiServer => &API_SERVER,
            Self::Controllers => &CONTROLLERS,
            Self::Scheduler => &SCHEDULER,
            Self::Containerd => &["--config=@RUN@/containerd.toml"],
            Self::Kubelet => &KUBELET,
            Self::Proxy => &["--config=@RUN@/kube-proxy.yaml"],
        }
    }
}

const ETCD: [&str; 8] = [
    "--data-dir=@RUN@/etcd",
    "--listen-client-urls=http://127.0.0.1:2379",
    "--advertise-client-urls=http://127.0.0.1:2379",
    "--listen-peer-urls=http://127.0.0.1:2380",
    "--initial-advertise-peer-urls=http://127.0.0.1:2380",
    "--initial-cluster=default=http://127.0.0.1:2380",
    "--log-level=warn",
    "--unsafe-no-fsync",
];

/// The request-header authority must not be the clients'; kubelet is reached by address, since
/// nobody resolves the node's name.
const API_SERVER: [&str; 25] = [
    "--advertise-address=@ADDRESS@",
    "--secure-port=6443",
    "--etcd-servers=http://127.0.0.1:2379",
    "--client-ca-file=@RUN@/pki/ca.crt",
    "--tls-cert-file=@RUN@/pki/apiserver.crt",
    "--tls-private-key-file=@RUN@/pki/apiserver.key",
    "--kubelet-client-certificate=@RUN@/pki/apiserver-kubelet-client.crt",
    "--kubelet-client-key=@RUN@/pki/apiserver-kubelet-client.key",
    "--kubelet-preferred-address-types=InternalIP",
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
    "--service-account-key-file=@RUN@/pki/sa.pub",
    "--service-account-signing-key-file=@RUN@/pki/sa.key",
    "--service-cluster-ip-range=10.96.0.0/16",
    "--requestheader-client-ca-file=@RUN@/pki/front-proxy-ca.crt",
    "--requestheader-allowed-names=front-proxy-client",
    "--requestheader-username-headers=X-Remote-User",
    "--requestheader-group-headers=X-Remote-Group",
    "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    "--proxy-client-cert-file=@RUN@/pki/front-proxy-client.crt",
    "--proxy-client-key-file=@RUN@/pki/front-proxy-client.key",
    "--allow-privileged=true",
    "--profiling=false",
    "--cert-dir=@RUN@/pki",
];

/// The node is not given up for what is done to the API server: with it all pods would be taken out of
/// their services.
const CONTROLLERS: [&str; 11] = [
    "--kubeconfig=@RUN@/pki/controller-manager.conf",
    "--authentication-kubeconfig=@RUN@/pki/controller-manager.conf",
    "--authorization-kubeconfig=@RUN@/pki/controller-manager.conf",
    "--root-ca-file=@RUN@/pki/ca.crt",
    "--service-account-private-key-file=@RUN@/pki/sa.key",
    "--cluster-signing-cert-file=@RUN@/pki/ca.crt",
    "--cluster-signing-key-file=@RUN@/pki/ca.key",
    "--use-service-account-credentials=true",
    "--leader-elect=false",
    "--node-monitor-grace-period=10m",
    "--bind-address=127.0.0.1",
];

const SCHEDULER: [&str; 5] = [
    "--kubeconfig=@RUN@/pki/scheduler.conf",
    "--authentication-kubeconfig=@RUN@/pki/scheduler.conf",
    "--authorization-kubeconfig=@RUN@/pki/scheduler.conf",
    "--leader-elect=false",
    "--bind-address=127.0.0.1",
];

/// How much a Go program may grow, in percent, before it collects garbage: time is dearer here than
/// memory.
pub(super) const GOGC: &str = "400";

const KUBELET: [&str; 6] = [
    "--config=@RUN@/kubelet.yaml",
    "--kubeconfig=@RUN@/pki/kubelet.conf",
    "--root-dir=@RUN@/kubelet",
    "--cert-dir=@RUN@/kubelet-pki",
    "--hostname-override=node",
    "--node-ip=@ADDRESS@",
];

/// Starts a component. It goes on when this process ends.
pub(super) fn start(places: &Places, component: Component) -> Result<()> {
    let mut command = space::inside(places, &component.program()?)?;
    let run = places.run().display().to_string();
    for argument in component.arguments() {
        let argument = argument.replace("@RUN@", &run);
        command.arg(argument.replace("@ADDRESS@", ADDRESS));
    }
    background(places, component.name(), &command)
}

/// Kills a component (SIGKILL) and waits until it is gone.
pub(super) fn kill(places: &Places, component: Component) -> Result<()> {
    match pid(places, component.name()) {
        Some(pid) => inside::kill(pid, component.name()),
        None => bail!("{} has not been started", component.name()),
    }
}

/// Sends a signal to a component that runs.
pub(super) fn signal(places: &Places, component: Component, signal: Signal) -> Result<()> {
    match pid(places, component.name()) {
        Some(pid) => inside::send(pid, signal),
        None => bail!("{} has not been started", component.name()),
    }
    Ok(())
}

/// Fails when a component that was started has ended, with the end of its log.
pub(super) fn expect_running(places: &Places) -> Result<()> {
    for component in Component::ALL {
        if let Some(pid) = pid(places, component.name())
            && !inside::is_alive(pid)
        {
            let name = component.name();
            bail!("{name} has ended; its log ends: {}", tail(places, name));
        }
    }
    Ok(())
}

/// The last lines of a log.
pub(super) fn tail(places: &Places, name: &str) -> String {
    let text = std::fs::read(places.log(name)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut last: Vec<&str> = text.lines().rev().take(8).collect();
    last.reverse();
    last.join("\n")
}

fn pid(places: &Places, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(places.pid(name)).ok()?;
    text.trim().parse().ok()
}

/// Starts a program that nobody waits for, with a log and a pid file. A shell in between ends at
/// once, so the program is nobody's child that could be left unreaped.
pub(super) fn background(places: &Places, name: &str, command: &Command) -> Result<()> {
    let log = places.log(name);
    let pid = places.pid(name);
    let tmp = places.run().join("tmp");
    for dir in [log.parent(), pid.parent(), Some(tmp.as_path())]
        .into_iter()
        .flatten()
    {
        std::fs::create_dir_all(dir)?;
    }
    let out = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log);
    let out = out.with_context(|| format!("cannot write the log {}", log.display()))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    let script = "\"$@\" </dev/null & echo $! > \"$MELTEMI_PID_FILE\"";
    shell
        .args([OsStr::new("-ec"), OsStr::new(script), OsStr::new("sh")])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .env("PATH", format!("{path}:/usr/sbin:/sbin:/usr/local/sbin"))
        .env("HOME", places.run())
        .env("TMPDIR", tmp)
        .env("GOGC", GOGC)
        .env("MELTEMI_PID_FILE", &pid)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .process_group(0);
    let status = shell
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("cannot start {name}: {}", tail(places, name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_name_no_other_place() {
        for component in Component::ALL {
            for argument in component.arguments() {
                let rest = argument.replace("@RUN@", "").replace("@ADDRESS@", "");
                assert!(!rest.contains('@'), "{argument}");
                assert!(argument.starts_with("--"), "{argument}");
            }
        }
    }
}
