//! `cargo xtask guards`: takes away one guard at a time, and the attack that it holds off must
//! succeed, that is, its test must fail. A test of security that passes without its guard is none.
//!
//! A guard is removed by a patch in `tests/live/guards`: what follows without it, a line
//! `Test: WORDS OF CARGO TEST`, and the change. It is applied to a copy of the repository.

use crate::shell::{self, cargo, say};
use anyhow::{Context, Result, bail, ensure};
use meltemi_testkit::paths;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What stands before the test of a guard.
const TEST: &str = "Test: ";

/// Which guards.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run nothing; fail when a patch does not apply, or names a test that is not there.
    #[arg(long)]
    check: bool,
    /// Only patches whose name contains this.
    filter: Option<String>,
}

/// A guard, and who misses it.
struct Guard {
    name: String,
    patch: PathBuf,
    /// The words of `cargo test`; the last is the name of the test.
    test: Vec<String>,
}

/// Checks the patches, and unless that is all, what happens without each guard.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let guards = guards(args.filter.as_deref())?;
    ensure!(
        !guards.is_empty(),
        "no patch in tests/live/guards is called so"
    );
    for guard in &guards {
        guard.check()?;
    }
    if args.check {
        say(&format!("{} guards can be removed", guards.len()));
        return Ok(0);
    }
    let tree = Tree::make()?;
    let mut missed = Vec::new();
    for (index, guard) in guards.iter().enumerate() {
        say(&format!(
            "{} of {}: {}",
            index + 1,
            guards.len(),
            guard.name
        ));
        if !tree.is_missed(guard)? {
            missed.push(guard.name.clone());
        }
    }
    ensure!(
        missed.is_empty(),
        "nobody misses {}: its test passes without it, so it must ask for more",
        missed.join(", ")
    );
    println!("{} guards, each of them missed", guards.len());
    Ok(0)
}

fn guards(filter: Option<&str>) -> Result<Vec<Guard>> {
    let mut guards = Vec::new();
    let folder = paths::repository().join("tests/live/guards");
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let patch = entry?.path();
        let name = patch.file_stem().unwrap_or_default().display().to_string();
        let is_patch = patch
            .extension()
            .is_some_and(|extension| extension == "patch");
        if is_patch && filter.is_none_or(|filter| name.contains(filter)) {
            let text = std::fs::read_to_string(&patch)?;
            let test = text.lines().find_map(|line| line.strip_prefix(TEST));
            let test = test.with_context(|| format!("{name}: no line {TEST:?}"))?;
            let test = test.split_whitespace().map(str::to_owned).collect();
            guards.push(Guard { name, patch, test });
        }
    }
    guards.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(guards)
}

impl Guard {
    fn check(&self) -> Result<()> {
        let applies = git(&paths::repository(), &["apply", "--check"], &self.patch)?;
        ensure!(
            applies,
            "{}: the patch does not apply; make it anew",
            self.name
        );
        let test = self.test.last().context("no test")?;
        // Its module, if it is in one, stands before it.
        let name = test.rsplit("::").next().unwrap_or(test);
        let function = format!("fn {name}(");
        let known = git_grep(&function)?;
        ensure!(known, "{}: there is no test {test}", self.name);
        Ok(())
    }
}

/// A copy of what git knows, as it lies in the repository.
struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    fn make() -> Result<Self> {
        let place = paths::target()?.join("guards");
        let (root, target) = (place.join("tree"), place.join("target"));
        let listed = Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(paths::repository())
            .output()
            .context("cannot run git")?;
        ensure!(
            listed.status.success(),
            "guards are removed from a git checkout"
        );
        for path in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            let (from, to) = (paths::repository().join(path), root.join(path));
            // What is equal keeps its time, so that it is not compiled again.
            let wanted = match std::fs::read(&from) {
                Ok(wanted) => wanted,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            if std::fs::read(&to).is_ok_and(|there| there == wanted) {
                continue;
            }
            std::fs::create_dir_all(to.parent().context("no folder")?)?;
            std::fs::copy(&from, &to)?;
        }
        Ok(Self { root, target })
    }

    /// Whether the test fails without the guard.
    fn is_missed(&self, guard: &Guard) -> Result<bool> {
        ensure!(
            git(&self.root, &["apply"], &guard.patch)?,
            "it was applied before"
        );
        let missed = self.fails(guard);
        let back = git(&self.root, &["apply", "--reverse"], &guard.patch)?;
        ensure!(back, "{} cannot be put back", guard.name);
        missed
    }

    fn fails(&self, guard: &Guard) -> Result<bool> {
        let mut build = self.cargo(&[
            "build",
            "--package",
            "meltemid",
            "--package",
            "meltemi-agent",
        ])?;
        shell::run("building without it", &mut build)?;
        let mut test = self.cargo(&["test"])?;
        let (name, words) = guard.test.split_last().context("no test")?;
        let mut built = self.cargo(&["test", "--no-run"])?;
        shell::run("building its test", built.args(words))?;
        let out = test.args(words).args(["--", "--exact", name]).output()?;
        let said = String::from_utf8_lossy(&out.stdout);
        if !said.contains("running 1 test") {
            io::stderr().write_all(&out.stderr)?;
            bail!("{}: not one test ran: {said}", guard.name);
        }
        Ok(said.contains(&format!("test {name} ... FAILED")))
    }

    fn cargo(&self, words: &[&str]) -> Result<Command> {
        let mut command = cargo(words);
        command.current_dir(&self.root);
        command.env("CARGO_TARGET_DIR", &self.target);
        command.env("MELTEMI_ENVOY", crate::fetch::envoy()?);
        Ok(command)
    }
}

/// Runs git on a patch in a folder. True when it succeeds.
fn git(folder: &Path, words: &[&str], patch: &Path) -> Result<bool> {
    // It takes paths from the root of a repository that it finds above, so there must be none.
    let out = Command::new("git")
        .args(words)
        .arg(patch)
        .env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder))
        .current_dir(folder)
        .output()
        .context("cannot run git")?;
    io::stderr().write_all(&out.stderr)?;
    Ok(out.status.success())
}

fn git_grep(text: &str) -> Result<bool> {
    let found = Command::new("git")
        .args(["grep", "--no-index", "--quiet", "--fixed-strings", text])
        .args(["--", "crates", "tests"])
        .current_dir(paths::repository())
        .status()
        .context("cannot run git")?;
    Ok(found.success())
}
