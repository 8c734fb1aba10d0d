//! Errors after the training. Every step is still tried; the first error is the command's.

use diagnostics::{Error, Exit, Result, eprint_line};

/// The first error, if there was one.
#[derive(Debug, Default)]
pub(super) struct FirstError(Option<Error>);

impl FirstError {
    /// Records the result of a step. Later errors are only printed.
    pub(super) fn record<T>(&mut self, result: Result<T>) -> Option<T> {
        match (result, &self.0) {
            (Ok(done), _) => return Some(done),
            (Err(error), None) => self.0 = Some(error),
            // After a signal every step fails for the same reason.
            (Err(error), Some(first)) if by_signal(&error) && by_signal(first) => {}
            (Err(error), Some(_)) => eprint_line(error),
        }
        None
    }

    /// Adds a help line to the error, if there is one.
    pub(super) fn help(&mut self, help: impl Into<String>) {
        self.0 = self.0.take().map(|error| error.help(help));
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the error, if there was one.
    pub(super) fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// True for an error that a signal caused.
fn by_signal(error: &Error) -> bool {
    matches!(error.exit(), Exit::Interrupted | Exit::JobStopped)
}

/// Prints an error as a warning.
pub(super) fn warn(error: Error) {
    let (message, help) = error.into_parts();
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
    fn first_error_is_the_commands() {
        let mut errors = FirstError::default();
        errors.help("lost: there is no error");
        assert_eq!(errors.record(Ok(1)), Some(1));
        assert_eq!(errors.record::<()>(Err(Error::new("first"))), None);
        assert_eq!(errors.record::<()>(Err(Error::new("second"))), None);
        errors.help("next");
        let (message, help) = errors.into_result().unwrap_err().into_parts();
        assert_eq!((message.as_str(), help), ("first", vec!["next".to_owned()]));
    }

    #[test]
    fn only_repeated_errors_of_a_signal_are_omitted() {
        for kind in [ErrorKind::Interrupted, ErrorKind::JobStopped] {
            assert!(by_signal(&Error::with_kind(kind, "cancelled")));
        }
        for kind in [ErrorKind::Failed, ErrorKind::Usage, ErrorKind::JobFailed] {
            assert!(!by_signal(&Error::with_kind(kind, "a reason of its own")));
        }
    }
}
