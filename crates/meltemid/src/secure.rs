//! xDS over TLS: who connects has a handshake behind it, who calls is known before it is heard.
//!
//! An API server knows callers and keeps the authority's key. On a laptop a development authority in
//! the directory of the configuration does both, where it is asked for; else there is plaintext on
//! loopback, which asks nobody. Where somebody else is the authority, its certificate is shown.

use crate::args::{Config, Signer};
use crate::authority::{Keeper, Names, Rotor, Shown, Store};
use crate::callers::{Callers, Issuer, Judge};
use crate::clock;
use crate::credentials::Readers;
use crate::desk::Desk;
use crate::issuing::{Issuing, Signs};
use crate::plane::Plane;
use crate::publish;
use crate::registrar::Registrar;
use crate::sources::of_revision;
use crate::status::Scribe;
use crate::webhook::{Bundle, Injector, Lingers, Webhook};
use bytes::Bytes;
use futures::stream::unfold;
use meltemi_ca::development::{self, DevelopmentError};
use meltemi_ca::{Authority, Connection, Lifetimes, Limits, Tls, listen};
use meltemi_kube::{
    Access, AccessReviewer, Campaign, Candidate, Client, ConnectError, InjectorSource, Lock,
    Patience, Seen, Signing, SigningPace, TokenReviewer, Told, connect,
};
use meltemi_runtime::drain::Drain;
use meltemi_runtime::ready::Readiness;
use meltemi_runtime::tasks::Tasks;
use meltemi_xds::{Authenticator, Guest, Peer, ServeError, Server, Unary};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};

/// Connections whose handshake is done and that nobody has taken yet.
const WAITING: usize = 64;

/// What is only there with an API server.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) restores: watch::Receiver<u64>,
    /// For the lock of who publishes the roots.
    pub(crate) campaign: (Campaign, watch::Receiver<bool>),
}

/// What keeps the certificate that is shown.
enum Keeping {
    /// Our own authority signs it.
    Own(Box<Keeper>),
    /// Somebody else has signed and mounted it.
    Mounted(Shown),
}

/// What an API server, or a development authority, makes possible.
pub(crate) struct Secure {
    /// None on a laptop.
    cluster: Option<Cluster>,
    /// Who may call.
    pub(crate) callers: Arc<Callers>,
    /// None where nothing is served over TLS.
    keeper: Option<Keeping>,
    tls: watch::Receiver<Option<Arc<Tls>>>,
    /// Our own authority, when it is known.
    authority: watch::Receiver<Option<Arc<Authority>>>,
    /// What signs certificates of workloads; none when agents ask somebody else.
    signs: Option<Signs>,
    roots: watch::Receiver<Arc<str>>,
    /// Who vouches for the certificate that is shown, whoever has signed it.
    vouches: watch::Receiver<Arc<str>>,
    lifetimes: Lifetimes,
}

