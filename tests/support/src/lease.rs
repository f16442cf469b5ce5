//! Addresses 127.0.1.N, each owned by one workload of one run on this machine.
//!
//! The owner holds a lock on a file of the temporary directory; the system releases it however
//! the owner dies. An address on which a wanted port is taken (by a process that is still dying,
//! or by one bound to all addresses) is passed over.

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use std::fmt;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// The values of N that are given away.
const RANGE: std::ops::RangeInclusive<u8> = 11..=250;

/// An address that is ours while the value lives.
#[derive(Debug)]
pub struct Lease {
    address: Ipv4Addr,
    _lock: File,
}

impl Lease {
    /// Takes a free address on which all of `ports` can be bound.
    ///
    /// # Errors
    /// There is none; the error says how many are held and which ports are taken everywhere.
    pub fn take(ports: &[u16]) -> Result<Self> {
        let mut held = 0;
        let mut busy = None;
        for last in RANGE {
            let address = Ipv4Addr::new(127, 0, 1, last);
            let Some(lock) = lock(address) else {
                held += 1;
                continue;
            };
            match ports.iter().find(|port| !is_free((address, **port).into())) {
                None => {
                    return Ok(Self {
                        address,
                        _lock: lock,
                    });
                }
                Some(port) => busy = Some(*port),
            }
        }
        match busy {
            Some(port) => bail!("port {port} is taken on every free address 127.0.1.N; free it"),
            None => bail!("all {held} addresses 127.0.1.N are in use by other runs; stop one"),
        }
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}

/// A port of 127.0.0.1 that is ours while the value lives, for what binds it later, or again.
///
/// The system gives none of these to who asks for any: those begin at 32768.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    _lock: File,
}

impl Door {
    /// The values that are given away.
    const RANGE: std::ops::RangeInclusive<u16> = 21_000..=21_999;

    /// Takes a free port.
    ///
    /// # Errors
    /// There is none.
    pub fn take() -> Result<Self> {
        let ours = |port: u16| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let lock = lock(address).filter(|_| is_free(address))?;
            Some(Self {
                address,
                _lock: lock,
            })
        };
        let found = Self::RANGE.into_iter().find_map(ours);
        found.context("all ports from 21000 to 21999 are in use by other runs; stop one")
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// True when a listener can be bound there.
///
/// The look is in nobody's way, not in that of another look either: a socket that does not listen keeps
/// no other from being bound, as long as both allow it. One that listens does, and what another thread
/// starts has a copy of it until it runs its own program.
#[must_use]
pub fn is_free(address: SocketAddr) -> bool {
    look(address).is_ok()
}

fn look(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    Ok(socket)
}

/// The lock, unless another holds it or it belongs to another user.
fn lock(address: impl fmt::Display) -> Option<File> {
    let path = std::env::temp_dir().join(format!("meltemi-{address}.lock"));
    let opened = File::open(&path).or_else(|_| File::create(&path));
    let file = opened.ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::getsockname;
    use std::net::TcpListener;

    #[test]
    fn an_address_has_one_owner_at_a_time() {
        let first = Lease::take(&[]).unwrap();
        let second = Lease::take(&[]).unwrap();
        assert_ne!(first.address(), second.address());
        assert!(lock(first.address()).is_none());
    }

    #[test]
    fn a_look_is_in_nobodys_way() {
        let lease = Lease::take(&[]).unwrap();
        let first = look((lease.address(), 0).into()).unwrap();
        let address = getsockname(&first).unwrap().try_into().unwrap();
        let _second = look(address).unwrap();
        let _listener = TcpListener::bind(address).unwrap();
        assert!(!is_free(address), "somebody listens");
    }

    #[test]
    fn a_port_has_one_owner_at_a_time_and_can_be_bound_again() {
        let first = Door::take().unwrap();
        let second = Door::take().unwrap();
        assert_ne!(first.address(), second.address());
        let listener = TcpListener::bind(first.address()).unwrap();
        assert!(!is_free(first.address()));
        drop(listener);
        assert!(lock(first.address()).is_none());
    }

    #[test]
    fn an_address_with_a_taken_port_is_passed_over() {
        let first = Lease::take(&[]).unwrap();
        let listener = TcpListener::bind((first.address(), 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = first.address();
        drop(first);
        assert_ne!(Lease::take(&[port]).unwrap().address(), address);
    }
}
