//! The namespaces of a cluster: a network without a way out, and a view of the file system in
//! which nothing that the components mount or scatter reaches the machine.
//!
//! The network is entered with `nsenter` and not with `ip netns exec`, which mounts /sys anew and
//! so hides the control groups. One quiet process holds the mount namespace; when it and the
//! components are gone, so are all mounts.

use super::ADDRESS;
use super::components::background;
use super::config::{TUNABLES, tunable};
use super::places::{HIDDEN, Places, program};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// The name under which the holder is kept.
const HOLDER: &str = "holder";

/// Makes both.
pub(super) fn make(places: &Places) -> Result<()> {
    run(Command::new("ip").args(["netns", "add", &places.space()]))?;
    run(in_network(places, Path::new("sh")).args(["-ec", &network()]))?;
    let script = mounts(places.run(), &program("pause")?);
    let mut holder = in_network(places, Path::new("unshare"));
    holder.args(["--mount", "--propagation", "private", "sh", "-ec", &script]);
    background(places, HOLDER, &holder)?;
    Ok(())
}

/// Removes the network namespace, which no process is in any more.
pub(super) fn remove(places: &Places) -> Result<()> {
    if places.network().exists() {
        run(Command::new("ip").args(["netns", "delete", &places.space()]))?;
    }
    Ok(())
}

/// A program in the cluster's network.
pub(super) fn in_network(places: &Places, program: &Path) -> Command {
    let mut command = Command::new("nsenter");
    let network = places.network().display().to_string();
    command
        .arg(format!("--net={network}"))
        .arg("--")
        .arg(program);
    command
}

/// A program in both namespaces.
pub(super) fn inside(places: &Places, program: &Path) -> Result<Command> {
    let holder = std::fs::read_to_string(places.pid(HOLDER));
    let holder = holder.with_context(|| format!("the cluster {} is not up", places.name()))?;
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net={}", places.network().display()))
        .arg(format!("--mount=/proc/{}/ns/mnt", holder.trim()))
        .arg("--")
        .arg(program);
    Ok(command)
}

/// Whether the file system is already as the components want it.
pub(super) fn is_ready(places: &Places) -> bool {
    let touch = inside(places, Path::new("test"));
    let ready = touch.and_then(|mut test| Ok(test.args(["-e", "/run/meltemi"]).output()?));
    ready.is_ok_and(|out| out.status.success())
}

/// The node's address sits on a pair of devices both of whose ends are inside: kubelet and the API
/// server want one with a default route, and a kernel may lack dummy devices.
fn network() -> String {
    format!(
        "ip link set lo up
ip link add node0 type veth peer name node1
ip addr add {ADDRESS}/24 dev node0
ip link set node0 up
ip link set node1 up
ip route add default dev node0
echo 1 > /proc/sys/net/ipv4/ip_forward
"
    )
}

/// Hides the folders whose paths the components know by heart, puts our values in front of the
/// kernel's, and stays.
fn mounts(run: &Path, holder: &Path) -> String {
    let mut script = String::from("mount --make-rshared /\n");
    for hidden in HIDDEN {
        script += &format!("mount -t tmpfs -o mode=755 meltemi {hidden}\n");
    }
    for (name, _) in TUNABLES {
        let file = tunable(run, name);
        script += &format!("mount --bind '{}' /proc/sys/{name}\n", file.display());
    }
    // The last thing that happens: the sign for `is_ready`.
    script += &format!("mkdir /run/meltemi\nexec '{}'\n", holder.display());
    script
}

/// Runs a short program; it must succeed.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let args: Vec<String> = command
        .get_args()
        .map(|arg| arg.display().to_string())
        .collect();
    let out = command.stdin(Stdio::null()).output();
    let out = out.with_context(|| format!("cannot run {name}"))?;
    ensure!(
        out.status.success(),
        "`{name} {}` ended with {}: {}{}",
        args.join(" "),
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_come_before_the_sign_and_the_holder_is_last() {
        let script = mounts(Path::new("/cache/run/a"), Path::new("/cache/bin/pause"));
        let at = |text: &str| script.find(text).unwrap();
        assert!(at("make-rshared") < at("tmpfs -o mode=755 meltemi /run"));
        assert!(at("'/cache/run/a/tunables/kernel-panic'") < at("mkdir /run/meltemi"));
        assert!(script.ends_with("exec '/cache/bin/pause'\n"), "{script}");
    }
}
