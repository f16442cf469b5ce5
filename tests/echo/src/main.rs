//! A small workload for tests and the demo: answers every request with what arrived.
//!
//! One port speaks HTTP/1.1, h2c and WebSocket, and echoes what is none of them; another one
//! (`--tcp-port`) echoes all bytes. Delay and
//! failure come on demand, see `wish.rs`. Ports may be 0; `--port-file` tells what was chosen.
//! With `--call` it calls others instead, see `call.rs`.

mod answer;
mod call;
mod http;
mod seen;
mod tcp;
mod websocket;
mod wish;

use anyhow::{Context, Result};
use clap::Parser;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;

/// Answers every request with a description of it.
#[derive(Parser)]
#[command(name = "meltemi-echo", version)]
struct Flags {
    /// The address to bind.
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// HTTP ports (HTTP/1.1, h2c and WebSocket on each); 0 lets the system choose.
    #[arg(long, default_value = "0")]
    port: Vec<u16>,
    /// Plain TCP ports that send back what they receive.
    #[arg(long)]
    tcp_port: Vec<u16>,
    /// What this workload calls itself in its answers.
    #[arg(long, default_value = "echo")]
    name: String,
    /// Written, by rename, once all ports listen.
    #[arg(long)]
    port_file: Option<PathBuf>,
    #[command(flatten)]
    calls: call::Calls,
}

/// What the port file says.
#[derive(Serialize)]
struct Ports {
    pid: u32,
    http: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let flags = Flags::parse();
    if !flags.calls.call.is_empty() {
        return call::run(&flags.calls).await;
    }
    let http = bind(flags.address, &flags.port).await?;
    let tcp = bind(flags.address, &flags.tcp_port).await?;
    let ports = Ports {
        pid: std::process::id(),
        http: addresses(&http)?,
        tcp: addresses(&tcp)?,
    };
    if let Some(path) = &flags.port_file {
        publish(path, &ports)?;
    }
    let workload = Arc::new(http::Workload::new(flags.name));
    for listener in tcp {
        tokio::spawn(tcp::serve(listener));
    }
    let serving = http.into_iter().map(|listener| {
        let workload = Arc::clone(&workload);
        tokio::spawn(http::serve(listener, workload))
    });
    for task in serving.collect::<Vec<_>>() {
        task.await?;
    }
    Ok(())
}

async fn bind(address: IpAddr, ports: &[u16]) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for port in ports {
        let listener = TcpListener::bind((address, *port)).await;
        let why = || format!("cannot listen on {address}:{port}; choose another, or 0");
        listeners.push(listener.with_context(why)?);
    }
    Ok(listeners)
}

fn addresses(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>> {
    let local = listeners.iter().map(TcpListener::local_addr);
    Ok(local.collect::<std::io::Result<_>>()?)
}

/// Whoever sees the file sees all of it: it appears by rename.
fn publish(path: &Path, ports: &Ports) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, serde_json::to_string(ports)?)
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("cannot write the port file {}", path.display()))
}
