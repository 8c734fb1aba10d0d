//! The failure file. Its first 1,024 characters become the job's `FailureReason`, so the root cause
//! comes first and the context after it. Also meanings of exit codes.

use std::fs;
use std::path::Path;

use diagnostics::atomic_dir::{write_file, write_in_place};

use crate::ContractError;
use crate::limits::MAX_FAILURE_REASON;

/// Joins the messages of an error chain (outermost first, as from `Error::source`) into one text
/// with the root cause first, within SageMaker's limit.
pub fn compose(chain: &[String]) -> String {
    let mut text = String::new();
    let mut cause = "";
    for message in chain.iter().rev().map(|message| message.trim()) {
        // Many errors repeat the message of their source at the end.
        let own = message
            .strip_suffix(cause)
            .unwrap_or(message)
            .trim_end_matches([':', ' ', '\n']);
        if own.is_empty() {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\nwhile: ");
        }
        text.push_str(own);
        cause = message;
    }
    if text.is_empty() {
        text.push_str("failed without a message");
    }
    truncate(&text)
}

/// Writes the failure file atomically, because SageMaker may read it at any time. Creates its
/// folder if necessary.
///
/// # Errors
/// If the folder cannot be created or the file cannot be written.
pub fn write(path: &Path, message: &str) -> Result<(), ContractError> {
    let text = truncate(message);
    let failed = |source| ContractError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    if write_file(path, text.as_bytes()).is_err() {
        // A bind-mounted file cannot be replaced, but can be written.
        write_in_place(path, text.as_bytes()).map_err(failed)?;
    }
    Ok(())
}

/// Returns the meaning of a container's exit code, to be printed after the number.
pub fn exit_code_meaning(code: i32) -> &'static str {
    match code {
        0 => "success",
        1 => "the job failed; the failure file has the reason",
        2 => "the command line or a hyperparameter is wrong",
        // 128 + signal: the convention of shells, which Docker follows.
        134 => "aborted (SIGABRT)",
        137 => "killed (SIGKILL): out of memory, or still running after the stop timeout",
        139 => "crashed (SIGSEGV)",
        143 => "terminated (SIGTERM) before it could save",
        126 | 127 => "the image does not have this command, or cannot run it",
        _ => "unknown",
    }
}

/// Truncates to the limit, with an ellipsis, and removes control characters.
fn truncate(text: &str) -> String {
    let visible = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let mut chars = text.chars().filter(visible);
    let mut head: String = chars.by_ref().take(MAX_FAILURE_REASON).collect();
    if chars.next().is_some() {
        head.pop();
        head.push('…');
    }
    head
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exit_codes_have_meanings() {
        use diagnostics::Exit;
        for code in [
            Exit::Ok as i32,
            Exit::Failed as i32,
            Exit::Usage as i32,
            137,
            143,
        ] {
            assert_ne!(exit_code_meaning(code), "unknown", "{code}");
        }
        assert!(exit_code_meaning(137).contains("memory"));
        assert_eq!(exit_code_meaning(77), "unknown");
    }

    fn chain(messages: &[&str]) -> Vec<String> {
        messages.iter().map(|&m| m.to_owned()).collect()
    }

    #[test]
    fn root_cause_is_first() {
        let composed = compose(&chain(&[
            "training failed",
            "cannot read `a.csv`",
            "no such file",
        ]));
        assert_eq!(
            composed,
            "no such file\nwhile: cannot read `a.csv`\nwhile: training failed"
        );
    }

    #[test]
    fn repeated_messages_are_omitted_and_text_is_never_empty() {
        assert_eq!(
            compose(&chain(&["c: b: a", "", "b: a", "a", "a"])),
            "a\nwhile: b\nwhile: c"
        );
        assert_eq!(compose(&[]), "failed without a message");
        assert_eq!(compose(&chain(&[" "])), "failed without a message");
    }

    #[test]
    fn creates_folder_and_replaces_old_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("output/failure");
        write(&path, "first").unwrap();
        write(&path, "second\u{1b}[31m\r").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second[31m");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    /// ATTACK F12: links that somebody planted are not followed.
    #[test]
    fn attacks_planted_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, "precious").unwrap();
        for name in ["failure", "failure.partial"] {
            std::os::unix::fs::symlink(&target, dir.path().join(name)).unwrap();
        }
        write(&dir.path().join("failure"), "reason").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        let reason = fs::read_to_string(dir.path().join("failure")).unwrap();
        assert_eq!(reason, "reason");
    }

    #[test]
    fn write_error_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("output"), "a file").unwrap();
        let error = write(&dir.path().join("output/failure"), "x").unwrap_err();
        assert!(error.to_string().contains("output/failure"), "{error}");
    }

    proptest! {
        #[test]
        fn at_most_1024_characters(text in "(\\PC|😀|\n){0,1100}", more in 0_usize..1200) {
            let text = text + &"ä".repeat(more);
            let truncate = truncate(&text);
            prop_assert!(truncate.chars().count() <= MAX_FAILURE_REASON);
            match truncate.strip_suffix('…') {
                Some(head) if truncate != text => prop_assert!(text.starts_with(head)),
                _ => prop_assert_eq!(truncate, text),
            }
        }
    }
}
