//! Wiring, in numbered stages: 1 observe, 2 bind, 3 build, 4 spawn, 5 start Envoy, 6 live, 7 leave.
//!
//! Everything runs on the main thread, which is also the one that starts Envoy.

use crate::args::Proxy;
use crate::config::{Config, Given, Pod};
use crate::env::Env;
use crate::envoy::{Admin, write_private};
use crate::life::{End, Life};
use crate::status::{self, Pages, Ready};
use crate::{INTERNAL, USAGE};
use meltemi_agent::ads::{Names, Relay, Seen};
use meltemi_agent::dns::Proxy as Dns;
use meltemi_agent::files::Files;
use meltemi_agent::identity::{self, Bundle, Held, Identity, Roots, Source};
use meltemi_agent::sds::{self, Owner, Secrets, Sources};
use meltemi_agent::trust;
use meltemi_bootstrap::XdsServer;
use meltemi_runtime::drain::{self, Drain, Signals};
use meltemi_runtime::metrics::Metrics;
use meltemi_runtime::ready::{Gate, Readiness};
use meltemi_runtime::tasks::Tasks;
use meltemi_runtime::trace::{self, Format};
use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// A port is taken, or Envoy cannot be started.
const UNAVAILABLE: u8 = 69;

/// Why the process ends early: the code, and the reason.
type Failure = (u8, String);

/// Runs the proxy until it ends or is told to.
pub(crate) fn run(args: &Proxy, ignored: Vec<String>) -> ExitCode {
    if let Err(error) = logs(&args.log_output_level, args.log_as_json) {
        eprintln!("meltemi-agent: {error}");
        return ExitCode::from(USAGE);
    }
    for flag in ignored {
        tracing::warn!(flag, "this flag has no effect");
    }
    crate::run(async {
        match live(args).await {
            Ok(code) => ExitCode::from(code),
            Err((code, reason)) => {
                tracing::error!(reason, "the proxy cannot run");
                ExitCode::from(code)
            }
        }
    })
}

/// Opens the logs.
pub(crate) fn logs(levels: &str, as_json: bool) -> Result<(), String> {
    let format = match as_json {
        true => Format::Json,
        false => Format::Text,
    };
    let opened = trace::init(format, filter(levels).as_deref());
    opened.map(drop).map_err(|error| error.to_string())
}

/// Istio's levels of parts: only that of all parts is known here.
fn filter(levels: &str) -> Option<String> {
    let parts = levels.split(',');
    let mut all = parts.filter_map(|part| match part.split_once(':') {
        Some(("default" | "all", level)) => Some(level),
        Some(_) => None,
        None => Some(part),
    });
    let level = match all.next()? {
        "none" => "off",
        "fatal" => "error",
        level @ ("debug" | "info" | "warn" | "error") => level,
        _ => return None,
    };
    Some(format!("warn,meltemi={level}"))
}

