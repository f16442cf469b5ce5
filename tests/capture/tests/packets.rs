//! Who is redirected and who is not, by connections in network namespaces: every flag, both back
//! ends, both versions of IP. The proxy's ports are held by listeners that say who they are.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use meltemi_capture_tests::calls::{
    self, APPLICATION, Owner, PROXY, call, call_from, call_udp, call_udp_from, listen, listen_udp,
};
use meltemi_capture_tests::{Backend, Pod, Version};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};

const VERSIONS: [Version; 2] = [Version::Four, Version::Six];
const BACKENDS: [Backend; 2] = [Backend::Iptables, Backend::Nft];
/// What the injector writes for a pod without annotations.
const USUAL: &str = "-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020";
const ROOT: Owner = Owner(0, 0);

/// A pod with rules, an application on some ports and the proxy's ports; the world on some ports.
fn pod(backend: Backend, flags: &str) -> Pod {
    let pod = Pod::new(backend).unwrap();
    pod.captured(flags).unwrap();
    for (name, port) in [("outbound", 15001), ("inbound", 15006)] {
        listen(&pod.inside(), name, port).unwrap();
    }
    for port in [80, 81, 15008, 15020] {
        listen(&pod.inside(), "application", port).unwrap();
    }
    for port in [80, 5432, 9092] {
        listen(&pod.outside(), "world", port).unwrap();
    }
    pod
}

/// One look at a pod: who calls what from where, and who answers.
struct Look<'a> {
    pod: &'a Pod,
    version: Version,
}

impl Look<'_> {
    /// From the pod.
    #[track_caller]
    fn sent(&self, owner: Owner, (to, port): (IpAddr, u16), by: &str) {
        let to = SocketAddr::new(to, port);
        let answer = call(&self.pod.inside(), owner, to).unwrap();
        assert_eq!(
            answer,
            format!("{by} {to}"),
            "{owner:?} sends, {:?}",
            self.version
        );
    }

    /// From the world to the pod.
    #[track_caller]
    fn got(&self, port: u16, by: &str) {
        let to = SocketAddr::new(self.version.pod(), port);
        let answer = call(&self.pod.outside(), ROOT, to).unwrap();
        assert_eq!(
            answer,
            format!("{by} {to}"),
            "the pod gets, {:?}",
            self.version
        );
    }
}

