//! Stands in for the part of an API server that serving over TLS needs: it reviews tokens that the
//! test has minted, and keeps Secrets and ConfigMaps. Blocking, HTTP/1.1, one thread a connection.
//!
//! It checks nothing but what it is asked for; the real one is in `tests/cluster`.

mod mint;
mod respond;

pub use mint::Token;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What it knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The status of the review of each token that is known.
    pub(crate) tokens: BTreeMap<String, Value>,
    /// Objects by the path of their address.
    pub(crate) objects: BTreeMap<String, Value>,
    /// Who may list the Secrets of which namespace.
    pub(crate) readers: Vec<(String, String)>,
    /// Whether somebody may is not answered for now.
    pub(crate) access_held: bool,
    /// The `spec` of each review.
    pub(crate) reviewed: Vec<Value>,
    /// No token is reviewed: it fails.
    pub(crate) fails: bool,
    /// How often something was written.
    pub(crate) written: u64,
    /// Open watches.
    pub(crate) watches: Vec<TcpStream>,
}

/// A running stand-in. It ends with the process.
#[derive(Clone, Debug)]
pub struct Reviews {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Told when answers are held no more.
    released: Arc<Condvar>,
}

impl Reviews {
    /// Starts it with these namespaces.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(namespaces: &[&str]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let reviews = Self {
            address: listener.local_addr()?,
            state: Arc::default(),
            released: Arc::default(),
        };
        for name in namespaces {
            let path = format!("/api/v1/namespaces/{name}");
            let object = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "uid": name, "resourceVersion": "1"},
            });
            reviews.state().objects.insert(path, object);
        }
        let server = reviews.clone();
        std::thread::Builder::new()
            .name("reviews".into())
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let server = server.clone();
                    std::thread::spawn(move || server.talk(&stream));
                }
            })?;
        Ok(reviews)
    }

    /// What it knows.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a kubeconfig that names it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig(&self, dir: &Path) -> Result<PathBuf> {
        let path = dir.join("kubeconfig.json");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {}}],
        });
        std::fs::write(&path, config.to_string())?;
        Ok(path)
    }

    /// A new token, which it will know unless the token says otherwise.
    #[must_use]
    pub fn mint(&self, token: &Token<'_>) -> String {
        let (text, status) = token.mint();
        if let Some(status) = status {
            self.state().tokens.insert(text.clone(), status);
        }
        text
    }

    /// A service account may list the Secrets of its namespace from now on.
    pub fn let_read(&self, namespace: &str, account: &str) {
        let user = format!("system:serviceaccount:{namespace}:{account}");
        self.state().readers.push((namespace.to_owned(), user));
    }

    /// A service account may do so no more.
    pub fn let_read_no_more(&self, namespace: &str, account: &str) {
        let user = format!("system:serviceaccount:{namespace}:{account}");
        let reader = (namespace.to_owned(), user);
        self.state().readers.retain(|one| *one != reader);
    }

    /// Whether the question who may do so stays without an answer from now on.
    pub fn hold_access(&self, held: bool) {
        self.state().access_held = held;
        self.released.notify_all();
    }

    /// What it knows, once answers to that question are not held.
    pub(crate) fn released(&self) -> MutexGuard<'_, State> {
        let state = self.state();
        let waits = self.released.wait_while(state, |state| state.access_held);
        waits.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether reviews of tokens fail from now on.
    pub fn fail(&self, fails: bool) {
        self.state().fails = fails;
    }

    /// True when it was asked about the token.
    #[must_use]
    pub fn was_asked(&self, token: &str) -> bool {
        self.state()
            .reviewed
            .iter()
            .any(|spec| spec["token"] == token)
    }

    /// The audiences of every review so far, each as asked for.
    #[must_use]
    pub fn audiences(&self) -> Vec<Value> {
        let state = self.state();
        state
            .reviewed
            .iter()
            .map(|spec| spec["audiences"].clone())
            .collect()
    }

    /// An object, by its path: `/api/v1/namespaces/NS/secrets/NAME`.
    #[must_use]
    pub fn object(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// Puts an object at a path, in place of what is there; nobody who watches is told.
    pub fn put(&self, path: &str, object: Value) {
        self.state().objects.insert(path.to_owned(), object);
    }

    /// Takes the object at a path away; nobody who watches is told.
    pub fn remove(&self, path: &str) {
        self.state().objects.remove(path);
    }

    /// Answers requests until the client closes, or a watch begins.
    fn talk(&self, stream: &TcpStream) {
        let Ok(reading) = stream.try_clone() else {
            return;
        };
        let mut reader = BufReader::new(reading);
        while let Ok(Some(request)) = Request::read(&mut reader) {
            if self.answer(&request, stream).is_err() || request.watches {
                return;
            }
        }
    }
}

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Vec<u8>,
    pub(crate) watches: bool,
}

impl Request {
    fn read(reader: &mut BufReader<TcpStream>) -> Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let method = words.next().context("no method")?.to_owned();
        let target = words.next().context("no path")?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let watches = query
            .split('&')
            .any(|one| one == "watch=true" || one == "watch=1");
        Ok(Some(Self {
            method,
            path,
            query,
            body,
            watches,
        }))
    }
}
