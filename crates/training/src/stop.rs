//! SIGTERM and Ctrl-C: stop training, save, exit.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGABRT, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::Signals;
// `_exit`: skips atexit handlers, which crash libtorch while other threads run.
use signal_hook::low_level::exit;

use diagnostics::{Error, Exit, eprint_over_bar};

/// Exit code after Ctrl-C, as in shells: `train && deploy` must not continue.
const INTERRUPTED: i32 = Exit::Interrupted as i32;

/// Exit code after SIGTERM, as in shells.
const TERMINATED: i32 = 128 + SIGTERM;

/// Makes SIGTERM and Ctrl-C end this process at once with the shells' exit codes. That is the
/// default except for process 1, which the program of a container is. Removes the file
/// `unfinished`.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn end_at_once(unfinished: Arc<Mutex<Option<PathBuf>>>) -> Result<(), Error> {
    let end = move |signal| {
        let mut path = unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = path.take() {
            // The process ends: an error cannot be reported.
            let _ = std::fs::remove_file(path);
        }
        exit(match signal {
            SIGTERM => TERMINATED,
            _ => INTERRUPTED,
        });
    };
    on_signals(end)
}

/// Makes an abort exit with code 1: Rust aborts after a failed allocation and a stack overflow, and
/// C++ after an exception that nothing catches.
///
/// # Errors
/// If the handler cannot be installed.
pub fn exit_on_abort() -> Result<(), Error> {
    let always = Arc::new(AtomicBool::new(true));
    register_conditional_shutdown(SIGABRT, Exit::Failed as i32, always).map_err(no_handlers)?;
    Ok(())
}

fn no_handlers(error: std::io::Error) -> Error {
    Error::new(format!("cannot install signal handlers: {error}"))
        .help("check the process's limits")
}

/// Calls `act` for each SIGTERM and SIGINT, on its own thread.
fn on_signals(act: impl Fn(i32) + Send + 'static) -> Result<(), Error> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(no_handlers)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(act))
        .map_err(no_handlers)?;
    Ok(())
}

/// The phase of a run, which decides what a stop does.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RunPhase {
    /// Reading, and counting what was read: there is nothing to save, and it may block or take
    /// minutes, so the process ends at once.
    Reading = 0,
    /// Training: the trainer checks the flag.
    Training = 1,
}

/// The stop flag and the phase; clones share both.
#[derive(Clone, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    /// True after Ctrl-C.
    interrupted: Arc<AtomicBool>,
    phase: Arc<AtomicU8>,
    /// The failure file, which is removed if a signal ends the process at once; `None` outside of a
    /// job.
    failure: Option<PathBuf>,
    /// Folders that are removed then if they are empty, innermost first.
    created: Arc<Mutex<Vec<PathBuf>>>,
}

impl Stop {
    /// Installs handlers for SIGTERM and SIGINT: process 1 of a container has no defaults. A signal
    /// that ends the process at once removes the file `failure`.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn watch(failure: Option<PathBuf>) -> Result<Self, Error> {
        let stop = Self {
            failure,
            ..Self::default()
        };
        let watched = stop.clone();
        on_signals(move |signal| watched.on_signal(signal))?;
        Ok(stop)
    }

    fn on_signal(&self, signal: i32) {
        self.interrupted
            .fetch_or(signal == SIGINT, Ordering::SeqCst);
        let again = self.flag.swap(true, Ordering::SeqCst);
        let name = if signal == SIGTERM {
            "SIGTERM"
        } else {
            "Ctrl-C"
        };
        if self.phase.load(Ordering::SeqCst) == RunPhase::Reading as u8 {
            eprint_over_bar(format_args!(
                "{name}: stopped before there was a model: nothing is saved"
            ));
            let is_job = self.failure.is_some();
            self.end(if signal == SIGTERM || is_job {
                0
            } else {
                INTERRUPTED
            });
        }
        if again && signal == SIGINT {
            eprint_over_bar(format_args!("{name} again: exiting without saving"));
            self.end(INTERRUPTED);
        }
        eprint_over_bar(format_args!(
            "{name}: stopping; the best finished model will be saved, if there is one"
        ));
    }

    fn end(&self, code: i32) -> ! {
        if let Some(failure) = &self.failure {
            // The process ends: an error cannot be reported.
            let _ = std::fs::remove_file(failure);
        }
        let created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        for dir in created.iter() {
            let _ = std::fs::remove_dir(dir);
        }
        exit(code)
    }

    /// Removes these folders, innermost first, if a signal ends the process at once and they are
    /// empty.
    pub fn remove_created(&self, dirs: &[PathBuf]) {
        let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        created.extend_from_slice(dirs);
    }

    /// Starts a phase.
    pub fn enter(&self, phase: RunPhase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    /// True after SIGTERM or Ctrl-C.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// True after Ctrl-C, also if SIGTERM followed.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// The shared flag.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }
}

#[cfg(test)]
mod public_reports {
    use super::*;

    /// USER 2: `train && deploy` does not continue after Ctrl-C that is followed by SIGTERM.
    #[test]
    fn ctrl_c_before_sigterm_is_an_interruption() {
        let stop = Stop::default();
        stop.enter(RunPhase::Training);
        stop.on_signal(SIGTERM);
        assert!(stop.is_set() && !stop.was_interrupted());
        let stop = Stop::default();
        stop.enter(RunPhase::Training);
        stop.on_signal(SIGINT);
        stop.on_signal(SIGTERM);
        assert!(stop.is_set() && stop.was_interrupted());
    }
}
