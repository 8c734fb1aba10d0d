//! What goes wrong after the training: each step is still tried, and one failure is the command's.

use diagnostics::{Error, Exit, Result, eprint_line};

/// The first failure, if any.
#[derive(Debug, Default)]
pub(super) struct Trouble(Option<Error>);

impl Trouble {
    /// Takes a step's result. A failure after the first is only said.
    pub(super) fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        match (result, &self.0) {
            (Ok(done), _) => return Some(done),
            (Err(failure), None) => self.0 = Some(failure),
            // After a signal no step is done, which was said once.
            (Err(failure), Some(first)) if by_signal(&failure) && by_signal(first) => {}
            (Err(failure), Some(_)) => eprint_line(failure),
        }
        None
    }

    /// Adds where something is, or what to do with it.
    pub(super) fn help(&mut self, help: impl Into<String>) {
        self.0 = self.0.take().map(|failure| failure.help(help));
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// The command's end, unless all went well.
    pub(super) fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Whether somebody outside asked for it: the exits of `Asked`.
fn by_signal(failure: &Error) -> bool {
    matches!(failure.exit(), Exit::Interrupted | Exit::JobStopped)
}

/// Says a failure that ends nothing.
pub(super) fn warn(failure: Error) {
    let (message, help) = failure.into_parts();
    eprint_line(format!("warning: {message}"));
    for help in help {
        eprint_line(format!("  help: {help}"));
    }
}

#[cfg(test)]
mod tests {
    use diagnostics::ErrorKind;

    use super::*;

    #[test]
    fn the_first_failure_is_the_commands() {
        let mut trouble = Trouble::default();
        trouble.help("lost: there is no failure");
        assert_eq!(trouble.note(Ok(1)), Some(1));
        assert_eq!(trouble.note::<()>(Err(Error::new("first"))), None);
        assert_eq!(trouble.note::<()>(Err(Error::new("second"))), None);
        trouble.help("next");
        let (message, help) = trouble.into_result().unwrap_err().into_parts();
        assert_eq!((message.as_str(), help), ("first", vec!["next".to_owned()]));
    }

    #[test]
    fn only_the_second_word_of_a_signal_is_left_out() {
        for kind in [ErrorKind::Interrupted, ErrorKind::JobStopped] {
            assert!(by_signal(&Error::with_kind(kind, "given up")));
        }
        for kind in [ErrorKind::Failed, ErrorKind::Usage, ErrorKind::JobFailed] {
            assert!(!by_signal(&Error::with_kind(kind, "a reason of its own")));
        }
    }
}
