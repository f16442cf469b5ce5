//! Metrics that are packed: unpacked where an application sends them so, packed for who asks for it.
//!
//! An application is not asked to pack, which would cost both sides of a loopback; some do it anyway.
//! What comes out of a pack is bounded, because a few bytes can hold gigabytes.

use crate::exchange::Failed;
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, MultiGzDecoder};
use std::io::{self, Write};
use tokio::sync::mpsc;

/// The name of the coding.
pub(super) const NAME: HeaderValue = HeaderValue::from_static("gzip");

/// How a part comes.
pub(super) enum Coding {
    /// As it is; so many bytes may still come.
    Plain(usize),
    Gzip(Box<MultiGzDecoder<Room>>),
}

/// What was unpacked, in no more room than there is.
#[derive(Debug)]
pub(super) struct Room {
    out: Vec<u8>,
    left: usize,
    /// More came than there was room for.
    is_full: bool,
}

impl Coding {
    /// By the header of an answer, for at most `most` bytes of text.
    pub(super) fn of(headers: &HeaderMap, most: usize) -> Result<Self, Failed> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(Self::Plain(most));
        };
        match value.to_str().map(str::to_ascii_lowercase).as_deref() {
            Ok("" | "identity") => Ok(Self::Plain(most)),
            Ok("gzip" | "x-gzip") => {
                let room = Room {
                    out: Vec::new(),
                    left: most,
                    is_full: false,
                };
                Ok(Self::Gzip(Box::new(MultiGzDecoder::new(room))))
            }
            Ok(_) | Err(_) => Err(Failed::Coding(value.clone())),
        }
    }

    /// What is known after some more bytes.
    pub(super) fn push(&mut self, data: Bytes, most: usize) -> Result<Bytes, Failed> {
        match self {
            Self::Plain(left) => {
                *left = left.checked_sub(data.len()).ok_or(Failed::Long(most))?;
                Ok(data)
            }
            Self::Gzip(decoder) => {
                // The decoder holds some back until it is flushed.
                let done = decoder.write_all(&data).and_then(|()| decoder.flush());
                decoder.get_mut().taken(done, most)
            }
        }
    }

    /// What is known at the end.
    pub(super) fn end(&mut self, most: usize) -> Result<Bytes, Failed> {
        match self {
            Self::Plain(_) => Ok(Bytes::new()),
            Self::Gzip(decoder) => {
                let done = decoder.try_finish();
                decoder.get_mut().taken(done, most)
            }
        }
    }
}

impl Room {
    fn taken(&mut self, done: io::Result<()>, most: usize) -> Result<Bytes, Failed> {
        match done {
            Ok(()) => Ok(std::mem::take(&mut self.out).into()),
            Err(_) if self.is_full => Err(Failed::Long(most)),
            Err(error) => Err(Failed::Packed(error)),
        }
    }
}

impl Write for Room {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let Some(left) = self.left.checked_sub(data.len()) else {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.left = left;
        self.out.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// True when whoever asks can unpack (RFC 9110, 12.5.3).
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
    let all = lines.filter_map(|line| line.to_str().ok());
    let all: Vec<(&str, f32)> = all.flat_map(|line| line.split(',')).map(weighed).collect();
    let weight = |names: [&str; 2]| {
        let is_named = |name: &str| names.iter().any(|one| name.eq_ignore_ascii_case(one));
        all.iter().find(|(name, _)| is_named(name)).map(|(_, q)| *q)
    };
    let weight = weight(["gzip", "x-gzip"]).or_else(|| weight(["*", "*"]));
    weight.is_some_and(|weight| weight > 0.0)
}

/// A coding and how much it is wanted.
fn weighed(one: &str) -> (&str, f32) {
    let (name, rest) = one.split_once(';').unwrap_or((one, ""));
    let weight = rest.trim().strip_prefix("q=");
    let weight = weight.map_or(Some(1.0), |text| text.trim().parse().ok());
    (name.trim(), weight.unwrap_or(0.0))
}

/// Whoever scrapes is gone.
pub(super) struct Gone;

/// Where the answer goes, piece by piece.
pub(super) struct Sink {
    to: mpsc::Sender<Bytes>,
    packer: Option<GzEncoder<Vec<u8>>>,
}

impl Sink {
    /// Packs where that is wanted.
    pub(super) fn new(to: mpsc::Sender<Bytes>, is_packed: bool) -> Self {
        let packer = || GzEncoder::new(Vec::new(), Compression::fast());
        Self {
            to,
            packer: is_packed.then(packer),
        }
    }

