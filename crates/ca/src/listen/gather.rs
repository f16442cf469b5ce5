//! Small writes wait for what follows them, so that a TLS record holds a whole answer.
//!
//! HTTP/2 writes the head of a long frame and its payload apart, unless a stream takes several slices
//! at once. To one that does, it never copies a payload of more than 255 bytes behind its head, and
//! sends each such frame on its own; to one that does not, up to 1023. So this takes one slice at a
//! time and puts them together itself.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Writes of less than so many bytes wait for the next one, or to be flushed.
const SMALL: usize = 256;

/// A stream whose small writes are gathered.
#[derive(Debug)]
pub(super) struct Gather<S> {
    stream: S,
    /// What waits.
    held: Vec<u8>,
}

impl<S> Gather<S> {
    pub(super) fn new(stream: S) -> Self {
        let held = Vec::new();
        Self { stream, held }
    }

    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    /// Writes what waits, and gives its room back.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.held.len() + bytes.len() < SMALL {
            self.held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let Self { stream, held } = &mut *self;
        let stream = Pin::new(stream);
        if held.is_empty() {
            return stream.poll_write(cx, bytes);
        }
        let both = [IoSlice::new(held), IoSlice::new(bytes)];
        let written = ready!(stream.poll_write_vectored(cx, &both))?;
        let of_held = written.min(held.len());
        held.drain(..of_held);
        match written - of_held {
            // Only of what waited; the next call goes on.
            0 if written > 0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            taken => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    /// Takes so many bytes of a write at most, and keeps each write apart.
    #[derive(Debug, Default)]
    struct Sink {
        writes: Vec<Vec<u8>>,
        most: usize,
    }

    impl AsyncWrite for Sink {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.most);
            self.writes.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = slices.iter().flat_map(|one| one.to_vec()).collect();
            self.poll_write(cx, &all)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn written(most: usize) -> Vec<Vec<u8>> {
        let sink = Sink {
            writes: Vec::new(),
            most,
        };
        let mut gather = Gather::new(sink);
        gather.write_all(b"head").await.unwrap();
        gather.write_all(&[b'x'; 300]).await.unwrap();
        gather.write_all(b"status").await.unwrap();
        gather.flush().await.unwrap();
        gather.write_all(b"end").await.unwrap();
        gather.shutdown().await.unwrap();
        assert!(!gather.is_write_vectored() && gather.held.is_empty());
        gather.stream.writes
    }

    #[tokio::test]
    async fn small_writes_wait_for_the_next_one_or_a_flush() {
        let all = [&b"head"[..], &[b'x'; 300]].concat();
        let wanted = [all, b"status".to_vec(), b"end".to_vec()];
        assert_eq!(written(4096).await, wanted);
    }

    #[tokio::test]
    async fn a_stream_that_takes_little_gets_everything_in_order() {
        let all = [&b"head"[..], &[b'x'; 300], b"statusend"].concat();
        for most in [1, 3, 4, 5, 299] {
            let writes = written(most).await;
            assert_eq!(writes.concat(), all, "{most} at a time");
        }
    }
}
