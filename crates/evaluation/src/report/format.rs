//! Numbers as people read them.

/// Formats `25000` as `25,000`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats `0.918` as `91.80 %`.
pub(super) fn percent(share: f64, decimals: usize) -> String {
    format!("{:.decimals$}\u{a0}%", 100.0 * share)
}

/// A number with `decimals` places, or a dash.
pub(super) fn optional(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(
        || "\u{2013}".to_owned(),
        |value| format!("{value:.decimals$}"),
    )
}

/// Formats a duration: `0.3 s`, `12.3 s`, `3 min 20 s`, `5 h 2 min`.
pub(super) fn seconds(value: f64) -> String {
    // Rounds to seconds first: 119.9 s is 2 min 0 s.
    let seconds = value.round() as u64;
    match seconds {
        0 if value < 0.095 => format!("{:.0}\u{a0}ms", value * 1000.0),
        0..60 => format!("{value:.1}\u{a0}s"),
        60..3600 => format!("{}\u{a0}min {}\u{a0}s", seconds / 60, seconds % 60),
        _ => format!("{}\u{a0}h {}\u{a0}min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Formats bytes: `212 MiB`.
pub(super) fn bytes(value: u64) -> String {
    let mut scaled = value as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if scaled < 1023.5 {
            let decimals = usize::from(scaled < 9.95 && unit != "B");
            return format!("{scaled:.decimals$}\u{a0}{unit}");
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.1}\u{a0}TiB")
}

/// The first `limit` characters and the rest, split at a space if one is near.
pub(super) fn split_text(text: &str, limit: usize) -> (&str, &str) {
    let Some((end, _)) = text.char_indices().nth(limit) else {
        return (text, "");
    };
    let head = &text[..end];
    let space = head
        .rfind(char::is_whitespace)
        .filter(|&at| at >= end - end / 8);
    text.split_at(space.unwrap_or(end))
}

/// At most `limit` characters, the last one an ellipsis if some are missing.
pub(super) fn short(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit - 1).chain(['\u{2026}']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(percent(0.9184, 2), "91.84\u{a0}%");
        assert_eq!(optional(None, 3), "\u{2013}");
        let times = [0.004, 0.3, 12.34, 59.97, 119.9, 3600.0 * 5.0 + 130.0].map(seconds);
        let plain = times.map(|time| time.replace('\u{a0}', " "));
        assert_eq!(
            plain,
            [
                "4 ms",
                "0.3 s",
                "12.3 s",
                "1 min 0 s",
                "2 min 0 s",
                "5 h 2 min"
            ]
        );
        let sizes = [0, 1023, 1024, 10 << 20, 3 << 29, 5 << 40].map(bytes);
        let plain = sizes.map(|size| size.replace('\u{a0}', " "));
        assert_eq!(
            plain,
            ["0 B", "1023 B", "1.0 KiB", "10 MiB", "1.5 GiB", "5.0 TiB"]
        );
    }

    #[test]
    fn texts_are_cut_between_characters_and_lose_nothing() {
        let text = "é".repeat(700);
        let (head, rest) = split_text(&text, 600);
        assert_eq!((head.chars().count(), rest.chars().count()), (600, 100));
        let (head, rest) = split_text("one two three four", 14);
        assert_eq!((head, rest), ("one two three", " four"));
        assert_eq!(split_text("short", 600), ("short", ""));
        assert_eq!(short("abcdef", 4), "abc\u{2026}");
        assert_eq!(short("abcd", 4), "abcd");
    }
}
