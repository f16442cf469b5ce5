//! `meltemi-agent init` as a process: it can run again, replaces what differs, cleans up, tries
//! rules of others, and says what to do when it cannot work.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use meltemi_capture_tests::calls::{APPLICATION, call, listen};
use meltemi_capture_tests::{Backend, Pod, Version};
use meltemi_testkit::paths;
use std::net::SocketAddr;
use std::process::{Command, Output};

const BACKENDS: [Backend; 2] = [Backend::Iptables, Backend::Nft];
const FLAGS: &str = "-i * -b * -d 15020 -c net1 --redirect-dns --capture-all-dns";

fn text(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_second_run_changes_nothing() {
    for backend in BACKENDS {
        for flags in [FLAGS, "-m TPROXY -i 10.0.0.0/8 -b 80 -k veth+ -q 1 -o 2"] {
            let pod = Pod::new(backend).unwrap();
            let first = pod.captured(flags).unwrap();
            assert!(first.contains("done=Written"), "{first}");
            let rules = pod.rules().unwrap();
            let second = pod.captured(flags).unwrap();
            assert!(second.contains("done=Nothing"), "{second}");
            assert!(!second.contains("done=Written"), "{second}");
            assert_eq!(pod.rules().unwrap(), rules);
            let forced = pod.captured(&format!("{flags} --force-apply")).unwrap();
            assert!(forced.contains("done=Written"), "{forced}");
            assert_eq!(pod.rules().unwrap(), rules);
        }
    }
}

#[test]
fn a_small_image_knows_its_rules_again() {
    for backend in BACKENDS {
        let pod = Pod::new(backend).unwrap();
        // Tools print numbers then, in place of names.
        for name in ["protocols", "services", "passwd", "group"] {
            pod.has_file(name, "").unwrap();
        }
        pod.captured(FLAGS).unwrap();
        let second = pod.captured(FLAGS).unwrap();
        assert!(!second.contains("done=Written"), "{second}");
    }
}

#[test]
fn rules_that_differ_are_replaced() {
    for backend in BACKENDS {
        let pod = Pod::new(backend).unwrap();
        pod.captured(FLAGS).unwrap();
        pod.captured("-i 10.78.0.0/16 -b 80").unwrap();
        let replaced = pod.rules().unwrap();
        let fresh = Pod::new(backend).unwrap();
        fresh.captured("-i 10.78.0.0/16 -b 80").unwrap();
        // Interfaces of earlier flags are remembered by iptables only.
        let of_interface = |line: &&str| !line.contains("net1");
        let lines = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(of_interface).map(str::trim);
            let lines = lines.filter(|line| line.contains(['-', '{']) && !line.starts_with('#'));
            lines
                .filter(|line| !line.starts_with(':'))
                .map(ToOwned::to_owned)
                .collect()
        };
        assert_eq!(lines(&replaced), lines(&fresh.rules().unwrap()));
        // A rule that somebody took away comes back.
        let broken = match backend {
            Backend::Iptables => "iptables -t nat -D OUTPUT -j ISTIO_OUTPUT",
            Backend::Nft => "nft flush chain inet istio-proxy-nat output",
        };
        let (tool, args) = broken.split_once(' ').unwrap();
        assert!(
            pod.command(tool)
                .args(args.split(' '))
                .status()
                .unwrap()
                .success()
        );
        let again = pod.captured("-i 10.78.0.0/16 -b 80").unwrap();
        assert!(again.contains("done=Written"), "{again}");
        assert_eq!(lines(&pod.rules().unwrap()), lines(&replaced));
    }
}

#[test]
fn cleanup_leaves_the_rules_of_others() {
    for backend in BACKENDS {
        let pod = Pod::new(backend).unwrap();
        let others = match backend {
            Backend::Iptables => "iptables -t nat -A OUTPUT -p tcp --dport 7 -j RETURN",
            Backend::Nft => "nft add table inet others",
        };
        let (tool, args) = others.split_once(' ').unwrap();
        assert!(
            pod.command(tool)
                .args(args.split(' '))
                .status()
                .unwrap()
                .success()
        );
        let before = pod.rules().unwrap();
        let flags = format!("{FLAGS} -m TPROXY");
        pod.captured(&flags).unwrap();
        let dry = pod.captured(&format!("{flags} --dry-run")).unwrap();
        assert!(
            dry.contains("redirect") || dry.contains("REDIRECT"),
            "{dry}"
        );
        pod.captured(&format!("{flags} --cleanup-only")).unwrap();
        pod.captured(&format!("{flags} --cleanup-only")).unwrap();
        let plain = |text: &str| -> Vec<String> {
            let lines = text
                .lines()
                .filter(|line| line.contains("-A") || line.contains("table"));
            lines.map(ToOwned::to_owned).collect()
        };
        assert_eq!(plain(&pod.rules().unwrap()), plain(&before));
        let routes = pod.command("ip").args(["rule", "show"]).output().unwrap();
        assert!(!text(&routes).contains("lookup 133"), "{}", text(&routes));
        let dry = pod
            .init(&format!("{FLAGS} --dry-run"))
            .unwrap()
            .output()
            .unwrap();
        assert!(dry.status.success());
        assert_eq!(plain(&pod.rules().unwrap()), plain(&before));
    }
}

