//! Listeners and calls in a namespace. A listener answers with its name and where the caller wanted
//! to go, so the answer says who was reached.

use anyhow::{Context, Result, anyhow};
use meltemi_testkit::wait;
use rustix::net::sockopt;
use rustix::process::{Gid, Uid};
use rustix::thread::{self, LinkNameSpaceType};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Who calls: a user and a group.
#[derive(Clone, Copy, Debug)]
pub struct Owner(pub u32, pub u32);

/// The application.
pub const APPLICATION: Owner = Owner(1000, 1000);
/// The proxy.
pub const PROXY: Owner = Owner(1337, 1337);

/// Does something in a namespace, as somebody; both are of the thread alone.
///
/// # Errors
/// The namespace cannot be entered, or what is done fails.
pub fn within<T: Send>(
    namespace: &str,
    owner: Option<Owner>,
    task: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let inside = || -> Result<T> {
        let file = std::fs::File::open(format!("/run/netns/{namespace}"))?;
        let kind = Some(LinkNameSpaceType::Network);
        thread::move_into_link_name_space(file.as_fd(), kind)?;
        if let Some(Owner(user, group)) = owner {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            thread::set_thread_groups(&[])?;
            thread::set_thread_res_gid(group, group, group)?;
            thread::set_thread_res_uid(user, user, user)?;
        }
        task()
    };
    std::thread::scope(|scope| {
        let done = scope.spawn(inside).join();
        done.map_err(|_| anyhow!("the thread panicked"))?
    })
}

/// Answers on a TCP port of a namespace, on all addresses, until the process ends.
///
/// # Errors
/// The port is taken.
pub fn listen(namespace: &str, name: &str, port: u16) -> Result<()> {
    let at = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    let listener = within(namespace, None, || Ok(TcpListener::bind(at)?))?;
    let name = name.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A caller that is gone needs no answer.
            let _gone = answer(stream, &name);
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream, name: &str) -> Result<()> {
    let local = canonical(stream.local_addr()?);
    // Where no rule has changed it, the kernel knows of no other.
    let wanted = match local {
        SocketAddr::V4(_) => sockopt::ip_original_dst(&stream).map(SocketAddr::V4),
        SocketAddr::V6(_) => sockopt::ipv6_original_dst(&stream).map(SocketAddr::V6),
    };
    let wanted = canonical(wanted.unwrap_or(local));
    Ok(stream.write_all(format!("{name} {wanted}").as_bytes())?)
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Answers on a UDP port of a namespace, on one address, until the process ends.
///
/// # Errors
/// The port is taken.
pub fn listen_udp(namespace: &str, owner: Owner, (name, at): (&str, SocketAddr)) -> Result<()> {
    // The kernel asks who made the socket, so the port is bound by whoever may.
    let socket = within(namespace, Some(owner), || Ok(UdpSocket::bind(at)?));
    let socket = socket.with_context(|| format!("{at}"))?;
    let name = name.to_owned();
    std::thread::spawn(move || {
        let mut room = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut room) {
            let _gone = socket.send_to(name.as_bytes(), from);
        }
    });
    Ok(())
}

/// Who answers a TCP connection, or why nobody does.
///
/// # Errors
/// The namespace cannot be entered.
pub fn call(namespace: &str, owner: Owner, to: SocketAddr) -> Result<String> {
    within(namespace, Some(owner), || {
        let Ok(stream) = TcpStream::connect_timeout(&to, DEADLINE) else {
            return Ok("nobody".to_owned());
        };
        read(stream)
    })
}

/// The same, from an address of the caller's.
///
/// # Errors
/// The namespace cannot be entered, or has no such address.
pub fn call_from(
    namespace: &str,
    owner: Owner,
    (from, to): (IpAddr, SocketAddr),
) -> Result<String> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    within(namespace, Some(owner), || {
        let family = match from {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket(family, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddr::new(from, 0))?;
        connect(&socket, &to)?;
        read(TcpStream::from(socket))
    })
}

fn read(mut stream: TcpStream) -> Result<String> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut text = String::new();
    match stream.read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Ok(format!("nobody: {error}")),
    }
}

/// Who answers a datagram.
///
/// # Errors
/// The namespace cannot be entered, or nobody answers in time.
pub fn call_udp(namespace: &str, owner: Owner, to: SocketAddr) -> Result<String> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => [0, 0, 0, 0].into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    call_udp_from(namespace, owner, (SocketAddr::new(any, 0), to))
}

/// The same, from an address and port of the caller's. A port that was used before is waited for: what
/// another test starts beside has a copy of every socket until it runs its own program.
///
/// # Errors
/// The namespace cannot be entered, the port is taken, or nobody answers in time.
pub fn call_udp_from(
    namespace: &str,
    owner: Owner,
    (from, to): (SocketAddr, SocketAddr),
) -> Result<String> {
    within(namespace, Some(owner), || {
        let bound = || Ok(Some(UdpSocket::bind(from)?));
        let socket = wait::until("a port to be free", DEADLINE, bound)?;
        // Connected: an answer of anybody else is not taken.
        socket.connect(to)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.send(b"?")?;
        let mut room = [0; 512];
        let length = socket.recv(&mut room).with_context(|| format!("{to}"))?;
        let text = room.get(..length).unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    })
}
