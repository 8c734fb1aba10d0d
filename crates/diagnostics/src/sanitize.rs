//! User text made safe for logs and terminals.

use std::borrow::Cow;
use std::fmt::Write as _;

/// First parts of metric names in log lines, such as `validation:accuracy=0.9;`.
pub const METRIC_GROUPS: [&str; 4] = ["train", "validation", "test", "progress"];

/// Escapes what is unsafe in a log line: control characters, line breaks, and characters that
/// reorder or hide text. Where the text has the name of a metric before `=`, the `=` becomes
/// `\u{3d}`, so that CloudWatch never counts a user's text as a metric.
///
/// Put backticks or spaces around the result, as all messages do.
pub fn sanitize(text: &str) -> Cow<'_, str> {
    let clean = text.chars().all(|c| !is_unsafe(c) && c != '=');
    if clean {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '=' if ends_with_metric(&text[..at]) => out.push_str("\\u{3d}"),
            // Writing to a String cannot fail.
            c if is_unsafe(c) => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
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
}