#[test]
fn legacy_iptables_is_used_where_it_has_rules() {
    let pod = Pod::new(Backend::Iptables).unwrap();
    let args = "-t nat -A OUTPUT -p tcp --dport 7 -j RETURN".split(' ');
    let there = pod.command("iptables-legacy").args(args).status().unwrap();
    assert!(there.success());
    let first = pod.captured("-i * -b *").unwrap();
    assert!(first.contains("iptables-legacy"), "{first}");
    let second = pod.captured("-i * -b *").unwrap();
    assert!(second.contains("done=Nothing"), "{second}");
    listen(&pod.inside(), "outbound", 15001).unwrap();
    for version in [Version::Four, Version::Six] {
        let to = SocketAddr::new(version.world(), 80);
        let answer = call(&pod.inside(), APPLICATION, to).unwrap();
        assert_eq!(answer, format!("outbound {to}"));
    }
    let forced = Pod::new(Backend::Iptables).unwrap();
    let nft = forced.captured("-i * --force-iptables-binary nft").unwrap();
    assert!(nft.contains("iptables-nft"), "{nft}");
}

/// `init` as the proxy's user, who may change nothing.
fn confined(pod: &Pod, flags: &str) -> Output {
    let agent = paths::binary("meltemi-agent").unwrap();
    let mut command = pod.command("setpriv");
    command.args(["--reuid", "1337", "--regid", "1337", "--clear-groups"]);
    command.arg("--inh-caps=-all").arg(agent).args(["init"]);
    command.args(flags.split(' ')).output().unwrap()
}

#[test]
fn validation_ends_with_126_until_there_are_rules() {
    for backend in BACKENDS {
        let pod = Pod::new(backend).unwrap();
        let flags = "-i * -b * -u 1337 --run-validation --skip-rule-apply --probe-timeout 2s";
        let none = confined(&pod, flags);
        assert_eq!(none.status.code(), Some(126), "{}", text(&none));
        assert!(text(&none).contains("CNI plugin"), "{}", text(&none));
        pod.captured("-i * -b * -u 1337").unwrap();
        let there = confined(&pod, flags);
        assert_eq!(there.status.code(), Some(0), "{}", text(&there));
        // Somebody else holds the proxy's port.
        listen(&pod.inside(), "other", 15006).unwrap();
        let taken = confined(&pod, flags);
        assert_eq!(taken.status.code(), Some(126), "{}", text(&taken));
        assert!(text(&taken).contains("cannot listen"), "{}", text(&taken));
    }
}

#[test]
fn validation_and_rules_of_a_pod_with_ipv6_alone() {
    for backend in BACKENDS {
        let pod = Pod::new(backend).unwrap();
        for nic in ["eth0", "net1"] {
            let args = ["-4", "addr", "flush", "dev", nic];
            assert!(pod.command("ip").args(args).status().unwrap().success());
        }
        let flags = "-i * -b * -u 1337 --run-validation --skip-rule-apply --probe-timeout 2s";
        let none = confined(&pod, flags);
        assert_eq!(none.status.code(), Some(126), "{}", text(&none));
        assert!(text(&none).contains("[::6]:15002"), "{}", text(&none));
        // No --dual-stack: the first address is of IPv6.
        let agent = paths::binary("meltemi-agent").unwrap();
        let mut init = pod.command(&agent.display().to_string());
        init.args(["init", "-i", "*", "-b", "*", "-u", "1337"]);
        if backend == Backend::Nft {
            init.arg("--native-nftables");
        }
        let applied = init.output().unwrap();
        assert!(applied.status.success(), "{}", text(&applied));
        let there = confined(&pod, flags);
        assert_eq!(there.status.code(), Some(0), "{}", text(&there));
        listen(&pod.inside(), "outbound", 15001).unwrap();
        let to = SocketAddr::new(Version::Six.world(), 80);
        let answer = call(&pod.inside(), APPLICATION, to).unwrap();
        assert_eq!(answer, format!("outbound {to}"));
    }
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let pod = Pod::new(Backend::Iptables).unwrap();
    let confined = confined(&pod, "-i * -b *");
    assert_eq!(confined.status.code(), Some(77), "{}", text(&confined));
    assert!(
        text(&confined).contains("capabilities.add [NET_ADMIN"),
        "{}",
        text(&confined)
    );
    let agent = paths::binary("meltemi-agent").unwrap();
    let mut without = pod.command("/usr/bin/env");
    without
        .arg("PATH=/nowhere")
        .arg(&agent)
        .args(["init", "-b", "*"]);
    let without = without.output().unwrap();
    assert_eq!(without.status.code(), Some(69), "{}", text(&without));
    assert!(
        text(&without).contains("iptables-restore is not there"),
        "{}",
        text(&without)
    );
    let bad = Command::new(&agent)
        .args(["istio-iptables", "-b", "80,http", "-m", "NONE"])
        .output()
        .unwrap();
    assert_eq!(bad.status.code(), Some(64), "{}", text(&bad));
    for part in [
        "istio-inbound-ports",
        "80,http",
        "separated by commas",
        "REDIRECT or TPROXY",
    ] {
        assert!(text(&bad).contains(part), "{part} in {}", text(&bad));
    }
}

#[test]
fn a_namespace_can_be_named() {
    let pod = Pod::new(Backend::Iptables).unwrap();
    let agent = paths::binary("meltemi-agent").unwrap();
    let path = format!("/run/netns/{}", pod.inside());
    let output = Command::new(agent)
        .args(["init", "-i", "*", "-b", "*", "--dual-stack"])
        .args(["--network-namespace", &path])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let rules = pod.rules().unwrap();
    assert_eq!(
        rules
            .matches("-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT")
            .count(),
        2
    );
}
