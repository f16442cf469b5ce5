//! What is on the wire: looks at each frame of every interface of its network namespace for some
//! texts. Prints `ready` once it looks; when its standard input ends, one line of JSON: how many
//! frames there were, and for each text between which addresses it was seen, and how often.
//!
//! On a node that is everything between its pods; what is on the loopback of a pod is not.
//! Arguments: the texts. Needs CAP_NET_RAW.

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_recv_buffer_size, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketType, recv, socket};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// ETH_P_ALL of packet(7), in the order of bytes on the wire.
const EVERYTHING: u32 = 0x0300;
/// The type of an Ethernet frame with IPv4 inside, where it stands, and where addresses do.
const IPV4: [u8; 2] = [0x08, 0x00];
const TYPE: usize = 12;
const SOURCE: usize = 26;
const DESTINATION: usize = 30;
/// Larger than any frame: those between pods are segmented late.
const LARGEST: usize = 1 << 17;
/// How long a look may wait before it looks whether to end.
const LOOK: Duration = Duration::from_millis(50);
/// Room for what comes in between, in bytes.
const ROOM: usize = 8 << 20;

/// What was seen.
#[derive(Default, Serialize)]
struct Seen {
    frames: u64,
    /// Text, then `SOURCE > DESTINATION`, then how often.
    texts: BTreeMap<String, BTreeMap<String, u64>>,
}

fn main() -> Result<()> {
    let texts: Vec<String> = std::env::args().skip(1).collect();
    ensure!(!texts.is_empty(), "usage: meltemi-wire TEXT...");
    let socket = open().context("cannot look at frames; it needs CAP_NET_RAW")?;
    println!("ready");
    std::io::stdout().flush()?;
    let ended = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&ended);
    std::thread::spawn(move || {
        let _all = std::io::stdin().read_to_end(&mut Vec::new());
        asked.store(true, Ordering::Relaxed);
    });
    let mut seen = Seen::default();
    for text in &texts {
        seen.texts.entry(text.clone()).or_default();
    }
    let mut buffer = vec![0; LARGEST];
    loop {
        // What was there when the end was asked for is still looked at.
        let is_end = ended.load(Ordering::Relaxed);
        let how = if is_end {
            RecvFlags::DONTWAIT
        } else {
            RecvFlags::empty()
        };
        match recv(&socket, buffer.as_mut_slice(), how) {
            Ok((length, _)) => seen.look(buffer.get(..length).unwrap_or_default()),
            Err(Errno::AGAIN) if is_end => break,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot look at frames"),
        }
    }
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// Frames of all interfaces: it is bound to none.
fn open() -> Result<OwnedFd> {
    let all = NonZeroU32::new(EVERYTHING).map(Protocol::from_raw);
    let socket = socket(AddressFamily::PACKET, SocketType::RAW, all)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(LOOK))?;
    set_socket_recv_buffer_size(&socket, ROOM)?;
    Ok(socket)
}

impl Seen {
    fn look(&mut self, frame: &[u8]) {
        self.frames += 1;
        for (text, between) in &mut self.texts {
            if frame
                .windows(text.len())
                .any(|part| part == text.as_bytes())
            {
                *between.entry(addresses(frame)).or_default() += 1;
            }
        }
    }
}

/// `SOURCE > DESTINATION` of a frame with IPv4 inside.
fn addresses(frame: &[u8]) -> String {
    let at = |place: usize| -> Option<Ipv4Addr> {
        let bytes: [u8; 4] = frame.get(place..place + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes))
    };
    let is_ipv4 = frame.get(TYPE..TYPE + 2) == Some(&IPV4);
    match (is_ipv4, at(SOURCE), at(DESTINATION)) {
        (true, Some(source), Some(destination)) => format!("{source} > {destination}"),
        _ => "others".to_owned(),
    }
}
