//! The words for scripts: `request` asks a door of this pod, `wait` holds an application until the
//! proxy is ready.

use crate::args::{Request, Wait};
use crate::config::LISTEN;
use crate::env::Env;
use crate::exchange::{self, Failed, Target};
use http::{Method, Uri};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// The doors that may be asked.
const DOORS: [u16; 4] = [15000, 15020, 15021, 15004];
/// The most that is printed.
const MOST: usize = 256 << 20;
/// How long an answer may take.
const LONGEST: Duration = Duration::from_secs(60);

/// Prints the answer; fails when it is none, or its status is not of success.
pub(crate) async fn request(request: Request, env: &Env) -> ExitCode {
    match answer(request, env).await {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("meltemi-agent: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(request: Request, env: &Env) -> Result<String, String> {
    let Request { method, path, port } = request;
    if !DOORS.contains(&port) {
        return Err(format!(
            "--debug-port {port}: use one of 15000, 15004, 15020 and 15021"
        ));
    }
    let method = method.to_ascii_uppercase().parse::<Method>();
    let method = method.map_err(|_| "use a method such as GET or POST".to_owned())?;
    let path = format!("/{}", path.trim_start_matches('/'));
    let host = env.text(LISTEN).unwrap_or("localhost");
    let asked = ask((host, port), (method, &path), LONGEST).await;
    let (status, text) = asked.map_err(|e| format!("http://{host}:{port}{path}: {e}"))?;
    match (200..300).contains(&status) {
        true => Ok(text),
        false => Err(format!(
            "http://{host}:{port}{path} answered {status}: {text}"
        )),
    }
}

/// Asks every address of a host, one after the other, until one answers.
async fn ask(
    at: (&str, u16),
    what: (Method, &str),
    longest: Duration,
) -> Result<(u16, String), Failed> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(at).await?.collect();
    let mut last = Failed::Connect(std::io::ErrorKind::AddrNotAvailable.into());
    for address in addresses {
        let what = (what.0.clone(), what.1);
        match exchange::text(&Target::plain(address), what, (longest, MOST)).await {
            Ok((status, text)) => return Ok((status.as_u16(), text)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks until the answer is 200; fails when that takes too long.
pub(crate) async fn wait(wait: Wait, env: &Env) -> ExitCode {
    let uri = match wait.url.parse::<Uri>() {
        Ok(uri) if uri.host().is_some() && uri.scheme_str() == Some("http") => uri,
        Ok(_) | Err(_) => {
            eprintln!(
                "meltemi-agent: --url {}: use a URL as http://HOST:PORT/PATH",
                wait.url
            );
            return ExitCode::FAILURE;
        }
    };
    let period = Duration::from_millis(wait.period_millis);
    let one = Duration::from_millis(wait.request_millis);
    let mut last = "nothing was asked".to_owned();
    let until_ready = async {
        loop {
            match readiness(&uri, env, one).await {
                Ok(()) => return,
                Err(why) => last = why,
            }
            tokio::time::sleep(period).await;
        }
    };
    match tokio::time::timeout(wait.longest(), until_ready).await {
        Ok(()) => {
            eprintln!("the proxy is ready");
            ExitCode::SUCCESS
        }
        Err(_) => {
            eprintln!(
                "meltemi-agent: {} was not ready in {} s: {last}",
                wait.url, wait.timeout_seconds
            );
            ExitCode::FAILURE
        }
    }
}

async fn readiness(uri: &Uri, env: &Env, longest: Duration) -> Result<(), String> {
    let host = uri.host().unwrap_or_default();
    let host = match (host, env.text(LISTEN)) {
        ("localhost", Some(listen)) => listen,
        (host, _) => host.trim_start_matches('[').trim_end_matches(']'),
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let asked = ask(
        (host, uri.port_u16().unwrap_or(80)),
        (Method::GET, path),
        longest,
    )
    .await;
    match asked {
        Ok((200, _)) => Ok(()),
        Ok((status, text)) => Err(format!("{status}: {}", text.trim())),
        Err(error) => Err(error.to_string()),
    }
}
