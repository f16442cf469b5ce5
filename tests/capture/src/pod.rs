//! A pod as a network namespace, and the world outside of it as another.
//!
//! The pod has `eth0` and `net1`, the world is behind both; everything else goes over `eth0`. Each
//! has addresses of both families; listeners of the world answer on addresses of loopback.

use anyhow::{Context, Result, bail};
use meltemi_testkit::paths;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// Which tool puts the rules into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The iptables of this machine.
    Iptables,
    /// nft itself.
    Nft,
}

/// A version of the Internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    Four,
    /// IPv6.
    Six,
}

impl Version {
    /// One of the two addresses.
    #[must_use]
    pub fn of(self, four: [u8; 4], six: [u16; 8]) -> IpAddr {
        match self {
            Self::Four => four.into(),
            Self::Six => six.into(),
        }
    }

    /// The pod's own address.
    #[must_use]
    pub fn pod(self) -> IpAddr {
        self.of([10, 77, 0, 2], [0xfd77, 0, 0, 0, 0, 0, 0, 2])
    }

    /// The pod's address on `net1`.
    #[must_use]
    pub fn second(self) -> IpAddr {
        self.of([10, 76, 0, 2], [0xfd76, 0, 0, 0, 0, 0, 0, 2])
    }

    /// Loopback.
    #[must_use]
    pub fn loopback(self) -> IpAddr {
        self.of([127, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 1])
    }

    /// The address that the proxy calls the application from.
    #[must_use]
    pub fn passthrough(self) -> IpAddr {
        self.of([127, 0, 0, 6], [0, 0, 0, 0, 0, 0, 0, 6])
    }

    /// A place of the world in 10.78.0.0/16 or fd78::/16.
    #[must_use]
    pub fn world(self) -> IpAddr {
        self.of([10, 78, 0, 1], [0xfd78, 0, 0, 0, 0, 0, 0, 1])
    }

    /// A place of the world in 10.79.0.0/16 or fd79::/16.
    #[must_use]
    pub fn elsewhere(self) -> IpAddr {
        self.of([10, 79, 0, 1], [0xfd79, 0, 0, 0, 0, 0, 0, 1])
    }

    /// A place of the world behind `net1`, in 10.80.0.0/16 or fd80::/16.
    #[must_use]
    pub fn behind_second(self) -> IpAddr {
        self.of([10, 80, 0, 1], [0xfd80, 0, 0, 0, 0, 0, 0, 1])
    }
}

/// Two namespaces that go away with the value.
#[derive(Debug)]
pub struct Pod {
    name: String,
    backend: Backend,
}

impl Pod {
    /// A pod without rules.
    ///
    /// # Errors
    /// This process is not root, or a tool is missing or refuses.
    pub fn new(backend: Backend) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            bail!("the tests of capture make network namespaces, so they need root");
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("capture-{}-{count}", std::process::id());
        let pod = Self { name, backend };
        let (inside, outside) = (pod.inside(), pod.outside());
        for name in [&inside, &outside] {
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        for (nic, second) in [("eth0", "77"), ("net1", "76")] {
            ip(&format!(
                "link add {nic} netns {inside} type veth peer name {nic} netns {outside}"
            ))?;
            for (name, host) in [(&inside, 2), (&outside, 1)] {
                ip(&format!(
                    "-n {name} addr add 10.{second}.0.{host}/24 dev {nic}"
                ))?;
                ip(&format!(
                    "-n {name} addr add fd{second}::{host}/64 dev {nic} nodad"
                ))?;
                ip(&format!("-n {name} link set {nic} up"))?;
            }
        }
        for place in ["78", "79", "80"] {
            ip(&format!("-n {outside} addr add 10.{place}.0.1/32 dev lo"))?;
            ip(&format!("-n {outside} addr add fd{place}::1/128 dev lo"))?;
        }
        ip(&format!("-n {inside} route add default via 10.77.0.1"))?;
        ip(&format!("-n {inside} route add default via fd77::1"))?;
        ip(&format!("-n {inside} route add 10.80.0.0/16 via 10.76.0.1"))?;
        ip(&format!("-n {inside} route add fd80::/16 via fd76::1"))?;
        Ok(pod)
    }

    /// The namespace of the pod.
    #[must_use]
    pub fn inside(&self) -> String {
        format!("{}-pod", self.name)
    }

    /// The namespace of the world.
    #[must_use]
    pub fn outside(&self) -> String {
        format!("{}-world", self.name)
    }

    /// The servers of the pod's resolv.conf.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn resolve_by(&self, servers: &[IpAddr]) -> Result<()> {
        let lines = servers
            .iter()
            .map(|server| format!("nameserver {server}\n"));
        self.has_file("resolv.conf", &lines.collect::<String>())
    }

    /// A file of the pod's `/etc`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn has_file(&self, name: &str, text: &str) -> Result<()> {
        let folder = self.folder();
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join(name), text)?)
    }

    /// Where `ip netns exec` finds files for `/etc`.
    fn folder(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(self.inside())
    }

    /// A program in the pod.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.inside(), program]);
        command
    }

    /// The agent's `init` in the pod, by this back end and for both versions.
    ///
    /// # Errors
    /// The agent has not been built.
    pub fn init(&self, flags: &str) -> Result<Command> {
        let agent = paths::binary("meltemi-agent")?;
        let mut command = self.command(&agent.display().to_string());
        command.args(["init", "--dual-stack"]);
        command.args(flags.split_whitespace());
        if self.backend == Backend::Nft {
            command.arg("--native-nftables");
        }
        Ok(command)
    }

    /// Puts the rules of these flags into the pod; what the agent logged.
    ///
    /// # Errors
    /// It fails.
    pub fn captured(&self, flags: &str) -> Result<String> {
        let output = self.init(flags)?.output()?;
        good(&output).with_context(|| format!("init {flags}"))
    }

    /// Every rule of the pod.
    ///
    /// # Errors
    /// A tool refuses.
    pub fn rules(&self) -> Result<String> {
        let mut text = String::new();
        match self.backend {
            Backend::Nft => {
                let output = self
                    .command("nft")
                    .args(["--stateless", "list", "ruleset"])
                    .output()?;
                text.push_str(&good(&output)?);
            }
            Backend::Iptables => {
                for tool in ["iptables-save", "ip6tables-save"] {
                    let saved = good(&self.command(tool).output()?)?;
                    // Comments tell the time, brackets count.
                    let rules = saved.lines().filter(|line| !line.starts_with('#'));
                    let rules = rules.map(|line| line.split(" [").next().unwrap_or(line));
                    text.extend(rules.map(|line| format!("{line}\n")));
                }
            }
        }
        Ok(text)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for name in [self.inside(), self.outside()] {
            // What cannot be removed has a name that says which process left it.
            let _left_behind = ip(&format!("netns del {name}"));
        }
        let _never_made = std::fs::remove_dir_all(self.folder());
    }
}

/// What a program printed, when it succeeded.
///
/// # Errors
/// It did not; the error says what it printed.
pub fn good(output: &Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = text(&output.stdout) + &text(&output.stderr);
    match output.status.success() {
        true => Ok(all),
        false => bail!("{}: {all}", output.status),
    }
}

fn ip(words: &str) -> Result<()> {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output.context("ip is missing: apt-get install -y iproute2")?;
    good(&output)
        .with_context(|| format!("ip {words}"))
        .map(drop)
}