    /// Passes on.
    pub(super) async fn send(&mut self, data: Bytes) -> Result<(), Gone> {
        let Some(packer) = &mut self.packer else {
            return self.pass(data).await;
        };
        // A Vec takes everything.
        packer.write_all(&data).map_err(|_| Gone)?;
        let ready = std::mem::take(packer.get_mut());
        self.pass(ready.into()).await
    }

    /// Passes on what is held back.
    pub(super) async fn end(mut self) -> Result<(), Gone> {
        let Some(packer) = self.packer.take() else {
            return Ok(());
        };
        let rest = packer.finish().map_err(|_| Gone)?;
        self.pass(rest.into()).await
    }

    async fn pass(&self, data: Bytes) -> Result<(), Gone> {
        match data.is_empty() {
            true => Ok(()),
            false => self.to.send(data).await.map_err(|_| Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1000;

    fn packed(data: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(data).unwrap();
        packer.finish().unwrap()
    }

    fn header(name: header::HeaderName, text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(text))])
    }

    fn gzip() -> Coding {
        Coding::of(&header(header::CONTENT_ENCODING, "GZIP"), MOST).unwrap()
    }

    #[test]
    fn a_pack_is_opened_however_it_is_cut() {
        let twice = [packed(b"first 1\n"), packed(b"second 2\n")].concat();
        for at in 0..twice.len() {
            let (left, right) = twice.split_at(at);
            let mut coding = gzip();
            let mut found = Vec::new();
            for piece in [left, right] {
                found.extend(coding.push(Bytes::copy_from_slice(piece), MOST).unwrap());
            }
            found.extend(coding.end(MOST).unwrap());
            assert_eq!(found, b"first 1\nsecond 2\n", "{at}");
        }
    }

    #[test]
    fn a_pack_with_too_much_in_it_is_not_opened_further() {
        let bomb = packed(&vec![0; 64 << 20]);
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        let mut coding = gzip();
        let error = coding.push(bomb.into(), MOST).unwrap_err();
        assert!(matches!(error, Failed::Long(MOST)), "{error}");
        let Coding::Gzip(decoder) = coding else {
            panic!("no pack")
        };
        assert!(decoder.get_ref().out.len() <= MOST);
    }

    #[test]
    fn half_a_pack_and_no_pack_are_said() {
        let whole = packed(b"first 1\n");
        let half = Bytes::copy_from_slice(&whole[..whole.len() - 4]);
        let mut coding = gzip();
        coding.push(half, MOST).unwrap();
        assert!(matches!(coding.end(MOST), Err(Failed::Packed(_))));
        let text = gzip().push(Bytes::from_static(b"plain text 1\n"), MOST);
        assert!(matches!(text, Err(Failed::Packed(_))));
        let brotli = header(header::CONTENT_ENCODING, "br");
        assert!(matches!(
            Coding::of(&brotli, MOST),
            Err(Failed::Coding(name)) if name == "br"
        ));
    }

    #[test]
    fn plain_text_has_the_same_bound() {
        let mut coding = Coding::of(&HeaderMap::new(), 3).unwrap();
        assert_eq!(coding.push("ab".into(), 3).unwrap(), "ab");
        assert!(matches!(coding.push("cd".into(), 3), Err(Failed::Long(3))));
    }

    #[test]
    fn who_asks_says_what_it_can_unpack() {
        let wanted = |text| is_wanted(&header(header::ACCEPT_ENCODING, text));
        for text in ["gzip", "br, GZIP;q=0.5", "*", "x-gzip", "gzip;q=1.0"] {
            assert!(wanted(text), "{text}");
        }
        for text in ["", "br", "gzip;q=0", "gzip; q=0.0, *", "*;q=0", "identity"] {
            assert!(!wanted(text), "{text}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn what_is_packed_comes_whole() {
        let (sender, mut receiver) = mpsc::channel(64);
        let mut sink = Sink::new(sender, true);
        for text in ["first 1\n", "second 2\n"] {
            assert!(sink.send(text.into()).await.is_ok());
        }
        assert!(sink.end().await.is_ok());
        let mut all = Vec::new();
        while let Some(piece) = receiver.recv().await {
            all.extend(piece);
        }
        let mut coding = gzip();
        let text = coding.push(all.into(), MOST).unwrap();
        assert_eq!(text, "first 1\nsecond 2\n");
    }
}
