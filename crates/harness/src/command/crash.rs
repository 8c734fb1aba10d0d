//! Ends that a program cannot report itself: panics, failed allocations, kills.
//!
//! A panic becomes an [`Error`]. After a failed allocation Rust aborts, and the kernel kills a
//! process that exceeds the memory of its container: no code of ours runs then. Therefore a job
//! has a failure file from its start, which is removed or replaced at its end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use diagnostics::Error;
use sagemaker::failure;

/// Text of the failure file until the trainer ends.
const KILLED: &str = "the trainer ended without an error of its own: it ran out of memory, was \
                      killed, or crashed\n  help: see the end of its log; if it ran out of memory, \
                      take an instance with more, or smaller batches";

/// The first panic of this process: later ones, such as that of a thread's parent, are caused by
/// it.
static FIRST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Makes panics quiet, as [`catch`] reports them; with `RUST_BACKTRACE` they are printed too.
pub(super) fn record_panics() {
    let default = take_hook();
    set_hook(Box::new(move |panic| {
        let mut first = FIRST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| describe(panic.payload(), panic.location()));
        drop(first);
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            default(panic);
        }
    }));
}

fn describe(payload: &dyn Any, at: Option<&Location<'_>>) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("no message");
    at.map_or_else(
        || text.to_owned(),
        |at| format!("{text} (at {}:{})", at.file(), at.line()),
    )
}

/// Returns the result of `run`; a panic is an error.
pub(super) fn catch<R>(run: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    // Nothing that `run` uses is used after a panic.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let mut first = FIRST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        let text = first
            .take()
            .unwrap_or_else(|| describe(payload.as_ref(), None));
        Err(Error::new(format!("the program panicked: {text}"))
            .help("check that no input file is damaged; otherwise this is a bug, please report it"))
    })
}

/// Writes the failure file of a job that is killed. Best effort: its folder may not be writable.
pub(super) fn expect_kill(failure: &Path) {
    let _ = failure::write(failure, KILLED);
}

#[cfg(test)]
mod attacks {
    use super::*;

    fn broken() {
        panic!("bad vocabulary");
    }

    /// ATTACK F8: a panic is an error with its text, also that of a thread.
    #[test]
    fn panics_are_errors() {
        let in_thread = || {
            std::thread::scope(|scope| {
                let joined = scope.spawn(broken).join();
                joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            });
        };
        let panics: [&dyn Fn(); 2] = [&broken, &in_thread];
        for run in panics {
            let error = catch(|| {
                run();
                Ok(())
            });
            let error = error.unwrap_err();
            assert_eq!(error.exit() as u8, 1);
            assert!(
                error.to_string().contains("panicked: bad vocabulary"),
                "{error}"
            );
        }
    }
}
