//! Nonces: unique in the process, so that one from a stream before is never taken for ours.
//!
//! Envoy was seen to send the nonce of its last stream on a new one (envoy#15767).

use std::sync::Arc;

/// Makes the nonces of one stream.
#[derive(Debug)]
pub(crate) struct Nonces {
    stream: u64,
    count: u64,
}

impl Nonces {
    /// For the stream of that number; numbers must differ between streams and processes.
    pub(crate) fn new(stream: u64) -> Self {
        Self { stream, count: 0 }
    }

    /// One that was not there before.
    pub(crate) fn next(&mut self) -> Arc<str> {
        self.count += 1;
        format!("{:x}.{}", self.stream, self.count).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_do_not_share_nonces() {
        let (mut one, mut two) = (Nonces::new(26), Nonces::new(27));
        assert_eq!(&*one.next(), "1a.1");
        assert_eq!(&*one.next(), "1a.2");
        assert_eq!(&*two.next(), "1b.1");
    }
}