/// Why callers cannot be known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecureError {
    #[error(transparent)]
    Cluster(#[from] ConnectError),
    #[error(transparent)]
    Development(#[from] DevelopmentError),
}

/// The lock of who publishes the roots; Istio's name, because Istio does the same.
const ROOTS: &str = "istio-namespace-controller-election";

impl Secure {
    /// The parts, when somebody can know callers; nothing is sent to an API server yet.
    pub(crate) async fn build(
        config: &Config,
        plane: &Plane,
        readiness: &Readiness,
        restores: Option<watch::Receiver<u64>>,
    ) -> Result<Option<Self>, SecureError> {
        if let (Some(access), Some(restores)) = (&config.access, restores) {
            let client = connect(access).await?;
            let reviewer =
                TokenReviewer::new(client.clone(), &config.audience, Patience::default());
            let lock = Lock::config_map(client.clone(), config.namespace.as_str(), ROOTS);
            let (leading, leads) = watch::channel(false);
            let store = match config.signing.directory.clone() {
                Some(dir) => Store::Directory(client.clone(), dir),
                None => Store::Cluster(client.clone()),
            };
            let kept = (Judge::Cluster(reviewer), store);
            let registrar = Self::registrar(config, plane, &client);
            let cluster = Cluster {
                client,
                restores,
                campaign: (Campaign::new(lock, candidate(config), leading), leads),
            };
            let secure = Self::with(config, (plane, readiness), kept);
            return Ok(Some(Self {
                cluster: Some(cluster),
                signs: registrar.map(Signs::Cluster).or(secure.signs),
                ..secure
            }));
        }
        let (Some(_), Some((_, dir))) = (config.secure_grpc, config.directories.first()) else {
            return Ok(None);
        };
        let domain = plane.snapshot().mesh.trust_domain.clone();
        development::make(dir, (&domain, clock::wall()))?;
        let key = Arc::new(development::token_key(dir)?);
        let judge = Judge::Development(key, config.audience.as_str().into());
        let kept = (judge, Store::Development(dir.clone()));
        Ok(Some(Self::with(config, (plane, readiness), kept)))
    }

    /// What is the same everywhere.
    fn with(
        config: &Config,
        (plane, readiness): (&Plane, &Readiness),
        (judge, store): (Judge, Store),
    ) -> Self {
        let (show, tls) = watch::channel(None);
        let (sign, signs) = watch::channel(None);
        let (publish, roots) = watch::channel(Arc::from(""));
        let (vouch, vouches) = watch::channel(Arc::from(""));
        let signing = &config.signing;
        let gate = |_| readiness.gate("certificate");
        let keeper = config
            .secure_grpc
            .map(gate)
            .map(|gate| match &config.signer {
                Signer::Elsewhere(files) => Keeping::Mounted(Shown {
                    files: files.clone(),
                    tls: show,
                    vouches: vouch,
                    gate,
                }),
                Signer::Own | Signer::Cluster(_) => Keeping::Own(Box::new(Keeper {
                    store,
                    serving: config.serving.clone(),
                    home: signing.home,
                    rotor: Rotor::new(signing.renewal, signing.check, signing.jitter),
                    names: Names {
                        namespace: config.namespace.clone(),
                        domain: config.domain.clone(),
                        revision: config.revision.clone(),
                        tags: config.tags.clone(),
                        others: config.hosts.clone(),
                    },
                    plane: plane.clone(),
                    tls: show,
                    signs: sign,
                    roots: publish,
                    vouches: vouch,
                    gate,
                    settle: signing.settle,
                })),
            });
        let callers = Arc::new(Callers {
            plane: plane.clone(),
            judge,
            issuer: config.issuer.clone().map(Issuer::new).map(Arc::new),
            authority: signs.clone(),
            cluster: config.cluster.clone(),
            namespace: config.namespace.clone(),
        });
        Self {
            cluster: None,
            callers,
            keeper,
            tls,
            authority: signs.clone(),
            signs: match &config.signer {
                Signer::Elsewhere(_) => None,
                Signer::Own | Signer::Cluster(_) => Some(Signs::Own(signs)),
            },
            roots,
            vouches,
            lifetimes: signing.lifetimes,
        }
    }

    /// Who signs for workloads when the cluster does.
    fn registrar(config: &Config, plane: &Plane, client: &Client) -> Option<Arc<Registrar>> {
        match &config.signer {
            Signer::Cluster(names) => Some(Arc::new(Registrar {
                signing: Signing::new(client.clone(), SigningPace::default()),
                names: names.clone(),
                plane: plane.clone(),
            })),
            Signer::Own | Signer::Elsewhere(_) => None,
        }
    }

    /// The roots of our own authority, empty until they are known; `None` when it is not ours.
    pub(crate) fn roots(&self) -> Option<watch::Receiver<Arc<str>>> {
        match &self.keeper {
            Some(Keeping::Own(_)) => Some(self.roots.clone()),
            Some(Keeping::Mounted(_)) | None => None,
        }
    }

    /// Which accounts may read Secrets: an API server tells; on a laptop, whoever is known.
    pub(crate) fn readers(&self) -> Readers {
        match &self.cluster {
            Some(cluster) => Readers::Told(AccessReviewer::new(cluster.client.clone())),
            None => Readers::Known,
        }
    }

    /// Who writes status; only where the mesh is served, so not for a look at a cluster.
    pub(crate) fn scribe(&self, config: &Config, seen: Seen) -> Option<Scribe> {
        self.keeper.as_ref()?;
        Some(Scribe {
            client: self.cluster.as_ref()?.client.clone(),
            plane: self.callers.plane.clone(),
            seen,
            me: candidate(config),
            namespace: config.namespace.clone(),
        })
    }

    /// The injection webhook, where one is served: with the certificate of xDS.
    pub(crate) fn webhook(&self, config: &Config, readiness: &Readiness) -> Option<Webhook> {
        self.keeper.as_ref()?;
        let injection = config.injection?;
        let (told, hears) = watch::channel(match self.cluster {
            Some(_) => Told::Unread,
            // A laptop has no charts.
            None => Told::Says(Arc::default()),
        });
        let (oldest, kubelet) = watch::channel(None);
        let source = self.cluster.as_ref().map(|cluster| InjectorSource {
            client: cluster.client.clone(),
            namespace: config.namespace.to_string(),
            name: of_revision("istio-sidecar-injector", &config.revision),
            told,
            kubelet: oldest,
            restores: cluster.restores.clone(),
        });
        let cluster = self.cluster.as_ref().filter(|_| injection.tells);
        let bundle = cluster.map(|cluster| Bundle {
            client: cluster.client.clone(),
            namespace: config.namespace.to_string(),
            me: candidate(config),
            roots: self.vouches.clone(),
            restores: cluster.restores.clone(),
        });
        Some(Webhook {
            tls: self.tls.clone(),
            injector: Arc::new(Injector {
                plane: self.callers.plane.clone(),
                told: hears,
                kubelet,
                revision: config.revision.clone(),
                made: Mutex::default(),
            }),
            gate: readiness.gate("webhook"),
            source,
            bundle,
            lingers: match config.access {
                Some(Access::Pod) => Lingers::Yes,
                Some(Access::Kubeconfig(_) | Access::Person { .. }) | None => Lingers::No,
            },
        })
    }

    /// Starts what serves, what keeps the certificate, and what publishes its root.
    pub(crate) fn spawn(
        self,
        tasks: &mut Tasks,
        (socket, server): (Option<TcpListener>, Server<Desk>),
        drain: &Drain,
    ) {
        let Self {
            cluster,
            callers,
            keeper,
            tls,
            authority,
            signs,
            roots,
            vouches: _,
            lifetimes,
        } = self;
        let (Some(keeper), Some(socket)) = (keeper, socket) else {
            return;
        };
        match keeper {
            Keeping::Own(keeper) => tasks.critical("certificate", keeper.run(drain.clone())),
            Keeping::Mounted(shown) => tasks.critical("certificate", shown.run(drain.clone())),
        }
        if let Some(cluster) = cluster {
            let told = (roots, authority);
            tasks.critical("roots", publish::run(cluster, told, drain.clone()));
        }
        let issuing = signs.map(|signs| {
            let callers = callers.clone();
            let issuing = Issuing {
                callers,
                signs,
                lifetimes,
            };
            let issuing: Arc<dyn Unary> = Arc::new(issuing);
            issuing
        });
        let served = serve((socket, tls), server, (callers, issuing), drain.clone());
        tasks.critical("secure xds", served);
    }
}

/// Who asks for locks: the pod, of its revision.
fn candidate(config: &Config) -> Candidate {
    let revision = Some(config.revision.as_str()).filter(|revision| !revision.is_empty());
    Candidate {
        name: config.pod_name.as_str().into(),
        revision: revision.unwrap_or("default").into(),
    }
}

/// Serves from the first certificate on, until drained.
async fn serve(
    (socket, mut tls): (TcpListener, watch::Receiver<Option<Arc<Tls>>>),
    server: Server<Desk>,
    known: (Arc<dyn Authenticator>, Option<Arc<dyn Unary>>),
    mut drain: Drain,
) -> Result<(), ServeError> {
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let shown = tokio::select! {
        shown = tls.wait_for(Option::is_some) => shown.ok().and_then(|tls| tls.clone()),
        () = drain.started() => None,
    };
    let Some(tls) = shown else {
        drain.started().await;
        return Ok(());
    };
    let (ready, accepted) = mpsc::channel(WAITING);
    tokio::spawn(listen::listen(socket, (tls, Limits::default()), ready));
    let guests = unfold(accepted, |mut accepted| async move {
        let next = accepted.recv().await?;
        Some((next.map(guest), accepted))
    });
    let drained = async move { drain.started().await };
    let guests = Box::pin(guests);
    let served = server.serve_guests(guests, known, drained);
    served.await
}

fn guest(connection: Connection) -> Guest<Connection> {
    let certificates = connection.certificates();
    let der = certificates.iter().map(|one| Bytes::copy_from_slice(one));
    let peer = Peer {
        address: connection.peer(),
        certificates: der.collect(),
    };
    Guest { connection, peer }
}
