//! A double of the Kubernetes API server, for what the real one does not do on demand: lists in
//! pages and streams, watches with bookmarks, and every fault that a control plane must survive.
//!
//! Plain HTTP on loopback, no authentication. Of writes it knows the apply of a status and events. Objects are JSON as written; the double
//! gives them a `resourceVersion` and, where it is missing, the namespace `default`. Kinds exist
//! once they are installed or an object of them was applied.

mod answer;
mod store;
mod write;

use anyhow::{Context, Result};
use serde_json::Value;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use store::Store;
pub use store::{Expiry, Refusal, Resource, Written};

/// A running double. Stops when it is dropped.
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
}

pub(crate) struct Shared {
    store: Mutex<Store>,
    changed: Condvar,
    connections: Mutex<Vec<TcpStream>>,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn cut_connections(&self) {
        for connection in self.connections().drain(..) {
            // It may be gone already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl ApiServer {
    /// Starts one without objects, on a port that the system chooses. It has Kubernetes' own kinds
    /// and none of Istio's.
    ///
    /// # Errors
    /// The socket or the thread cannot be had.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::default()),
            changed: Condvar::new(),
            connections: Mutex::default(),
        });
        let accepting = shared.clone();
        thread::Builder::new()
            .name("api-server".into())
            .spawn(move || accept(&listener, &accepting))?;
        Ok(Self { shared, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes a kubeconfig that leads here.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn kubeconfig(&self, dir: &Path) -> Result<PathBuf> {
        let path = dir.join("kubeconfig");
        let mut file = std::fs::File::create(&path).context("kubeconfig")?;
        writeln!(
            file,
            "apiVersion: v1\nkind: Config\ncurrent-context: double\n\
             clusters: [{{name: double, cluster: {{server: 'http://{}'}}}}]\n\
             users: [{{name: nobody, user: {{}}}}]\n\
             contexts: [{{name: double, context: {{cluster: double, user: nobody}}}}]",
            self.address
        )?;
        Ok(path)
    }

    /// Creates or replaces an object; its kind is there from now on.
    pub fn apply(&self, object: Value) {
        self.change(|store| store.put(object));
    }

    /// Deletes an object, if it is there.
    pub fn delete(&self, resource: &Resource, namespace: &str, name: &str) {
        self.change(|store| store.remove(resource, namespace, name));
    }

    /// As [`ApiServer::apply`], but no watch is told.
    pub fn apply_in_silence(&self, object: Value) {
        self.change(|store| {
            store.put(object);
            store.forget_last();
        });
    }

    /// A kind is there: its CustomResourceDefinition was created.
    pub fn install(&self, resource: &Resource) {
        self.change(|store| store.install(resource));
    }

    /// A kind is not there any more, nor are its objects.
    pub fn uninstall(&self, resource: &Resource) {
        self.change(|store| store.uninstall(resource));
    }

    /// Whether a kind may be read.
    pub fn permit(&self, resource: &Resource, may: bool) {
        self.change(|store| store.permit(resource, may));
    }

    /// Whether requests for a kind are served: a server that has just started knows its own kinds
    /// before those of definitions.
    pub fn serve(&self, resource: &Resource, does: bool) {
        self.change(|store| store.serve(resource, does));
    }

    /// The server does not know streaming lists, as before Kubernetes 1.32: it refuses them.
    pub fn without_streaming(&self) {
        self.change(|store| store.streams = false);
    }

    /// All that happened up to now is forgotten: watches from before are answered like this, and
    /// those that run end.
    pub fn compact(&self, expiry: Expiry) {
        self.change(|store| store.compact(expiry));
        self.shared.cut_connections();
    }

    /// Watches stay open and say nothing, until [`ApiServer::speak`].
    pub fn hush(&self) {
        self.change(|store| store.hushed = true);
    }

    /// Watches that begin from now on say what happens; those that were hushed stay dead.
    pub fn speak(&self) {
        self.change(|store| {
            store.hushed = false;
            store.hush_epoch += 1;
        });
    }

    /// The server is gone: connections are cut and refused until [`ApiServer::come_back`].
    pub fn go_away(&self) {
        self.change(|store| store.away = true);
        self.shared.cut_connections();
    }

    /// The server is there again, with what it had.
    pub fn come_back(&self) {
        self.change(|store| store.away = false);
    }

    /// Ends all connections; the server stays.
    pub fn cut(&self) {
        self.shared.cut_connections();
    }

    /// What the store holds, for [`ApiServer::restore`].
    #[must_use]
    pub fn copy(&self) -> Copy {
        Copy(self.shared.store().copy())
    }

    /// The store goes back to an older copy, versions included. Watches that run are silent, as
    /// they are when etcd is restored.
    pub fn restore(&self, copy: &Copy) {
        self.change(|store| store.restore(&copy.0));
    }

    /// How many bytes all objects are, as JSON.
    #[must_use]
    pub fn size(&self) -> usize {
        let store = self.shared.store();
        let all = store.content.objects.values().flatten();
        all.map(|(_, object)| object.text().len()).sum()
    }

    /// The queries that arrived, in order, since the last call.
    #[must_use]
    pub fn queries(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.store().queries)
    }

    /// The writes that arrived, in order, since the last call.
    #[must_use]
    pub fn writes(&self) -> Vec<Written> {
        std::mem::take(&mut self.shared.store().writes)
    }

    /// The next writes are answered like this instead of being done, one each.
    pub fn refuse_writes(&self, refusals: &[Refusal]) {
        self.change(|store| store.refusals.extend(refusals.iter().copied()));
    }

    /// An object as it is now.
    #[must_use]
    pub fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<Value> {
        let store = self.shared.store();
        let objects = store.content.objects.get(resource)?;
        let kept = objects.get(&(namespace.to_owned(), name.to_owned()));
        kept.map(|kept| Value::clone(kept))
    }

    /// How many objects of a kind there are.
    #[must_use]
    pub fn count(&self, resource: &Resource) -> usize {
        let store = self.shared.store();
        store
            .content
            .objects
            .get(resource)
            .map_or(0, |all| all.len())
    }

    fn change(&self, change: impl FnOnce(&mut Store)) {
        change(&mut self.shared.store());
        self.shared.changed.notify_all();
    }
}

/// An older state of the store.
pub struct Copy(store::Content);

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.change(|store| {
            store.away = true;
            store.stopped = true;
        });
        self.shared.cut_connections();
        // Wakes the thread that accepts, so that it ends.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        let (away, stopped) = {
            let store = shared.store();
            (store.away, store.stopped)
        };
        if stopped {
            return;
        }
        let Ok(connection) = connection else { continue };
        if away {
            continue;
        }
        if let Ok(copy) = connection.try_clone() {
            shared.connections().push(copy);
        }
        let shared = shared.clone();
        let serve = move || {
            // A connection that breaks is the client's to notice.
            let _ = answer::serve(&shared, connection);
        };
        if thread::Builder::new().spawn(serve).is_err() {
            return;
        }
    }
}
