//! Puts the git revision into the binary; outside of a git checkout it is empty.

use std::process::Command;

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn main() {
    let revision = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    println!("cargo::rustc-env=MELTEMI_GIT_REVISION={revision}");
    // The reflog is written with every commit and checkout; without one the script is enough.
    let reflog = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    let reflog = reflog.filter(|path| std::path::Path::new(path).exists());
    println!(
        "cargo::rerun-if-changed={}",
        reflog.as_deref().unwrap_or("build.rs")
    );
}
