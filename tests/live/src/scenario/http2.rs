//! The bytes of one HTTP/2 request without a body: just enough for a server to route it.

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
/// The end of the headers and of the request.
const ENDS: u8 = 0x5;

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
