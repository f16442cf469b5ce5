//! Which processes belong to a cluster, and how they are ended: those in its network namespace,
//! those in its control group, and the few that a killed start was just about to run. Each is
//! killed by its process id.

use super::cgroups;
use super::places::Places;
use crate::wait;
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Process ids.
pub(super) type Pids = BTreeSet<u32>;

/// How long killed processes may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// What a start runs outside of the network namespace. Such a program outlives a killed start for
/// a moment, in which it writes below the run directory or enters the namespace.
const PREPARING: [&str; 4] = ["ctr", "kubeadm", "nsenter", "unshare"];

/// All processes of a cluster but ourselves.
pub(super) fn all(places: &Places) -> Result<Pids> {
    let mut found = in_network(&places.network())?;
    found.extend(cgroups::pids(&places.space())?);
    found.extend(preparing(places)?);
    found.remove(&std::process::id());
    Ok(found)
}

/// The processes in a network namespace; none when there is no such namespace.
fn in_network(network: &Path) -> Result<Pids> {
    let Ok(wanted) = std::fs::metadata(network) else {
        return Ok(Pids::new());
    };
    let mut found = Pids::new();
    for (pid, dir) in processes()? {
        // It may have ended meanwhile.
        if let Ok(own) = std::fs::metadata(dir.join("ns/net"))
            && (own.dev(), own.ino()) == (wanted.dev(), wanted.ino())
        {
            found.insert(pid);
        }
    }
    Ok(found)
}

fn preparing(places: &Places) -> Result<Pids> {
    let signs = [
        format!("{}/", places.run().display()),
        format!("--net={}\0", places.network().display()),
    ];
    let mut found = Pids::new();
    for (pid, dir) in processes()? {
        // It may have ended meanwhile.
        let words = std::fs::read(dir.join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        let program = words.split('\0').next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default();
        if PREPARING.contains(&name) && signs.iter().any(|sign| words.contains(sign)) {
            found.insert(pid);
        }
    }
    Ok(found)
}

/// All processes of the machine with their folders in `/proc`.
fn processes() -> Result<Vec<(u32, PathBuf)>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").context("cannot read /proc")? {
        let entry = entry?;
        if let Ok(pid) = entry.file_name().to_string_lossy().parse() {
            all.push((pid, entry.path()));
        }
    }
    Ok(all)
}

/// Kills all of them, and those that they start meanwhile, until none is left.
pub(super) fn kill_all(places: &Places) -> Result<()> {
    let what = format!("the processes of the cluster {} to end", places.name());
    wait::until(&what, GONE, || {
        let left = all(places)?;
        for pid in &left {
            send(*pid, Signal::KILL);
        }
        Ok(left.is_empty().then_some(()))
    })
}

/// Kills one process and waits until it is gone.
pub(super) fn kill(pid: u32, what: &str) -> Result<()> {
    send(pid, Signal::KILL);
    wait::until(&format!("{what} to be gone"), GONE, || {
        Ok((!is_alive(pid)).then_some(()))
    })
}

/// Whether a process runs; one that has ended and is still listed does not. Its first thread may
/// have ended, and be listed as such, while others are still about to close its sockets: the kernel
/// says so of the last one only.
pub(super) fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(Ok(process)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
        return false;
    };
    let at_once = Timespec::default();
    let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&at_once));
    ended.is_ok_and(|ended| ended == 0)
}

/// When a process started, in ticks since the machine did: with the id it names one process.
pub(super) fn started(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19).map(str::to_owned)
}

/// Sends a signal to a process, if it is there.
pub(super) fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // The only failure is that it has ended.
        let _ended = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::process::Stdio;

    #[test]
    fn this_process_is_alive_and_has_a_start() {
        let own = std::process::id();
        assert!(is_alive(own));
        assert!(started(own).unwrap().parse::<u64>().unwrap() > 0);
        assert!(!is_alive(u32::MAX));
    }

    #[test]
    fn a_process_lives_until_its_last_thread_has_ended() {
        // The first thread ends by itself, the other one waits to be killed.
        let program = "import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).pthread_exit(None)";
        let python = std::process::Command::new("python3");
        let mut process = { python }.args(["-c", program]).spawn().unwrap();
        let pid = process.id();
        let first = format!("/proc/{pid}/task/{pid}/stat");
        wait::until("the first thread to end", GONE, || {
            Ok(std::fs::read_to_string(&first)?
                .contains(") Z")
                .then_some(()))
        })
        .unwrap();
        assert!(is_alive(pid));
        kill(pid, "the other thread").unwrap();
        assert!(!is_alive(pid));
        process.wait().unwrap();
    }

    #[test]
    fn what_a_killed_process_held_is_free_once_it_is_gone() {
        // Many threads, so that its end takes a while and threads vanish as one looks at them.
        let program = "import socket, sys, threading, time
s = socket.create_server(('127.0.0.1', 0))
for _ in range(300): threading.Thread(target=time.sleep, args=(60,)).start()
print(s.getsockname()[1], flush=True)";
        for _ in 0..5 {
            let mut python = std::process::Command::new("python3");
            let python = python.args(["-c", program]).stdout(Stdio::piped());
            let mut process = python.spawn().unwrap();
            let mut port = String::new();
            let mut said = BufReader::new(process.stdout.take().unwrap());
            said.read_line(&mut port).unwrap();
            kill(process.id(), "the listener").unwrap();
            let address = format!("127.0.0.1:{}", port.trim());
            TcpListener::bind(&address).unwrap();
            process.wait().unwrap();
        }
    }

    #[test]
    fn no_network_has_no_processes() {
        assert!(
            in_network(Path::new("/run/netns/none-such"))
                .unwrap()
                .is_empty()
        );
    }
}
