//! Plain TCP: what arrives goes back.

use tokio::net::{TcpListener, TcpStream};

/// Accepts connections for ever.
pub(crate) async fn serve(listener: TcpListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    }
}

/// Sends back what comes, until it ends.
pub(crate) async fn echo(mut stream: TcpStream) {
    let (mut read, mut write) = stream.split();
    let _closed = tokio::io::copy(&mut read, &mut write).await;
}
