//! Becomes another program that does not outlive its parent.

use crate::args::Launch;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

/// The code when the program cannot be started.
const NOT_STARTED: u8 = 127;

/// Returns only when it fails.
pub(crate) fn launch(launch: Launch) -> ExitCode {
    let Launch {
        parent,
        program,
        args,
    } = launch;
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        eprintln!("meltemi-agent: cannot tie Envoy to the agent: {error}");
        return ExitCode::from(NOT_STARTED);
    }
    // The parent may have died before the kernel was asked.
    if getppid().map(Pid::as_raw_pid) != Some(parent) {
        return ExitCode::from(NOT_STARTED);
    }
    let error = std::process::Command::new(&program).args(args).exec();
    eprintln!(
        "meltemi-agent: cannot start {}: {error}; name Envoy in ProxyConfig.binaryPath",
        program.display()
    );
    ExitCode::from(NOT_STARTED)
}