/// The text of a file, when there is one.
fn text_of(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

async fn live(args: &Proxy) -> Result<u8, Failure> {
    // 1 observe
    let families = [status::FAMILIES, &meltemi_agent::families::FAMILIES].concat();
    let metrics = Metrics::install(&families).map_err(|e| (INTERNAL, e.to_string()))?;
    let env = Env::of_process();
    let config = Config::of(&Given {
        args,
        env: &env,
        pod: &Pod::read(&text_of),
        read: &text_of,
    });
    let mut config = config.map_err(|reason| (USAGE, reason))?;
    for reason in &config.warnings {
        tracing::warn!(%reason, "setting ignored");
    }
    // 2 bind
    let mut signals = Signals::listen().map_err(|e| (INTERNAL, e.to_string()))?;
    let socket = match config.status {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    // 3 build
    let (drainer, drain) = drain::channel();
    let gates = Readiness::new();
    let admin = admin(&config)?;
    let (wishes, wished) = mpsc::channel(4);
    // 4 spawn
    let mut tasks = Tasks::new();
    tasks.best_effort("metrics", metrics.clone().run(drain.clone()));
    let (tell, told) = trust::channel();
    let held = certify(&mut config, told, (&mut tasks, &drain)).await?;
    let seen = relay(&config, (held, tell), (&mut tasks, &drain))?;
    resolve(&mut config, seen.as_ref(), (&mut tasks, &drain, &gates)).await?;
    let course = seen.map(|seen| seen.course);
    if let Some(socket) = socket {
        let pages = Pages {
            ready: Ready::new(admin.clone(), gates.clone(), course),
            probers: config.probers.clone(),
            merge: config.merge.clone(),
            metrics,
            private_metrics: config.bootstrap.doors.stats_addresses.is_some(),
            wishes,
        };
        tasks.best_effort(
            "status",
            status::serve(socket, Arc::new(pages), drain.clone()),
        );
    }
    // 5 start Envoy
    let file = prepared(&config)?;
    let envoy = config.envoy.start(&file);
    let envoy = envoy.map_err(|e| (UNAVAILABLE, format!("cannot start Envoy: {e}")))?;
    tracing::info!(pid = envoy.pid(), bootstrap = %file.display(), "Envoy is started");
    // 6 live
    let mut life = Life {
        config,
        admin,
        envoy,
        gates,
        wished,
        drainer,
    };
    let end = tokio::select! {
        end = life.until_told(&mut signals) => end,
        ended = tasks.run(drain) => End::Task(ended.err().map_or_else(
            || "every task has ended".to_owned(),
            |error| chain(&error),
        )),
    };
    // 7 leave
    Ok(life.leave(end, &mut signals).await)
}

/// Where certificates from files are asked for when another agent owns the workload's.
const FILES_SOCKET: &str = "./var/run/secrets/credential-uds/files-socket";

/// Starts what gets the workload its certificate and what gives it to Envoy.
async fn certify(
    config: &mut Config,
    trust: trust::Told,
    (tasks, drain): (&mut Tasks, &Drain),
) -> Result<Held, Failure> {
    let files = Files::new();
    let owner = sds::owner(&config.sds.socket).await;
    let settings = config.identity.take();
    let bundle = believe(config, settings.as_ref(), (&files, &mut *tasks, drain));
    let held = match (settings, owner) {
        (Some(settings), Owner::Us) => {
            let (identity, held) = Identity::new(settings, files.clone());
            tasks.critical("identity", identity.run(drain.clone()));
            held
        }
        (_, _) => watch::channel(None).1,
    };
    if owner == Owner::Another {
        tracing::info!("another agent gives Envoy its certificate");
        config.sds.socket = FILES_SOCKET.into();
        config.bootstrap.sds_files = Some(FILES_SOCKET.to_owned());
    }
    let sources = Sources {
        held: held.clone(),
        bundle,
        trust,
        files,
    };
    let secrets = Secrets::listen(&config.sds, sources);
    let secrets = secrets.map_err(|e| (UNAVAILABLE, chain(&e)))?;
    tasks.critical("sds", secrets.run(drain.clone()));
    Ok(held)
}

/// The roots that the control plane publishes, where it is also the authority: another authority's
/// certificates are not for its roots to prove.
fn believe(
    config: &Config,
    settings: Option<&identity::Settings>,
    (files, tasks, drain): (&Files, &mut Tasks, &Drain),
) -> Roots {
    let upstream = match settings.map(|settings| &settings.source) {
        Some(Source::Authority(authority)) => Some(&authority.upstream),
        Some(Source::Mounted(_)) | None => None,
    };
    let own = upstream.filter(|upstream| upstream.address == config.ads.upstream);
    let Some(path) = own.and_then(|upstream| upstream.roots.clone()) else {
        return watch::channel(Arc::from([])).1;
    };
    let (bundle, roots) = Bundle::new(path, files.clone());
    tasks.critical("roots", bundle.run(drain.clone()));
    roots
}

/// Starts what stands between Envoy and the control plane, unless Envoy speaks to it itself; says
/// how the conversation goes.
fn relay(
    config: &Config,
    ends: (Held, trust::Tell),
    (tasks, drain): (&mut Tasks, &Drain),
) -> Result<Option<Seen>, Failure> {
    let XdsServer::Uds(_) = config.bootstrap.xds else {
        return Ok(None);
    };
    let relay = Relay::listen(config.ads.clone(), ends);
    let (relay, seen) = relay.map_err(|e| (UNAVAILABLE, chain(&e)))?;
    tasks.critical("ads", relay.run(drain.clone()));
    Ok(Some(seen))
}

/// Starts what answers the workload's DNS questions, if anything does; the pod is not ready before the
/// names of the mesh are known.
async fn resolve(
    config: &mut Config,
    seen: Option<&Seen>,
    (tasks, drain, gates): (&mut Tasks, &Drain, &Readiness),
) -> Result<(), Failure> {
    let Some(settings) = config.dns.take() else {
        return Ok(());
    };
    let dns = Dns::listen(settings).await;
    let dns = dns.map_err(|e| (UNAVAILABLE, chain(&e)))?;
    tracing::info!(addresses = ?dns.addresses(), "DNS questions are answered");
    let names = match seen {
        Some(seen) => {
            let known = gates.gate("the names of the mesh");
            tasks.best_effort("names", told(seen.names.clone(), known));
            seen.names.clone()
        }
        None => {
            tracing::warn!(
                "Envoy speaks to the control plane itself: no name of the mesh is known"
            );
            watch::channel(Some(Names::default())).1
        }
    };
    tasks.critical("dns", dns.run(names, drain.clone()));
    Ok(())
}

/// Opens the gate once names are known.
async fn told(
    mut names: watch::Receiver<Option<Names>>,
    gate: Gate,
) -> Result<(), watch::error::RecvError> {
    names.wait_for(Option::is_some).await?;
    gate.open();
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let socket = TcpListener::bind(address).await;
    socket.map_err(|e| {
        (
            UNAVAILABLE,
            format!("the status port {address}: {e}; free it"),
        )
    })
}

fn admin(config: &Config) -> Result<Admin, Failure> {
    let admin = &config.bootstrap.admin;
    let ip = admin.address.parse();
    let ip = ip.map_err(|_| (INTERNAL, format!("{} is no address", admin.address)))?;
    Ok(Admin(SocketAddr::new(ip, admin.port)))
}

/// The bootstrap that Envoy is started on: the user's, else ours, which is written.
fn prepared(config: &Config) -> Result<PathBuf, Failure> {
    if let Some(own) = &config.own_bootstrap {
        return Ok(own.clone());
    }
    let file = &config.envoy.bootstrap;
    let text = config.bootstrap.to_json().to_string();
    let written = write_private(file, &text);
    written.map_err(|e| {
        let place = file.display();
        (
            UNAVAILABLE,
            format!("cannot write {place}: {e}; mount an emptyDir there"),
        )
    })?;
    Ok(file.clone())
}

/// An error with everything behind it.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn istios_log_levels_are_understood() {
        let wanted = Some("warn,meltemi=debug".to_owned());
        assert_eq!(filter("default:debug"), wanted);
        assert_eq!(filter("ads:info,all:debug"), wanted);
        assert_eq!(filter("ads:info"), None);
    }
}
