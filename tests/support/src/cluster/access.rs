//! How to talk to a cluster: kubectl and helm on a node of ours, inside its network, or on any
//! cluster that KUBECONFIG names.

use super::components::GOGC;
use super::image::ctr_program;
use super::places::{Places, built};
use super::space;
use anyhow::{Context, Result, ensure};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The wrappers with the programs that they run.
const WRAPPED: [&str; 2] = ["kubectl", "helm"];

/// kubectl with the rights of whoever the kubeconfig names.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: OsString,
}

impl Kubectl {
    /// The administrator of a node of ours.
    #[must_use]
    pub(super) fn inside(places: &Places) -> Self {
        Self {
            program: places.wrappers().join("kubectl"),
            kubeconfig: places.kubeconfig().into_os_string(),
        }
    }

    /// The cluster that KUBECONFIG names, with the kubectl on `PATH`.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        let kubeconfig = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty())?;
        Some(Self {
            program: on_path("kubectl"),
            kubeconfig,
        })
    }

    /// The command with these arguments, to run as one likes.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// The command of another program with the same rights, inside the same network.
    #[must_use]
    pub fn beside(&self, program: impl AsRef<OsStr>, args: &[&str]) -> Command {
        let wrapper = self.program.with_file_name("in-cluster");
        let mut command = match wrapper.is_file() {
            true => {
                let mut command = Command::new(wrapper);
                command.arg(program.as_ref());
                command
            }
            false => Command::new(program.as_ref()),
        };
        command.args(args).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// What it prints.
    ///
    /// # Errors
    /// It fails; the error has what it said.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        space::run(&mut self.command(args))
    }

    /// Applies YAML.
    ///
    /// # Errors
    /// It is refused; the error has what was said.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        let mut child = self
            .command(&["apply", "--filename=-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            // When it ends before it has read all, its own words say why.
            let _unread = stdin.write_all(yaml.as_bytes());
        }
        let out = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let error = String::from_utf8_lossy(&out.stderr);
        ensure!(
            out.status.success(),
            "kubectl apply: {}: {said}{error}",
            out.status
        );
        Ok(said)
    }
}

/// helm with the same rights.
#[derive(Clone, Debug)]
pub struct Helm(Kubectl);

impl Helm {
    /// The administrator of a node of ours.
    #[must_use]
    pub(super) fn inside(places: &Places) -> Self {
        let mut tool = Kubectl::inside(places);
        tool.program = places.wrappers().join("helm");
        Self(tool)
    }

    /// The cluster that KUBECONFIG names, with the helm on `PATH`.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        let mut tool = Kubectl::from_environment()?;
        tool.program = on_path("helm");
        Some(Self(tool))
    }

    /// The command with these arguments, to run as one likes. Its cache and settings are the
    /// caller's.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        self.0.command(args)
    }

    /// What it prints.
    ///
    /// # Errors
    /// It fails; the error has what it said.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        self.0.run(args)
    }
}

/// Where a program is; its bare name when it is nowhere, so that running it says so.
fn on_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(name));
    found
        .find(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(name))
}

/// The lines that a shell evaluates to use a cluster.
#[must_use]
pub fn environment(places: &Places) -> String {
    format!(
        "export KUBECONFIG='{}'\nexport PATH='{}':\"$PATH\"\n",
        places.kubeconfig().display(),
        places.wrappers().display()
    )
}

/// Writes the wrappers: `kubectl`, `helm`, `ctr` and `in-cluster`, which runs anything.
pub(super) fn wrappers(places: &Places) -> Result<()> {
    let dir = places.wrappers();
    std::fs::create_dir_all(&dir)?;
    for name in WRAPPED {
        let words = format!("'{}'", built()?.join("bin").join(name).display());
        write(&dir.join(name), &wrapper(places, &words))?;
    }
    let ctr = format!(
        "'{}' --address '{}' --namespace k8s.io",
        ctr_program().display(),
        places.socket().display()
    );
    write(&dir.join("ctr"), &wrapper(places, &ctr))?;
    write(&dir.join("in-cluster"), &wrapper(places, ""))
}

fn wrapper(places: &Places, words: &str) -> String {
    format!(
        "#!/bin/sh\n\
         # Inside the network of the cluster {name}, which has no other way in.\n\
         [ \"$(id -u)\" = 0 ] || {{ echo \"$0: this needs root: sudo -E $0 ...\" >&2; exit 69; }}\n\
         export KUBECONFIG=\"${{KUBECONFIG:-{config}}}\"\n\
         # All clusters have the same address, and what one of them has is not what another has.\n\
         export KUBECACHEDIR=\"${{KUBECACHEDIR:-{cache}}}\"\n\
         export GOGC={GOGC}\n\
         exec nsenter --net='{network}' -- {words} \"$@\"\n",
        name = places.name(),
        config = places.kubeconfig().display(),
        cache = places.wrappers().join("cache").display(),
        network = places.network().display(),
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapper_enters_the_network_and_keeps_a_kubeconfig_that_is_set() {
        let places = Places::of("a-test").unwrap();
        let text = wrapper(&places, "'/bin/kubectl'");
        assert!(text.starts_with("#!/bin/sh\n"), "{text}");
        let last = "exec nsenter --net='/run/netns/meltemi-a-test' -- '/bin/kubectl' \"$@\"\n";
        assert!(text.ends_with(last), "{text}");
        assert!(text.contains("KUBECONFIG=\"${KUBECONFIG:-"), "{text}");
        let cache = "KUBECACHEDIR=\"${KUBECACHEDIR:-";
        assert!(text.contains(cache) && text.contains("a-test"), "{text}");
    }
}
