//! A server behind every cluster: it takes connections, waits for a byte and resets them. One that
//! refused would end a TCP proxy's connection before its handshake can fail; one that closed would
//! leave a TCP proxy waiting for its client.

use anyhow::Result;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::thread;

/// A server that never answers. It runs as long as the process.
#[derive(Clone, Copy, Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Upstream {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// There is none.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut first = [0];
                    // Whatever comes, also an error, is the end; bytes left unread make it a reset.
                    let _read = stream.read(&mut first);
                });
            }
        });
        Ok(Self { address })
    }
}