/// Looks at a pod of each back end in both versions.
fn each(flags: &str, look: impl Fn(&Look<'_>)) {
    for backend in BACKENDS {
        let pod = pod(backend, flags);
        for version in VERSIONS {
            look(&Look { pod: &pod, version });
        }
    }
}

#[test]
fn a_pod_without_annotations() {
    each(USUAL, |look| {
        let version = look.version;
        let world = (version.world(), 80);
        look.sent(APPLICATION, world, "outbound");
        look.sent(APPLICATION, (version.elsewhere(), 9092), "outbound");
        // The proxy's user or its group is enough.
        look.sent(PROXY, world, "world");
        look.sent(Owner(1337, 5), world, "world");
        look.sent(Owner(5, 1337), world, "world");
        // Itself: the application over any address of the pod stays there, the proxy comes in.
        look.sent(APPLICATION, (version.loopback(), 80), "application");
        look.sent(APPLICATION, (version.pod(), 80), "application");
        look.sent(PROXY, (version.loopback(), 80), "application");
        look.sent(PROXY, (version.pod(), 80), "inbound");
        look.sent(PROXY, (version.pod(), 15008), "application");
        look.got(80, "inbound");
        look.got(81, "inbound");
        look.got(15020, "application");
        look.got(15008, "application");
    });
}

#[test]
fn the_proxy_reaches_the_application_from_the_passthrough_address() {
    each(USUAL, |look| {
        let to = SocketAddr::new(look.version.pod(), 80);
        let path = (look.version.passthrough(), to);
        let answer = call_from(&look.pod.inside(), PROXY, path).unwrap();
        assert_eq!(answer, format!("application {to}"));
    });
}

#[test]
fn nothing_is_captured_unless_asked_for() {
    each("-u 1337", |look| {
        look.got(80, "application");
        look.sent(APPLICATION, (look.version.world(), 80), "world");
    });
}

#[test]
fn inbound_ports_as_a_list() {
    each("-b 80,82 -d 80", |look| {
        look.got(80, "inbound");
        look.got(81, "application");
        look.got(15020, "application");
        look.sent(APPLICATION, (look.version.world(), 80), "world");
    });
}

#[test]
fn outbound_ranges_as_a_list() {
    each("-i 10.78.0.0/16,fd78::/16", |look| {
        look.sent(APPLICATION, (look.version.world(), 80), "outbound");
        look.sent(APPLICATION, (look.version.elsewhere(), 80), "world");
        look.got(80, "application");
    });
}

#[test]
fn outbound_ranges_that_are_left_out() {
    each("-i * -x 10.79.0.0/16,fd79::/16", |look| {
        look.sent(APPLICATION, (look.version.world(), 80), "outbound");
        look.sent(APPLICATION, (look.version.elsewhere(), 80), "world");
    });
}

#[test]
fn outbound_ports_that_are_left_out() {
    each("-i * -o 9092,5432", |look| {
        look.sent(APPLICATION, (look.version.world(), 80), "outbound");
        look.sent(APPLICATION, (look.version.world(), 9092), "world");
        look.sent(APPLICATION, (look.version.world(), 5432), "world");
    });
}

#[test]
fn outbound_ports_whatever_the_address() {
    each(
        "-i 10.79.0.0/16,fd79::/16 -q 5432 -x 10.79.0.0/16,fd79::/16",
        |look| {
            look.sent(APPLICATION, (look.version.world(), 5432), "outbound");
            look.sent(APPLICATION, (look.version.world(), 80), "world");
            // What is left out wins over ports.
            look.sent(APPLICATION, (look.version.elsewhere(), 5432), "world");
        },
    );
}

#[test]
fn loopback_when_its_range_is_asked_for() {
    // Istio returns at the address of loopback itself, whatever was asked for.
    each("-i 127.0.0.0/8", |look| {
        look.sent(APPLICATION, (look.version.loopback(), 80), "application");
        if look.version == Version::Four {
            look.sent(APPLICATION, ([127, 0, 0, 9].into(), 80), "outbound");
        }
        look.sent(APPLICATION, (look.version.world(), 80), "world");
    });
}

#[test]
fn virtual_interfaces_send_and_do_not_receive() {
    each("-i * -b * -k net1", |look| {
        // A virtual machine behind the interface: it calls out through the pod.
        let via = match look.version {
            Version::Four => "10.76.0.2",
            Version::Six => "fd76::2",
        };
        let beyond: IpAddr = match look.version {
            Version::Four => [10, 99, 0, 1].into(),
            Version::Six => [0xfd99, 0, 0, 0, 0, 0, 0, 1].into(),
        };
        let route = format!("-n {} route add {beyond} via {via}", look.pod.outside());
        assert!(
            Command::new("ip")
                .args(route.split(' '))
                .status()
                .unwrap()
                .success()
        );
        let to = SocketAddr::new(beyond, 443);
        let answer = call(&look.pod.outside(), ROOT, to).unwrap();
        assert_eq!(answer, format!("outbound {to}"));
        look.got(80, "inbound");
    });
}

#[test]
fn interfaces_that_are_left_alone() {
    each("-i * -b * -c net1", |look| {
        let second = SocketAddr::new(look.version.second(), 80);
        let answer = call(&look.pod.outside(), ROOT, second).unwrap();
        assert_eq!(answer, format!("application {second}"));
        look.sent(APPLICATION, (look.version.behind_second(), 80), "world");
        look.sent(APPLICATION, (look.version.world(), 80), "outbound");
        look.got(80, "inbound");
    });
}

#[test]
fn groups_that_are_left_out_and_groups_alone() {
    for backend in BACKENDS {
        let cases = [
            ("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", "world", "outbound"),
            ("ISTIO_OUTBOUND_OWNER_GROUPS", "outbound", "world"),
        ];
        for (variable, of_group, of_others) in cases {
            let pod = pod(backend, "-u 1337");
            let mut command = pod.init("-u 1337 -i *").unwrap();
            let output = command.env(variable, "2000,2001").output().unwrap();
            meltemi_capture_tests::pod::good(&output).unwrap();
            for version in VERSIONS {
                let look = Look { pod: &pod, version };
                let world = (version.world(), 80);
                look.sent(Owner(1000, 2000), world, of_group);
                look.sent(Owner(1000, 2001), world, of_group);
                look.sent(APPLICATION, world, of_others);
                look.sent(PROXY, world, "world");
            }
        }
    }
}

#[test]
fn other_ports_and_users() {
    each("-i * -b * -p 15020 -z 81 -u 101,102 -g 103 -e 80", |look| {
        let version = look.version;
        look.sent(APPLICATION, (version.world(), 80), "application");
        for owner in [Owner(101, 5), Owner(102, 5), Owner(5, 103)] {
            look.sent(owner, (version.world(), 80), "world");
        }
        look.sent(PROXY, (version.world(), 80), "application");
        look.got(80, "application");
        look.got(15008, "application");
    });
}

/// A pod whose agent answers on port 15053, and two servers of the world.
fn with_dns(backend: Backend, flags: &str) -> Pod {
    let pod = Pod::new(backend).unwrap();
    let servers = VERSIONS.map(Version::world);
    pod.resolve_by(&servers).unwrap();
    pod.captured(flags).unwrap();
    listen(&pod.inside(), "agent", 15053).unwrap();
    listen(&pod.inside(), "outbound", 15001).unwrap();
    listen(&pod.outside(), "server", 53).unwrap();
    for version in VERSIONS {
        let agent = SocketAddr::new(version.loopback(), 15053);
        listen_udp(&pod.inside(), PROXY, ("agent", agent)).unwrap();
        for server in [version.world(), version.elsewhere()] {
            let server = SocketAddr::new(server, 53);
            listen_udp(&pod.outside(), ROOT, ("server", server)).unwrap();
        }
    }
    pod
}

#[test]
fn name_resolution_by_the_servers_of_the_pod() {
    for backend in BACKENDS {
        let pod = with_dns(backend, "-i * -u 1337 --redirect-dns");
        for version in VERSIONS {
            let asked = SocketAddr::new(version.world(), 53);
            let other = SocketAddr::new(version.elsewhere(), 53);
            let look = Look { pod: &pod, version };
            for _ in 0..3 {
                // The agent asks the same server meanwhile and is not sent to itself.
                assert_eq!(
                    call_udp(&pod.inside(), APPLICATION, asked).unwrap(),
                    "agent"
                );
                assert_eq!(call_udp(&pod.inside(), PROXY, asked).unwrap(), "server");
            }
            assert_eq!(
                call_udp(&pod.inside(), APPLICATION, other).unwrap(),
                "server"
            );
            look.sent(APPLICATION, (asked.ip(), 53), "agent");
            look.sent(PROXY, (asked.ip(), 53), "server");
            // Other servers over TCP are traffic as any.
            look.sent(APPLICATION, (other.ip(), 53), "outbound");
        }
    }
}

/// To the kernel both are one connection, unless each has its own zone.
#[test]
fn application_and_agent_may_ask_from_the_same_port() {
    for backend in BACKENDS {
        for flags in ["", " --capture-all-dns"] {
            let pod = with_dns(backend, &format!("-i * -u 1337 --redirect-dns{flags}"));
            for version in VERSIONS {
                let to = SocketAddr::new(version.world(), 53);
                for (port, order) in [(41001, [APPLICATION, PROXY]), (41002, [PROXY, APPLICATION])]
                {
                    let from = SocketAddr::new(version.pod(), port);
                    for owner in order {
                        let Owner(user, _) = owner;
                        let by = if user == 1337 { "server" } else { "agent" };
                        let answer = call_udp_from(&pod.inside(), owner, (from, to)).unwrap();
                        assert_eq!(answer, by, "{owner:?} {from} {to} {backend:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn all_name_resolution() {
    for backend in BACKENDS {
        let pod = with_dns(backend, "-i * -u 1337 --redirect-dns --capture-all-dns");
        for version in VERSIONS {
            for server in [version.world(), version.elsewhere()] {
                let server = SocketAddr::new(server, 53);
                assert_eq!(
                    call_udp(&pod.inside(), APPLICATION, server).unwrap(),
                    "agent"
                );
                assert_eq!(call_udp(&pod.inside(), PROXY, server).unwrap(), "server");
                let answer = call(&pod.inside(), APPLICATION, server).unwrap();
                assert_eq!(answer, format!("agent {server}"));
            }
        }
    }
}

/// A listener that may take what is not for it, as the proxy's is; ends with the value.
struct Transparent(Child);

impl Transparent {
    fn new(pod: &Pod, version: Version) -> Self {
        let kind = match version {
            Version::Four => "TCP4-LISTEN",
            Version::Six => "TCP6-LISTEN",
        };
        let mut socat = pod.command("socat");
        let v6only = if version == Version::Six {
            ",ipv6only"
        } else {
            ""
        };
        socat.arg(format!(
            "{kind}:15006,ip-transparent,reuseaddr,fork{v6only}"
        ));
        socat.arg("SYSTEM:echo inbound $SOCAT_SOCKADDR $SOCAT_PEERADDR");
        Self(socat.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Transparent {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Calls until somebody listens there, with a deadline.
fn listening(pod: &Pod, port: u16, version: Version) {
    let begun = std::time::Instant::now();
    let port = format!(":{port:04X} ");
    let file = if version == Version::Four {
        "/proc/net/tcp"
    } else {
        "/proc/net/tcp6"
    };
    loop {
        let table = pod.command("cat").arg(file).output().unwrap().stdout;
        if String::from_utf8_lossy(&table).contains(&port) {
            return;
        }
        assert!(begun.elapsed().as_secs() < 10, "nobody listens on {port}");
        std::thread::yield_now();
    }
}

#[test]
fn tproxy_keeps_both_addresses() {
    for backend in BACKENDS {
        for (flags, others) in [
            ("-m TPROXY -i * -b * -d 15020 -u 1337", "inbound"),
            ("-m TPROXY -i * -b 80 -u 1337", "application"),
        ] {
            let pod = Pod::new(backend).unwrap();
            pod.captured(flags).unwrap();
            for port in [80, 81, 15020] {
                listen(&pod.inside(), "application", port).unwrap();
            }
            listen(&pod.inside(), "outbound", 15001).unwrap();
            let _proxies = VERSIONS.map(|version| {
                let proxy = Transparent::new(&pod, version);
                listening(&pod, 15006, version);
                proxy
            });
            for version in VERSIONS {
                let got = |port: u16| {
                    let to = SocketAddr::new(version.pod(), port);
                    calls::call(&pod.outside(), ROOT, to).unwrap()
                };
                let pod_address = version.pod();
                for _ in 0..2 {
                    let answer = got(80);
                    let words: Vec<&str> = answer.split_whitespace().collect();
                    assert_eq!(words.len(), 3, "{answer:?}");
                    assert!(answer.starts_with("inbound "), "{answer}");
                    let plain = |text: &str| {
                        let text = text.trim_matches(['[', ']']);
                        text.parse::<IpAddr>().unwrap()
                    };
                    assert_eq!(words.get(1).map(|one| plain(one)), Some(pod_address));
                    let caller = version.of([10, 77, 0, 1], [0xfd77, 0, 0, 0, 0, 0, 0, 1]);
                    assert_eq!(words.get(2).map(|one| plain(one)), Some(caller));
                }
                assert!(got(81).starts_with(others), "{}", got(81));
                assert_eq!(
                    got(15020),
                    format!("application {}", SocketAddr::new(pod_address, 15020))
                );
                let look = Look { pod: &pod, version };
                look.sent(APPLICATION, (version.world(), 80), "outbound");
                look.sent(APPLICATION, (version.pod(), 80), "application");
                // The proxy calls its own pod: that comes in too.
                let own = SocketAddr::new(pod_address, 80);
                let answer = call(&pod.inside(), PROXY, own).unwrap();
                assert!(answer.starts_with("inbound "), "{answer}");
            }
        }
    }
}
