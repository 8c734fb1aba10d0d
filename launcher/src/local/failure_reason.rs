//! A trainer's words on its failure, with the user's own paths in the place of a container's.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use diagnostics::sanitize;

/// Lines of the failure that are kept; the rest is in the log.
const LINES: usize = 20;

/// So much of the log's end is remembered.
const REMEMBERED: usize = 64 * 1024;

/// Why the trainer failed, as it wrote into the failure file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// Fit to be shown, with the user's paths.
    pub(super) text: String,
    /// Those lines of it that name a path of the user; of several, each behind what it is about.
    pub(super) places: Vec<String>,
    /// It stands in the log too.
    pub(super) logged: bool,
}

/// A path in the container and what the user calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alias {
    pub(super) inside: String,
    pub(super) outside: String,
}

impl Alias {
    pub(super) fn new(inside: &Path, outside: impl Into<String>) -> Self {
        Self {
            inside: inside.to_string_lossy().into_owned(),
            outside: outside.into(),
        }
    }
}

impl Words {
    /// Longer paths come before those that they are below.
    pub(super) fn new(text: &str, mut aliases: Vec<Alias>, log: &Tail) -> Self {
        aliases.sort_by_key(|alias| std::cmp::Reverse(alias.inside.len()));
        let mut lines = text.trim().lines();
        let first: Vec<&str> = lines.by_ref().take(LINES).collect();
        let mut words = Self {
            logged: first.first().is_some_and(|line| log.has(line)),
            ..Self::default()
        };
        let mut kept = Vec::new();
        // Places with what is said of them, which comes first.
        let (mut places, mut about) = (Vec::new(), None);
        for line in first {
            let renamed = renamed(line, &aliases);
            let line_shown = sanitize(&renamed).into_owned();
            let is_place = line.trim_start().starts_with("-->");
            if renamed != line {
                let about = about.take().filter(|_| is_place);
                places.push((about, line_shown.trim().to_owned()));
            } else if !line.starts_with(' ') {
                about = Some(line_shown.trim().to_owned());
            }
            kept.push(line_shown);
        }
        if lines.next().is_some() {
            kept.push("…".to_owned());
        }
        words.text = kept.join("\n");
        // A single one is about what is said above it.
        let several = places.len() > 1;
        for (about, place) in places {
            let about = about.filter(|_| several);
            let indent = if about.is_some() { "  " } else { "" };
            words.places.extend(about);
            words.places.push(format!("{indent}{place}"));
        }
        words
    }
}

fn renamed(line: &str, aliases: &[Alias]) -> String {
    let mut text = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let found = aliases.iter().find(|alias| starts(rest, &alias.inside));
        if let Some(Alias { inside, outside }) = found {
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

/// `/opt/ml/input/data/train` is not the beginning of `/opt/ml/input/data/training`.
fn starts(text: &str, path: &str) -> bool {
    let next = text.strip_prefix(path).map(|rest| rest.chars().next());
    let goes_on = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    !path.is_empty() && next.is_some_and(|next| !next.is_some_and(goes_on))
}

/// The end of the log, of both its streams.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    /// Takes whole lines.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(lines);
        // Not with every line: moving the rest is the work.
        if kept.len() > 2 * REMEMBERED {
            let old = kept.len() - REMEMBERED;
            kept.drain(..old);
        }
    }

    fn has(&self, line: &str) -> bool {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = line.trim();
        let text = String::from_utf8_lossy(&kept);
        // Whole lines: a failure file that says `1` is not what some line happens to hold.
        let mut lines = text.lines().map(str::trim);
        !line.is_empty()
            && lines.any(|said| said == line || said.strip_prefix("error: ") == Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases() -> Vec<Alias> {
        vec![
            Alias::new(Path::new("/opt/ml/input/data/train"), "my data"),
            Alias::new(
                Path::new("/opt/ml/input/data/one/movie.csv"),
                "s3://b/movie.csv",
            ),
        ]
    }

    #[test]
    fn a_path_is_the_users() {
        let text = "error: no column\n  --> /opt/ml/input/data/train/x.csv:1\n\
            `/opt/ml/input/data/training/x`, /opt/ml/input/data/one/movie.csv";
        let words = Words::new(text, aliases(), &Tail::default());
        assert_eq!(
            words.text,
            "error: no column\n  --> my data/x.csv:1\n`/opt/ml/input/data/training/x`, s3://b/movie.csv"
        );
        assert_eq!(
            words.places,
            [
                "error: no column",
                "  --> my data/x.csv:1",
                "`/opt/ml/input/data/training/x`, s3://b/movie.csv"
            ]
        );
        assert!(!words.logged);
    }

    #[test]
    fn what_stands_in_the_log_is_known() {
        let log = Tail::default();
        log.push(b"error: no column\nmore\n");
        assert!(Words::new("error: no column\nwhile: reading", Vec::new(), &log).logged);
        assert!(Words::new("no column", Vec::new(), &log).logged);
        assert!(!Words::new("column", Vec::new(), &log).logged);
        assert!(!Words::new("error: no row", Vec::new(), &log).logged);
        assert!(!Words::new(" \n", Vec::new(), &log).logged);
        log.push(&vec![b'x'; 3 * REMEMBERED]);
        assert!(!Words::new("error: no column", Vec::new(), &log).logged);
    }

    #[test]
    fn long_words_and_control_characters() {
        let text = format!("\u{1b}[31m{}", "line\n".repeat(50));
        let words = Words::new(&text, Vec::new(), &Tail::default());
        assert_eq!(words.text.lines().count(), LINES + 1);
        assert!(words.text.starts_with("\\u{1b}[31mline"));
    }
}
