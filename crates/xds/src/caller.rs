//! Who calls: what a caller shows, whom that proves, and the second inverted dependency, the one
//! that can tell ([`Authenticator`]).
//!
//! It is asked before the first message of a stream is read, so a stranger costs no more than the
//! headers of a call. On an address that asks nobody (plaintext, loopback) there is no identity.

mod node;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use futures::future::BoxFuture;
use meltemi_types::{Namespace, Secret, ServiceAccount};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::{Connected, TcpConnectInfo};

pub(crate) use node::{conform, same_node};

/// What a connection says of the one at its other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// The certificates that the handshake has verified (DER), its own first; empty without.
    pub certificates: Arc<[Bytes]>,
}

/// A connection whose peer is known, for [`crate::Server::serve_guests`].
#[derive(Debug)]
pub struct Guest<C> {
    /// The bytes, after the handshake.
    pub connection: C,
    /// Its other end.
    pub peer: Peer,
}

impl<C> Connected for Guest<C> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// What a caller shows.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Where it comes from; `None` when the transport does not say.
    pub peer: Option<SocketAddr>,
    /// Its verified certificates (DER), its own first.
    pub certificates: Arc<[Bytes]>,
    /// The bearer token of the metadata `authorization`.
    pub token: Option<Secret<String>>,
    /// The cluster whose API server knows the token, from the metadata `clusterid`.
    pub cluster: Option<String>,
}

impl Credentials {
    /// What the headers of a call and its connection show.
    #[must_use]
    pub fn of<B>(request: &http::Request<B>) -> Self {
        let guest = request.extensions().get::<Peer>();
        let plain = request.extensions().get::<TcpConnectInfo>();
        let plain = plain.and_then(|info| info.remote_addr());
        let text = |name| {
            let value = request.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        Self {
            peer: guest.map(|peer| peer.address).or(plain),
            certificates: guest.map_or_else(|| [].into(), |peer| peer.certificates.clone()),
            token: text("authorization").and_then(bearer),
            cluster: text("clusterid").filter(|id| !id.is_empty()),
        }
    }
}

/// The token of an `authorization` header.
fn bearer(header: String) -> Option<Secret<String>> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    let good = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    good.then(|| Secret::new(token.to_owned()))
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: ServiceAccount,
}

/// Who a caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody was asked: the address is for whoever reaches it.
    Unasked,
    /// A workload; it gets the configuration of its proxy.
    Proxy {
        /// What it runs as.
        account: Account,
        /// The pod that it is, when that is proved.
        pod: Option<Arc<str>>,
    },
    /// An account without a pod: a person with a tool. It gets debug types only.
    DebugOnly {
        /// The account.
        account: Account,
    },
}

/// A caller that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub identity: Identity,
    /// Until when that is proved; `None` is without end.
    pub until: Option<SystemTime>,
}

impl Caller {
    /// Somebody on an address that asks nobody.
    pub(crate) const UNASKED: Self = Self {
        identity: Identity::Unasked,
        until: None,
    };
}

/// Why nobody is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// What it shows proves nothing.
    #[error("{0}")]
    Unproved(String),
    /// It cannot be told at the moment: try again.
    #[error("{0}")]
    Undecided(String),
}

/// Tells who a caller is.
pub trait Authenticator: Send + Sync + 'static {
    /// Who shows these credentials.
    ///
    /// # Errors
    /// They prove nothing, or it cannot be told now; the caller is told why.
    fn authenticate(&self, credentials: Credentials)
    -> BoxFuture<'static, Result<Caller, Unknown>>;

    /// Ends when these credentials are taken back, counted from this call: the stream that they
    /// opened ends then. What is not overridden never ends.
    fn withdrawn(&self, _credentials: &Credentials) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Guest<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(cx, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Guest<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_its_header_only() {
        let of = |value: &str| {
            let request = http::Request::builder().header("authorization", value);
            Credentials::of(&request.body(()).unwrap()).token
        };
        assert_eq!(of("Bearer abc").unwrap().expose(), "abc");
        assert_eq!(of("bearer  abc ").unwrap().expose(), "abc");
        for bad in ["abc", "Basic abc", "Bearer ", "Bearer"] {
            assert!(of(bad).is_none(), "{bad:?}");
        }
        let text = format!("{:?}", of("Bearer abc"));
        assert!(!text.contains("abc"), "{text}");
    }
}
