//! User text made safe for logs and terminals.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};

/// First parts of metric names in log lines, such as `validation:accuracy=0.9;`.
pub const METRIC_GROUPS: [&str; 4] = ["train", "validation", "test", "progress"];

/// Escapes what is unsafe in a log line: control characters, line breaks, and characters that
/// reorder or hide text. Where the text has the name of a metric before `=`, the `=` becomes
/// `\u{3d}`, so that CloudWatch never counts a user's text as a metric.
///
/// Put backticks or spaces around the result, as all messages do.
pub fn sanitize(text: &str) -> Cow<'_, str> {
    escape(text, |out, c| match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // Writing to a String cannot fail.
        c => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
    })
}

/// Escapes the first `max_chars` characters of a text as [`sanitize`]; `...` if it has more.
pub fn shortened(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}...", sanitize(&text[..end])),
        None => sanitize(text).into_owned(),
    }
}

/// Escapes a label for a message or table; of a long one the first 60 characters.
pub fn short_label(label: &str) -> String {
    const MAX_CHARS: usize = 60;
    shortened(label, MAX_CHARS)
}

/// Quotes a word for a POSIX shell, with single quotes where necessary.
pub fn quoted_for_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", sanitize(word).replace('\'', r"'\''"))
}

/// Escapes the same as [`sanitize`] in JSON without line breaks, as JSON escapes it: the values
/// stay the same.
pub fn sanitize_json(json: &str) -> Cow<'_, str> {
    escape(json, |out, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

/// Copies the text; `each` writes a character that is unsafe.
fn escape(text: &str, each: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if text.chars().all(|c| !is_unsafe(c) && c != '=') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if is_unsafe(c) || (c == '=' && ends_with_metric(&text[..at])) {
            each(&mut out, c);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A message in a form that is safe to print: whatever users' texts it contains, it cannot move
/// the cursor or look like a metric. The only line breaks are those before an indented line, such
/// as `  help: `, and before another error or warning.
pub struct LogText(String);

impl LogText {
    /// Escapes what is unsafe in `message`.
    pub fn new(message: impl Display) -> Self {
        let message = message.to_string();
        let mut out = String::with_capacity(message.len());
        for (number, line) in message.split('\n').enumerate() {
            if number > 0 {
                let starts = ["  ", "error", "warning"];
                let is_line = starts.iter().any(|start| line.starts_with(start));
                out.push_str(if is_line { "\n" } else { "\\n" });
            }
            out.push_str(&sanitize(line));
        }
        Self(out)
    }
}

impl Display for LogText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// True if `text` ends with a name such as `validation:accuracy`.
fn ends_with_metric(text: &str) -> bool {
    let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let group = text.trim_end_matches(name);
    let has_name = group.len() < text.len();
    let group = group.strip_suffix(':');
    has_name && group.is_some_and(|group| METRIC_GROUPS.iter().any(|known| group.ends_with(known)))
}

/// True for characters that control a terminal or hide text.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' // zero width, direction marks
            | '\u{2028}'..='\u{202e}' // line separators, embeddings, overrides
            | '\u{2060}'..='\u{206f}' // word joiner, isolates
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted_for_shell("/a/b-1.tar.gz"), "/a/b-1.tar.gz");
        assert_eq!(quoted_for_shell("my data/it's"), r"'my data/it'\''s'");
        assert_eq!(quoted_for_shell(""), "''");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("größe", 5), "größe");
        assert_eq!(shortened("größe\n", 5), "größe...");
        assert_eq!(shortened("a\nb", 3), "a\\nb");
    }

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(sanitize("größer, 文字 😀"), Cow::Borrowed(_)));
    }

    #[test]
    fn escapes_are_visible() {
        let cases = [
            ("a\nb\r\n\tc", "a\\nb\\r\\n\\tc"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{0}\u{9b}", "\\u{0}\\u{9b}"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("a\u{2028}b", "a\\u{2028}b"),
            ("a=b", "a=b"),
            ("train:accuracy=0.99;", "train:accuracy\\u{3d}0.99;"),
            ("progress:epoch==1", "progress:epoch\\u{3d}=1"),
        ];
        for (input, output) in cases {
            assert_eq!(sanitize(input), output, "{input:?}");
        }
    }

    /// ATTACK F4: only the program's line breaks remain.
    #[test]
    fn attacks_line_breaks_of_users_are_escaped() {
        let cases = [
            ("error: a\n  help: b", "error: a\n  help: b"),
            ("label `a\nb`", "label `a\\nb`"),
            ("x\r\n  y", "x\\r\n  y"),
            (
                "error[D1]: a\nwarning[D2]: b\n",
                "error[D1]: a\nwarning[D2]: b\\n",
            ),
            ("a\ntest:ece=1;", "a\\ntest:ece\\u{3d}1;"),
        ];
        for (input, output) in cases {
            assert_eq!(LogText::new(input).to_string(), output, "{input:?}");
        }
    }

    /// ATTACK F4: JSON keeps its values.
    #[test]
    fn attacks_json_keeps_its_values() {
        let value =
            serde_json::json!({ "train:loss=1;\u{9b}": "\u{7f} validation:f=1;\u{202e}\n=" });
        let json = value.to_string();
        let safe = sanitize_json(&json);
        assert!(!safe.contains(['\u{7f}', '\u{9b}', '\u{202e}']) && !safe.contains("loss="));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&safe).unwrap(),
            value
        );
    }
}
