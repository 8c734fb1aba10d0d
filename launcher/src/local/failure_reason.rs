//! The trainer's failure file, with the user's paths in place of the container's.

use std::path::Path;

use diagnostics::sanitize;

use super::log::LogTail;

/// Longer failure files are cut; the rest is in the log.
const MAX_LINES: usize = 20;

/// Text of the failure file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FailureReason {
    /// Sanitized, with the user's paths.
    pub(super) text: String,
    /// Lines with a path of the user. If there are several, each follows its message.
    pub(super) path_lines: Vec<String>,
    /// True if the log has the text, too.
    pub(super) in_log: bool,
}

/// A path in the container and the user's path or URL for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathAlias {
    pub(super) inside: String,
    pub(super) outside: String,
}

impl PathAlias {
    pub(super) fn new(inside: &Path, outside: impl Into<String>) -> Self {
        Self {
            inside: inside.to_string_lossy().into_owned(),
            outside: outside.into(),
        }
    }
}

impl FailureReason {
    /// Replaces the paths in `text`, longer ones first, so that files come before their folders.
    pub(super) fn new(text: &str, mut aliases: Vec<PathAlias>, log: &LogTail) -> Self {
        aliases.sort_by_key(|alias| std::cmp::Reverse(alias.inside.len()));
        let mut lines = text.trim().lines();
        let first: Vec<&str> = lines.by_ref().take(MAX_LINES).collect();
        let mut reason = Self {
            in_log: first.first().is_some_and(|line| log.contains_line(line)),
            ..Self::default()
        };
        let mut kept = Vec::new();
        // Lines with paths, each with the message before it.
        let (mut places, mut message) = (Vec::new(), None);
        for line in first {
            let replaced = with_user_paths(line, &aliases);
            let line_shown = sanitize(&replaced).into_owned();
            let is_place = line.trim_start().starts_with("-->");
            if replaced != line {
                let message = message.take().filter(|_| is_place);
                places.push((message, line_shown.trim().to_owned()));
            } else if !line.starts_with(' ') {
                message = Some(line_shown.trim().to_owned());
            }
            kept.push(line_shown);
        }
        if lines.next().is_some() {
            kept.push("…".to_owned());
        }
        reason.text = kept.join("\n");
        // A single path needs no message: it is printed right above.
        let several = places.len() > 1;
        for (message, place) in places {
            let message = message.filter(|_| several);
            let indent = if message.is_some() { "  " } else { "" };
            reason.path_lines.extend(message);
            reason.path_lines.push(format!("{indent}{place}"));
        }
        reason
    }
}

fn with_user_paths(line: &str, aliases: &[PathAlias]) -> String {
    let mut text = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let found = aliases
            .iter()
            .find(|alias| starts_with_path(rest, &alias.inside));
        if let Some(PathAlias { inside, outside }) = found {
            text.push_str(outside);
            rest = rest.get(inside.len()..).unwrap_or_default();
        } else {
            let mut characters = rest.chars();
            text.extend(characters.next());
            rest = characters.as_str();
        }
    }
    text
}

/// False for `/opt/ml/input/data/training` and the path `/opt/ml/input/data/train`.
fn starts_with_path(text: &str, path: &str) -> bool {
    let next = text.strip_prefix(path).map(|rest| rest.chars().next());
    let continues = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    !path.is_empty() && next.is_some_and(|next| !next.is_some_and(continues))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases() -> Vec<PathAlias> {
        vec![
            PathAlias::new(Path::new("/opt/ml/input/data/train"), "my data"),
            PathAlias::new(
                Path::new("/opt/ml/input/data/one/movie.csv"),
                "s3://b/movie.csv",
            ),
        ]
    }

    #[test]
    fn replaces_container_paths() {
        let text = "error: no column\n  --> /opt/ml/input/data/train/x.csv:1\n\
            `/opt/ml/input/data/training/x`, /opt/ml/input/data/one/movie.csv";
        let reason = FailureReason::new(text, aliases(), &LogTail::default());
        assert_eq!(
            reason.text,
            "error: no column\n  --> my data/x.csv:1\n`/opt/ml/input/data/training/x`, s3://b/movie.csv"
        );
        assert_eq!(
            reason.path_lines,
            [
                "error: no column",
                "  --> my data/x.csv:1",
                "`/opt/ml/input/data/training/x`, s3://b/movie.csv"
            ]
        );
        assert!(!reason.in_log);
    }

    #[test]
    fn finds_the_text_in_the_log() {
        let log = LogTail::default();
        log.push(b"error: no column\nmore\n");
        assert!(FailureReason::new("error: no column\nwhile: reading", Vec::new(), &log).in_log);
        assert!(FailureReason::new("no column", Vec::new(), &log).in_log);
        assert!(!FailureReason::new("column", Vec::new(), &log).in_log);
        assert!(!FailureReason::new("error: no row", Vec::new(), &log).in_log);
        assert!(!FailureReason::new(" \n", Vec::new(), &log).in_log);
        log.push(&vec![b'x'; 3 * 64 * 1024]);
        assert!(!FailureReason::new("error: no column", Vec::new(), &log).in_log);
    }

    #[test]
    fn cuts_long_texts_and_escapes_control_characters() {
        let text = format!("\u{1b}[31m{}", "line\n".repeat(50));
        let reason = FailureReason::new(&text, Vec::new(), &LogTail::default());
        assert_eq!(reason.text.lines().count(), MAX_LINES + 1);
        assert!(reason.text.starts_with("\\u{1b}[31mline"));
    }
}
