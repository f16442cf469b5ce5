//! Ctrl-C and SIGTERM: tidy up and end at once, or tell the one who waits for it.

use anyhow::Result;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// The exit code after an interruption.
const INTERRUPTED: i32 = 130;

/// Decides what a signal does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupts(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    remove: Option<PathBuf>,
    waiting: Option<SyncSender<()>>,
}

impl Interrupts {
    /// From now on a signal removes the directory given to [`Interrupts::remove`] and ends the
    /// process; the children end with it (see the guard).
    pub(crate) fn watch() -> Result<Self> {
        let interrupts = Self::default();
        let own = interrupts.clone();
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        std::thread::spawn(move || {
            for _ in signals.forever() {
                own.arrived();
            }
        });
        Ok(interrupts)
    }

    /// A directory that a signal removes.
    pub(crate) fn remove(&self, dir: Option<PathBuf>) {
        self.state().remove = dir;
    }

    /// From now on a signal is told here instead.
    pub(crate) fn tell(&self) -> Receiver<()> {
        let (sender, receiver) = sync_channel(1);
        self.state().waiting = Some(sender);
        receiver
    }

    fn arrived(&self) {
        let mut state = self.state();
        if let Some(sender) = state.waiting.take() {
            // Nobody waits any more only when the process is about to end by itself.
            let _ending = sender.send(());
            return;
        }
        if let Some(dir) = state.remove.take() {
            let _left_behind = std::fs::remove_dir_all(dir);
        }
        eprintln!("==> interrupted");
        std::process::exit(INTERRUPTED);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
