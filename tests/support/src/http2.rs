//! One HTTP/2 request without a body, in clear: just enough for a server to route and answer it.

use anyhow::{Result, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// The longest frame that a server may send unasked, in bytes.
const LONGEST: usize = 1 << 14;
/// The end of the headers and of the request.
const ENDS: u8 = 0x5;
const ENDS_STREAM: u8 = 0x1;

/// Asks and reads the body of the answer, whatever its status.
///
/// # Errors
/// No connection, no HTTP/2, or no whole answer within `timeout` after a byte.
pub fn get(address: SocketAddr, (host, path): (&str, &str), timeout: Duration) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.write_all(&request(host, path))?;
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, rest @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if length > LONGEST {
            bail!("a frame of {length} bytes; this is no HTTP/2");
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        let ours = u32::from_be_bytes(rest) == 1;
        match kind {
            DATA if ours => body.extend(payload),
            RESET | GOAWAY => bail!("the server gave up (frame {kind})"),
            _ => {}
        }
        if ours && matches!(kind, DATA | HEADERS) && flags & ENDS_STREAM != 0 {
            return Ok(String::from_utf8(body)?);
        }
    }
}

/// The connection preface and a GET.
#[must_use]
pub fn request(host: &str, path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", host),
        (":path", path),
    ] {
        // Literal, not indexed, without Huffman coding.
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    let mut bytes = PREFACE.to_vec();
    frame(&mut bytes, (SETTINGS, 0, 0), &[]);
    frame(&mut bytes, (HEADERS, ENDS, 1), &block);
    bytes
}

/// A text of fewer than 127 bytes; longer ones are cut.
fn text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes().get(..126).unwrap_or(text.as_bytes());
    out.push(u8::try_from(bytes.len()).unwrap_or(0));
    out.extend_from_slice(bytes);
}

fn frame(out: &mut Vec<u8>, (kind, flags, stream): (u8, u8, u32), payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(length.get(1..).unwrap_or_default());
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_their_length_in_front() {
        let bytes = request("a", "/");
        let rest = bytes.strip_prefix(PREFACE).unwrap();
        assert_eq!(&rest[..9], [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]);
        assert_eq!(usize::from(rest[11]), rest.len() - 18);
        assert_eq!(&rest[12..18], [HEADERS, ENDS, 0, 0, 0, 1]);
    }
}
