//! SIGTERM and Ctrl-C: stop, save, leave.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
// Without what C has for the end of a process: it takes down what other threads still use, and libtorch's crashed.
use signal_hook::low_level::exit;

use diagnostics::{Error, eprint_line};

/// The shells' exit code for a program that Ctrl-C ended: `train && deploy` must not go on.
pub const INTERRUPTED: u8 = 130;

/// As a shell tells it of a program that SIGTERM ended.
const TERMINATED: i32 = 128 + SIGTERM;

/// SIGTERM or Ctrl-C end this process at once, with the shells' exit code. A program does so by itself, but not as
/// process 1, which a container's program is. `unfinished` is a file of this process that nobody wants half.
///
/// # Errors
/// When the system refuses the handlers.
pub fn end_at_once(unfinished: Arc<Mutex<Option<PathBuf>>>) -> Result<(), Error> {
    let end = move |signal| {
        let mut path = unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = path.take() {
            // It is on its way out: there is nobody left to tell.
            let _ = std::fs::remove_file(path);
        }
        exit(match signal {
            SIGTERM => TERMINATED,
            _ => INTERRUPTED.into(),
        });
    };
    on_signals(end)
}

/// Calls `act` for each SIGTERM and SIGINT, on a thread of its own.
fn on_signals(act: impl Fn(i32) + Send + 'static) -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        Error::new(format!("cannot watch for signals: {error}")).help("check the process's limits")
    };
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(failed)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || signals.forever().for_each(act))
        .map_err(failed)?;
    Ok(())
}

/// What a stop would find.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nothing to save yet: reading may block for ever (a pipe that nobody writes), so the process ends at once.
    Nothing = 0,
    /// The trainer looks at the flag.
    Training = 1,
}

/// The stop flag and what it would stop; clones share both.
#[derive(Clone, Default)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    /// Whether it was Ctrl-C that asked.
    interrupted: Arc<AtomicBool>,
    phase: Arc<AtomicU8>,
}

impl Stop {
    /// Watches for SIGTERM and SIGINT on a thread of its own. Handlers are installed, not defaults relied on: as
    /// process 1 a container's program has no defaults.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn watch() -> Result<Self, Error> {
        let stop = Self::default();
        let watched = stop.clone();
        on_signals(move |signal| watched.on_signal(signal))?;
        Ok(stop)
    }

    fn on_signal(&self, signal: i32) {
        self.interrupted.store(signal == SIGINT, Ordering::SeqCst);
        let again = self.flag.swap(true, Ordering::SeqCst);
        let name = if signal == SIGTERM {
            "SIGTERM"
        } else {
            "Ctrl-C"
        };
        if self.phase.load(Ordering::SeqCst) == Phase::Nothing as u8 {
            eprint_line(format_args!(
                "{name}: stopped before there was a model, nothing is saved"
            ));
            exit(if signal == SIGTERM {
                0
            } else {
                INTERRUPTED.into()
            });
        }
        if again && signal == SIGINT {
            eprint_line(format_args!("{name} again: leaving without saving"));
            exit(INTERRUPTED.into());
        }
        eprint_line(format_args!(
            "{name}: stopping, the best model so far will be saved"
        ));
    }

    /// Says what a stop would find from now on.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Whether it was Ctrl-C that asked, not SIGTERM.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// The flag itself.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }
}
