use std::borrow::Cow;
use std::fmt::Write as _;

use crate::Metric;

/// User data (a label, a file's name, a piece of text) made safe for a log line.
///
/// Control characters, line breaks and characters that reorder or hide text become escapes, so a
/// label can neither colour a terminal nor start a line of its own; and where the text has a
/// metric's name and `=`, the `=` becomes `\u{3d}`, so that it never counts as a measurement.
/// Put backticks or spaces around it, as all messages do.
pub fn shown(text: &str) -> Cow<'_, str> {
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

fn ends_with_metric(text: &str) -> bool {
    Metric::all().any(|metric| metric.ends(text))
}

/// Characters that steer a terminal or a reader's eye instead of being text.
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
        assert!(matches!(shown("größer, 文字 😀"), Cow::Borrowed(_)));
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
            assert_eq!(shown(input), output, "{input:?}");
        }
    }
}
