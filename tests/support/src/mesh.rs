//! A small mesh on this machine: a control plane, workloads, a real Envoy beside each.
//!
//! The YAML is written for fixed addresses and ports; a run leases addresses of its own and
//! rewrites the copy (see [`Rewrite`]). Interception mode is NONE: a Sidecar per workload says
//! which ports its Envoy binds, which stands in for the capture of traffic by iptables.

mod member;

pub use member::{Member, Workload, app};

use crate::lease;
use crate::plane::{self, Plane};
use crate::rewrite::Rewrite;
use crate::{envoy, paths, wait};
use anyhow::{Context, Result, bail};
use meltemi_bootstrap::XdsProtocol;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a mesh may take until everything is live and healthy.
const HEALTHY: Duration = Duration::from_secs(60);

/// The programs a mesh is made of.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The control plane.
    pub meltemid: PathBuf,
    /// The workload.
    pub echo: PathBuf,
    /// Envoy 1.40.
    pub envoy: PathBuf,
}

impl Programs {
    /// Those of the running profile, and the Envoy that is found.
    ///
    /// # Errors
    /// One is missing; the error names the command that remedies it.
    pub fn find() -> Result<Self> {
        Ok(Self {
            meltemid: paths::binary("meltemid")?,
            echo: paths::binary("meltemi-echo")?,
            envoy: envoy::find()?,
        })
    }
}

/// What to build.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The configuration directory: file name and text, as written.
    pub files: BTreeMap<String, String>,
    /// The workloads, with addresses and ports as written in the files.
    pub workloads: Vec<Workload>,
    /// Ports that Envoys bind, as written in the files.
    pub ports: Vec<u16>,
    /// Which ADS protocol the Envoys speak.
    pub protocol: XdsProtocol,
    /// Further flags of the control plane.
    pub flags: Vec<String>,
}

impl Plan {
    /// The files of a directory, sorted by name.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(dir: &Path) -> Result<BTreeMap<String, String>> {
        let mut files = BTreeMap::new();
        let entries = std::fs::read_dir(dir);
        for entry in entries.with_context(|| format!("cannot read {}", dir.display()))? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_file() {
                files.insert(name, std::fs::read_to_string(&path)?);
            }
        }
        Ok(files)
    }
}

/// A running mesh. Dropping it kills every process of it.
#[derive(Debug)]
pub struct Mesh {
    /// The control plane.
    pub plane: Plane,
    /// The workloads, in the order of the plan.
    pub members: Vec<Member>,
    rewrite: Rewrite,
    config: PathBuf,
    options: plane::Options,
}

impl Mesh {
    /// Starts everything below `dir` and waits until every Envoy is healthy.
    ///
    /// # Errors
    /// A part does not start or does not become healthy in time.
    pub fn start(programs: &Programs, plan: &Plan, dir: &Path) -> Result<Self> {
        Self::start_telling(programs, plan, dir, &mut |_| {})
    }

    /// As [`Mesh::start`], telling what happens.
    ///
    /// # Errors
    /// As [`Mesh::start`].
    pub fn start_telling(
        programs: &Programs,
        plan: &Plan,
        dir: &Path,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let logs = dir.join("run");
        let config = dir.join("config");
        std::fs::create_dir_all(&logs)?;
        std::fs::create_dir_all(&config)?;
        let mut rewrite = ports(&plan.ports)?;
        let mut cast = Vec::new();
        for workload in &plan.workloads {
            cast.push(member::Cast::prepare(
                programs,
                workload,
                (&mut rewrite, &logs),
            )?);
        }
        tell(&format!("{} workloads run", cast.len()));
        for (name, text) in &plan.files {
            replace(&config, name, &rewrite.apply(text))?;
        }
        let directory = config.display().to_string();
        let mut options = plane::Options::new(programs.meltemid.clone(), directory, logs.clone());
        options.args = plan.flags.iter().map(Into::into).collect();
        let plane = Plane::start(&options)?;
        options.grpc = plane.grpc();
        tell(&format!("the control plane serves ADS on {}", plane.grpc()));
        let mut members = Vec::new();
        for part in cast {
            let at = (&plane, config.as_path());
            members.push(part.join(&programs.envoy, (at, plan.protocol), &logs)?);
        }
        let mesh = Self {
            plane,
            members,
            rewrite,
            config,
            options,
        };
        mesh.wait_healthy()?;
        tell("every Envoy is LIVE, nothing was rejected, nothing is warming");
        Ok(mesh)
    }

    /// The workload called `name`.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn member(&self, name: &str) -> Result<&Member> {
        let found = self
            .members
            .iter()
            .find(|member| member.workload.name == name);
        found.with_context(|| format!("the mesh has no workload {name:?}"))
    }

    /// An address and port of the files, as they are in this run.
    ///
    /// # Errors
    /// Not an address.
    pub fn at(&self, address: Ipv4Addr, port: u16) -> Result<SocketAddr> {
        let (address, port) = (address.to_string(), port.to_string());
        let text = format!("{}:{}", self.rewrite.get(&address), self.rewrite.get(&port));
        text.parse()
            .with_context(|| format!("{text} is not an address"))
    }

    /// What of the files was replaced by what.
    #[must_use]
    pub fn rewrite(&self) -> &Rewrite {
        &self.rewrite
    }

    /// The configuration directory of this run.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Replaces a file of the configuration directory, by rename; addresses and ports are
    /// rewritten.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        replace(&self.config, name, &self.rewrite.apply(text))
    }

    /// Removes a file of the configuration directory.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.config.join(name);
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    /// Stops the control plane (SIGTERM, exit 0) and starts it again on the same port.
    ///
    /// # Errors
    /// It does not stop or start as it should.
    pub fn restart_plane(&mut self) -> Result<()> {
        self.plane.stop()?;
        self.plane = Plane::start(&self.options)?;
        Ok(())
    }

    /// Fails unless every Envoy is healthy now, see [`envoy::health::problems`].
    ///
    /// # Errors
    /// The problems, each with the name of the workload.
    pub fn assert_healthy(&self) -> Result<()> {
        let mut all = Vec::new();
        for member in &self.members {
            let problems = envoy::health::problems(member.envoy.admin())?;
            let name = &member.workload.name;
            all.extend(
                problems
                    .into_iter()
                    .map(|problem| format!("{name}: {problem}")),
            );
        }
        match all.is_empty() {
            true => Ok(()),
            false => bail!("unhealthy: {}", all.join("; ")),
        }
    }

    /// Waits until every Envoy is healthy.
    ///
    /// # Errors
    /// They are not in time; the error holds the problems.
    pub fn wait_healthy(&self) -> Result<()> {
        wait::until("healthy Envoys", HEALTHY, || {
            self.assert_healthy().map(Some)
        })
    }
}

/// Writes a file that appears whole, by rename from a name that no reader of YAML looks at.
///
/// # Errors
/// It cannot be written.
pub fn replace(dir: &Path, name: &str, text: &str) -> Result<()> {
    let partial = dir.join(format!(".{name}.partial"));
    let path = dir.join(name);
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, &path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Keeps the written ports, except those that something has bound on all addresses.
fn ports(written: &[u16]) -> Result<Rewrite> {
    // Never leased, so only a listener on all addresses can be in the way.
    let probe = Ipv4Addr::new(127, 0, 1, 10);
    let mut rewrite = Rewrite::default();
    for port in written {
        let chosen = match lease::is_free((probe, *port).into()) {
            true => *port,
            false => TcpListener::bind((probe, 0))?.local_addr()?.port(),
        };
        rewrite.add(port, chosen);
    }
    Ok(rewrite)
}
