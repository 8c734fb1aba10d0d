//! Exit codes, as SageMaker and a shell read them.

/// The model is saved; also after a SIGTERM that left time to save it.
pub const OK: u8 = 0;

/// The job failed; [`crate::failure`] has the reason. SageMaker takes any code but 0 as failure.
pub const FAILURE: u8 = 1;

/// The command line or a hyperparameter is wrong: nothing was started.
pub const USAGE: u8 = 2;

/// What a container's exit code means, in words that go after the number.
pub fn meaning(code: i32) -> &'static str {
    match code {
        0 => "success",
        1 => "the job failed, the failure file says why",
        2 => "the command line or a hyperparameter is wrong",
        // 128 + signal, the shells' convention, which Docker keeps.
        134 => "aborted (SIGABRT)",
        137 => "killed (SIGKILL): out of memory, or not gone in time after a stop",
        139 => "crashed (SIGSEGV)",
        143 => "terminated (SIGTERM) before it could save",
        126 | 127 => "the image has no such command, or may not run it",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_meanings() {
        for code in [OK, FAILURE, USAGE, 137, 143] {
            assert_ne!(meaning(i32::from(code)), "unknown", "{code}");
        }
        assert!(meaning(137).contains("memory"));
        assert_eq!(meaning(77), "unknown");
    }
}
